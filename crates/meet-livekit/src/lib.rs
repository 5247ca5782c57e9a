//! The LiveKit protocol as an application speaks it to a media server: access tokens, the room service, webhooks.
//!
//! Nothing here owns a socket, a clock or a task, and nothing knows rooms of ours or tenants: whoever calls sends what
//! is written here, brings what came back, and says what time it is. Names and rules are facts of the public protocol,
//! `livekit/protocol` on GitHub; each module names the file.

pub mod model;
mod protojson;
pub mod room_service;
mod time;
pub mod token;
pub mod webhook;

pub use time::UnixSeconds;
pub use token::{AccessToken, ApiKey, Claims, VideoGrant};
