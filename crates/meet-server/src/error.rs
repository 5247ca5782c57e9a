//! What can go wrong in an operation, in the words of the domain.
//!
//! Nothing here knows of HTTP statuses or close codes: each edge maps [`Error`] once.

use std::time::Duration;

use meet_api::{AgentRules, ErrorCode, text::TextError};
use meet_store::{Stop, StoreError};

use crate::hub::CloseReason;

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No credential came along.
    #[error("Missing API key")]
    MissingKey,
    /// The credential is unknown, revoked or expired.
    #[error("Invalid API key")]
    InvalidKey,
    /// The request is not what the operation takes; the sentence names the field.
    #[error("{0}")]
    Invalid(String),
    /// A text that breaks its rules.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A cursor, epoch or `reply_to` that the room does not know.
    #[error("unknown {0}")]
    UnknownCursor(&'static str),
    /// The caller may only read this room.
    #[error("this room is read-only for you")]
    ReadOnly,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A cookie came along from a foreign page.
    #[error("the request's Origin is not allowed")]
    BadOrigin,
    /// Strangers get no keys here.
    #[error("sign-up is closed on this server; ask its operator for an invite")]
    SignupClosed,
    /// Nothing by that id is the caller's.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// No such room for this caller.
    #[error("room not found")]
    RoomNotFound,
    /// The room's time is over.
    #[error("room expired")]
    Expired,
    /// The invite is unknown, used up, revoked or past its time.
    #[error("this invite is not valid any more")]
    InviteExpired,
    /// The idempotency key was used for another message.
    #[error("this idempotency key was used for another message")]
    IdempotencyConflict,
    /// The event was told before.
    #[error("this event was told before")]
    EventRepeated,
    /// Somebody has that name.
    #[error("the name {0} is taken")]
    NameTaken(String),
    /// A text or body over its limit.
    #[error("{0}")]
    TooLarge(String),
    /// The body must be JSON.
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// Too many in this window.
    #[error("rate limit exceeded")]
    RateLimited(Window),
    /// Too many open connections of this caller.
    #[error("too many open connections")]
    TooManyConnections,
    /// The room holds as many messages as it may.
    #[error("this room is full")]
    RoomFull,
    /// An agent may say no more in this room.
    #[error("{}", stopped(*.0, .1))]
    Stopped(Stop, AgentRules),
    /// The tenant stores as many bytes as it may.
    #[error("the storage quota is used up")]
    QuotaExceeded,
    /// The disk is nearly full.
    #[error("the server's disk is nearly full; reading goes on")]
    DiskFull,
    /// The provider behind the server failed.
    #[error("calls do not work at the moment; try again, and tell whoever runs this server if that does not help")]
    ProviderFailed,
    /// There are no calls here.
    #[error("this server carries no calls: its operator has not set MEET_AI_CONFERENCE__PROVIDER")]
    ConferenceUnavailable,
    /// There are as many as there may be.
    #[error("{0}")]
    Full(&'static str),
    /// The server has no room for this now.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The store failed.
    #[error("the server could not reach its database")]
    Store(#[source] StoreError),
}

/// A fixed window of a rate limit, as its caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many the window admits.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// How long until it starts anew.
    pub reset: Duration,
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::MissingKey => ErrorCode::MissingKey,
            Self::InvalidKey => ErrorCode::InvalidKey,
            Self::Text(TextError::TooManyBytes { .. }) | Self::TooLarge(_) => ErrorCode::TooLarge,
            Self::Invalid(_) | Self::Text(_) => ErrorCode::InvalidRequest,
            Self::UnknownCursor(_) => ErrorCode::UnknownCursor,
            Self::ReadOnly => ErrorCode::ReadOnly,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::BadOrigin => ErrorCode::BadOrigin,
            Self::SignupClosed => ErrorCode::SignupClosed,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::RoomNotFound => ErrorCode::RoomNotFound,
            Self::Expired | Self::InviteExpired => ErrorCode::Expired,
            Self::IdempotencyConflict | Self::EventRepeated => ErrorCode::IdempotencyConflict,
            Self::NameTaken(_) => ErrorCode::NameTaken,
            Self::UnsupportedMediaType => ErrorCode::UnsupportedMediaType,
            Self::RateLimited(_) | Self::TooManyConnections | Self::Full(_) => ErrorCode::RateLimited,
            Self::RoomFull => ErrorCode::RoomFull,
            Self::Stopped(Stop::Paused, _) => ErrorCode::AgentsPaused,
            Self::Stopped(Stop::Budget, _) => ErrorCode::AgentBudgetSpent,
            Self::Stopped(Stop::Share, _) => ErrorCode::AgentShareSpent,
            Self::QuotaExceeded => ErrorCode::QuotaExceeded,
            Self::DiskFull => ErrorCode::DiskFull,
            Self::ProviderFailed => ErrorCode::ProviderFailed,
            Self::ConferenceUnavailable => ErrorCode::ConferenceUnavailable,
            Self::Unavailable(_) | Self::Store(_) => ErrorCode::Unavailable,
        }
    }
}

impl Error {
    /// What a waiting request is told when its connection would have been closed.
    pub fn from_close(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Shutdown => Self::Unavailable("the server is stopping"),
            CloseReason::TooSlow | CloseReason::Failed => Self::Unavailable("the server could not go on with this"),
            CloseReason::RoomGone => Self::RoomNotFound,
            CloseReason::CredentialEnded | CloseReason::TakenOver => Self::InvalidKey,
        }
    }
}

/// Why an agent is stopped, and what lifts it.
fn stopped(stop: Stop, agents: &AgentRules) -> String {
    let AgentRules { budget, share, .. } = agents;
    match stop {
        Stop::Paused => "agents are paused in this room: wait until an owner lets them go on".to_owned(),
        Stop::Budget => format!(
            "agents have said {budget} messages in a row in this room, as many as they may: wait for a person's message"
        ),
        Stop::Share => format!(
            "you have said {share} of the {budget} messages that agents may say in a row in this room, which is your \
             share: wait for a person's message"
        ),
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::DiskFull,
            other => Self::Store(other),
        }
    }
}
