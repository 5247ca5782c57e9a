//! The vendor stays off the wire: one script of a client, run whoever carries the calls, gets answers of one shape.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use meet_livekit::model::Participant;
use meet_server::config::Provider;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, Caller, Demo, Server, Setup, Socket,
    calls::{SITE, by_cloudflare, by_livekit, freely, livekit_by},
    cloudflare::{self, Cloudflare, Step},
    eventually_ok,
    livekit::{self, LiveKitDouble},
};

/// Words that would tell who carries the calls.
const VENDORS: [&str; 5] = ["livekit", "realtimekit", "cloudflare", "rtk", "dyte"];

/// Whoever carries the calls.
enum Stage {
    Fake,
    LiveKit(LiveKitDouble),
    Cloudflare(Cloudflare),
}

/// Somebody in a call.
enum Present {
    Demo(Demo),
    LiveKit(Participant),
    Cloudflare(Value),
}

impl Stage {
    async fn all() -> Vec<(Self, Server)> {
        let mut stages = Vec::new();
        for provider in Provider::ALL {
            let mut setup = Setup::new().manual_clock();
            let stage = match provider {
                Provider::Fake => {
                    setup = setup.with(freely).with(|config| config.conference.provider = Some(Provider::Fake));
                    Self::Fake
                }
                Provider::LiveKit => {
                    let livekit = livekit_by(&setup.clock).await;
                    setup = setup.with(by_livekit(&livekit));
                    Self::LiveKit(livekit)
                }
                Provider::RealtimeKit => {
                    let cloudflare = Cloudflare::start().await;
                    setup = setup.with(by_cloudflare(&cloudflare));
                    Self::Cloudflare(cloudflare)
                }
            };
            setup = setup.with(|config| {
                config.limits.tokens_per_minute_per_ip = 60;
                config.quick_rooms.max_rooms = 2;
                config.quick_rooms.max_participants = 6;
            });
            stages.push((stage, setup.start().await));
        }
        stages
    }

    /// Lets the next meeting not be opened; whether that can be.
    fn fail(&self) -> bool {
        match self {
            Self::Fake => return false,
            Self::LiveKit(livekit) => {
                livekit.fail(livekit::Fault::Refused(StatusCode::INTERNAL_SERVER_ERROR, "internal"));
            }
            Self::Cloudflare(cloudflare) => {
                cloudflare.fail(Step::CreateMeeting, cloudflare::Fault::Status(500, 1));
            }
        }
        true
    }

    /// Comes into a call by a token, as the provider's client does, and has the provider tell.
    async fn come(&self, server: &Server, token: &str) -> Present {
        match self {
            Self::Fake => Present::Demo(Demo::attend(server, token).await),
            Self::LiveKit(livekit) => {
                let there = livekit.join(token).unwrap();
                server.hear_all(livekit).await;
                Present::LiveKit(there)
            }
            Self::Cloudflare(cloudflare) => {
                assert!(cloudflare.enter(token));
                let [meeting] = cloudflare.live_meetings().try_into().unwrap();
                let custom = cloudflare.present(&meeting).pop().unwrap();
                let who = json!({
                    "event": "meeting.participantJoined", "meeting": { "id": meeting },
                    "participant": {
                        "customParticipantId": custom, "userDisplayName": "?",
                        "joinedAt": "2026-02-07T12:00:00.000Z",
                    },
                });
                tell(server, cloudflare, &who).await;
                Present::Cloudflare(who)
            }
        }
    }

    /// Leaves again, and has the provider tell.
    async fn leave(&self, server: &Server, room: &str, present: Present) {
        match (self, present) {
            (Self::LiveKit(livekit), Present::LiveKit(there)) => {
                livekit.leave(room, &there.identity);
                server.hear_all(livekit).await;
            }
            (Self::Cloudflare(cloudflare), Present::Cloudflare(mut who)) => {
                who["event"] = json!("meeting.participantLeft");
                who["participant"]["leftAt"] = json!("2026-02-07T12:00:01.000Z");
                tell(server, cloudflare, &who).await;
            }
            (Self::Fake, Present::Demo(demo)) => drop(demo),
            _ => panic!("somebody is in another provider's call"),
        }
    }
}

async fn tell(server: &Server, cloudflare: &Cloudflare, event: &Value) {
    let body = event.to_string();
    let caller = server.stranger();
    let request = caller.request(Method::POST, "/internal/conference/events");
    let signature = cloudflare.sign(body.as_bytes());
    assert_eq!(caller.send(request.header("rtk-signature", signature).body(body)).await.status, 204);
}

/// What was answered, in the order of asking.
#[derive(Default)]
struct Transcript(Vec<(String, Value)>);

impl Transcript {
    /// Writes down what an answer looks like, and asserts that it names no vendor.
    fn note(&mut self, what: &str, answer: &Answer) {
        let mut headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        // How long a token is, is its maker's to choose.
        headers.retain(|name| name != "content-length");
        let shape = json!({ "status": answer.status, "headers": headers, "body": shape("", answer.json()) });
        self.push(what, shape);
    }

    /// Writes down what a frame looks like, and asserts the same.
    fn note_frame(&mut self, what: &str, frame: Value) {
        self.push(what, shape("", frame));
    }

    fn push(&mut self, what: &str, shape: Value) {
        let told = shape.to_string().to_lowercase();
        assert!(VENDORS.iter().all(|vendor| !told.contains(vendor)), "{what}: {told}");
        self.0.push((what.to_owned(), shape));
    }
}

/// A value without what is chance, secret, or of the provider by contract.
fn shape(name: &str, value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name.clone(), shape(&name, value))).collect(),
        Value::Array(values) => values.into_iter().map(|value| shape("", value)).collect(),
        Value::String(_) if matches!(name, "token" | "authToken" | "chatToken" | "url" | "epoch") => json!("…"),
        Value::String(kind) if name == "kind" && matches!(kind.as_str(), "rtc" | "meeting") => json!("…"),
        Value::String(text) if text.parse::<uuid::Uuid>().is_ok() => json!("id"),
        other => other,
    }
}

/// The script: everything that concerns calls, as owner, member, spectator, stranger and foreigner.
async fn play(stage: &Stage, server: &Server) -> Transcript {
    let mut transcript = Transcript::default();
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let short = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
    let open = owner.room_as(json!({ "name": "open", "visibility": "public" })).await;
    let script = Script { stage, server, owner, room, short, open };
    script.tokens(&mut transcript).await;
    script.presence(&mut transcript).await;
    script.names(&mut transcript).await;
    script.ends(&mut transcript).await;
    transcript
}

struct Script<'a> {
    stage: &'a Stage,
    server: &'a Server,
    owner: Caller,
    room: String,
    short: String,
    open: String,
}

impl Script<'_> {
    async fn tokens(&self, transcript: &mut Transcript) {
        let Self { server, owner, room, .. } = self;
        let (member, spectator) =
            (owner.invite(room, "member", "Bob").await, owner.invite(room, "spectator", "Sue").await);
        let agent = owner.clone().with_header("x-meet-name", "Scribe").with_header("x-meet-kind", "agent");
        let foreign = server.new_tenant().await.session("Eve").await;
        transcript.note("the addresses", &owner.get("/realtime/config").await);
        for (what, caller, room) in [
            ("owner", &owner.session("Ann").await, room.as_str()),
            ("agent", &agent, room),
            ("a key without a name", owner, room),
            ("member", &member, room),
            ("spectator guest", &spectator, room),
            ("a member in another room", &member, &self.open),
            ("foreign", &foreign, room),
            ("reader of a public room", &foreign, &self.open),
            ("stranger", &server.stranger(), room),
            ("a wrong key", &server.stranger().with_token("mai_wrong"), room),
            ("no room", &member, "019c37f9-2200-7fe3-9293-e73fb71070ed"),
            ("no id", &member, "livingroom"),
        ] {
            transcript.note(what, &caller.ask_for_call(room).await);
        }
        for body in ["", "{}", "[]", "{\"spaceId\": 5}", "junk"] {
            transcript.note(body, &member.post("/realtime/conference-token", body.to_owned()).await);
        }
        transcript.note("another method", &member.get("/realtime/conference-token").await);
    }

    async fn presence(&self, transcript: &mut Transcript) {
        let Self { stage, server, owner, room, .. } = self;
        let (ann, path) = (owner.session("Ann").await, format!("/api/rooms/{room}"));
        let mut socket: Socket = owner.socket(room, "?since=0").await;
        socket.expect("hello").await;
        let names = || async { owner.names_in_call(room).await.len() };
        let present = stage.come(server, &ann.call_token(room).await).await;
        eventually_ok("Ann to be there", || async { names().await == 1 }).await;
        transcript.note_frame("came", socket.expect("call").await);
        transcript.note("with Ann", &owner.get(&path).await);
        stage.leave(server, room, present).await;
        eventually_ok("Ann to be gone", || async { names().await == 0 }).await;
        transcript.note_frame("left", socket.expect("call").await);
        transcript.note("without Ann", &owner.get(&path).await);
    }

    async fn names(&self, transcript: &mut Transcript) {
        let Self { stage, server, .. } = self;
        let page = server.stranger().with_header("origin", &format!("https://{SITE}"));
        let own = server.stranger().with_header("origin", &server.stranger().own_origin());
        let body = |room: &str, name: &str| json!({ "room": room, "name": name });
        if stage.fail() {
            transcript.note("the provider fails", &page.post_json("/api/token", body("red", "Ann")).await);
            server.tend(Duration::ZERO).await;
        }
        for (what, caller, body) in [
            ("new room", &page, body("red", "Ann")),
            ("second caller", &own, body("red", "Bob")),
            ("with screens", &page, json!({ "room": "red", "name": "Cem", "type": "screenshare" })),
            ("a conflict", &page, json!({ "room": "red", "name": "Di", "type": "audio" })),
            ("with a bot", &page, json!({ "room": "red", "name": "Ed", "enableBot": true })),
            ("the last place", &page, body("red", "Flo")),
            ("no place", &page, body("red", "Gus")),
            ("another room", &page, json!({ "room": "blue", "name": "Ann", "type": "screenshare" })),
            ("no room left", &page, body("green", "Ann")),
            ("no name", &page, json!({ "room": "red" })),
            ("a blank name", &page, body("red", " ")),
            ("a long name", &page, body("red", &"x".repeat(33))),
            ("no such type", &page, json!({ "room": "red", "name": "Ann", "type": "video" })),
            ("no Origin", &server.stranger(), body("red", "Ann")),
        ] {
            transcript.note(what, &caller.post_json("/api/token", body).await);
        }
        transcript.note("junk", &page.post("/api/token", "junk").await);
        transcript.note("another method", &page.get("/api/token").await);
        server.clock.advance(Duration::from_hours(2));
        transcript.note("expired", &page.post_json("/api/token", body("red", "Ann")).await);
        transcript.note("anew", &page.post_json("/api/token", body("red", "Ann")).await);
        let tries = (0..70).map(|_| page.post_json("/api/token", json!({})));
        let refused = join_all(tries).await.into_iter().find(|answer| answer.status == 429);
        transcript.note("too many", &refused.unwrap());
    }

    async fn ends(&self, transcript: &mut Transcript) {
        let Self { stage, owner, room, short, open, .. } = self;
        let ann = owner.session("Ann").await;
        transcript.note("a room that expired", &ann.ask_for_call(short).await);
        if stage.fail() {
            transcript.note("the provider fails for a member", &ann.ask_for_call(open).await);
        }
        transcript.note("deleting", &owner.delete(&format!("/api/rooms/{room}")).await);
        transcript.note("a room that is gone", &ann.ask_for_call(room).await);
        ann.delete("/api/session").await.expect(204);
        transcript.note("signed out", &ann.ask_for_call(open).await);
    }
}

#[tokio::test]
async fn one_script_gets_answers_of_one_shape_whoever_carries_the_calls() {
    let mut transcripts = Vec::new();
    for (stage, server) in Stage::all().await {
        let Transcript(told) = play(&stage, &server).await;
        let carries_nothing = matches!(stage, Stage::Fake);
        for (what, answer) in told.iter().filter(|(what, _)| what.starts_with("the provider fails")) {
            assert_eq!(
                (&answer["status"], &answer["body"]["code"]),
                (&json!(502), &json!("provider_failed")),
                "{what}"
            );
        }
        // RealtimeKit has no place for those who only listen, and says so; one that carries nothing does not fail.
        let spectator = told.iter().find(|(what, _)| what == "spectator guest").unwrap();
        let expected = if matches!(stage, Stage::Cloudflare(_)) { 403 } else { 200 };
        assert_eq!(spectator.1["status"], expected);
        let may_differ =
            |what: &str| what == "spectator guest" || carries_nothing && what.starts_with("the provider fails");
        let told: Vec<_> = told.into_iter().filter(|(what, _)| !may_differ(what)).collect();
        transcripts.push((carries_nothing, told));
    }
    let (_, first) = &transcripts[0];
    for (carries_nothing, told) in &transcripts {
        let first = first.iter().filter(|(what, _)| !carries_nothing || !what.starts_with("the provider fails"));
        for (one, other) in first.clone().zip(told) {
            assert_eq!(one, other);
        }
        assert_eq!(first.count(), told.len());
    }
}

#[tokio::test]
async fn a_server_without_calls_says_so_in_the_same_words() {
    let server = Setup::new().with(freely).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut transcript = Transcript::default();
    transcript.note("a token", &owner.session("Ann").await.ask_for_call(&room).await);
    transcript.note("a name", &owner.enter("red", "Ann").await);
    for (what, answer) in &transcript.0 {
        assert_eq!(
            (&answer["status"], &answer["body"]["code"]),
            (&json!(503), &json!("conference_unavailable")),
            "{what}"
        );
    }
    let config = owner.get("/realtime/config").await;
    transcript.note("the addresses", &config);
    assert_eq!(config.json()["conference"], Value::Null);
    owner.get(&format!("/api/rooms/{room}")).await.expect(200);
}

#[test]
fn no_path_names_a_vendor() {
    let document: Value = serde_json::from_str(meet_server::openapi_json()).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(VENDORS.iter().all(|vendor| !path.to_lowercase().contains(vendor)), "{path}");
    }
}
