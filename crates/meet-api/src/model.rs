//! Rooms, messages and people as every transport shows them.

use serde::{Deserialize, Serialize};

use crate::{InviteId, MessageId, RoomId, Timestamp, UserId};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:tt),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The word as it stands on the wire and in the store.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Reads the word; `None` when it is none of them.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}

words! {
    /// Who is speaking: a person or a program.
    Kind {
        /// A person.
        Human = "human",
        /// A program that acts by itself.
        Agent = "agent",
    }

    /// What a caller may do in the rooms that it reaches.
    Role {
        /// Everything in the tenant.
        Owner = "owner",
        /// Read and write in its rooms.
        Member = "member",
        /// Read only.
        Spectator = "spectator",
    }

    /// Who may read a room.
    Visibility {
        /// Its tenant and its guests.
        Private = "private",
        /// Everyone who has its id.
        Public = "public",
    }

    /// What a room's call carries.
    Media {
        /// Microphones.
        Audio = "audio",
        /// Microphones, cameras and screens.
        Screenshare = "screenshare",
    }

    /// How reachable somebody says to be.
    Status {
        /// Here.
        Online = "online",
        /// Not looking.
        Away = "away",
        /// Not to be disturbed.
        Busy = "busy",
    }

    /// As what a user chose to be seen.
    ChosenStatus {
        /// Here.
        Online = "online",
        /// Not looking.
        Away = "away",
        /// Not to be disturbed.
        Busy = "busy",
        /// As if it were not here.
        Invisible = "invisible",
    }

    /// As what a user is seen.
    SeenStatus {
        /// Here.
        Online = "online",
        /// Not looking.
        Away = "away",
        /// Not to be disturbed.
        Busy = "busy",
        /// Not here, as far as the caller may know.
        Offline = "offline",
        /// Not here for anybody else: only the user itself sees this.
        Invisible = "invisible",
    }

    /// What somebody says to be doing.
    Doing {
        /// Waits for something to be said.
        Listening = "listening",
        /// Is busy with what was said.
        Working = "working",
        /// Needs a person before it can go on.
        Waiting = "waiting",
    }

    /// How a conference is spoken to.
    ConferenceKind {
        /// By WebRTC.
        Rtc = "rtc",
        /// By the provider's own meetings.
        Meeting = "meeting",
    }

    /// The constant `type` of a message, which tells it from other frames on a socket.
    MessageTag {
        /// Always this.
        Message = "message",
    }
}

impl ChosenStatus {
    /// What others see of it while the user is here; `None` for nothing at all.
    pub const fn shown(self) -> Option<Status> {
        match self {
            Self::Online => Some(Status::Online),
            Self::Away => Some(Status::Away),
            Self::Busy => Some(Status::Busy),
            Self::Invisible => None,
        }
    }
}

impl SeenStatus {
    /// What is seen of somebody who shows this; `None` for nothing at all.
    pub const fn of(shown: Option<Status>) -> Self {
        match shown {
            Some(Status::Online) => Self::Online,
            Some(Status::Away) => Self::Away,
            Some(Status::Busy) => Self::Busy,
            None => Self::Offline,
        }
    }
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Its name, which need not be unique.
    pub name: String,
    /// Who may read it.
    pub visibility: Visibility,
    /// What its call carries.
    pub media: Media,
    /// Whether a bot was asked into its call.
    pub bot_enabled: bool,
    /// The `seq` of its newest message; 0 when it has none.
    pub head_seq: u64,
    /// Changes when a backup was restored; cursors of another epoch are void.
    pub epoch: String,
    /// How many people and agents are in it now, by open connections.
    pub online: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `null` for never.
    pub expires_at: Option<Timestamp>,
    /// How much agents may say among themselves.
    pub agents: AgentRules,
    /// How far the caller has read it; absent for a caller without a user of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<u64>,
    /// How many messages of others stand behind that, counted up to 1000; absent like `read_seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// How many of them mention the caller, counted up to 1000; absent like `read_seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentions: Option<u64>,
}

/// How much agents may say in a room in a row, without a message of a person between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentRules {
    /// Whether agents may say nothing at all until an owner lets them.
    pub paused: bool,
    /// How many messages all of them together; 0 for any number.
    pub budget: u64,
    /// How many of these one of them; 0 for all.
    pub share: u64,
    /// How many are left; `null` when any number may be said.
    pub remaining: Option<u64>,
}

/// The rules for agents in a room, as they are for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Guard {
    /// The rules for all.
    #[serde(flatten)]
    pub agents: AgentRules,
    /// How many messages the caller itself may still say; absent for whoever is no agent, or may say any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_remaining: Option<u64>,
}

/// How far a user has read a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reading {
    /// The room.
    pub room_id: RoomId,
    /// Up to this message; 0 for none.
    pub read_seq: u64,
    /// How many messages of others stand behind it, counted up to 1000.
    pub unread: u64,
    /// How many of them mention the user, counted up to 1000.
    pub mentions: u64,
}

/// What somebody says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct About {
    /// What it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Doing>,
    /// More of that in its own words, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The model that an agent runs on, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it is here for, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// As what a user wants to be seen, and what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appearance {
    /// As what.
    pub status: ChosenStatus,
    /// What else.
    pub about: About,
}

/// What others see of a user who is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// How reachable it says to be.
    pub status: Status,
    /// What else it says of itself; `None` for nothing.
    pub about: Option<About>,
}

impl Appearance {
    /// What others see of it while the user is here; `None` for nothing at all.
    pub fn shown(&self) -> Option<Shown> {
        self.status.shown().map(|status| Shown { status, about: self.said() })
    }

    /// What it says of itself, if that is anything.
    pub fn said(&self) -> Option<About> {
        (self.about != About::default()).then(|| self.about.clone())
    }
}

impl From<ChosenStatus> for Appearance {
    fn from(status: ChosenStatus) -> Self {
        Self { status, about: About::default() }
    }
}

impl From<Status> for Shown {
    fn from(status: Status) -> Self {
        Self { status, about: None }
    }
}

/// A message, the same object on every transport. Order messages by `seq`, never by time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The room it stands in.
    pub room_id: RoomId,
    /// `room_id` again, for clients of the original plan.
    #[serde(rename = "roomId")]
    pub room_id_again: RoomId,
    /// Its place in the room: from 1, without gaps, in the order of commits.
    pub seq: u64,
    /// Always `message`.
    #[serde(rename = "type")]
    pub tag: MessageTag,
    /// The user who wrote it, set by the server.
    pub user: UserId,
    /// The name under which it was written.
    pub sender: String,
    /// Whether a person or a program wrote it.
    pub sender_type: Kind,
    /// What it says.
    pub content: String,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// When the server took it.
    pub created_at: Timestamp,
}

/// A person or an agent of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// Person or program.
    pub kind: Kind,
}

/// One user who is in a room now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresenceMember {
    /// The user's id.
    pub user: UserId,
    /// Its name.
    pub name: String,
    /// Person or program.
    pub kind: Kind,
    /// How reachable it says to be.
    pub status: Status,
    /// What else it says of itself; absent when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// Since when it has been here without a break.
    pub since: Timestamp,
}

/// Who is in a room now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoomPresence {
    /// Everyone with a name, by the time of arrival.
    pub members: Vec<PresenceMember>,
    /// How many connections read along without one.
    pub watching: u64,
}

/// Somebody who is in a room's call now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallParticipant {
    /// The user's id; `null` for whoever the provider let in by itself.
    pub user: Option<UserId>,
    /// The name that others see.
    pub name: String,
    /// Person or program.
    pub kind: Kind,
    /// Since when it has been there without a break.
    pub since: Timestamp,
}

/// A room's call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Call {
    /// Everyone who is in it, by the time of arrival.
    pub participants: Vec<CallParticipant>,
}

/// A room with its call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoomDetails {
    /// The room.
    #[serde(flatten)]
    pub room: Room,
    /// Who is in its call.
    pub call: Call,
}

/// As what a user is seen now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserStatus {
    /// The user's id.
    pub user: UserId,
    /// As what the caller sees it.
    pub status: SeenStatus,
    /// What else it says of itself while it is seen; absent when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
}

/// An invite to a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invite {
    /// Its id, by which it is revoked.
    pub id: InviteId,
    /// What those who use it may do: `member` or `spectator`.
    pub role: Role,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How often it may be used; `null` for any number.
    pub max_uses: Option<u64>,
    /// How often it was used.
    pub uses: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_exactly_the_fields_of_the_contract() {
        let id: MessageId = "01900000-0000-7000-8000-000000000001".parse().unwrap();
        let room: RoomId = "01900000-0000-7000-8000-000000000002".parse().unwrap();
        let message = Message {
            id,
            room_id: room,
            room_id_again: room,
            seq: 7,
            tag: MessageTag::Message,
            user: "01900000-0000-7000-8000-000000000003".parse().unwrap(),
            sender: "Ann".into(),
            sender_type: Kind::Human,
            content: "hi".into(),
            reply_to: None,
            created_at: Timestamp::from_millis(1),
        };
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(
            json,
            r#"{"id":"01900000-0000-7000-8000-000000000001","room_id":"01900000-0000-7000-8000-000000000002","roomId":"01900000-0000-7000-8000-000000000002","seq":7,"type":"message","user":"01900000-0000-7000-8000-000000000003","sender":"Ann","sender_type":"human","content":"hi","reply_to":null,"created_at":"1970-01-01T00:00:00.001Z"}"#
        );
        assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    }

    #[cfg(feature = "openapi")]
    #[test]
    fn the_schema_of_a_word_lists_it_as_it_stands_on_the_wire() {
        use utoipa::PartialSchema as _;

        let schema = serde_json::to_value(Kind::schema()).unwrap();
        assert_eq!(schema["enum"], serde_json::json!(["human", "agent"]));
        let schema = serde_json::to_value(crate::ErrorCode::schema()).unwrap();
        assert_eq!(schema["enum"][0], "missing_key");
    }
}
