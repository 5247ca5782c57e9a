//! The Centrifugo client protocol, version 2, as a server speaks it: messages, their two forms, and their codes.
//!
//! Nothing here owns a socket, a clock or a task, and nothing knows rooms or tenants: bytes go in, bytes come out.

pub mod code;
pub mod codec;
mod entries;
pub mod message;
mod raw_json;
pub mod session;

pub use codec::Protocol;
pub use session::Session;
