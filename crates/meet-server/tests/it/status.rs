//! As what a user is seen: online, away, busy, or invisible, which nobody can tell from absent.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use crate::support::{Caller, Database, Server, Setup, Socket, Stream, databases, eventually};

/// Who somebody is to others.
async fn id(caller: &Caller) -> String {
    caller.get("/api/session").await.expect(200)["user"]["id"].as_str().unwrap().to_owned()
}

async fn choose(caller: &Caller, status: &str) -> Value {
    caller.call("PUT", "/presence/status", &json!({ "status": status })).await.expect(200)
}

/// As what the caller sees users, in the order asked.
async fn seen<const N: usize>(caller: &Caller, users: [&str; N]) -> [String; N] {
    let query = users.map(|user| format!("user={user}")).join("&");
    let answer = caller.get(&format!("/presence?{query}")).await.expect(200);
    let answer = answer.as_array().unwrap();
    assert!(answer.iter().zip(users).all(|(answer, user)| answer["user"] == user), "{answer:?}");
    std::array::from_fn(|at| answer[at]["status"].as_str().unwrap().to_owned())
}

/// The next presence frame as (event, name, status).
async fn change(socket: &mut Socket) -> (String, String, String) {
    let frame = socket.expect("presence").await;
    let text = |key: &str| frame[key].as_str().unwrap().to_owned();
    (text("event"), text("name"), text("status"))
}

fn event(event: &str, name: &str, status: &str) -> (String, String, String) {
    (event.to_owned(), name.to_owned(), status.to_owned())
}

/// Somebody who writes down everything that is to be known of bob in a room.
struct Observer {
    caller: Caller,
    room: String,
    bob: String,
    socket: Socket,
    events: Stream,
    lobby: Stream,
    told: Value,
    transcript: Vec<Value>,
}

impl Observer {
    async fn sit_down(caller: Caller, room: &str, bob: &str) -> Self {
        let lobby = caller.stream("/api/lobby/events").await;
        let socket = caller.socket(room, "?since=0").await;
        let events = caller.stream(&format!("/api/rooms/{room}/events?since=0")).await;
        let (room, bob) = (room.to_owned(), bob.to_owned());
        Self { caller, room, bob, socket, events, lobby, told: Value::Null, transcript: Vec::new() }
    }

    /// Writes down what the lobby tells until it shows so many people and messages.
    async fn wait_for(&mut self, online: u64, head_seq: u64) {
        loop {
            let told = self.lobby.next().await.unwrap();
            // It may tell the same twice, whatever happens.
            if self.told != told.data {
                self.transcript.push(json!([told.name, told.data]));
                self.told.clone_from(&told.data);
            }
            if (&told.data["online"], &told.data["head_seq"]) == (&json!(online), &json!(head_seq)) {
                return;
            }
        }
    }

    /// Says something and writes down all that came before it, and all that can be asked.
    async fn look_around(&mut self, online: u64, marker: u64) {
        self.caller.say(&self.room, "ann", &format!("marker {marker}")).await;
        self.wait_for(online, marker).await;
        loop {
            let frame = self.socket.next().await.unwrap();
            let is_last = frame["seq"] == marker;
            self.transcript.push(frame);
            if is_last {
                break;
            }
        }
        loop {
            let told = self.events.next().await.unwrap();
            let is_last = told.data["seq"] == marker;
            self.transcript.push(json!([told.id, told.name, told.data]));
            if is_last {
                break;
            }
        }
        let (room, bob) = (&self.room, &self.bob);
        let asked = ["/api/rooms".to_owned(), format!("/api/rooms/{room}"), format!("/api/rooms/{room}/presence")];
        for path in asked.into_iter().chain([format!("/presence?user={bob}")]) {
            let answer = self.caller.get(&path).await.expect(200);
            self.transcript.push(answer);
        }
    }

    /// What was written down, with every id named by its first appearance, and without epochs, which are chance.
    fn transcript(self) -> Vec<String> {
        let mut names = HashMap::new();
        self.transcript.into_iter().map(|what| anonymous(what, &mut names).to_string()).collect()
    }
}

fn anonymous(value: Value, names: &mut HashMap<String, String>) -> Value {
    match value {
        Value::String(text) if text.len() >= 16 && !text.contains([' ', ':']) => {
            let count = names.len();
            Value::String(names.entry(text).or_insert_with(|| format!("id {count}")).clone())
        }
        Value::Array(list) => list.into_iter().map(|value| anonymous(value, names)).collect(),
        Value::Object(mut fields) => {
            fields.remove("epoch");
            fields.into_iter().map(|(key, value)| (key, anonymous(value, names))).collect()
        }
        other => other,
    }
}

/// How somebody is not to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// By turning invisible, and being busy meanwhile.
    Invisible,
    /// By not being here.
    Gone,
}

/// Comes and goes unseen, asks and waits, by each way there is.
async fn bustle(server: &Server, bob: &Caller, room: &str) {
    let before = server.app.hub().connections();
    let socket = bob.socket(room, "?since=0").await;
    let events = bob.stream(&format!("/api/rooms/{room}/events")).await;
    let lobby = bob.stream("/api/lobby/events").await;
    bob.get("/api/rooms").await.expect(200);
    let poll = format!("/api/rooms/{room}/messages?wait=60");
    let all_are_here = eventually("the poll", || server.app.hub().connections() == before + 4);
    tokio::select! {
        _ = bob.get(&poll) => panic!("nobody said anything"),
        () = all_are_here => {}
    }
    drop((socket, events, lobby));
    eventually("it to leave", || server.app.hub().connections() == before).await;
}

/// Bob comes by two devices, is not to be seen for a while, and is back by both.
async fn leaves_and_returns(database: Database, absence: Absence) -> Vec<String> {
    let server = Setup::on(database).manual_clock().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let bob = owner.session("bob").await;
    let ann = owner.session("ann").await;
    let mut observer = Observer::sit_down(ann, &room, &id(&bob).await).await;
    let stream = format!("/api/rooms/{room}/events");
    // Members are listed by the time of their arrival.
    server.clock.advance(Duration::from_secs(1));
    let mut devices = Some((bob.socket(&room, "").await, bob.stream(&stream).await));
    observer.wait_for(2, 0).await;
    observer.transcript.clear();
    observer.look_around(2, 1).await;

    let connections = server.app.hub().connections();
    match absence {
        Absence::Invisible => assert_eq!(choose(&bob, "invisible").await["status"], "invisible"),
        Absence::Gone => {
            devices = None;
            eventually("bob to leave", || server.app.hub().connections() == connections - 2).await;
        }
    }
    observer.wait_for(1, 1).await;
    observer.look_around(1, 2).await;
    if absence == Absence::Invisible {
        bustle(&server, &bob, &room).await;
    }
    let invite = json!({ "role": "member" });
    let invite = owner.post_json(&format!("/api/rooms/{room}/invites"), invite).await.expect(201);
    let taken = json!({ "invite": invite["token"], "name": "Bob" });
    assert_eq!(server.stranger().post_json("/api/session", taken).await.refusal(409), "name_taken");
    observer.look_around(1, 3).await;

    server.clock.advance(Duration::from_secs(20));
    match absence {
        Absence::Invisible => assert_eq!(choose(&bob, "online").await["status"], "online"),
        Absence::Gone => devices = Some((bob.socket(&room, "").await, bob.stream(&stream).await)),
    }
    observer.wait_for(2, 3).await;
    observer.look_around(2, 4).await;
    drop(devices);
    server.stop().await;
    observer.transcript()
}

#[tokio::test]
async fn turning_invisible_looks_like_a_disconnect_to_whoever_watches() {
    for database in databases().await {
        let other = database.another().await;
        let gone = leaves_and_returns(other, Absence::Gone).await;
        let invisible = leaves_and_returns(database, Absence::Invisible).await;
        assert_eq!(invisible, gone);
        let leaves = gone.iter().filter(|line| line.contains(r#""event":"leave""#)).count();
        assert_eq!(leaves, 2, "one by the socket, one by the stream: {gone:#?}");
        assert!(gone.iter().any(|line| line.contains(r#""since":"2026-02-07T12:00:21.000Z""#)), "{gone:#?}");
    }
}

/// Bob is invisible from the beginning, or is not there at all.
async fn never_seen(database: Database, absence: Absence) -> Vec<String> {
    let server = Setup::on(database).manual_clock().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let bob = owner.session("bob").await;
    choose(&bob, "invisible").await;
    let ann = owner.session("ann").await;
    let mut observer = Observer::sit_down(ann, &room, &id(&bob).await).await;
    observer.wait_for(1, 0).await;
    observer.transcript.clear();
    observer.look_around(1, 1).await;
    let (mut devices, connections) = (None, server.app.hub().connections());
    if absence == Absence::Invisible {
        devices = Some((bob.socket(&room, "").await, bob.stream(&format!("/api/rooms/{room}/events")).await));
        bustle(&server, &bob, &room).await;
    }
    observer.look_around(1, 2).await;
    drop(devices);
    eventually("bob to leave", || server.app.hub().connections() == connections).await;
    if absence == Absence::Invisible {
        bustle(&server, &bob, &room).await;
    }
    observer.look_around(1, 3).await;
    server.stop().await;
    observer.transcript()
}

#[tokio::test]
async fn whoever_comes_while_invisible_was_never_there() {
    for database in databases().await {
        let other = database.another().await;
        let gone = never_seen(other, Absence::Gone).await;
        assert_eq!(never_seen(database, Absence::Invisible).await, gone);
    }
}

#[tokio::test]
async fn what_one_device_chooses_is_shown_of_all_until_the_last_is_gone() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (room, other) = (owner.room("planning").await, owner.room("other").await);
        let mut observer = owner.socket(&room, "?since=0&name=ann").await;
        observer.expect("hello").await;
        assert_eq!(change(&mut observer).await, event("join", "ann", "online"));
        let (bob, named) = (owner.session("bob").await, owner.clone().with_header("x-meet-name", "bob"));
        let user = id(&bob).await;
        assert_eq!(seen(&owner, [&user]).await, ["offline"]);
        let phone = bob.socket(&room, "").await;
        assert_eq!(change(&mut observer).await, event("join", "bob", "online"));
        let laptop = owner.stream(&format!("/api/rooms/{other}/events?name=bob")).await;
        for status in ["away", "busy", "online", "away"] {
            // The key speaks for its user as the user's session does.
            assert_eq!(choose(&named, status).await, json!({ "user": user, "status": status }));
            assert_eq!(change(&mut observer).await, event("status", "bob", status));
            assert_eq!(seen(&owner, [&user]).await, [status]);
        }
        choose(&bob, "away").await;
        let shown = owner.get(&format!("/api/rooms/{other}/presence")).await.expect(200);
        assert_eq!(shown["members"][0]["status"], "away", "{shown}");
        drop(phone);
        assert_eq!(change(&mut observer).await, event("leave", "bob", "away"), "and nothing for the same again");
        assert_eq!(seen(&owner, [&user]).await, ["away"], "the laptop is here");
        drop(laptop);
        eventually("the laptop to leave", || server.app.hub().connections() == 1).await;
        assert_eq!(seen(&owner, [&user]).await, ["offline"]);
        let _back = bob.socket(&room, "").await;
        assert_eq!(change(&mut observer).await, event("join", "bob", "away"), "as it chose before");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_choice_outlives_the_server_and_is_in_force_before_anybody_can_see() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let (bob, cleo) = (owner.session("bob").await, owner.session("cleo").await);
        let users = [&*id(&bob).await, &*id(&cleo).await];
        choose(&bob, "invisible").await;
        choose(&cleo, "busy").await;
        let database = server.stop().await;

        let server = Setup::on(database).start().await;
        let [owner, bob, cleo] = [owner, bob, cleo].map(|caller| server.stranger().with_token(caller.token()));
        let mut observer = owner.socket(&room, "?since=0&name=ann").await;
        observer.expect("hello").await;
        assert_eq!(change(&mut observer).await, event("join", "ann", "online"));
        let _bob = bob.socket(&room, "").await;
        let _cleo = cleo.socket(&room, "").await;
        assert_eq!(change(&mut observer).await, event("join", "cleo", "busy"));
        assert_eq!(seen(&owner, users).await, ["offline", "busy"]);
        assert_eq!(seen(&bob, users).await, ["invisible", "busy"], "and bob knows of itself");
        choose(&bob, "away").await;
        assert_eq!(change(&mut observer).await, event("join", "bob", "away"));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_choice_that_races_with_the_first_arrival_is_in_force_when_both_are_done() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let mut observer = owner.socket(&room, "?since=0&name=ann").await;
        observer.expect("hello").await;
        assert_eq!(change(&mut observer).await, event("join", "ann", "online"));
        for n in 0..30 {
            // Somebody whom nobody has met, so that both have to ask the store.
            let name = format!("bob {n}");
            let bob = owner.session(&name).await;
            let (phone, laptop, _) =
                tokio::join!(bob.socket(&room, ""), bob.socket(&room, ""), choose(&bob, "invisible"));
            let presence = owner.get(&format!("/api/rooms/{room}/presence")).await.expect(200);
            assert_eq!(presence["members"].as_array().unwrap().len(), 1, "{presence}");
            drop((phone, laptop));
            eventually("bob to leave", || server.app.hub().connections() == 1).await;
            let marker = owner.say(&room, "ann", "marker").await;
            let mut told = Vec::new();
            while let frame = observer.next().await.unwrap()
                && frame != json!(marker)
            {
                told.push(frame["event"].as_str().unwrap().to_owned());
            }
            assert!(told.is_empty() || told == ["join", "leave"], "{told:?}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_guest_sees_those_in_its_rooms_and_other_tenants_see_nobody() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (shared, hidden) = (owner.room("shared").await, owner.room("hidden").await);
        let (bob, cleo) = (owner.session("bob").await, owner.session("cleo").await);
        let gil = owner.invite(&shared, "spectator", "Gil").await;
        let (bobs, cleos, gils) = (id(&bob).await, id(&cleo).await, id(&gil).await);
        let unknown = "01900000-0000-7000-8000-000000000001";
        let users = [&*bobs, &*cleos, &*gils, unknown];
        let in_shared = bob.socket(&shared, "").await;
        let _in_hidden = (bob.socket(&hidden, "").await, cleo.socket(&hidden, "").await);
        assert_eq!(seen(&owner, users).await, ["online", "online", "offline", "offline"]);
        assert_eq!(seen(&gil, users).await, ["online", "offline", "offline", "offline"]);
        let _here = gil.socket(&shared, "").await;
        assert_eq!(seen(&gil, users).await, ["online", "offline", "online", "offline"]);
        assert_eq!(choose(&gil, "busy").await["user"], gils);
        assert_eq!(seen(&bob, users).await, ["online", "online", "busy", "offline"]);
        drop(in_shared);
        eventually("bob to leave the room", || server.app.hub().connections() == 3).await;
        assert_eq!(seen(&gil, users).await, ["offline", "offline", "busy", "offline"], "bob is elsewhere now");

        for other in [server.new_tenant().await, server.new_tenant().await.session("bob").await, server.operator()] {
            assert_eq!(seen(&other, users).await, ["offline"; 4]);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn who_reads_a_public_room_of_others_while_invisible_is_not_counted_there() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let stage = owner.room_as(json!({ "name": "stage", "visibility": "public" })).await;
        let bob = server.new_tenant().await.session("bob").await;
        let watching =
            async || owner.get(&format!("/api/rooms/{stage}/presence")).await.expect(200)["watching"].as_u64().unwrap();
        let _watching = bob.stream(&format!("/api/rooms/{stage}/events")).await;
        assert_eq!(watching().await, 1);
        choose(&bob, "invisible").await;
        assert_eq!(watching().await, 0);
        let another = bob.socket(&stage, "").await;
        assert_eq!(watching().await, 0);
        choose(&bob, "away").await;
        assert_eq!(watching().await, 2);
        drop(another);
        eventually("one to leave", || server.app.hub().connections() == 1).await;
        assert_eq!(watching().await, 1);
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_status_and_no_question_is_refused_by_name() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let bob = owner.session("bob").await;
    for body in [json!({ "status": "asleep" }), json!({ "status": 5 }), json!({}), json!({ "status": "offline" })] {
        let answer = bob.call("PUT", "/presence/status", &body).await;
        assert_eq!(answer.refusal(400), "invalid_request", "{body}");
        assert!(answer.json()["error"].as_str().unwrap().contains("status"), "{body}: {}", answer.json());
    }
    let away = json!({ "status": "away" });
    let nameless = owner.call("PUT", "/presence/status", &away).await;
    assert_eq!(nameless.refusal(400), "invalid_request");
    assert!(nameless.json()["error"].as_str().unwrap().contains("X-Meet-Name"));
    let other = bob.clone().with_header("x-meet-name", "cleo");
    assert_eq!(other.call("PUT", "/presence/status", &away).await.refusal(403), "forbidden");
    assert_eq!(server.stranger().call("PUT", "/presence/status", &away).await.refusal(401), "missing_key");

    let user = id(&bob).await;
    let asked = |count: usize| format!("/presence?{}", vec![format!("user={user}"); count].join("&"));
    assert_eq!(bob.get(&asked(100)).await.expect(200).as_array().unwrap().len(), 100);
    for path in [asked(101), asked(0), "/presence?user=bob".into(), "/presence?user=".into(), "/presence".into()] {
        let answer = bob.get(&path).await;
        assert_eq!(answer.refusal(400), "invalid_request", "{path}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("user "), "{}", answer.json());
    }
    assert_eq!(server.stranger().get(&asked(1)).await.refusal(401), "missing_key");
}

#[tokio::test]
async fn a_status_that_flickers_is_held_to_a_number_in_a_minute() {
    let server = Setup::new().manual_clock().start().await;
    let (ann, bob) = (server.operator().session("Ann").await, server.operator().session("Bob").await);
    for n in 0..120 {
        choose(&ann, ["away", "online"][n % 2]).await;
    }
    let refused = ann.call("PUT", "/presence/status", &json!({ "status": "busy" })).await;
    assert_eq!((refused.refusal(429).as_str(), refused.header("retry-after")), ("rate_limited", "60"));
    choose(&bob, "busy").await;
    server.clock.advance(Duration::from_mins(1));
    choose(&ann, "busy").await;
}

#[tokio::test]
async fn a_key_has_no_more_changes_for_having_more_names() {
    let server = Setup::new().manual_clock().start().await;
    let (owner, other) = (server.operator(), server.new_tenant().await);
    let named = |caller: &Caller, n: usize| caller.clone().with_header("x-meet-name", &format!("agent {}", n % 20));
    for n in 0..600 {
        choose(&named(&owner, n), ["away", "online"][n / 20 % 2]).await;
    }
    let refused = named(&owner, 7).call("PUT", "/presence/status", &json!({ "status": "busy" })).await;
    assert_eq!((refused.refusal(429).as_str(), refused.header("retry-after")), ("rate_limited", "60"));
    // Sessions have counts of their own, and so have other keys.
    choose(&owner.session("Ann").await, "busy").await;
    choose(&named(&other, 7), "busy").await;
    server.clock.advance(Duration::from_mins(1));
    choose(&named(&owner, 7), "busy").await;
}
