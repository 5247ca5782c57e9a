//! What RealtimeKit tells by webhooks: whether it is RealtimeKit's, and what it says.
//!
//! The body is signed by RSA over SHA-256; the key is published, and fetched when it is needed. Nothing is read of a body
//! before its signature is good. The delivery's own id is in a header that is not signed, so an event is known by its
//! body, and one that is not of now is refused: an old delivery proves nothing.

use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use meet_api::{Kind, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use sha2::Digest as _;
use tokio::sync::Mutex;

use crate::conference::{
    Attendee, Happening, Heard, MeetingId, NotHeard,
    http::{Service, send},
};

/// Where the key is published, below RealtimeKit's own address; from Cloudflare's documentation of its webhooks,
/// <https://developers.cloudflare.com/realtime/realtimekit/webhooks/>.
const KEY_PATH: &str = "/.well-known/webhooks.json";
/// How long a key is good without a look.
const KEY_LIFE: Duration = Duration::from_hours(1);
/// How soon the key is fetched again when a signature is not good, or it could not be fetched: forgers cannot have it
/// fetched at will.
const KEY_PAUSE: Duration = Duration::from_mins(1);
/// The sizes of the signatures of keys of 2048 to 8192 bits.
const SIGNATURE_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// How old an event may be: deliveries are tried again for a while.
const MAX_AGE: Duration = Duration::from_mins(10);
/// How far an event may be ahead of this server's clock.
const MAX_AHEAD: Duration = Duration::from_mins(2);

/// The events of an app.
pub(super) struct Events {
    service: Service,
    key: Mutex<Key>,
}

/// The published key with when it was fetched, and when it was asked for last.
#[derive(Default)]
struct Key {
    fetched: Option<(Vec<u8>, Timestamp)>,
    asked: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event")]
    name: String,
    meeting: Option<Meeting>,
    participant: Option<Participant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meeting {
    id: String,
    ended_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Participant {
    peer_id: Option<String>,
    user_display_name: Option<String>,
    custom_participant_id: Option<String>,
    client_specific_id: Option<String>,
    joined_at: Option<Timestamp>,
    left_at: Option<Timestamp>,
}

impl Events {
    /// The events that are signed by the key that `origin` publishes.
    pub(super) fn new(origin: String) -> Result<Self, String> {
        Ok(Self { service: Service::new(origin)?, key: Mutex::default() })
    }

    /// Believes an event, or not.
    pub(super) async fn hear(&self, signature: Option<&str>, body: &[u8], now: Timestamp) -> Result<Heard, NotHeard> {
        let forged = |why: &str| NotHeard::Forged(why.to_owned());
        let signature = signature.ok_or_else(|| forged("it has no signature"))?;
        let signature = STANDARD.decode(signature.trim()).ok();
        let signature = signature.filter(|bytes| SIGNATURE_BYTES.contains(&bytes.len()));
        let signature = signature.ok_or_else(|| forged("its signature is none"))?;
        if !self.is_signed(&signature, body, now).await? {
            return Err(forged("its signature is not the provider's"));
        }
        let event = read(body, now)?;
        if now.since(event.at) > MAX_AGE || event.at.since(now) > MAX_AHEAD {
            return Err(forged("it is not of now"));
        }
        Ok(event)
    }

    async fn is_signed(&self, signature: &[u8], body: &[u8], now: Timestamp) -> Result<bool, NotHeard> {
        let is_good =
            |der: &[u8]| UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(body, signature).is_ok();
        // Held while the key is fetched, so that it is fetched once for all who wait for it.
        let mut key = self.key.lock().await;
        let good = key.fetched.as_ref().filter(|(_, at)| now.since(*at) < KEY_LIFE).map(|(der, _)| is_good(der));
        if good == Some(true) {
            return Ok(true);
        }
        if key.asked.is_some_and(|asked| now.since(asked) < KEY_PAUSE && asked.since(now) < KEY_PAUSE) {
            return good.ok_or_else(|| NotHeard::NoKey("it was not there a moment ago".to_owned()));
        }
        // There is no key, or perhaps another one by now.
        key.asked = Some(now);
        match (self.fetch_key().await, good) {
            (Ok(der), _) => {
                let good = is_good(&der);
                key.fetched = Some((der, now));
                Ok(good)
            }
            (Err(_), Some(good)) => Ok(good),
            (Err(error), None) => Err(error),
        }
    }

    async fn fetch_key(&self) -> Result<Vec<u8>, NotHeard> {
        let no_key = |why: String| NotHeard::NoKey(why);
        let answer = send(self.service.request(Method::GET, KEY_PATH)).await.map_err(|why| no_key(why.to_string()))?;
        if !answer.status.is_success() {
            return Err(no_key(format!("status {}", answer.status.as_u16())));
        }
        let published = answer.json::<Value>();
        let pem = published.as_ref().and_then(|published| published["data"]["publicKey"].as_str());
        pem.and_then(der).ok_or_else(|| no_key("the answer has no key".to_owned()))
    }
}

/// The bytes of a public key in PEM; its line breaks may be written out.
fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, pem) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (pem, _) = pem.split_once("-----END PUBLIC KEY-----")?;
    let text: String = pem.replace("\\n", "").split_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// Reads a body whose signature is good.
fn read(body: &[u8], now: Timestamp) -> Result<Heard, NotHeard> {
    let event: Event = serde_json::from_slice(body).map_err(|_| NotHeard::Malformed)?;
    let meeting = event.meeting.ok_or(NotHeard::Malformed)?;
    let (at, happening) = match (event.name.as_str(), event.participant) {
        ("meeting.participantJoined", Some(participant)) => {
            let at = participant.joined_at.ok_or(NotHeard::Malformed)?;
            let identity = participant.identity().ok_or(NotHeard::Malformed)?;
            let name = participant.user_display_name.unwrap_or_default();
            // RealtimeKit knows no programs; who was let in as one is known to whoever let it in.
            (at, Happening::Came(Attendee { identity, name, kind: Kind::Human, since: Some(at) }))
        }
        ("meeting.participantLeft", Some(participant)) => {
            let at = participant.left_at.ok_or(NotHeard::Malformed)?;
            (at, Happening::Left { identity: participant.identity().ok_or(NotHeard::Malformed)? })
        }
        ("meeting.participantJoined" | "meeting.participantLeft", None) => return Err(NotHeard::Malformed),
        ("meeting.ended", _) => (meeting.ended_at.ok_or(NotHeard::Malformed)?, Happening::Ended),
        _ => (now, Happening::Other),
    };
    let id = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(body));
    Ok(Heard { id, at, meeting: MeetingId(meeting.id), happening })
}

impl Participant {
    /// What it was let in as; for somebody whom this server did not let in, what RealtimeKit calls its presence.
    fn identity(&self) -> Option<String> {
        let given = self.custom_participant_id.as_ref().or(self.client_specific_id.as_ref());
        given.filter(|id| !id.is_empty()).or(self.peer_id.as_ref()).cloned()
    }
}
