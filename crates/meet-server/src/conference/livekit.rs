//! A LiveKit server: rooms by the room service, tokens signed here, events by signed webhooks.

use meet_api::Timestamp;

use super::{Attendee, Failure, Grant, Heard, Joining, MeetingId, NotHeard, Opening, Seat};
use crate::{config, doctor::Finding};

/// A LiveKit server and the key that it knows.
pub struct LiveKit {
    client_url: String,
}

impl LiveKit {
    /// Takes the settings.
    pub(super) fn new(settings: &config::LiveKit) -> Result<Self, String> {
        let url = settings.url.as_ref().ok_or("MEET_AI_LIVEKIT__URL is not set")?;
        Ok(Self { client_url: url.for_sockets() })
    }

    /// Where clients connect.
    pub(super) fn client_url(&self) -> String {
        self.client_url.clone()
    }

    pub(super) async fn open(&self, _: &Opening, _: Timestamp) -> Result<MeetingId, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn find(&self, _: &Opening, _: Timestamp) -> Result<Vec<MeetingId>, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn join(&self, _: &Joining, _: Timestamp) -> Result<Grant, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn close(&self, _: &MeetingId, _: Timestamp) -> Result<(), Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn remove(&self, _: &MeetingId, _: &Seat, _: Timestamp) -> Result<(), Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn mute(&self, _: &MeetingId, _: &Seat, _: Timestamp) -> Result<(), Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn attendees(&self, _: &MeetingId, _: Timestamp) -> Result<Vec<Attendee>, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) fn hear(&self, _: Option<&str>, _: &[u8], _: Timestamp) -> Result<Heard, NotHeard> {
        Err(NotHeard::NotExpected)
    }

    pub(super) async fn inspect(&self, _: Timestamp) -> Vec<Finding> {
        Vec::new()
    }
}
