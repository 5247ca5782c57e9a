//! Cloudflare RealtimeKit: meetings, participants and presets by its REST API, events by signed webhooks.

use meet_api::Timestamp;

use super::{Attendee, Failure, Grant, Heard, Joining, MeetingId, NotHeard, Opening, Seat};
use crate::{config, doctor::Finding};

/// An app of Cloudflare RealtimeKit.
pub struct RealtimeKit {
    client_url: String,
}

impl RealtimeKit {
    /// Takes the settings.
    pub(super) fn new(settings: &config::RealtimeKit) -> Result<Self, String> {
        let base = settings.base().ok_or("MEET_AI_REALTIMEKIT__ACCOUNT_ID is not set")?;
        Ok(Self { client_url: base })
    }

    /// Where clients connect.
    pub(super) fn client_url(&self) -> String {
        self.client_url.clone()
    }

    pub(super) async fn open(&self, _: &Opening) -> Result<MeetingId, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn find(&self, _: &Opening) -> Result<Vec<MeetingId>, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn join(&self, _: &Joining, _: Timestamp) -> Result<Grant, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn close(&self, _: &MeetingId) -> Result<(), Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn remove(&self, _: &MeetingId, _: &Seat) -> Result<(), Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn mute(&self, _: &MeetingId, _: &Seat) -> Result<(), Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn attendees(&self, _: &MeetingId) -> Result<Vec<Attendee>, Failure> {
        Err(Failure::Refused("not built".to_owned()))
    }

    pub(super) async fn hear(&self, _: Option<&str>, _: &[u8], _: Timestamp) -> Result<Heard, NotHeard> {
        Err(NotHeard::NotExpected)
    }

    pub(super) async fn inspect(&self, _: Timestamp) -> Vec<Finding> {
        Vec::new()
    }
}
