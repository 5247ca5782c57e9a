//! Webhooks: what a media server tells an application by a POST (`protobufs/livekit_webhook.proto`,
//! `webhook/verifier.go`).
//!
//! `Authorization` is a token without `Bearer` before it, of which a claim is the hash of the body. A token that lets a
//! participant in is signed with the same secret, but vouches for no body. Whether an event came before is for the
//! application to remember, by [`Event::id`] and for as long as it lets events be old.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    UnixSeconds,
    model::{Participant, Room, Track},
    protojson::{self, nullable},
    token::{AccessToken, ApiKey, Claims, LEEWAY, SignError, TokenError},
};

/// The content type of a webhook: not JSON's own, so that nothing parses it before it is verified.
pub const CONTENT_TYPE: &str = "application/webhook+json";

/// Something that happened (`WebhookEvent`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// By which the same event is known when it is sent again; never empty.
    pub id: String,
    /// When it happened.
    pub created_at: UnixSeconds,
    /// What happened.
    pub happening: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A room opened: `room_started`.
    RoomStarted {
        /// Which.
        room: Room,
    },
    /// A room closed: `room_finished`.
    RoomFinished {
        /// Which.
        room: Room,
    },
    /// Somebody came: `participant_joined`.
    ParticipantJoined {
        /// Where.
        room: Room,
        /// Who.
        participant: Participant,
    },
    /// Somebody went: `participant_left`.
    ParticipantLeft {
        /// Where.
        room: Room,
        /// Who.
        participant: Participant,
    },
    /// Somebody went before media could flow, so that nothing told of its coming: `participant_connection_aborted`.
    ParticipantConnectionAborted {
        /// Where.
        room: Room,
        /// Who.
        participant: Participant,
    },
    /// Somebody publishes something: `track_published`.
    TrackPublished {
        /// Where.
        room: Room,
        /// Who.
        participant: Participant,
        /// What.
        track: Track,
    },
    /// Somebody publishes something no longer: `track_unpublished`.
    TrackUnpublished {
        /// Where.
        room: Room,
        /// Who.
        participant: Participant,
        /// What.
        track: Track,
    },
    /// Anything else; nothing of it is kept.
    Other,
}

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// There is no `Authorization`.
    #[error("the webhook is not signed")]
    Unsigned,
    /// Its token opens nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Its token vouches for another body, or for none.
    #[error("the webhook's token is of another body")]
    WrongBody,
    /// It is no event, or lacks what its kind needs.
    #[error("the webhook is malformed")]
    Malformed,
    /// It happened too long ago.
    #[error("the webhook is too old")]
    TooOld,
    /// It did not happen yet.
    #[error("the webhook is from the future")]
    TooNew,
}

/// The body as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default, deserialize_with = "nullable")]
    event: String,
    #[serde(default, deserialize_with = "nullable")]
    id: String,
    #[serde(default, alias = "created_at", with = "protojson::seconds")]
    created_at: UnixSeconds,
    room: Option<Room>,
    participant: Option<Participant>,
    track: Option<Track>,
}

/// What a webhook says, if a server with this key sent it. `authorization` is the header as it came, `body` the bytes as
/// they came; what happened longer ago than `max_age` is refused.
///
/// # Errors
/// [`WebhookError`]. The body is parsed only when the token vouches for it.
pub fn receive(
    key: &ApiKey,
    authorization: Option<&str>,
    body: &[u8],
    now: UnixSeconds,
    max_age: Duration,
) -> Result<Event, WebhookError> {
    let token = authorization.filter(|token| !token.is_empty()).ok_or(WebhookError::Unsigned)?;
    let claims = key.verify(token, now, LEEWAY)?;
    let claimed = claims.sha256.unwrap_or_default();
    if !bool::from(claimed.as_bytes().ct_eq(hash(body).as_bytes())) {
        return Err(WebhookError::WrongBody);
    }
    let event = parse(body).ok_or(WebhookError::Malformed)?;
    if event.created_at < now.before(max_age) {
        return Err(WebhookError::TooOld);
    }
    if now.after(LEEWAY) < event.created_at {
        return Err(WebhookError::TooNew);
    }
    Ok(event)
}

/// The `Authorization` of a webhook with this body, as a server signs it.
///
/// # Errors
/// [`SignError::Signing`].
pub fn sign(
    key: &ApiKey,
    body: &[u8],
    not_before: UnixSeconds,
    expires_at: UnixSeconds,
) -> Result<AccessToken, SignError> {
    key.sign(&Claims { not_before, expires_at, sha256: Some(hash(body)), ..Claims::default() })
}

/// The hash as the claim has it.
fn hash(body: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(body))
}

/// An event with what its kind needs.
fn parse(body: &[u8]) -> Option<Event> {
    let Body { event, id, created_at, room, participant, track } = serde_json::from_slice(body).ok()?;
    let happening = match event.as_str() {
        "" => return None,
        "room_started" => Happening::RoomStarted { room: room? },
        "room_finished" => Happening::RoomFinished { room: room? },
        "participant_joined" => Happening::ParticipantJoined { room: room?, participant: participant? },
        "participant_left" => Happening::ParticipantLeft { room: room?, participant: participant? },
        "participant_connection_aborted" => {
            Happening::ParticipantConnectionAborted { room: room?, participant: participant? }
        }
        "track_published" => Happening::TrackPublished { room: room?, participant: participant?, track: track? },
        "track_unpublished" => Happening::TrackUnpublished { room: room?, participant: participant?, track: track? },
        _ => Happening::Other,
    };
    // Without an id nobody could tell that it was sent again.
    (!id.is_empty()).then_some(Event { id, created_at, happening })
}
