//! The loop guard: agents may say so much among themselves, the room is told when they are stopped, and a person's word
//! lets them go on.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Caller, Realtime, Server, Setup, Stream, databases};

/// An owner's room in which agents may say `budget` messages in a row, one of them `share`.
async fn guarded(owner: &Caller, budget: u64, share: u64) -> String {
    let room = owner.room("planning").await;
    let rules = json!({ "agent_budget": budget, "agent_share": share });
    let changed = owner.patch(&format!("/api/rooms/{room}"), rules).await.expect(200);
    let agents = json!({ "paused": false, "budget": budget, "share": share, "remaining": budget });
    assert_eq!(changed["agents"], agents);
    room
}

async fn say(caller: &Caller, room: &str, name: &str, kind: &str) -> Answer {
    let body = json!({ "sender": name, "sender_type": kind, "content": "hi" });
    caller.post_json(&format!("/api/rooms/{room}/messages"), body).await
}

async fn agents(caller: &Caller, room: &str) -> Value {
    caller.get(&format!("/api/rooms/{room}")).await.expect(200)["agents"].clone()
}

/// The next event about the room's agents.
async fn told(stream: &mut Stream) -> Value {
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if event.name == "guard" {
            return event.data;
        }
    }
}

#[tokio::test]
async fn agents_are_stopped_when_their_budget_is_spent_and_a_person_lets_them_go_on() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = guarded(&owner, 3, 0).await;
        let mut stream = owner.stream(&format!("/api/rooms/{room}/events?since=0")).await;
        let (mut wire, _) = Realtime::connect(&owner.session("Zoe").await).await;
        wire.subscribe(&owner.session("Zoe").await, &room, json!({})).await;
        for name in ["scout", "critic", "scout"] {
            say(&owner, &room, name, "agent").await.expect(201);
        }
        let full = agents(&owner, &room).await;
        assert_eq!(full["remaining"], 0, "what is left can be read before anybody is stopped");
        for name in ["critic", "scout", "critic"] {
            let refused = say(&owner, &room, name, "agent").await;
            assert!(refused.json()["error"].as_str().unwrap().contains("a person's message"));
            assert_eq!(refused.refusal(409), "agent_budget_spent");
        }
        let tripped = told(&mut stream).await;
        let (event, reason, name) = (&tripped["event"], &tripped["reason"], &tripped["name"]);
        assert_eq!((event, reason, name), (&json!("tripped"), &json!("budget"), &json!("critic")));
        assert_eq!(tripped["agents"], full);
        say(&owner, &room, "Ann", "human").await.expect(201);
        let lifted = told(&mut stream).await;
        assert_eq!((&lifted["event"], &lifted["agents"]["remaining"]), (&json!("lifted"), &json!(3)), "told once each");
        say(&owner, &room, "critic", "agent").await.expect(201);
        let mut pushed = Vec::new();
        while pushed.len() < 2 {
            let publication = wire.push().await["pub"].clone();
            if publication["data"]["type"] == "guard" {
                assert_eq!(publication["offset"], Value::Null, "it is no history");
                pushed.push(publication["data"].clone());
            }
        }
        assert_eq!(pushed, [tripped, lifted]);
        let seqs: Vec<_> = owner.messages(&room, "").await.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5], "who was stopped took no place");
        drop((stream, wire));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_chatty_agent_spends_its_share_and_no_more() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = guarded(&owner, 5, 2).await;
    let mut stream = owner.stream(&format!("/api/rooms/{room}/events?since=0")).await;
    for _ in 0..2 {
        say(&owner, &room, "scout", "agent").await.expect(201);
    }
    let scout = owner.clone().with_header("x-meet-name", "scout").with_header("x-meet-kind", "agent");
    let guard = scout.get(&format!("/api/rooms/{room}/guard")).await.expect(200);
    assert_eq!((&guard["remaining"], &guard["own_remaining"]), (&json!(3), &json!(0)));
    assert_eq!(say(&owner, &room, "scout", "agent").await.refusal(409), "agent_share_spent");
    assert_eq!(told(&mut stream).await["reason"], "share");
    let critic = owner.clone().with_header("x-meet-name", "critic").with_header("x-meet-kind", "agent");
    assert_eq!(critic.get(&format!("/api/rooms/{room}/guard")).await.expect(200)["own_remaining"], 2);
    let anybody = owner.get(&format!("/api/rooms/{room}/guard")).await.expect(200);
    assert_eq!(anybody.get("own_remaining"), None);
    say(&owner, &room, "critic", "agent").await.expect(201);
    say(&owner, &room, "Ann", "human").await.expect(201);
    say(&owner, &room, "scout", "agent").await.expect(201);
}

#[tokio::test]
async fn by_name_nobody_escapes_its_share() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = guarded(&owner, 9, 2).await;
    let guest = owner.guest(&room, "Gizmo", "agent").await;
    for _ in 0..2 {
        guest.post_json(&format!("/api/rooms/{room}/messages"), json!({ "content": "hi" })).await.expect(201);
    }
    // It is who its session says, however it would be called.
    let another = json!({ "content": "hi", "sender": "Somebody", "sender_type": "human" });
    let answer = guest.post_json(&format!("/api/rooms/{room}/messages"), another).await;
    assert_eq!(answer.refusal(403), "forbidden");
    let again = guest.post_json(&format!("/api/rooms/{room}/messages"), json!({ "content": "hi" })).await;
    assert_eq!(again.refusal(409), "agent_share_spent");
}

#[tokio::test]
async fn an_owner_pauses_agents_and_lets_them_begin_anew() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = guarded(&owner, 2, 0).await;
    let path = format!("/api/rooms/{room}");
    let mut stream = owner.stream(&format!("{path}/events?since=0")).await;
    let mut lobby = owner.stream("/api/lobby/events").await;
    assert_eq!(owner.patch(&path, json!({ "agents_paused": true })).await.expect(200)["agents"]["paused"], true);
    assert_eq!(told(&mut stream).await["event"], "paused");
    assert_eq!(lobby.expect("room_updated").await.data["agents"]["paused"], true);
    assert_eq!(say(&owner, &room, "scout", "agent").await.refusal(409), "agents_paused");
    say(&owner, &room, "Ann", "human").await.expect(201);
    assert_eq!(say(&owner, &room, "scout", "agent").await.refusal(409), "agents_paused", "no word of Ann lifts it");
    let resume = json!({ "agents_paused": false });
    owner.patch(&path, resume.clone()).await.expect(200);
    assert_eq!(told(&mut stream).await["event"], "resumed");
    for _ in 0..2 {
        say(&owner, &room, "scout", "agent").await.expect(201);
    }
    assert_eq!(say(&owner, &room, "scout", "agent").await.refusal(409), "agent_budget_spent");
    assert_eq!(told(&mut stream).await["event"], "tripped");
    assert_eq!(owner.patch(&path, resume).await.expect(200)["agents"]["remaining"], 2);
    say(&owner, &room, "scout", "agent").await.expect(201);
    assert_eq!(told(&mut stream).await["event"], "resumed");
    let guest = owner.invite(&room, "member", "Gus").await;
    let meddling = guest.patch(&path, json!({ "agents_paused": true })).await;
    assert_eq!(meddling.refusal(403), "forbidden");
    for bad in [json!({ "agent_budget": 1001 }), json!({ "agent_share": -1 }), json!({ "agents_paused": 1 })] {
        assert_eq!(owner.patch(&path, bad).await.refusal(400), "invalid_request");
    }
}

#[tokio::test]
async fn a_room_begins_with_the_servers_rules_and_zero_is_no_rule() {
    let setup = Setup::new().with(|config| {
        config.limits.agent_budget = 1;
        config.limits.agent_share = 0;
    });
    let server = setup.start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    say(&owner, &room, "scout", "agent").await.expect(201);
    assert_eq!(say(&owner, &room, "scout", "agent").await.refusal(409), "agent_budget_spent");
    let rules = json!({ "agent_budget": 0 });
    let free = owner.patch(&format!("/api/rooms/{room}"), rules).await.expect(200)["agents"].clone();
    assert_eq!(free, json!({ "paused": false, "budget": 0, "share": 0, "remaining": null }));
    for _ in 0..5 {
        say(&owner, &room, "scout", "agent").await.expect(201);
    }
}

#[tokio::test]
async fn a_repeat_and_what_is_no_message_cost_nothing() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = guarded(&owner, 1, 0).await;
    let once = owner.clone().with_header("idempotency-key", "once");
    let first = say(&once, &room, "scout", "agent").await.expect(201);
    assert_eq!(say(&once, &room, "scout", "agent").await.expect(201), first);
    let scout = owner.with_header("x-meet-name", "scout").with_header("x-meet-kind", "agent");
    let log = json!({ "text": "running the tests" });
    scout.post_json(&format!("/api/rooms/{room}/log"), log).await.expect(204);
    let status = json!({ "about": { "doing": "waiting" } });
    scout.call("PUT", "/presence/status", &status).await.expect(200);
}

#[tokio::test]
async fn an_agent_that_is_stopped_beside_a_persons_word_leaves_no_room_told_that_it_still_is() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = guarded(&owner, 1, 0).await;
    let mut stream = owner.stream(&format!("/api/rooms/{room}/events?since=0")).await;
    for _ in 0..50 {
        // At once, so that they often share a commit.
        let said = [("scout", "agent"), ("scout", "agent"), ("Ann", "human"), ("scout", "agent"), ("Ann", "human")];
        join_all(said.map(|(name, kind)| say(&owner, &room, name, kind))).await;
    }
    let head = owner.say(&room, "Ann", "the end").await.seq;
    let mut is_stopped = false;
    loop {
        let event = stream.next().await.expect("the stream goes on");
        match event.data["event"].as_str() {
            Some("tripped") => {
                assert!(!is_stopped, "told twice");
                is_stopped = true;
            }
            Some("lifted") => {
                assert!(is_stopped, "nobody was stopped");
                is_stopped = false;
            }
            _ => {}
        }
        if event.data["seq"] == head {
            break;
        }
    }
    if is_stopped {
        assert_eq!(told(&mut stream).await["event"], "lifted");
    }
}

#[tokio::test]
async fn what_an_owner_changes_lifts_what_it_is_about_and_nothing_else() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = guarded(&owner, 4, 1).await;
    let path = format!("/api/rooms/{room}");
    let mut stream = owner.stream(&format!("{path}/events?since=0")).await;
    say(&owner, &room, "scout", "agent").await.expect(201);
    say(&owner, &room, "scout", "agent").await.expect(409);
    assert_eq!(told(&mut stream).await["reason"], "share");
    owner.patch(&path, json!({ "name": "plans", "media": "screenshare" })).await.expect(200);
    owner.patch(&path, json!({ "agent_budget": 5 })).await.expect(200);
    say(&owner, &room, "scout", "agent").await.expect(409);
    owner.patch(&path, json!({ "agent_share": 2 })).await.expect(200);
    let lifted = told(&mut stream).await;
    assert_eq!((&lifted["event"], &lifted["agents"]["share"]), (&json!("lifted"), &json!(2)), "the first news since");
    say(&owner, &room, "scout", "agent").await.expect(201);
    say(&owner, &room, "scout", "agent").await.expect(409);
    assert_eq!(told(&mut stream).await["event"], "tripped");
    owner.patch(&path, json!({ "agents_paused": true })).await.expect(200);
    assert_eq!(told(&mut stream).await["event"], "paused");
    say(&owner, &room, "Ann", "human").await.expect(201);
    owner.patch(&path, json!({ "agents_paused": false })).await.expect(200);
    let resumed = told(&mut stream).await;
    assert_eq!(resumed["event"], "resumed", "while they are paused, no word of Ann lets them go on: {resumed}");
}

#[tokio::test]
async fn a_streak_outlives_the_server() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = guarded(&owner, 1, 0).await;
        say(&owner, &room, "scout", "agent").await.expect(201);
        let (database, token) = (server.stop().await, owner.token().to_owned());
        let server = Setup::on(database).start().await;
        let owner = server.stranger().with_token(&token);
        assert_eq!(say(&owner, &room, "scout", "agent").await.refusal(409), "agent_budget_spent");
        server.stop().await;
    }
}

#[tokio::test]
async fn the_welcome_room_begins_with_a_whole_budget_however_small() {
    let setup = Setup::new().with(|config| {
        config.welcome = true;
        config.limits.agent_budget = 2;
    });
    let server = setup.start().await;
    let rooms = server.stranger().get("/api/public/rooms").await.expect(200);
    let welcome = &rooms[0];
    assert!(welcome["head_seq"].as_u64().unwrap() > 2, "the conversation is whole: {welcome}");
    assert_eq!((&welcome["agents"]["budget"], &welcome["agents"]["remaining"]), (&json!(2), &json!(2)));
}
