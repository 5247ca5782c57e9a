//! The benchmarks, one module each.

pub(crate) mod catch_up;
pub(crate) mod channel;
pub(crate) mod fan_out;
pub(crate) mod growth;
pub(crate) mod history;
pub(crate) mod idle;
pub(crate) mod posts;
pub(crate) mod start;
pub(crate) mod tokens;
