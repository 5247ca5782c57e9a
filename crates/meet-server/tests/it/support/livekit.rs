//! A stand-in of a LiveKit server: its room service with rooms and participants that are remembered, who may come in by
//! which token, and signed webhooks. There is no media.
//!
//! It answers as LiveKit 1.13 does that somebody hosts: a token opens its room until it ends, also after a removal, and
//! makes the room anew after a deletion. What LiveKit can be told, or its cloud does, can be switched on.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use meet_livekit::{
    ApiKey, Claims, UnixSeconds, VideoGrant,
    model::{Participant, ParticipantState, Permission, Room, Track},
    room_service::{
        CreateRoom, DeleteRoom, Done, GetParticipant, ListParticipants, ListRooms, Method, MutePublishedTrack, Muted,
        Participants, RemoveParticipant, Rooms,
    },
    token::LEEWAY,
    webhook,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

/// The id of the key that it knows.
pub(crate) const API_KEY: &str = "APIdouble";
/// The secret of the key that it knows.
pub(crate) const API_SECRET: &str = "a-secret-that-has-thirty-two-bytes";

/// A server that listens, until it is dropped.
pub(crate) struct LiveKitDouble {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

/// What goes wrong with the next request.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is refused, as Twirp writes it; nothing is done.
    Refused(StatusCode, &'static str),
    /// Something in between answers with a page; nothing is done.
    Page(StatusCode),
    /// It is done, and the answer is this text.
    Junk(&'static str),
    /// It is done, and the connection ends within the answer.
    Cut,
}

/// A request that is done, and whose answer waits until it is released.
pub(crate) struct Held {
    /// Comes when the request was done.
    pub(crate) arrived: oneshot::Receiver<()>,
    /// Lets the answer go.
    pub(crate) release: oneshot::Sender<()>,
}

/// A request, as it came.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What for.
    pub(crate) method: String,
    /// By which right.
    pub(crate) claims: Claims,
    /// With what.
    pub(crate) body: Value,
}

/// An event that waits to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    /// The body.
    pub(crate) body: String,
    /// The header that vouches for it.
    pub(crate) authorization: String,
}

/// Why somebody does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The token is of another key, is not of now, or lets nobody into a room.
    Token,
    /// The token is of before its bearer was removed.
    Revoked,
    /// There is no such room, and none is made.
    NoRoom,
    /// There is no place.
    Full,
}

struct Shared {
    key: ApiKey,
    now: Box<dyn Fn() -> UnixSeconds + Send + Sync>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    rooms: BTreeMap<String, Open>,
    revoked: BTreeMap<(String, String), UnixSeconds>,
    troubles: VecDeque<Trouble>,
    asked: Vec<Asked>,
    webhooks: VecDeque<Webhook>,
    numbers: u64,
    date: Option<String>,
    revokes: bool,
    makes_no_rooms: bool,
}

struct Open {
    room: Room,
    participants: BTreeMap<String, Participant>,
}

enum Trouble {
    Fault(Fault),
    Hold { arrived: oneshot::Sender<()>, release: oneshot::Receiver<()> },
}

impl LiveKitDouble {
    /// Listens on a free port of this machine. `now` is its clock.
    pub(crate) async fn start(now: impl Fn() -> UnixSeconds + Send + Sync + 'static) -> Self {
        let key = ApiKey::new(API_KEY, API_SECRET.as_bytes()).unwrap();
        let shared = Arc::new(Shared { key, now: Box::new(now), inside: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/", get(health))
            .route("/twirp/livekit.RoomService/{method}", post(ask))
            .with_state(shared.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, shared, _serving: serving }
    }

    /// Its address, as a setting has it.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// From now on tokens of before a removal let nobody in, as in LiveKit's cloud.
    pub(crate) fn revoke_tokens(&self) {
        self.inside().revokes = true;
    }

    /// From now on a room is made by a request alone: `auto_create` is off.
    pub(crate) fn make_no_rooms(&self) {
        self.inside().makes_no_rooms = true;
    }

    /// From now on its `Date` is this.
    pub(crate) fn pretend_date(&self, date: String) {
        self.inside().date = Some(date);
    }

    /// Lets the next request go wrong that has no trouble yet.
    pub(crate) fn fail(&self, fault: Fault) {
        self.inside().troubles.push_back(Trouble::Fault(fault));
    }

    /// Holds back the next answer that has no trouble yet.
    pub(crate) fn hold(&self) -> Held {
        let (arrive, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.inside().troubles.push_back(Trouble::Hold { arrived: arrive, release: released });
        Held { arrived, release }
    }

    /// What was asked by a token that holds, since this was looked at last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inside().asked)
    }

    /// The rooms that are open.
    pub(crate) fn rooms(&self) -> Vec<Room> {
        self.inside().rooms.values().map(|open| open.room.clone()).collect()
    }

    /// Who is in a room.
    pub(crate) fn participants(&self, room: &str) -> Vec<Participant> {
        let inside = self.inside();
        inside.rooms.get(room).into_iter().flat_map(|open| open.participants.values().cloned()).collect()
    }

    /// Comes into a room by an access token, with media at once.
    pub(crate) fn join(&self, token: &str) -> Result<Participant, Refusal> {
        let now = (self.shared.now)();
        let claims = self.shared.key.verify(token, now, LEEWAY).map_err(|_| Refusal::Token)?;
        let video = claims.video.clone().filter(|video| video.room_join).ok_or(Refusal::Token)?;
        let mut inside = self.inside();
        let revoked = inside.revoked.get(&(video.room.clone(), claims.identity.clone()));
        if inside.revokes && revoked.is_some_and(|before| claims.not_before < *before) {
            return Err(Refusal::Revoked);
        }
        if !inside.rooms.contains_key(&video.room) {
            if inside.makes_no_rooms && !video.room_create {
                return Err(Refusal::NoRoom);
            }
            // The bounds that LiveKit has by default.
            let asked = CreateRoom {
                name: video.room.clone(),
                empty_timeout: 300,
                departure_timeout: 20,
                ..CreateRoom::default()
            };
            self.shared.create(&mut inside, &asked);
        }
        let participant = self.shared.come(&mut inside, &video, &claims)?;
        Ok(participant)
    }

    /// Leaves a room; whether somebody was there to leave.
    pub(crate) fn leave(&self, room: &str, identity: &str) -> bool {
        self.shared.leave(&mut self.inside(), room, identity)
    }

    /// Publishes something in a room.
    pub(crate) fn publish(&self, room: &str, identity: &str, track: Track) {
        self.change(room, identity, |participant| participant.tracks.push(track));
    }

    /// Makes somebody another.
    pub(crate) fn change(&self, room: &str, identity: &str, change: impl FnOnce(&mut Participant)) {
        let mut inside = self.inside();
        let open = inside.rooms.get_mut(room).unwrap();
        change(open.participants.get_mut(identity).unwrap());
    }

    /// The next event that was not sent.
    pub(crate) fn webhook(&self) -> Option<Webhook> {
        self.inside().webhooks.pop_front()
    }

    /// Signs an event of any kind.
    pub(crate) fn sign(&self, body: &Value) -> Webhook {
        self.shared.sign(body)
    }

    /// Sends what waits to be sent, in order; the status of each answer.
    pub(crate) async fn deliver(&self, url: &str) -> Vec<u16> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut statuses = Vec::new();
        while let Some(Webhook { body, authorization }) = self.webhook() {
            let request = http.post(url).header(header::AUTHORIZATION, authorization);
            let answer = request.header(header::CONTENT_TYPE, webhook::CONTENT_TYPE).body(body).send().await;
            statuses.push(answer.unwrap().status().as_u16());
        }
        statuses
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a room, or finds it as it is: what is asked of one that is open changes nothing.
    fn create(&self, inside: &mut Inside, asked: &CreateRoom) -> Room {
        if let Some(open) = inside.rooms.get(&asked.name) {
            return open.room.clone();
        }
        let room = Room {
            sid: inside.number("RM_"),
            name: asked.name.clone(),
            empty_timeout: asked.empty_timeout,
            departure_timeout: asked.departure_timeout,
            max_participants: asked.max_participants,
            creation_time: (self.now)(),
            ..Room::default()
        };
        inside.rooms.insert(asked.name.clone(), Open { room: room.clone(), participants: BTreeMap::new() });
        self.tell(inside, &room, "room_started", None);
        room
    }

    fn come(&self, inside: &mut Inside, video: &VideoGrant, claims: &Claims) -> Result<Participant, Refusal> {
        // Whoever comes twice throws itself out.
        self.leave(inside, &video.room, &claims.identity);
        let participant = Participant {
            sid: inside.number("PA_"),
            identity: claims.identity.clone(),
            name: claims.name.clone(),
            state: ParticipantState::Active,
            kind: claims.kind,
            metadata: claims.metadata.clone(),
            attributes: claims.attributes.clone(),
            joined_at: (self.now)(),
            permission: Permission { hidden: video.hidden, recorder: video.recorder },
            tracks: Vec::new(),
        };
        let open = inside.rooms.get_mut(&video.room).ok_or(Refusal::NoRoom)?;
        let places = usize::try_from(open.room.max_participants).unwrap();
        if places > 0 && open.participants.len() >= places {
            return Err(Refusal::Full);
        }
        open.participants.insert(claims.identity.clone(), participant.clone());
        let room = open.room.clone();
        self.tell(inside, &room, "participant_joined", Some(&participant));
        Ok(participant)
    }

    fn leave(&self, inside: &mut Inside, room: &str, identity: &str) -> bool {
        let Some(open) = inside.rooms.get_mut(room) else { return false };
        let Some(mut participant) = open.participants.remove(identity) else { return false };
        let room = open.room.clone();
        // Nothing told of the coming of one through which no media ever flowed.
        let event = match participant.state {
            ParticipantState::Active => "participant_left",
            _ => "participant_connection_aborted",
        };
        participant.state = ParticipantState::Disconnected;
        self.tell(inside, &room, event, Some(&participant));
        true
    }

    fn delete(&self, inside: &mut Inside, name: &str) -> bool {
        let Some(open) = inside.rooms.get(name) else { return false };
        let (room, there) = (open.room.clone(), open.participants.keys().cloned().collect::<Vec<_>>());
        for identity in there {
            self.leave(inside, name, &identity);
        }
        inside.rooms.remove(name);
        self.tell(inside, &room, "room_finished", None);
        true
    }

    fn tell(&self, inside: &mut Inside, room: &Room, event: &str, participant: Option<&Participant>) {
        let id = inside.number("EV_");
        let mut body = json!({ "event": event, "room": room, "id": id, "createdAt": (self.now)().0.to_string() });
        if let Some(participant) = participant {
            body["participant"] = json!(participant);
        }
        let webhook = self.sign(&sparse(body));
        inside.webhooks.push_back(webhook);
    }

    fn sign(&self, body: &Value) -> Webhook {
        let body = body.to_string();
        let now = (self.now)();
        let token = webhook::sign(&self.key, body.as_bytes(), now, now.after(LEEWAY * 5)).unwrap();
        Webhook { body, authorization: token.into_string() }
    }

    /// Does what is asked of the room service.
    fn perform(&self, method: &str, claims: &Claims, body: &Value) -> Response {
        let inside = &mut *self.lock();
        let video = claims.video.clone().unwrap_or_default();
        match method {
            "CreateRoom" => {
                answer(&video, body, |asked: &CreateRoom| (!asked.name.is_empty()).then(|| self.create(inside, asked)))
            }
            "DeleteRoom" => {
                answer(&video, body, |asked: &DeleteRoom| self.delete(inside, &asked.room).then_some(Done {}))
            }
            "ListRooms" => answer(&video, body, |asked: &ListRooms| Some(inside.list(&asked.names))),
            "ListParticipants" => answer(&video, body, |asked: &ListParticipants| Some(inside.listed(&asked.room))),
            "GetParticipant" => {
                answer(&video, body, |asked: &GetParticipant| inside.participant(&asked.room, &asked.identity).cloned())
            }
            "RemoveParticipant" => answer(&video, body, |asked: &RemoveParticipant| {
                let was_there = self.leave(inside, &asked.room, &asked.identity);
                let before = asked.revoke_tokens_before.unwrap_or_else(|| (self.now)().after(LEEWAY));
                inside.revoked.insert((asked.room.clone(), asked.identity.clone()), before);
                was_there.then_some(Done {})
            }),
            "MutePublishedTrack" => mute(inside, &video, body),
            _ => twirp(StatusCode::NOT_FOUND, "bad_route"),
        }
    }
}

impl Inside {
    fn number(&mut self, kind: &str) -> String {
        self.numbers += 1;
        format!("{kind}{}", self.numbers)
    }

    fn list(&self, names: &[String]) -> Rooms {
        let is_asked = |room: &&Room| names.is_empty() || names.contains(&room.name);
        Rooms { rooms: self.rooms.values().map(|open| &open.room).filter(is_asked).cloned().collect() }
    }

    /// A room that is not there has nobody in it.
    fn listed(&self, room: &str) -> Participants {
        let open = self.rooms.get(room).into_iter();
        Participants { participants: open.flat_map(|open| open.participants.values().cloned()).collect() }
    }

    fn participant(&mut self, room: &str, identity: &str) -> Option<&mut Participant> {
        self.rooms.get_mut(room)?.participants.get_mut(identity)
    }
}

/// LiveKit passes this on to whoever holds the participant, and nobody answers for one that is not there.
fn mute(inside: &mut Inside, video: &VideoGrant, body: &Value) -> Response {
    let asked = serde_json::from_value::<MutePublishedTrack>(body.clone()).ok();
    let Some(asked) = asked.filter(|asked| allows(video, &asked.grant())) else {
        return twirp(StatusCode::UNAUTHORIZED, "unauthenticated");
    };
    let Some(participant) = inside.participant(&asked.room, &asked.identity) else {
        return twirp(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    };
    if !asked.muted {
        return twirp(StatusCode::PRECONDITION_FAILED, "failed_precondition");
    }
    let track = participant.tracks.iter_mut().find(|track| track.sid == asked.track_sid);
    let track = track.map(|track| {
        track.muted = true;
        track.clone()
    });
    axum::Json(snake_case(json!(Muted { track }))).into_response()
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    match shared.lock().date.clone() {
        Some(date) => ([(header::DATE, date)], "OK").into_response(),
        None => "OK".into_response(),
    }
}

async fn ask(
    State(shared): State<Arc<Shared>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let trouble = shared.lock().troubles.pop_front();
    match trouble {
        Some(Trouble::Fault(Fault::Refused(status, code))) => return twirp(status, code),
        Some(Trouble::Fault(Fault::Page(status))) => return (status, "<html>a page</html>").into_response(),
        _ => {}
    }
    let done = perform(&shared, method, &headers, &body);
    match trouble {
        Some(Trouble::Fault(Fault::Junk(text))) => text.into_response(),
        Some(Trouble::Fault(Fault::Cut)) => cut(),
        Some(Trouble::Hold { arrived, release }) => {
            let _ = arrived.send(());
            let _ = release.await;
            done
        }
        _ => done,
    }
}

fn perform(shared: &Shared, method: String, headers: &HeaderMap, body: &[u8]) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let claims = bearer.map(|token| shared.key.verify(token, (shared.now)(), LEEWAY));
    // The look at tokens stands before Twirp, speaks plain text, and repeats the token.
    let Some(Ok(claims)) = claims else {
        let said = format!("invalid token: {}, error: token signature is invalid", bearer.unwrap_or_default());
        return (StatusCode::UNAUTHORIZED, said).into_response();
    };
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return twirp(StatusCode::BAD_REQUEST, "malformed") };
    let answer = shared.perform(&method, &claims, &body);
    shared.lock().asked.push(Asked { method, claims, body });
    answer
}

/// Answers what the bearer may ask; nothing to answer with means that there is no such thing.
fn answer<M: Method<Answer: Serialize> + DeserializeOwned>(
    video: &VideoGrant,
    body: &Value,
    perform: impl FnOnce(&M) -> Option<M::Answer>,
) -> Response {
    let Ok(asked) = serde_json::from_value::<M>(body.clone()) else {
        return twirp(StatusCode::BAD_REQUEST, "malformed");
    };
    if !allows(video, &asked.grant()) {
        return twirp(StatusCode::UNAUTHORIZED, "unauthenticated");
    }
    match perform(&asked) {
        Some(answer) => axum::Json(snake_case(json!(answer))).into_response(),
        None => twirp(StatusCode::NOT_FOUND, "not_found"),
    }
}

fn allows(has: &VideoGrant, needs: &VideoGrant) -> bool {
    let is_admin = has.room_admin && has.room == needs.room;
    (!needs.room_create || has.room_create) && (!needs.room_list || has.room_list) && (!needs.room_admin || is_admin)
}

fn twirp(status: StatusCode, code: &str) -> Response {
    (status, axum::Json(json!({ "code": code, "msg": "said about what was asked" }))).into_response()
}

/// Half an answer.
fn cut() -> Response {
    let half = [Ok(Bytes::from_static(b"{\"sid\":")), Err(io::Error::other("the connection is cut"))];
    Body::from_stream(futures_util::stream::iter(half)).into_response()
}

/// Names as the room service writes them.
fn snake_case(value: Value) -> Value {
    let rename = |name: &str| {
        let parts = name.chars().map(|letter| match letter {
            upper if upper.is_ascii_uppercase() => format!("_{}", upper.to_ascii_lowercase()),
            lower => lower.to_string(),
        });
        parts.collect::<String>()
    };
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (rename(&name), snake_case(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(values) => values.into_iter().map(snake_case).collect::<Vec<_>>().into(),
        other => other,
    }
}

/// Without what is as it is by default: a webhook leaves that out.
fn sparse(value: Value) -> Value {
    let is_told = |value: &Value| {
        let defaults = [json!(null), json!(""), json!(0), json!("0"), json!(false), json!([]), json!({})];
        !defaults.contains(value) && !["JOINING", "STANDARD", "AUDIO", "UNKNOWN"].iter().any(|name| value == name)
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, sparse(value)));
            fields.filter(|(_, value)| is_told(value)).collect::<Map<_, _>>().into()
        }
        Value::Array(values) => values.into_iter().map(sparse).collect::<Vec<_>>().into(),
        other => other,
    }
}
