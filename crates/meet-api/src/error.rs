//! The one shape of an error on the wire, and its stable codes.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:tt),* $(,)?) => {
        /// What went wrong, for programs: stable across releases.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
            /// A code that this version does not know.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ErrorCode {
            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

codes! {
    /// No credential came with the request.
    MissingKey = "missing_key",
    /// The credential is unknown, revoked or expired.
    InvalidKey = "invalid_key",
    /// The request does not say what the operation needs.
    InvalidRequest = "invalid_request",
    /// A cursor or `reply_to` that this room does not know.
    UnknownCursor = "unknown_cursor",
    /// The caller may read the room, and only that.
    ReadOnly = "read_only",
    /// The caller is known and not allowed to do this.
    Forbidden = "forbidden",
    /// A cookie came from a page of another origin.
    BadOrigin = "bad_origin",
    /// This server makes no keys for strangers.
    SignupClosed = "signup_closed",
    /// There is nothing at this address.
    NotFound = "not_found",
    /// There is no such room for this caller.
    RoomNotFound = "room_not_found",
    /// The address exists, the method does not.
    MethodNotAllowed = "method_not_allowed",
    /// The same idempotency key came with another body.
    IdempotencyConflict = "idempotency_conflict",
    /// Somebody in this tenant has that name.
    NameTaken = "name_taken",
    /// It existed, and its time is over.
    Expired = "expired",
    /// A body, a frame or a text is over its limit.
    TooLarge = "too_large",
    /// A cookie request with a body that is not JSON.
    UnsupportedMediaType = "unsupported_media_type",
    /// The Host header names a server that this is not.
    ForeignHost = "foreign_host",
    /// This address speaks WebSocket.
    UpgradeRequired = "upgrade_required",
    /// Too many, too fast.
    RateLimited = "rate_limited",
    /// The room holds as many messages as it may.
    RoomFull = "room_full",
    /// An owner has stopped the agents of the room.
    AgentsPaused = "agents_paused",
    /// Agents have said as much among themselves as they may in the room.
    AgentBudgetSpent = "agent_budget_spent",
    /// This agent has said its share of that.
    AgentShareSpent = "agent_share_spent",
    /// The tenant stores as many bytes as it may.
    QuotaExceeded = "quota_exceeded",
    /// The server's disk is nearly full; reading goes on.
    DiskFull = "disk_full",
    /// A provider behind the server failed.
    ProviderFailed = "provider_failed",
    /// This server carries no calls.
    ConferenceUnavailable = "conference_unavailable",
    /// Not now; trying again later helps.
    Unavailable = "unavailable",
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// A sentence for a person.
    pub error: String,
    /// The stable code for a program.
    pub code: ErrorCode,
}
