//! Cloudflare RealtimeKit: meetings, participants and presets by its REST API, events by signed webhooks.

use meet_api::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Attendee, Failure, Grant, Heard, Joining, MeetingId, NotHeard, Opening, Seat,
    http::{Service, send},
};
use crate::{config, doctor::Finding};

/// An app of Cloudflare RealtimeKit.
pub struct RealtimeKit {
    client_url: String,
    service: Service,
    api_token: SecretString,
}

/// What the API puts around every answer.
#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    data: Option<T>,
}

#[derive(Deserialize)]
struct Meeting {
    id: String,
}

impl RealtimeKit {
    /// Takes the settings.
    pub(super) fn new(settings: &config::RealtimeKit) -> Result<Self, String> {
        let base = settings.base().ok_or("MEET_AI_REALTIMEKIT__ACCOUNT_ID is not set")?;
        let app = settings.app_id.as_deref().ok_or("MEET_AI_REALTIMEKIT__APP_ID is not set")?;
        let api_token = settings.api_token.clone().ok_or("MEET_AI_REALTIMEKIT__API_TOKEN is not set")?;
        Ok(Self { client_url: base.clone(), service: Service::new(format!("{base}/{app}"))?, api_token })
    }

    /// Where clients connect.
    pub(super) fn client_url(&self) -> String {
        self.client_url.clone()
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> Result<T, Failure> {
        let mut request = self.service.request(method, path).bearer_auth(self.api_token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = send(request).await?;
        if let Some(failure) = answer.failure(None) {
            return Err(failure);
        }
        let envelope = answer.json::<Envelope<T>>().filter(|envelope| envelope.success);
        let data = envelope.and_then(|envelope| envelope.data);
        data.ok_or_else(|| Failure::Unknown("its answer makes no sense".to_owned()))
    }

    pub(super) async fn open(&self, opening: &Opening) -> Result<MeetingId, Failure> {
        let body = json!({ "title": format!("meet-ai {}", opening.reference) });
        let meeting: Meeting = self.ask(Method::POST, "/meetings", Some(&body)).await?;
        Ok(MeetingId(meeting.id))
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
