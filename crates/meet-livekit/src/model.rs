//! Rooms, participants and tracks as a media server describes them (`protobufs/livekit_models.proto`): what a call needs
//! of them. The rest is ignored when it is read, and never written.
//!
//! Field names are read in both forms, `numParticipants` and `num_participants`: the room service of LiveKit answers
//! with the latter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    UnixSeconds,
    protojson::{self, Named, integer, nullable},
};

/// A room (`Room`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Room {
    /// The server's id of this incarnation of the room, `RM_…`.
    #[serde(deserialize_with = "nullable")]
    pub sid: String,
    /// The name, by which tokens and requests know it.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// For how many seconds it stays when nobody joins.
    #[serde(deserialize_with = "integer", alias = "empty_timeout")]
    pub empty_timeout: u32,
    /// For how many seconds it stays when everybody has left.
    #[serde(deserialize_with = "integer", alias = "departure_timeout")]
    pub departure_timeout: u32,
    /// How many may be in it; 0 for no bound.
    #[serde(deserialize_with = "integer", alias = "max_participants")]
    pub max_participants: u32,
    /// Since when it exists.
    #[serde(with = "protojson::seconds", alias = "creation_time")]
    pub creation_time: UnixSeconds,
    /// What the application keeps with it.
    #[serde(deserialize_with = "nullable")]
    pub metadata: String,
    /// How many are in it.
    #[serde(deserialize_with = "integer", alias = "num_participants")]
    pub num_participants: u32,
    /// How many of them publish.
    #[serde(deserialize_with = "integer", alias = "num_publishers")]
    pub num_publishers: u32,
}

/// Somebody in a room (`ParticipantInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Participant {
    /// The server's id of this stay, `PA_…`.
    #[serde(deserialize_with = "nullable")]
    pub sid: String,
    /// Who it is: the `sub` of the token.
    #[serde(deserialize_with = "nullable")]
    pub identity: String,
    /// What others see.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// How far the connection has come.
    #[serde(with = "protojson::named")]
    pub state: ParticipantState,
    /// What it is.
    #[serde(with = "protojson::named")]
    pub kind: Kind,
    /// What the token said about it.
    #[serde(deserialize_with = "nullable")]
    pub metadata: String,
    /// What the token said about it, by name.
    #[serde(deserialize_with = "nullable")]
    pub attributes: BTreeMap<String, String>,
    /// Since when it is in the room.
    #[serde(with = "protojson::seconds", alias = "joined_at")]
    pub joined_at: UnixSeconds,
    /// How others see it.
    #[serde(deserialize_with = "nullable")]
    pub permission: Permission,
    /// What it publishes.
    #[serde(deserialize_with = "nullable")]
    pub tracks: Vec<Track>,
}

/// What a participant was let in for (`ParticipantPermission`); of its rights only what makes it one that others do not
/// count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Nobody sees that it is there.
    #[serde(deserialize_with = "nullable")]
    pub hidden: bool,
    /// It records.
    #[serde(deserialize_with = "nullable")]
    pub recorder: bool,
}

/// Something that somebody publishes (`TrackInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Track {
    /// The server's id, `TR_…`.
    #[serde(deserialize_with = "nullable")]
    pub sid: String,
    /// Sound, picture or data.
    #[serde(with = "protojson::named")]
    pub r#type: TrackType,
    /// Where it comes from; `None` when the publisher does not say.
    #[serde(with = "protojson::named")]
    pub source: Option<Source>,
    /// The publisher's name for it.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Whether it is silent or black at the moment.
    #[serde(deserialize_with = "nullable")]
    pub muted: bool,
}

/// How far a participant's connection has come (`ParticipantInfo.State`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ParticipantState {
    /// The signalling connection stands.
    #[default]
    Joining,
    /// The client has offered media.
    Joined,
    /// Media can flow.
    Active,
    /// It is gone.
    Disconnected,
}

impl Named for ParticipantState {
    const NAMES: &'static [(i64, &'static str, Self)] = &[
        (0, "JOINING", Self::Joining),
        (1, "JOINED", Self::Joined),
        (2, "ACTIVE", Self::Active),
        (3, "DISCONNECTED", Self::Disconnected),
    ];
}

/// What a participant is (`ParticipantInfo.Kind`). One that is not known reads as a standard one, as it does in LiveKit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client: most often a person's.
    #[default]
    Standard,
    /// Brings a stream into the room.
    Ingress,
    /// Takes the room's streams out of it.
    Egress,
    /// A telephone.
    Sip,
    /// A program that takes part.
    Agent,
    /// A connection to another service.
    Connector,
    /// A connection to another kind of stream.
    Bridge,
}

impl Named for Kind {
    const NAMES: &'static [(i64, &'static str, Self)] = &[
        (0, "STANDARD", Self::Standard),
        (1, "INGRESS", Self::Ingress),
        (2, "EGRESS", Self::Egress),
        (3, "SIP", Self::Sip),
        (4, "AGENT", Self::Agent),
        (7, "CONNECTOR", Self::Connector),
        (8, "BRIDGE", Self::Bridge),
    ];
}

/// What a track is made of (`TrackType`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TrackType {
    /// Sound.
    #[default]
    Audio,
    /// Picture.
    Video,
    /// Anything else.
    Data,
}

impl Named for TrackType {
    const NAMES: &'static [(i64, &'static str, Self)] =
        &[(0, "AUDIO", Self::Audio), (1, "VIDEO", Self::Video), (2, "DATA", Self::Data)];
}

/// Where a track comes from (`TrackSource`), and so what a token may allow to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// The picture of a shared screen.
    ScreenShare,
    /// The sound of a shared screen.
    ScreenShareAudio,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Camera, Self::Microphone, Self::ScreenShare, Self::ScreenShareAudio];

    /// The name in a token: `camera`, `microphone`, `screen_share` or `screen_share_audio`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::ScreenShare => "screen_share",
            Self::ScreenShareAudio => "screen_share_audio",
        }
    }
}

impl Named for Option<Source> {
    const NAMES: &'static [(i64, &'static str, Self)] = &[
        (0, "UNKNOWN", None),
        (1, "CAMERA", Some(Source::Camera)),
        (2, "MICROPHONE", Some(Source::Microphone)),
        (3, "SCREEN_SHARE", Some(Source::ScreenShare)),
        (4, "SCREEN_SHARE_AUDIO", Some(Source::ScreenShareAudio)),
    ];
}
