//! The bodies of requests and the answers that are not simply a room, a message or a user.
//!
//! Fields are what was sent, unchecked: the rules of [`crate::text`] are applied by the operation.

use serde::{Deserialize, Serialize};

use crate::{
    About, ChosenStatus, ConferenceKind, InviteId, Kind, Media, Role, RoomId, TenantId, Timestamp, User, UserId,
    Visibility,
};

/// `POST /api/rooms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateRoom {
    /// 1 to 100 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// Who may read it; `private` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// What its call carries; `audio` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Seconds until it ends; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// How much of a room that turns public its readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum History {
    /// All of it, not only what is said from then on.
    All,
}

/// `PATCH /api/rooms/{id}`; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateRoom {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// With `visibility: "public"`: show what was said before, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What its call carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Seconds from now until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// Show it in the list of public rooms; the operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<bool>,
    /// How many messages agents may say in a row without one of a person between, 0 to 1000; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_budget: Option<u64>,
    /// How many of these one agent may say, 0 to 1000; 0 for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_share: Option<u64>,
    /// Whether agents may say nothing; `false` lets them begin anew, with the whole budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents_paused: Option<bool>,
}

/// `POST /api/rooms/{id}/messages`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendMessage {
    /// Who speaks; a session speaks as itself and may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// 1 to 32 768 bytes.
    #[serde(default)]
    pub content: Option<String>,
    /// Person or program; `human` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_type: Option<Kind>,
    /// The id of the message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

/// A new API key, shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewKey {
    /// `mai_` and 24 URL-safe characters.
    pub key: String,
    /// Its first 8 characters, by which it is told from others.
    pub prefix: String,
}

/// `GET /api/keys`: what is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyInfo {
    /// The tenant that the key made.
    pub id: TenantId,
    /// The key's first 8 characters.
    pub prefix: String,
    /// When the tenant was made.
    pub created_at: Timestamp,
    /// When the key was last used, to the minute.
    pub last_used: Option<Timestamp>,
}

/// `POST /api/session`: sign in by exactly one of `key`, `invite` and `owner`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignIn {
    /// An API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The token of an invite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
    /// The token of an owner link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// 1 to 64 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// Person or program; `human` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// Who a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionInfo {
    /// The user; `null` for a bare key, which may name any sender.
    pub user: Option<User>,
    /// The tenant.
    pub org: TenantId,
    /// What it may do.
    pub role: Role,
    /// The rooms that it is held to; `null` for all of the tenant's.
    pub rooms: Option<Vec<RoomId>>,
    /// The session token, given once and only to a caller without an Origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// `POST /api/rooms/{id}/invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateInvite {
    /// `member` or `spectator`.
    pub role: Role,
    /// Seconds until it ends; 7 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// How often it may be used; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
}

/// A new invite, shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewInvite {
    /// Its id, by which it is revoked.
    pub id: InviteId,
    /// The link to hand out; its secret is in the fragment, which no server sees.
    pub url: String,
    /// The secret by itself.
    pub token: String,
    /// What those who use it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// `POST /realtime/connection-token`; nothing has to be said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewConnectionToken {
    /// The id of a room, to connect as who you are there: a guest, where a session was let into a room of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space_id: Option<String>,
}

/// `PUT /presence/status`; what is absent stays, and something has to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetStatus {
    /// As what to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ChosenStatus>,
    /// What else to say of yourself, in place of all that was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
}

/// As what a user chose to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnStatus {
    /// The user's id.
    pub user: UserId,
    /// As what.
    pub status: ChosenStatus,
    /// What else it says of itself; absent when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
}

/// `PUT /api/rooms/{id}/read`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MarkRead {
    /// The `seq` of the newest message that was read.
    #[serde(default)]
    pub seq: Option<u64>,
}

/// `POST /api/rooms/{id}/log`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewLog {
    /// One line, 1 to 1000 characters.
    #[serde(default)]
    pub text: Option<String>,
}

/// A token for the realtime gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RealtimeToken {
    /// The token, as a Centrifugo client takes it.
    pub token: String,
    /// When it ends; clients fetch another before.
    pub expires_at: Timestamp,
}

/// `POST /realtime/conference-token`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewConferenceToken {
    /// The id of the room whose call it is.
    #[serde(default)]
    pub space_id: Option<String>,
}

/// `POST /api/token`: into a room without an owner, by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewCallToken {
    /// The room's name, 1 to 64 characters; the first who says it makes the room.
    #[serde(default)]
    pub room: Option<String>,
    /// Who you are, 1 to 32 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// What the call carries; `audio` when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Ask a bot into the call; once asked, it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_bot: Option<bool>,
    /// What the Turnstile widget gave, where the server asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turnstile_token: Option<String>,
}

/// The way into a call without an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallToken {
    /// The token for the conference's client, spoken to as `GET /realtime/config` says.
    pub auth_token: String,
    /// What the call carries.
    pub room_type: Media,
    /// Whether the caller asked for audio in a room with screens.
    pub type_conflict: bool,
    /// Whether a bot was asked into the call.
    pub bot_enabled: bool,
    /// The room of the call's chat.
    pub room_id: RoomId,
    /// When the room ends.
    pub ends_at: Timestamp,
    /// A session token for the chat, for callers from another origin; others have it in their cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_token: Option<String>,
}

/// `GET /realtime/config`: where realtime clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RealtimeConfig {
    /// The realtime gateway.
    pub connection: ConnectionConfig,
    /// The conferences; `null` when there are none.
    pub conference: Option<ConferenceConfig>,
}

/// Where the realtime gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionConfig {
    /// The address of its WebSocket.
    pub url: String,
}

/// Where conferences are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConferenceConfig {
    /// Their address.
    pub url: String,
    /// How they are spoken to.
    pub kind: ConferenceKind,
    /// The key of the widget that `POST /api/token` wants an answer of; absent where it wants none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turnstile_site_key: Option<String>,
}
