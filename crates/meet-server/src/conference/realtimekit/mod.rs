//! Cloudflare RealtimeKit: meetings, participants and presets by its REST API, events by signed webhooks.
//!
//! What somebody may send is a preset's to say, and presets are the operator's: the settings name one for each sort of
//! room, and none that only listens. A meeting is closed by its status, which keeps everybody out, and then emptied.

mod api;
mod doctor;
mod events;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use meet_api::{Kind, Media, Timestamp};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use self::{
    api::{Api, Refusal, is_id},
    events::Events,
};
use super::{Attendee, Failure, Grant, Heard, Joining, MeetingId, NotHeard, Opening, Publishing, Seat};
use crate::config;

/// RealtimeKit's own address, to which its client connects (`baseURI` in `@cloudflare/realtimekit` 2.0.2) and which
/// publishes the key of its webhooks.
const REALTIME: &str = "https://api.realtime.cloudflare.com";
/// The host of Cloudflare's API.
const CLOUDFLARE: &str = "api.cloudflare.com";
/// How long a token is taken to be good when it does not say itself.
const TOKEN_LIFE: Duration = Duration::from_mins(10);

/// An app of Cloudflare RealtimeKit.
pub struct RealtimeKit {
    api: Api,
    events: Box<Events>,
    client_url: String,
    /// Whether the settings lead to another API than Cloudflare's own.
    has_base_url: bool,
    /// The presets that settings name, each with its setting.
    presets: Vec<(&'static str, String)>,
    audio_preset: String,
    screenshare_preset: String,
}

#[derive(Deserialize)]
struct Meeting {
    id: String,
    title: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Participant {
    id: String,
    token: String,
}

#[derive(Deserialize)]
struct Refreshed {
    token: String,
}

#[derive(Deserialize)]
struct Session {
    id: String,
}

/// Somebody's stay in a session, present or past.
#[derive(Deserialize)]
struct Stay {
    id: Option<String>,
    custom_participant_id: Option<String>,
    display_name: Option<String>,
    joined_at: Option<Timestamp>,
    left_at: Option<String>,
}

impl RealtimeKit {
    /// Takes the settings.
    pub(super) fn new(settings: &config::RealtimeKit) -> Result<Self, String> {
        let base = settings.base().ok_or("MEET_AI_REALTIMEKIT__ACCOUNT_ID is not set")?;
        let app = settings.app_id.as_deref().ok_or("MEET_AI_REALTIMEKIT__APP_ID is not set")?;
        if settings.base_url.is_none() && !settings.account_id.as_deref().is_some_and(is_id) {
            return Err("MEET_AI_REALTIMEKIT__ACCOUNT_ID is no account's id".to_owned());
        }
        if !is_id(app) {
            return Err("MEET_AI_REALTIMEKIT__APP_ID is no app's id".to_owned());
        }
        let token = settings.api_token.clone().ok_or("MEET_AI_REALTIMEKIT__API_TOKEN is not set")?;
        let no_preset = "MEET_AI_REALTIMEKIT__PRESET_NAME is not set";
        let client_url = origin(&base);
        Ok(Self {
            api: Api::new(format!("{base}/{app}"), token)?,
            events: Box::new(Events::new(client_url.clone())?),
            client_url,
            has_base_url: settings.base_url.is_some(),
            presets: presets(settings),
            audio_preset: settings.audio_preset().ok_or(no_preset)?.to_owned(),
            screenshare_preset: settings.screenshare_preset().ok_or(no_preset)?.to_owned(),
        })
    }

    /// Where clients connect.
    pub(super) fn client_url(&self) -> String {
        self.client_url.clone()
    }

    /// Whether somebody can be let in who may send nothing: a preset says what one may, and none of those in the
    /// settings is for listening alone.
    #[expect(clippy::unused_self, reason = "a setting may name such a preset one day")]
    pub(crate) fn can_listen_only(&self) -> bool {
        false
    }

    pub(super) async fn open(&self, opening: &Opening) -> Result<MeetingId, Failure> {
        let body = json!({ "title": title(opening) });
        let meeting: Meeting = self.api.ask(Method::POST, "/meetings", Some(&body)).await?;
        known(meeting.id).map(MeetingId)
    }

    pub(super) async fn find(&self, opening: &Opening) -> Result<Vec<MeetingId>, Failure> {
        let title = title(opening);
        let meetings: Vec<Meeting> = self.api.list("/meetings", Some(&title), "meetings").await?;
        let of_opening = |meeting: &Meeting| meeting.title.as_ref() == Some(&title) && !meeting.is_closed();
        let ids = meetings.into_iter().filter(of_opening).map(|meeting| known(meeting.id).map(MeetingId));
        let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
        ids.sort_by(|one, other| one.0.cmp(&other.0));
        ids.dedup();
        Ok(ids)
    }

    pub(super) async fn join(&self, joining: &Joining, now: Timestamp) -> Result<Grant, Failure> {
        if joining.publishing == Publishing::Nothing && !self.can_listen_only() {
            return Err(Failure::Refused("no preset in the settings is for listening alone".to_owned()));
        }
        let meeting = path(&joining.meeting)?;
        let preset = self.preset(joining.media, joining.publishing);
        if let Some(known_as) = joining.known_as.as_deref().filter(|id| is_id(id)) {
            let participant = format!("{meeting}/participants/{known_as}");
            match self.refresh(&participant, preset, &joining.name).await {
                // With that place nothing can be done any more; there are others.
                Err(Failure::Gone | Failure::Refused(_)) => {}
                Err(failure) => return Err(failure),
                Ok(Refreshed { token }) => return grant(token, known_as.to_owned(), now),
            }
        }
        let body = json!({
            "custom_participant_id": joining.identity,
            "preset_name": preset,
            "name": joining.name,
        });
        let added = self.api.ask(Method::POST, &format!("{meeting}/participants"), Some(&body)).await;
        match added.map_err(Failure::from) {
            Ok(Participant { id, token }) => grant(token, known(id)?, now),
            // Whether it is about the meeting being closed or gone, or about the preset, its code does not tell.
            Err(failure @ (Failure::Refused(_) | Failure::Gone)) => {
                let meeting = self.api.ask::<Meeting>(Method::GET, &meeting, None).await.map_err(Failure::from);
                Err(match (meeting, failure) {
                    (Ok(meeting), _) if meeting.is_closed() => Failure::Gone,
                    (Err(Failure::Gone), _) => Failure::Gone,
                    (_, Failure::Gone) => Failure::Refused("there is nothing of that name in the meeting".to_owned()),
                    (_, refused) => refused,
                })
            }
            Err(failure) => Err(failure),
        }
    }

    /// A new token for somebody who is in a meeting's list, with what it may do by now.
    async fn refresh(&self, participant: &str, preset: &str, name: &str) -> Result<Refreshed, Failure> {
        let body = json!({ "preset_name": preset, "name": name });
        self.api.tell(Method::PATCH, participant, Some(&body)).await?;
        Ok(self.api.ask(Method::POST, &format!("{participant}/token"), None).await?)
    }

    /// The preset of who may send this; of a room with screens it is only for those who may send everything.
    fn preset(&self, media: Media, publishing: Publishing) -> &str {
        match (media, publishing) {
            (Media::Screenshare, Publishing::Everything) => &self.screenshare_preset,
            _ => &self.audio_preset,
        }
    }

    pub(super) async fn close(&self, meeting: &MeetingId) -> Result<(), Failure> {
        let meeting = path(meeting)?;
        // First the door, then the people: nobody comes back in between.
        self.api.tell(Method::PATCH, &meeting, Some(&json!({ "status": "INACTIVE" }))).await?;
        nobody_is_fine(self.api.tell(Method::POST, &format!("{meeting}/active-session/kick-all"), None).await)
    }

    pub(super) async fn remove(&self, meeting: &MeetingId, seat: &Seat) -> Result<(), Failure> {
        let meeting = path(meeting)?;
        let kick = format!("{meeting}/active-session/kick");
        let who = one(seat);
        // Whether somebody without a seat can still be kicked is not documented, so it is kicked before; whoever comes
        // back before its seat is gone is kicked again.
        nobody_is_fine(self.api.tell(Method::POST, &kick, Some(&who)).await)?;
        if let Some(known_as) = seat.known_as.as_deref().filter(|id| is_id(id)) {
            let path = format!("{meeting}/participants/{known_as}");
            nobody_is_fine(self.api.tell(Method::DELETE, &path, None).await)?;
            nobody_is_fine(self.api.tell(Method::POST, &kick, Some(&who)).await)?;
        }
        Ok(())
    }

    pub(super) async fn mute(&self, meeting: &MeetingId, seat: &Seat) -> Result<(), Failure> {
        let path = format!("{}/active-session/mute", path(meeting)?);
        Ok(self.api.tell(Method::POST, &path, Some(&one(seat))).await?)
    }

    pub(super) async fn attendees(&self, meeting: &MeetingId) -> Result<Vec<Attendee>, Failure> {
        let path = format!("{}/active-session", path(meeting)?);
        let session: Session = self.api.ask(Method::GET, &path, None).await?;
        let path = format!("/sessions/{}/participants", known(session.id)?);
        let stays: Vec<Value> = self.api.list(&path, None, "participants").await?;
        // One that makes no sense must not hide all the others.
        let stays = stays.into_iter().filter_map(|stay| serde_json::from_value::<Stay>(stay).ok());
        let mut attendees = BTreeMap::new();
        for stay in stays.filter(|stay| stay.left_at.is_none()) {
            let Some(attendee) = stay.attendee() else { continue };
            attendees.insert(attendee.identity.clone(), attendee);
        }
        Ok(attendees.into_values().collect())
    }

    pub(super) async fn hear(&self, signature: Option<&str>, body: &[u8], now: Timestamp) -> Result<Heard, NotHeard> {
        self.events.hear(signature, body, now).await
    }
}

impl Meeting {
    fn is_closed(&self) -> bool {
        self.status.as_deref() == Some("INACTIVE")
    }
}

impl Stay {
    fn attendee(self) -> Option<Attendee> {
        let identity = self.custom_participant_id.filter(|id| !id.is_empty()).or(self.id)?;
        let name = self.display_name.unwrap_or_default();
        // RealtimeKit knows no programs; who was let in as one is known to whoever let it in.
        Some(Attendee { identity, name, kind: Kind::Human, since: self.joined_at })
    }
}

/// The presets that settings name, each with its setting.
fn presets(settings: &config::RealtimeKit) -> Vec<(&'static str, String)> {
    let presets = [
        ("MEET_AI_REALTIMEKIT__PRESET_NAME", &settings.preset_name),
        ("MEET_AI_REALTIMEKIT__SCREENSHARE_PRESET_NAME", &settings.screenshare_preset_name),
        ("MEET_AI_REALTIMEKIT__AUDIO_PRESET_NAME", &settings.audio_preset_name),
    ];
    presets.into_iter().filter_map(|(setting, name)| Some((setting, name.clone()?))).collect()
}

/// RealtimeKit's own address: Cloudflare's, unless the settings lead to another API.
fn origin(base: &str) -> String {
    let url = Url::parse(base).ok().filter(|url| url.host_str() != Some(CLOUDFLARE));
    url.map_or_else(|| REALTIME.to_owned(), |url| url.origin().ascii_serialization())
}

/// What a meeting is called, by which it is found again.
fn title(opening: &Opening) -> String {
    format!("meet-ai {}", opening.reference)
}

/// Where a meeting is; one whose id cannot be RealtimeKit's is not there.
fn path(meeting: &MeetingId) -> Result<String, Failure> {
    if is_id(&meeting.0) { Ok(format!("/meetings/{}", meeting.0)) } else { Err(Failure::Gone) }
}

/// An id out of an answer.
fn known(id: String) -> Result<String, Failure> {
    if is_id(&id) { Ok(id) } else { Err(Refusal::nonsense().into()) }
}

/// One person in a request about many.
fn one(seat: &Seat) -> Value {
    json!({ "participant_ids": [], "custom_participant_ids": [seat.identity] })
}

/// Whoever is not there is out.
fn nobody_is_fine(told: Result<(), Refusal>) -> Result<(), Failure> {
    match told.map_err(Failure::from) {
        Err(Failure::Gone) => Ok(()),
        told => told,
    }
}

fn grant(token: String, known_as: String, now: Timestamp) -> Result<Grant, Failure> {
    if token.is_empty() {
        return Err(Refusal::nonsense().into());
    }
    let token = secrecy::SecretString::from(token);
    let expires_at = expiry(token.expose_secret()).filter(|at| *at > now).unwrap_or(now.plus(TOKEN_LIFE));
    Ok(Grant { token, expires_at, known_as: Some(known_as) })
}

/// When a token says that it expires. It is RealtimeKit's to verify: this is only for whoever wonders when to ask for
/// the next one.
fn expiry(token: &str) -> Option<Timestamp> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let seconds = serde_json::from_slice::<Value>(&payload).ok()?["exp"].as_i64()?;
    seconds.checked_mul(1000).map(Timestamp::from_millis)
}
