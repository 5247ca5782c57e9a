//! A LiveKit server: rooms by the room service, tokens signed here, events by signed webhooks.
//!
//! A room of ours is a room there by its id, so nothing has to be remembered of a meeting. Whoever holds a token is let
//! in by LiveKit alone: a server that is not LiveKit's cloud takes a token until it ends, whoever was thrown out
//! meanwhile, and makes its room anew where it may create rooms by itself.

#[cfg(test)]
mod tests;

use std::time::{Duration, UNIX_EPOCH};

use meet_api::{Kind, Timestamp};
use meet_livekit::{
    AccessToken, ApiKey, Claims, UnixSeconds, VideoGrant,
    model::{self, Participant, ParticipantState, Room, Source, Track, TrackType},
    room_service::{
        CreateRoom, DeleteRoom, GetParticipant, ListParticipants, ListRooms, Method, MutePublishedTrack, Refusal,
        RefusalCode, RemoveParticipant,
    },
    token::{LEEWAY, SignError},
    webhook::{self, WebhookError},
};
use reqwest::{StatusCode, header::DATE};
use secrecy::ExposeSecret as _;
use url::Url;

use super::{
    Attendee, Failure, Grant, Happening, Heard, Joining, MeetingId, NotHeard, Opening, Publishing, Seat,
    http::{Answer, Service, send},
};
use crate::{
    config::{self, PublicUrl},
    doctor::Finding,
};

/// How long a token opens its room.
const TOKEN_LIFE: Duration = Duration::from_mins(10);
/// How long the token of a request holds.
const REQUEST_LIFE: Duration = Duration::from_mins(2);
/// For how many seconds a room stays with nobody in it: longer than a token, which finds it even where LiveKit makes no
/// room by itself.
const EMPTY_SECONDS: u32 = 6 * 3600;
/// How old an event may be that LiveKit tells; it signs each for as long.
const MAX_EVENT_AGE: Duration = Duration::from_mins(5);
/// How far the clocks may be apart before somebody should know; LiveKit takes tokens of twice as much.
const MAX_SKEW: Duration = Duration::from_secs(30);
/// What is looked for when the answer does not matter: a room's id is a UUID.
const NO_ROOM: &str = "meet-ai doctor";

/// A LiveKit server and the key that it knows.
pub struct LiveKit {
    client_url: String,
    url: String,
    service: Service,
    key: ApiKey,
}

impl LiveKit {
    /// Takes the settings.
    pub(super) fn new(settings: &config::LiveKit) -> Result<Self, String> {
        let url = settings.url.as_ref().ok_or("MEET_AI_LIVEKIT__URL is not set")?;
        let id = settings.api_key.as_deref().ok_or("MEET_AI_LIVEKIT__API_KEY is not set")?;
        let secret = settings.api_secret.as_ref().ok_or("MEET_AI_LIVEKIT__API_SECRET is not set")?;
        let key = ApiKey::new(id, secret.expose_secret().as_bytes())
            .map_err(|_| "MEET_AI_LIVEKIT__API_KEY and MEET_AI_LIVEKIT__API_SECRET must not be empty")?;
        let service = Service::new(url.for_requests())?;
        Ok(Self { client_url: url.for_sockets(), url: url.for_requests(), service, key })
    }

    /// Where clients connect.
    pub(super) fn client_url(&self) -> String {
        self.client_url.clone()
    }

    /// Asks the room service, with a token for this request alone.
    async fn ask<M: Method>(&self, method: &M, now: Timestamp) -> Result<M::Answer, Failure> {
        let not_before = seconds(now);
        let claims = Claims {
            not_before,
            expires_at: not_before.after(REQUEST_LIFE),
            video: Some(method.grant()),
            ..Claims::default()
        };
        let token = self.sign(&claims)?;
        let request = self.service.request(reqwest::Method::POST, M::PATH).bearer_auth(token.as_str()).json(method);
        let answer = send(request).await?;
        if !answer.status.is_success() {
            return Err(failure(&answer));
        }
        answer.json().ok_or_else(nonsense)
    }

    fn sign(&self, claims: &Claims) -> Result<AccessToken, Failure> {
        self.key.sign(claims).map_err(|error: SignError| Failure::Refused(error.to_string()))
    }

    pub(super) async fn open(&self, opening: &Opening, now: Timestamp) -> Result<MeetingId, Failure> {
        let request = CreateRoom {
            name: opening.room.to_string(),
            empty_timeout: EMPTY_SECONDS,
            departure_timeout: EMPTY_SECONDS,
            ..CreateRoom::default()
        };
        let room = self.ask(&request, now).await?;
        // An answer without the name is of something else.
        if room.name == request.name { Ok(MeetingId(room.name)) } else { Err(nonsense()) }
    }

    pub(super) async fn find(&self, opening: &Opening, now: Timestamp) -> Result<Vec<MeetingId>, Failure> {
        let name = opening.room.to_string();
        let found = self.ask(&ListRooms { names: vec![name.clone()] }, now).await?;
        let is_open = found.rooms.iter().any(|room| room.name == name);
        Ok(is_open.then_some(MeetingId(name)).into_iter().collect())
    }

    /// A token is signed here: LiveKit is not asked, and learns who comes when it comes.
    #[expect(clippy::unused_async, reason = "another provider has to ask")]
    pub(super) async fn join(&self, joining: &Joining, now: Timestamp) -> Result<Grant, Failure> {
        let not_before = seconds(now);
        let expires_at = not_before.after(TOKEN_LIFE);
        let video = VideoGrant {
            room: joining.meeting.0.clone(),
            room_join: true,
            can_publish: sources(joining.publishing).iter().copied().collect(),
            can_subscribe: true,
            can_publish_data: joining.publishing != Publishing::Nothing,
            ..VideoGrant::default()
        };
        let claims = Claims {
            identity: joining.identity.clone(),
            not_before,
            expires_at,
            name: joining.name.clone(),
            kind: kind_there(joining.kind),
            video: Some(video),
            ..Claims::default()
        };
        let token = self.sign(&claims)?.into_string().into();
        Ok(Grant { token, expires_at: timestamp(expires_at), known_as: None })
    }

    pub(super) async fn close(&self, meeting: &MeetingId, now: Timestamp) -> Result<(), Failure> {
        self.ask(&DeleteRoom { room: meeting.0.clone() }, now).await.map(drop)
    }

    pub(super) async fn remove(&self, meeting: &MeetingId, seat: &Seat, now: Timestamp) -> Result<(), Failure> {
        let request = RemoveParticipant {
            room: meeting.0.clone(),
            identity: seat.identity.clone(),
            // Tokens count whole seconds, and another process of ours may have signed one by a clock that is ahead; the
            // identity is of this stay alone, so nobody who is let in again has to wait.
            revoke_tokens_before: Some(seconds(now).after(LEEWAY)),
        };
        self.ask(&request, now).await.map(drop)
    }

    pub(super) async fn mute(&self, meeting: &MeetingId, seat: &Seat, now: Timestamp) -> Result<(), Failure> {
        let (room, identity) = (meeting.0.clone(), seat.identity.clone());
        let participant = self.ask(&GetParticipant { room: room.clone(), identity: identity.clone() }, now).await?;
        if participant.identity != identity {
            return Err(nonsense());
        }
        let is_heard = |track: &Track| track.r#type == TrackType::Audio && !track.muted;
        for track in participant.tracks.into_iter().filter(is_heard) {
            let (room, identity) = (room.clone(), identity.clone());
            self.ask(&MutePublishedTrack { room, identity, track_sid: track.sid, muted: true }, now).await?;
        }
        Ok(())
    }

    pub(super) async fn attendees(&self, meeting: &MeetingId, now: Timestamp) -> Result<Vec<Attendee>, Failure> {
        let listed = self.ask(&ListParticipants { room: meeting.0.clone() }, now).await?;
        Ok(listed.participants.into_iter().filter(is_present).filter_map(attendee).collect())
    }

    pub(super) fn hear(&self, signature: Option<&str>, body: &[u8], now: Timestamp) -> Result<Heard, NotHeard> {
        let event = webhook::receive(&self.key, signature, body, seconds(now), MAX_EVENT_AGE);
        let event = event.map_err(|error| match error {
            WebhookError::Malformed => NotHeard::Malformed,
            error => NotHeard::Forged(error.to_string()),
        })?;
        let (room, happening) = happening(event.happening);
        if happening != Happening::Other && room.name.is_empty() {
            return Err(NotHeard::Malformed);
        }
        Ok(Heard { id: event.id, at: timestamp(event.created_at), meeting: MeetingId(room.name), happening })
    }

    pub(super) async fn inspect(&self, now: Timestamp) -> Vec<Finding> {
        let asked = self.ask(&ListRooms { names: vec![NO_ROOM.to_owned()] }, now).await;
        let mut findings = vec![self.reached(asked.err())];
        findings.extend(self.readable_on_the_way());
        findings.extend(self.clocks(now).await);
        findings
    }

    fn reached(&self, failure: Option<Failure>) -> Finding {
        let subject = "calls";
        match failure {
            None => Finding::ok(subject, format!("LiveKit answers at {}, and knows the API key", self.url)),
            Some(Failure::Refused(why)) => Finding::fail(
                subject,
                format!("LiveKit at {} refuses: {why}", self.url),
                "set MEET_AI_LIVEKIT__API_KEY and MEET_AI_LIVEKIT__API_SECRET to a key of its configuration",
            ),
            Some(Failure::Busy) => Finding::warn(
                subject,
                format!("LiveKit at {} is asked too often to answer now", self.url),
                "try again in a minute",
            ),
            Some(Failure::Gone) => Finding::fail(
                subject,
                format!("something answers at {} that is no LiveKit", self.url),
                "set MEET_AI_LIVEKIT__URL to the address of LiveKit itself, such as wss://livekit.example.org",
            ),
            Some(failure @ Failure::Unknown(_)) => Finding::fail(
                subject,
                format!("there is no LiveKit at {}: {failure}", self.url),
                "set MEET_AI_LIVEKIT__URL to the address by which clients and this machine reach it (ws:// without TLS, wss:// \
                 with it), and start it",
            ),
        }
    }

    /// Tokens go to LiveKit and to clients by its address.
    fn readable_on_the_way(&self) -> Option<Finding> {
        let origin = Url::parse(&self.url).ok()?.origin().ascii_serialization();
        let address = PublicUrl::parse(&origin).ok()?;
        let is_readable = !address.is_https() && !address.is_loopback();
        is_readable.then(|| {
            Finding::warn(
                "calls",
                format!("{} has no TLS: whoever shares the network can take the tokens of a call", self.url),
                "put a proxy with TLS in front of LiveKit, and name its https address in MEET_AI_LIVEKIT__URL",
            )
        })
    }

    /// Tokens hold for minutes, by LiveKit's clock; nothing is said of one that cannot be read.
    async fn clocks(&self, now: Timestamp) -> Option<Finding> {
        let answer = self.service.request(reqwest::Method::GET, "/").send().await.ok()?;
        let theirs = httpdate::parse_http_date(answer.headers().get(DATE)?.to_str().ok()?).ok()?;
        let theirs = i64::try_from(theirs.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
        let theirs = Timestamp::from_millis(theirs);
        let apart = theirs.since(now).max(now.since(theirs));
        (apart > MAX_SKEW).then(|| {
            Finding::warn(
                "calls",
                format!("the clocks of this machine and of LiveKit are {} seconds apart", apart.as_secs()),
                "set both by a time server: tokens of a call hold for minutes",
            )
        })
    }
}

/// What a refusal means. LiveKit's own words may repeat what was asked, and are not told.
fn failure(answer: &Answer) -> Failure {
    let status = answer.status;
    let code = answer.json::<Refusal>().map(|refusal| refusal.code);
    match code {
        _ if status.is_server_error() => Failure::Unknown(format!("status {}", status.as_u16())),
        Some(RefusalCode::NotFound) => Failure::Gone,
        Some(RefusalCode::Unauthenticated) => Failure::Refused("the API key does not hold".to_owned()),
        Some(RefusalCode::PermissionDenied) => Failure::Refused("the API key does not allow it".to_owned()),
        Some(RefusalCode::InvalidArgument) => Failure::Refused("the request makes no sense to it".to_owned()),
        Some(RefusalCode::ResourceExhausted) => Failure::Busy,
        // Before the room service stands LiveKit's look at the token, and it speaks plain text.
        None if status == StatusCode::UNAUTHORIZED => Failure::Refused("the API key does not hold".to_owned()),
        // What else has no code comes from something in between: a 404 of that says nothing about a room.
        Some(RefusalCode::Unavailable | RefusalCode::Other) | None => {
            Failure::Unknown(format!("status {}", status.as_u16()))
        }
    }
}

fn nonsense() -> Failure {
    Failure::Unknown("its answer makes no sense".to_owned())
}

fn sources(publishing: Publishing) -> &'static [Source] {
    match publishing {
        Publishing::Nothing => &[],
        Publishing::Microphone => &[Source::Microphone],
        Publishing::Everything => &Source::ALL,
    }
}

fn kind_there(kind: Kind) -> model::Kind {
    match kind {
        Kind::Human => model::Kind::Standard,
        Kind::Agent => model::Kind::Agent,
    }
}

/// Whether others have it before them: a connection that has come so far that media was offered.
fn is_present(participant: &Participant) -> bool {
    matches!(participant.state, ParticipantState::Joined | ParticipantState::Active)
}

/// Who that is; `None` for what carries or records the room's streams, and for whoever nobody sees.
fn attendee(participant: Participant) -> Option<Attendee> {
    let kind = match participant.kind {
        model::Kind::Standard | model::Kind::Sip | model::Kind::Connector => Kind::Human,
        model::Kind::Agent => Kind::Agent,
        model::Kind::Ingress | model::Kind::Egress | model::Kind::Bridge => return None,
    };
    if participant.permission.hidden || participant.permission.recorder || participant.identity.is_empty() {
        return None;
    }
    let since = (participant.joined_at != UnixSeconds::default()).then(|| timestamp(participant.joined_at));
    Some(Attendee { identity: participant.identity, name: participant.name, kind, since })
}

/// Where and what.
fn happening(told: webhook::Happening) -> (Room, Happening) {
    match told {
        webhook::Happening::ParticipantJoined { room, participant } => {
            (room, attendee(participant).map_or(Happening::Other, Happening::Came))
        }
        webhook::Happening::ParticipantLeft { room, participant }
        | webhook::Happening::ParticipantConnectionAborted { room, participant } => {
            let left = attendee(participant).map(|attendee| Happening::Left { identity: attendee.identity });
            (room, left.unwrap_or(Happening::Other))
        }
        webhook::Happening::RoomFinished { room } => (room, Happening::Ended),
        webhook::Happening::RoomStarted { room }
        | webhook::Happening::TrackPublished { room, .. }
        | webhook::Happening::TrackUnpublished { room, .. } => (room, Happening::Other),
        webhook::Happening::Other => (Room::default(), Happening::Other),
    }
}

fn seconds(time: Timestamp) -> UnixSeconds {
    UnixSeconds(time.millis() / 1000)
}

fn timestamp(time: UnixSeconds) -> Timestamp {
    Timestamp::from_millis(time.0.saturating_mul(1000))
}
