//! The port to whoever carries the calls: a LiveKit server, Cloudflare RealtimeKit, or nobody.
//!
//! A provider knows meetings and who is in them; it knows no tenants, sessions or rights of ours, keeps nothing that we
//! could not make again, and names of vendors end here. Which meeting belongs to which room, and who may be in it, is
//! `calls`' to decide and the store's to keep. Times and identities are arguments.

mod fake;
pub(crate) mod http;
mod livekit;
mod realtimekit;

use meet_api::{ConferenceKind, Kind, Media, RoomId, Timestamp, request::ConferenceConfig};
use secrecy::SecretString;

pub use fake::Fake;
pub(crate) use fake::{Attendance, Signal};
pub use livekit::LiveKit;
pub use realtimekit::RealtimeKit;

use crate::{
    config::{Config, Provider},
    doctor::Finding,
};

/// Who carries the calls.
pub enum Conference {
    /// A LiveKit server.
    LiveKit(LiveKit),
    /// Cloudflare RealtimeKit.
    RealtimeKit(RealtimeKit),
    /// Nobody: who is in a call is known, and that is all.
    Fake(Fake),
}

/// The provider's own name of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeetingId(pub String);

/// A meeting to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The room that it is for.
    pub room: RoomId,
    /// Our own name of it, by which it is found again when the answer is lost.
    pub reference: String,
}

/// What somebody may send in a call; everybody in it hears and sees the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publishing {
    /// Nothing.
    Nothing,
    /// Sound from a microphone.
    Microphone,
    /// Microphone, camera and screen with its sound.
    Everything,
}

/// Somebody who is let into a meeting.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The meeting.
    pub meeting: MeetingId,
    /// By what the provider knows it: made for this one stay, and nothing that others could guess.
    pub identity: String,
    /// By what the provider knows it already, when it was let in before and never came: it gets a new token.
    pub known_as: Option<String>,
    /// What others see.
    pub name: String,
    /// Person or program.
    pub kind: Kind,
    /// What the meeting carries.
    pub media: Media,
    /// What it may send.
    pub publishing: Publishing,
}

/// The right to join a meeting.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The token, for the provider's client.
    pub token: SecretString,
    /// When it opens nothing any more.
    pub expires_at: Timestamp,
    /// By what the provider knows its bearer, where that is not the identity.
    pub known_as: Option<String>,
}

/// Somebody's place in a meeting, as the provider is asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// By what we know it.
    pub identity: String,
    /// By what the provider knows it, where that is another name.
    pub known_as: Option<String>,
}

/// Somebody who is in a meeting now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendee {
    /// By what it was let in; somebody whom this server did not let in has an identity too.
    pub identity: String,
    /// What others see.
    pub name: String,
    /// Person or program.
    pub kind: Kind,
    /// Since when it is there, if the provider says.
    pub since: Option<Timestamp>,
}

/// What a provider tells by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// By which the same event is known when it is told again.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// Where.
    pub meeting: MeetingId,
    /// What.
    pub happening: Happening,
}

/// What happens in a meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Somebody came.
    Came(Attendee),
    /// Somebody left.
    Left {
        /// Who, by identity.
        identity: String,
    },
    /// Everybody has left, or was made to.
    Ended,
    /// Anything else.
    Other,
}

/// Why a provider did not do what it was asked. What it says is for the log, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The meeting, or whoever it was about, is not there.
    #[error("the provider knows no such meeting or participant")]
    Gone,
    /// It said no, and nothing has changed.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// It has too much to do, and nothing has changed.
    #[error("the provider is asked too often")]
    Busy,
    /// Nobody knows whether it was done: no answer, half an answer, or one that makes no sense.
    #[error("the provider did not answer properly: {0}")]
    Unknown(String),
}

/// Why what came as a provider's event is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// It is not signed by the provider, or is not of now.
    #[error("the event is not the provider's: {0}")]
    Forged(String),
    /// It is signed and makes no sense.
    #[error("the event is malformed")]
    Malformed,
    /// The provider tells in another way, or not at all.
    #[error("this provider sends no events here")]
    NotExpected,
    /// What it is verified with could not be fetched.
    #[error("the provider's key could not be fetched: {0}")]
    NoKey(String),
}

impl Conference {
    /// The provider that the configuration names, if it names one; `public_url` is this server's own address. Its settings are all there, by
    /// [`Config::load`](crate::Config::load).
    ///
    /// # Errors
    /// A sentence when this machine cannot make requests, or a setting is missing.
    pub fn new(config: &Config, public_url: &str) -> Result<Option<Self>, String> {
        match config.conference.provider {
            None => Ok(None),
            Some(Provider::LiveKit) => LiveKit::new(&config.livekit).map(Self::LiveKit).map(Some),
            Some(Provider::RealtimeKit) => RealtimeKit::new(&config.realtimekit).map(Self::RealtimeKit).map(Some),
            Some(Provider::Fake) => Ok(Some(Self::Fake(Fake::new(public_url)))),
        }
    }

    /// The provider's name, for the store: a meeting of another provider is none of this one's.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LiveKit(_) => Provider::LiveKit.as_str(),
            Self::RealtimeKit(_) => Provider::RealtimeKit.as_str(),
            Self::Fake(_) => Provider::Fake.as_str(),
        }
    }

    /// Whether a meeting that nobody is in may be forgotten, so that it is opened anew for whoever is let in.
    pub(crate) fn forgets_empty_meetings(&self) -> bool {
        matches!(self, Self::LiveKit(_))
    }

    /// Whether a meeting that was closed is open again for whoever comes by a token of before.
    pub(crate) fn opens_by_tokens(&self) -> bool {
        matches!(self, Self::LiveKit(_))
    }

    /// Whether somebody can be let in who may send nothing.
    pub(crate) fn can_listen_only(&self) -> bool {
        match self {
            Self::RealtimeKit(realtimekit) => realtimekit.can_listen_only(),
            Self::LiveKit(_) | Self::Fake(_) => true,
        }
    }

    /// Where clients of the calls connect, and how they are spoken to.
    pub fn config(&self) -> ConferenceConfig {
        let (url, kind) = match self {
            Self::LiveKit(livekit) => (livekit.client_url(), ConferenceKind::Rtc),
            Self::RealtimeKit(realtimekit) => (realtimekit.client_url(), ConferenceKind::Meeting),
            Self::Fake(fake) => (fake.client_url(), ConferenceKind::Meeting),
        };
        ConferenceConfig { url, kind, turnstile_site_key: None }
    }

    /// Opens a meeting, or finds the one of this room where the provider knows it by the room.
    ///
    /// # Errors
    /// [`Failure`]; after [`Failure::Unknown`] the meeting may be open, and [`Conference::find`] finds it.
    pub async fn open(&self, opening: &Opening, now: Timestamp) -> Result<MeetingId, Failure> {
        match self {
            Self::LiveKit(livekit) => livekit.open(opening, now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.open(opening).await,
            Self::Fake(fake) => Ok(fake.open(opening)),
        }
    }

    /// The open meetings that an opening may have left behind.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn find(&self, opening: &Opening, now: Timestamp) -> Result<Vec<MeetingId>, Failure> {
        match self {
            Self::LiveKit(livekit) => livekit.find(opening, now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.find(opening).await,
            Self::Fake(fake) => Ok(fake.find(opening)),
        }
    }

    /// Lets somebody into a meeting.
    ///
    /// # Errors
    /// [`Failure::Gone`] when the meeting is over at the provider.
    pub async fn join(&self, joining: &Joining, now: Timestamp) -> Result<Grant, Failure> {
        match self {
            Self::LiveKit(livekit) => livekit.join(joining, now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.join(joining, now).await,
            Self::Fake(fake) => fake.join(joining, now),
        }
    }

    /// Closes a meeting: whoever is in it is out, and nobody comes in by a token of before where the provider can hold
    /// that. One that is closed already is closed.
    ///
    /// # Errors
    /// [`Failure`]; then it may still be open.
    pub async fn close(&self, meeting: &MeetingId, now: Timestamp) -> Result<(), Failure> {
        let closed = match self {
            Self::LiveKit(livekit) => livekit.close(meeting, now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.close(meeting).await,
            Self::Fake(fake) => fake.close(meeting),
        };
        match closed {
            Err(Failure::Gone) => Ok(()),
            closed => closed,
        }
    }

    /// Throws somebody out of a meeting. Whoever is not in it is out.
    ///
    /// # Errors
    /// [`Failure`]; then it may still be in.
    pub async fn remove(&self, meeting: &MeetingId, seat: &Seat, now: Timestamp) -> Result<(), Failure> {
        let removed = match self {
            Self::LiveKit(livekit) => livekit.remove(meeting, seat, now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.remove(meeting, seat).await,
            Self::Fake(fake) => fake.remove(meeting, seat),
        };
        match removed {
            Err(Failure::Gone) => Ok(()),
            removed => removed,
        }
    }

    /// Silences somebody; it can speak again when it wants to.
    ///
    /// # Errors
    /// [`Failure::Gone`] when it is not there, [`Failure::Refused`] where the provider cannot.
    pub async fn mute(&self, meeting: &MeetingId, seat: &Seat, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::LiveKit(livekit) => livekit.mute(meeting, seat, now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.mute(meeting, seat).await,
            Self::Fake(fake) => fake.mute(meeting, seat),
        }
    }

    /// Who is in a meeting now.
    ///
    /// # Errors
    /// [`Failure`]; a meeting that is not there has nobody in it.
    pub async fn attendees(&self, meeting: &MeetingId, now: Timestamp) -> Result<Vec<Attendee>, Failure> {
        let attendees = match self {
            Self::LiveKit(livekit) => livekit.attendees(meeting, now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.attendees(meeting).await,
            Self::Fake(fake) => Ok(fake.attendees(meeting)),
        };
        match attendees {
            Err(Failure::Gone) => Ok(Vec::new()),
            attendees => attendees,
        }
    }

    /// The header in which the provider signs its events; `None` when it sends none.
    pub fn signature_header(&self) -> Option<&'static str> {
        match self {
            Self::LiveKit(_) => Some("authorization"),
            Self::RealtimeKit(_) => Some("rtk-signature"),
            Self::Fake(_) => None,
        }
    }

    /// What the provider tells by a request to us, if it is the provider's. Whether it was told before is for the
    /// caller to know.
    ///
    /// # Errors
    /// [`NotHeard`].
    pub async fn hear(&self, signature: Option<&str>, body: &[u8], now: Timestamp) -> Result<Heard, NotHeard> {
        match self {
            Self::LiveKit(livekit) => livekit.hear(signature, body, now),
            Self::RealtimeKit(realtimekit) => realtimekit.hear(signature, body, now).await,
            Self::Fake(_) => Err(NotHeard::NotExpected),
        }
    }

    /// Whether the provider can be reached and does what the settings ask for; each finding names the setting at fault.
    pub async fn inspect(&self, now: Timestamp) -> Vec<Finding> {
        match self {
            Self::LiveKit(livekit) => livekit.inspect(now).await,
            Self::RealtimeKit(realtimekit) => realtimekit.inspect(now).await,
            Self::Fake(_) => vec![Finding::warn(
                "calls",
                "the provider is fake: calls carry no sound and no picture",
                "set MEET_AI_CONFERENCE__PROVIDER to livekit or realtimekit",
            )],
        }
    }
}
