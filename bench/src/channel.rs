//! The Centrifugo client protocol from the client's side: connections that listen to a channel or publish to one, and
//! the servers that speak it, ours and others.
//!
//! It knows what its figures need and no more: a connection that ends, an unknown push or a refused command is not
//! worked around but told.

pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod peer;
pub(crate) mod replies;
pub(crate) mod token;
