//! Cloudflare's two APIs as their documentation tells them: RealtimeKit with its meetings, participants, presets and live
//! sessions, and Turnstile's siteverify with its single-use tokens. Any step can be made to fail, to be slow or to break
//! off; it moves no sound and no picture.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, Response},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures_util::stream;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use uuid::Uuid;

/// The account.
pub(crate) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
/// Its app.
pub(crate) const APP: &str = "app-of-the-tests";
/// The API token that may use it.
pub(crate) const API_TOKEN: &str = "cf-api-token-that-nobody-may-see";
/// The presets of the app.
pub(crate) const PRESETS: [&str; 3] = ["group_call_host", "group_call_participant", "audio_only"];
/// The secret of the Turnstile widget.
pub(crate) const TURNSTILE_SECRET: &str = "0x4AAAAAAAturnstile-secret";
/// A token that no widget of production accepts.
const DUMMY_TOKEN: &str = "XXXX.DUMMY.TOKEN.XXXX";

/// What can be asked of the two APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    ListMeetings,
    CreateMeeting,
    GetMeeting,
    UpdateMeeting,
    AddParticipant,
    UpdateParticipant,
    RefreshToken,
    DeleteParticipant,
    ActiveSession,
    SessionParticipants,
    Kick,
    KickAll,
    Mute,
    Presets,
    WebhookKey,
    Siteverify,
}

/// How a step goes wrong.
pub(crate) enum Fault {
    /// Nothing is done, and the status comes with the vendor's code.
    Status(u16, u64),
    /// Nothing is done, and this is the answer.
    Says(u16, String),
    /// Nothing is done, and the connection ends without an answer.
    Cut,
    /// It is done, and the connection ends without an answer.
    CutAfter,
    /// It is done, and the connection ends in the middle of the answer.
    CutAmid,
    /// It is done when the test lets it be.
    Held(oneshot::Sender<()>, oneshot::Receiver<()>),
}

/// A step that waits to be let go; it is, when this is dropped.
pub(crate) struct Held {
    reached: oneshot::Receiver<()>,
    _go: oneshot::Sender<()>,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Which step it was.
    pub(crate) step: Step,
    /// The body, JSON or a form.
    pub(crate) body: String,
}

/// Both APIs on one port of this machine, until it is dropped.
pub(crate) struct Cloudflare {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct World {
    numbers: u128,
    meetings: BTreeMap<String, Meeting>,
    presets: Vec<String>,
    token_expiry: Option<i64>,
    faults: BTreeMap<Step, VecDeque<Fault>>,
    asked: Vec<Asked>,
    solved: BTreeMap<String, Solved>,
    rotations: usize,
}

#[derive(Default)]
struct Meeting {
    title: String,
    is_closed: bool,
    participants: BTreeMap<String, Participant>,
    session: Option<String>,
    stays: Vec<Stay>,
}

struct Participant {
    custom: String,
    preset: String,
    name: String,
    tokens: BTreeSet<String>,
}

#[derive(Clone)]
struct Stay {
    custom: String,
    name: String,
    has_left: bool,
    is_muted: bool,
}

struct Solved {
    hostname: String,
    spent_by: Option<String>,
}

/// An answer: its status and its body.
type Said = (u16, Value);

impl Held {
    /// Waits until the step is under way.
    pub(crate) async fn reached(&mut self) {
        (&mut self.reached).await.unwrap();
    }
}

impl Cloudflare {
    /// Starts both APIs.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let presets = PRESETS.map(str::to_owned).to_vec();
        let world = Arc::new(Mutex::new(World { presets, ..World::default() }));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, world.clone()));
        Self { address, world, _serving: serving }
    }

    /// The base of RealtimeKit's API, account included.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/client/v4/accounts/{ACCOUNT}/realtime/kit", self.address)
    }

    /// Where siteverify is.
    pub(crate) fn verify_url(&self) -> String {
        format!("http://{}/turnstile/v0/siteverify", self.address)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next such step go wrong, after those that are to go wrong already.
    pub(crate) fn fail(&self, step: Step, fault: Fault) {
        self.world().faults.entry(step).or_default().push_back(fault);
    }

    /// Whether such steps go well from now on.
    pub(crate) fn fault_is_spent(&self, step: Step) -> bool {
        self.world().faults.get(&step).is_none_or(VecDeque::is_empty)
    }

    /// Holds the next such step until the answer is dropped.
    pub(crate) fn hold(&self, step: Step) -> Held {
        let (arrived, reached) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        self.fail(step, Fault::Held(arrived, gone));
        Held { reached, _go: go }
    }

    /// What was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.world().asked)
    }

    /// Which steps were asked for since the last look.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.asked().into_iter().map(|asked| asked.step).collect()
    }

    /// The meetings that somebody could join, by id.
    pub(crate) fn live_meetings(&self) -> Vec<String> {
        let world = self.world();
        world.meetings.iter().filter(|(_, meeting)| !meeting.is_closed).map(|(id, _)| id.clone()).collect()
    }

    /// Makes a meeting that nobody asked for here.
    pub(crate) fn add_meeting(&self, title: &str, is_closed: bool) -> String {
        let mut world = self.world();
        let id = world.id();
        world.meetings.insert(id.clone(), Meeting { title: title.to_owned(), is_closed, ..Meeting::default() });
        id
    }

    /// What the app's presets are called from now on.
    pub(crate) fn set_presets(&self, presets: &[&str]) {
        self.world().presets = presets.iter().map(|preset| (*preset).to_owned()).collect();
    }

    /// When tokens expire from now on, in seconds since the epoch; `None` for tokens that do not say.
    pub(crate) fn set_token_expiry(&self, seconds: Option<i64>) {
        self.world().token_expiry = seconds;
    }

    /// Comes into a meeting as the client with this token does; whether it is let in.
    pub(crate) fn enter(&self, token: &str) -> bool {
        let mut world = self.world();
        let session = world.id();
        for meeting in world.meetings.values_mut().filter(|meeting| !meeting.is_closed) {
            let bearer = meeting.participants.values().find(|participant| participant.tokens.contains(token));
            let Some(Participant { custom, name, .. }) = bearer else { continue };
            let stay = Stay { custom: custom.clone(), name: name.clone(), has_left: false, is_muted: false };
            meeting.stays.push(stay);
            meeting.session.get_or_insert(session);
            return true;
        }
        false
    }

    /// Who is in a meeting, by the ids that they were let in with; those who are muted have a `!`.
    pub(crate) fn present(&self, meeting: &str) -> Vec<String> {
        let world = self.world();
        let present = world.meetings[meeting].stays.iter().filter(|stay| !stay.has_left);
        present.map(|stay| format!("{}{}", stay.custom, if stay.is_muted { "!" } else { "" })).collect()
    }

    /// The presets that a meeting's participants have, in the order of their ids.
    pub(crate) fn presets_in_use(&self, meeting: &str) -> Vec<String> {
        let world = self.world();
        world.meetings[meeting].participants.values().map(|participant| participant.preset.clone()).collect()
    }

    /// Publishes another key for webhooks.
    pub(crate) fn rotate_key(&self) {
        self.world().rotations += 1;
    }

    /// The signature of a webhook's body by the published key.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        let key = webhook_key(self.world().rotations);
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body, &mut signature).unwrap();
        STANDARD.encode(signature)
    }

    /// Solves a widget on a site; the token is good once.
    pub(crate) fn solve(&self, hostname: &str) -> String {
        let mut world = self.world();
        let token = format!("solved-{}", world.id());
        world.solved.insert(token.clone(), Solved { hostname: hostname.to_owned(), spent_by: None });
        token
    }
}

/// One of two keys, since making one takes long.
fn webhook_key(rotations: usize) -> &'static RsaKeyPair {
    static KEYS: [OnceLock<RsaKeyPair>; 2] = [const { OnceLock::new() }; 2];
    KEYS[rotations % 2].get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

async fn serve(listener: TcpListener, world: Arc<Mutex<World>>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let world = world.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, world.clone()));
            // That a connection ends badly is what some tests are about.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

/// Answers a request; an error ends the connection without a word.
async fn answer(request: Request<Incoming>, world: Arc<Mutex<World>>) -> io::Result<Response<Body>> {
    let lock = || world.lock().unwrap_or_else(PoisonError::into_inner);
    let (head, body) = request.into_parts();
    let body = to_bytes(Body::new(body), 1 << 20).await.map_err(io::Error::other)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let path: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
    let Some(step) = route(&head.method, &path) else {
        return Ok(respond(404, "<html>not here</html>".to_owned()));
    };
    let fault = {
        let mut world = lock();
        world.asked.push(Asked { step, body: body.clone() });
        world.faults.get_mut(&step).and_then(VecDeque::pop_front)
    };
    let cut = || io::Error::other("cut");
    let token = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    let query = head.uri.query().unwrap_or_default().to_owned();
    let act = || lock().act(step, &path, token, &query, &body);
    match fault {
        None => Ok(say(act())),
        Some(Fault::Status(status, code)) => Ok(say((status, error(code)))),
        Some(Fault::Says(status, body)) => Ok(respond(status, body)),
        Some(Fault::Cut) => Err(cut()),
        Some(Fault::CutAfter) => {
            act();
            Err(cut())
        }
        Some(Fault::CutAmid) => {
            let text = act().1.to_string();
            let half = Ok(text[..text.len() / 2].to_owned());
            let parts = stream::iter([half, Err(cut())]);
            Ok(Response::builder().header("content-length", text.len()).body(Body::from_stream(parts)).unwrap())
        }
        Some(Fault::Held(arrived, go)) => {
            let _ = arrived.send(());
            let _ = go.await;
            Ok(say(act()))
        }
    }
}

fn say((status, body): Said) -> Response<Body> {
    respond(status, body.to_string())
}

fn respond(status: u16, body: String) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body)).unwrap()
}

fn error(code: u64) -> Value {
    json!({ "success": false, "errors": [{ "code": code, "message": format!("of {API_TOKEN}, by {code}") }] })
}

/// Which step a request is.
fn route(method: &Method, path: &[&str]) -> Option<Step> {
    let method = method.as_str();
    let ["client", "v4", "accounts", _, "realtime", "kit", _, path @ ..] = path else {
        return match (method, path) {
            ("GET", [".well-known", "webhooks.json"]) => Some(Step::WebhookKey),
            ("POST", ["turnstile", "v0", "siteverify"]) => Some(Step::Siteverify),
            _ => None,
        };
    };
    Some(match (method, path) {
        ("GET", ["meetings"]) => Step::ListMeetings,
        ("POST", ["meetings"]) => Step::CreateMeeting,
        ("GET", ["meetings", _]) => Step::GetMeeting,
        ("PATCH", ["meetings", _]) => Step::UpdateMeeting,
        ("POST", ["meetings", _, "participants"]) => Step::AddParticipant,
        ("PATCH", ["meetings", _, "participants", _]) => Step::UpdateParticipant,
        ("POST", ["meetings", _, "participants", _, "token"]) => Step::RefreshToken,
        ("DELETE", ["meetings", _, "participants", _]) => Step::DeleteParticipant,
        ("GET", ["meetings", _, "active-session"]) => Step::ActiveSession,
        ("POST", ["meetings", _, "active-session", "kick"]) => Step::Kick,
        ("POST", ["meetings", _, "active-session", "kick-all"]) => Step::KickAll,
        ("POST", ["meetings", _, "active-session", "mute"]) => Step::Mute,
        ("GET", ["sessions", _, "participants"]) => Step::SessionParticipants,
        ("GET", ["presets"]) => Step::Presets,
        _ => return None,
    })
}

fn done(data: &Value) -> Said {
    (200, json!({ "success": true, "data": data }))
}

fn not_found() -> Said {
    (404, json!({ "success": false, "error": { "code": 404, "message": "not found" } }))
}

/// A page of a list, and how much there is of it.
fn page(list: &[Value], query: &[(String, String)]) -> (Vec<Value>, Value) {
    let number = |name: &str| query.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok());
    let (page, size) = (number("page_no").unwrap_or(1).max(1), number("per_page").unwrap_or(20_usize));
    let entries = list.iter().skip((page - 1) * size).take(size).cloned().collect();
    (entries, json!({ "total_count": list.len(), "start_offset": (page - 1) * size + 1 }))
}

fn pairs(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

impl World {
    fn id(&mut self) -> String {
        self.numbers += 1;
        Uuid::from_u128(0x4d65_6574_0000_4000_8000_0000_0000_0000 + self.numbers).to_string()
    }

    fn act(&mut self, step: Step, path: &[&str], authorization: Option<&str>, query: &str, body: &str) -> Said {
        match step {
            Step::Siteverify => return self.siteverify(&pairs(body)),
            Step::WebhookKey => return publish(webhook_key(self.rotations)),
            _ => {}
        }
        if authorization != Some(&format!("Bearer {API_TOKEN}")) {
            return (401, error(10_000));
        }
        let (account, app, names) = (path[3], path[6], &path[7..]);
        if account != ACCOUNT {
            return (404, error(7003));
        }
        if app != APP {
            return not_found();
        }
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        match step {
            Step::ListMeetings => self.list_meetings(&pairs(query)),
            Step::CreateMeeting => {
                let (id, title) = (self.id(), body["title"].as_str().unwrap_or_default().to_owned());
                let meeting = Meeting { title, ..Meeting::default() };
                let said = (201, json!({ "success": true, "data": meeting.shown(&id) }));
                self.meetings.insert(id, meeting);
                said
            }
            Step::Presets => {
                let presets: Vec<_> = self.presets.iter().map(|name| json!({ "id": name, "name": name })).collect();
                let (presets, paging) = page(&presets, &pairs(query));
                (200, json!({ "success": true, "data": presets, "paging": paging }))
            }
            Step::SessionParticipants => self.session_participants(names[1], &pairs(query)),
            Step::AddParticipant => self.add_participant(names[1], &body),
            _ => self.act_on(step, names, &body).unwrap_or_else(not_found),
        }
    }

    /// What is about a meeting that is there; `None` when it or what it is about is not.
    fn act_on(&mut self, step: Step, names: &[&str], body: &Value) -> Option<Said> {
        let token = self.token();
        let id = names[1];
        let meeting = self.meetings.get_mut(id)?;
        match step {
            Step::GetMeeting => {}
            Step::UpdateMeeting => match body["status"].as_str() {
                Some(status) => meeting.is_closed = status == "INACTIVE",
                None => return Some((400, error(400))),
            },
            Step::UpdateParticipant => {
                let participant = meeting.participants.get_mut(names[3])?;
                body["preset_name"].as_str().unwrap().clone_into(&mut participant.preset);
                return Some(done(&json!({ "id": names[3], "preset_name": participant.preset })));
            }
            Step::RefreshToken => {
                meeting.participants.get_mut(names[3])?.tokens.insert(token.clone());
                return Some(done(&json!({ "token": token })));
            }
            Step::DeleteParticipant => {
                let gone = meeting.participants.remove(names[3])?;
                return Some(done(&json!({ "custom_participant_id": gone.custom })));
            }
            Step::ActiveSession => {
                let present = meeting.stays.iter().filter(|stay| !stay.has_left).count();
                let session = meeting.session.as_ref()?;
                return Some(done(&json!({ "id": session, "live_participants": present, "status": "LIVE" })));
            }
            Step::KickAll | Step::Kick | Step::Mute => {
                meeting.session.as_ref()?;
                let who = body["custom_participant_ids"].as_array();
                let is_meant = |stay: &&mut Stay| {
                    step == Step::KickAll || who.is_some_and(|who| who.iter().any(|id| *id == stay.custom))
                };
                let mut count = 0;
                for stay in meeting.stays.iter_mut().filter(|stay| !stay.has_left).filter(is_meant) {
                    let flag = if step == Step::Mute { &mut stay.is_muted } else { &mut stay.has_left };
                    *flag = true;
                    count += 1;
                }
                if meeting.stays.iter().all(|stay| stay.has_left) {
                    meeting.session = None;
                    meeting.stays.clear();
                }
                if count == 0 {
                    return None;
                }
            }
            _ => return None,
        }
        Some(done(&meeting.shown(id)))
    }

    fn list_meetings(&self, query: &[(String, String)]) -> Said {
        let search = query.iter().find(|(name, _)| name == "search").map_or("", |(_, value)| value);
        let found = self.meetings.iter().filter(|(id, meeting)| meeting.title.contains(search) || **id == *search);
        let found: Vec<_> = found.map(|(id, meeting)| meeting.shown(id)).collect();
        let (found, paging) = page(&found, query);
        (200, json!({ "success": true, "data": found, "paging": paging }))
    }

    fn add_participant(&mut self, meeting: &str, body: &Value) -> Said {
        let (id, token) = (self.id(), self.token());
        let Some(meeting) = self.meetings.get_mut(meeting) else { return not_found() };
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let (Some(custom), Some(preset)) = (text("custom_participant_id"), text("preset_name")) else {
            return (400, error(400));
        };
        if meeting.is_closed || !self.presets.contains(&preset) {
            return (422, error(422));
        }
        let tokens = BTreeSet::from([token.clone()]);
        let shown = json!({ "id": id, "token": token, "custom_participant_id": custom, "preset_name": preset });
        let name = text("name").unwrap_or_default();
        meeting.participants.insert(id, Participant { custom, preset, name, tokens });
        (201, json!({ "success": true, "data": shown }))
    }

    fn session_participants(&self, session: &str, query: &[(String, String)]) -> Said {
        let of_session = |meeting: &&Meeting| meeting.session.as_deref() == Some(session);
        let Some(meeting) = self.meetings.values().find(of_session) else { return not_found() };
        let shown = |stay: &Stay| {
            let left_at = stay.has_left.then_some("2026-02-07T12:10:00.000Z");
            json!({
                "id": format!("peer-of-{}", stay.custom), "custom_participant_id": stay.custom,
                "display_name": stay.name, "joined_at": "2026-02-07T12:00:00.000Z", "left_at": left_at,
            })
        };
        let stays: Vec<_> = meeting.stays.iter().map(shown).collect();
        let (participants, paging) = page(&stays, query);
        (200, json!({ "success": true, "data": { "participants": participants }, "paging": paging }))
    }

    fn token(&mut self) -> String {
        let payload = json!({ "id": self.id(), "exp": self.token_expiry });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmVk", part(&json!({ "alg": "RS256" })), part(&payload))
    }

    fn siteverify(&mut self, form: &[(String, String)]) -> Said {
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let no = |code: &str| (200, json!({ "success": false, "error-codes": [code], "messages": [] }));
        if field("secret") != Some(TURNSTILE_SECRET) {
            return no("invalid-input-secret");
        }
        let (token, attempt) = (field("response").unwrap_or_default(), field("idempotency_key").map(str::to_owned));
        match self.solved.get_mut(token).filter(|_| token != DUMMY_TOKEN) {
            None => no("invalid-input-response"),
            Some(solved) if solved.spent_by.is_some() && solved.spent_by != attempt => no("timeout-or-duplicate"),
            Some(solved) => {
                solved.spent_by = attempt.or(Some(String::new()));
                let hostname = &solved.hostname;
                (200, json!({ "success": true, "error-codes": [], "hostname": hostname, "action": "", "cdata": "" }))
            }
        }
    }
}

impl Meeting {
    fn shown(&self, id: &str) -> Value {
        let status = if self.is_closed { "INACTIVE" } else { "ACTIVE" };
        json!({ "id": id, "title": self.title, "status": status, "created_at": "2026-02-07T12:00:00.000Z" })
    }
}

fn publish(key: &RsaKeyPair) -> Said {
    let der: PublicKeyX509Der = key.public_key().as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    done(&json!({ "publicKey": pem }))
}
