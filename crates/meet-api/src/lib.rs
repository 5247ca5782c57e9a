//! The vocabulary that every part of meet-ai shares: ids, times, rooms, messages, people, requests,
//! socket frames and error codes, as they stand on the wire.
//!
//! Types and pure rules about text only: no I/O, no clock, no storage, and nothing that knows which
//! transport carries it.

pub mod error;
pub mod frame;
pub mod id;
pub mod model;
pub mod request;
pub mod text;
pub mod time;

pub use error::{ErrorBody, ErrorCode};
pub use frame::{CallChange, ClientFrame, GuardChange, GuardReason, PresenceChange, ServerFrame};
pub use id::{InviteId, MessageId, RoomId, SessionId, TenantId, UserId};
pub use model::{
    About, AgentRules, Appearance, Call, CallParticipant, ChosenStatus, ConferenceKind, Doing, Guard, Invite, Kind,
    Media, Message, MessageTag, PresenceMember, Reading, Role, Room, RoomDetails, RoomPresence, SeenStatus, Shown,
    Status, User, UserStatus, Visibility,
};
pub use time::Timestamp;
