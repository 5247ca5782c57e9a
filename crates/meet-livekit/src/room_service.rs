//! The room service: what an application asks of a media server (`protobufs/livekit_room.proto`), as Twirp sends it.
//! Each request is a POST of JSON to [`Method::PATH`], with `Authorization: Bearer` and a token of [`Method::grant`].
//!
//! Only what an application needs that lets people into calls; nothing is sent from here.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    UnixSeconds, VideoGrant,
    model::{Participant, Room, Track},
    protojson::{self, integer, nullable},
};

/// A request: where it goes, what is answered, and what its token must allow.
pub trait Method: Serialize {
    /// The path, from the root of the server's URL.
    const PATH: &'static str;

    /// What a success answers.
    type Answer: DeserializeOwned;

    /// The least that allows it, and nothing else.
    fn grant(&self) -> VideoGrant;
}

fn room_create() -> VideoGrant {
    VideoGrant { room_create: true, ..VideoGrant::default() }
}

fn room_admin(room: &str) -> VideoGrant {
    VideoGrant { room_admin: true, room: room.to_owned(), ..VideoGrant::default() }
}

/// Makes a room, or finds the one of this name. A room is also made when the first joins it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateRoom {
    /// The name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// For how many seconds it stays when nobody joins; 0 for the server's own bound.
    #[serde(deserialize_with = "integer", alias = "empty_timeout")]
    pub empty_timeout: u32,
    /// For how many seconds it stays when everybody has left; 0 for the server's own bound.
    #[serde(deserialize_with = "integer", alias = "departure_timeout")]
    pub departure_timeout: u32,
    /// How many may be in it; 0 for the server's own bound.
    #[serde(deserialize_with = "integer", alias = "max_participants")]
    pub max_participants: u32,
    /// What the application keeps with it.
    #[serde(deserialize_with = "nullable")]
    pub metadata: String,
}

impl Method for CreateRoom {
    const PATH: &'static str = "/twirp/livekit.RoomService/CreateRoom";
    type Answer = Room;

    fn grant(&self) -> VideoGrant {
        room_create()
    }
}

/// Ends a room and throws everybody out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteRoom {
    /// The name.
    #[serde(deserialize_with = "nullable")]
    pub room: String,
}

impl Method for DeleteRoom {
    const PATH: &'static str = "/twirp/livekit.RoomService/DeleteRoom";
    type Answer = Done;

    fn grant(&self) -> VideoGrant {
        room_create()
    }
}

/// Lists the rooms that are open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListRooms {
    /// Only those of these names; empty for all.
    #[serde(deserialize_with = "nullable")]
    pub names: Vec<String>,
}

/// The answer to [`ListRooms`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rooms {
    /// The rooms.
    #[serde(deserialize_with = "nullable")]
    pub rooms: Vec<Room>,
}

impl Method for ListRooms {
    const PATH: &'static str = "/twirp/livekit.RoomService/ListRooms";
    type Answer = Rooms;

    fn grant(&self) -> VideoGrant {
        VideoGrant { room_list: true, ..VideoGrant::default() }
    }
}

/// Lists who is in a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListParticipants {
    /// The room's name.
    #[serde(deserialize_with = "nullable")]
    pub room: String,
}

/// The answer to [`ListParticipants`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Participants {
    /// Who is there.
    #[serde(deserialize_with = "nullable")]
    pub participants: Vec<Participant>,
}

impl Method for ListParticipants {
    const PATH: &'static str = "/twirp/livekit.RoomService/ListParticipants";
    type Answer = Participants;

    fn grant(&self) -> VideoGrant {
        room_admin(&self.room)
    }
}

/// Looks at somebody who is in a room (`RoomParticipantIdentity`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetParticipant {
    /// The room's name.
    #[serde(deserialize_with = "nullable")]
    pub room: String,
    /// Who.
    #[serde(deserialize_with = "nullable")]
    pub identity: String,
}

impl Method for GetParticipant {
    const PATH: &'static str = "/twirp/livekit.RoomService/GetParticipant";
    type Answer = Participant;

    fn grant(&self) -> VideoGrant {
        room_admin(&self.room)
    }
}

/// Throws somebody out of a room (`RoomParticipantIdentity`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoveParticipant {
    /// The room's name.
    #[serde(deserialize_with = "nullable")]
    pub room: String,
    /// Who.
    #[serde(deserialize_with = "nullable")]
    pub identity: String,
    /// Tokens of theirs that began before this open the room no longer; `None` for the server's choice, which is a
    /// minute from now.
    #[serde(
        rename = "revokeTokenTs",
        alias = "revoke_token_ts",
        with = "protojson::optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub revoke_tokens_before: Option<UnixSeconds>,
}

impl Method for RemoveParticipant {
    const PATH: &'static str = "/twirp/livekit.RoomService/RemoveParticipant";
    type Answer = Done;

    fn grant(&self) -> VideoGrant {
        room_admin(&self.room)
    }
}

/// Mutes a track (`MuteRoomTrackRequest`). A server refuses to unmute unless it was told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MutePublishedTrack {
    /// The room's name.
    #[serde(deserialize_with = "nullable")]
    pub room: String,
    /// Whose track.
    #[serde(deserialize_with = "nullable")]
    pub identity: String,
    /// Which track.
    #[serde(deserialize_with = "nullable", alias = "track_sid")]
    pub track_sid: String,
    /// Whether it is muted from now on.
    #[serde(deserialize_with = "nullable")]
    pub muted: bool,
}

/// The answer to [`MutePublishedTrack`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Muted {
    /// The track as it is now.
    pub track: Option<Track>,
}

impl Method for MutePublishedTrack {
    const PATH: &'static str = "/twirp/livekit.RoomService/MutePublishedTrack";
    type Answer = Muted;

    fn grant(&self) -> VideoGrant {
        room_admin(&self.room)
    }
}

/// The answer to a request that asks for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// The body of an answer that is none: Twirp's error, with a status of 4xx or 5xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of refusal it is.
    pub code: RefusalCode,
    /// The server's words; they may repeat what was asked.
    #[serde(default, deserialize_with = "nullable")]
    pub msg: String,
}

/// The kinds of refusals that an application can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The token is not of a key that the server knows.
    Unauthenticated,
    /// The token does not allow this.
    PermissionDenied,
    /// There is no such room, participant or track.
    NotFound,
    /// The request makes no sense.
    InvalidArgument,
    /// Too much was asked at once.
    ResourceExhausted,
    /// The server cannot at the moment.
    Unavailable,
    /// Anything else.
    #[serde(other)]
    Other,
}
