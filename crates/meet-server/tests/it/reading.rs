//! Nobody loses its place: how far each user has read, what mentions it, and what others tell of their work meanwhile.

use meet_api::Message;
use serde_json::{Value, json};

use crate::support::{Caller, Realtime, Server, Setup, databases};

async fn mark(caller: &Caller, room: &str, seq: Value) -> crate::support::Answer {
    caller.call("PUT", &format!("/api/rooms/{room}/read"), &json!({ "seq": seq })).await
}

/// `read_seq`, `unread` and `mentions` of a room, as the caller's list has them.
async fn listed(caller: &Caller, room: &str) -> [Value; 3] {
    let rooms = caller.get("/api/rooms").await.expect(200);
    let found = rooms.as_array().unwrap().iter().find(|found| found["id"] == room).unwrap().clone();
    let one = caller.get(&format!("/api/rooms/{room}")).await.expect(200);
    let fields = |room: &Value| ["read_seq", "unread", "mentions"].map(|field| room[field].clone());
    assert_eq!(fields(&found), fields(&one));
    fields(&found)
}

fn counts(read_seq: u64, unread: u64, mentions: u64) -> [Value; 3] {
    [read_seq, unread, mentions].map(Value::from)
}

#[tokio::test]
async fn whoever_comes_back_under_its_name_goes_on_where_it_was() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let scout = owner.clone().with_header("x-meet-name", "scout").with_header("x-meet-kind", "agent");
        // Whoever has marked once is known by its name.
        mark(&scout, &room, json!(0)).await.expect(200);
        assert_eq!(listed(&scout, &room).await, counts(0, 0, 0));
        for text in ["one", "@scout two", "three"] {
            owner.say(&room, "Ann", text).await;
        }
        let own = json!({ "sender": "scout", "sender_type": "agent", "content": "I, @scout, was here" });
        owner.post_json(&format!("/api/rooms/{room}/messages"), own).await.expect(201);
        assert_eq!(listed(&scout, &room).await, counts(0, 3, 1), "its own is neither unread nor a mention");
        let marked = mark(&scout, &room, json!(1)).await.expect(200);
        assert_eq!(marked, json!({ "room_id": room, "read_seq": 1, "unread": 2, "mentions": 1 }));
        let (database, token) = (server.stop().await, owner.token().to_owned());

        let server = Setup::on(database).start().await;
        let owner = server.stranger().with_token(&token);
        let scout = owner.clone().with_header("x-meet-name", "Scout").with_header("x-meet-kind", "agent");
        assert_eq!(listed(&scout, &room).await, counts(1, 2, 1));
        assert_eq!(mark(&scout, &room, json!(3)).await.expect(200)["unread"], 0);
        assert_eq!(mark(&scout, &room, json!(2)).await.expect(200)["read_seq"], 3, "a mark never goes back");
        let ann = owner.session("Ann").await;
        assert_eq!(listed(&ann, &room).await, counts(0, 1, 0), "everybody has its own");
        assert_eq!(listed(&owner, &room).await, [Value::Null, Value::Null, Value::Null], "a bare key is nobody");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_mark_is_held_to_what_there_is_and_to_who_may_read() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    owner.say(&room, "Ann", "one").await;
    let ann = owner.session("Ann").await;
    assert_eq!(mark(&ann, &room, json!(2)).await.refusal(400), "unknown_cursor");
    for bad in [Value::Null, json!(-1), json!("1"), json!(1.5)] {
        assert_eq!(mark(&ann, &room, bad).await.refusal(400), "invalid_request");
    }
    assert_eq!(mark(&owner, &room, json!(1)).await.refusal(400), "invalid_request");
    owner.patch(&format!("/api/rooms/{room}"), json!({ "visibility": "public" })).await.expect(200);
    let stranger = server.new_tenant().await.session("Eve").await;
    assert_eq!(mark(&stranger, &room, json!(0)).await.refusal(403), "read_only");
    let spectator = owner.invite(&room, "spectator", "Sue").await;
    assert_eq!(mark(&spectator, &room, json!(1)).await.expect(200)["read_seq"], 1, "who may only look reads, too");
}

#[tokio::test]
async fn a_mention_and_a_mark_reach_the_user_wherever_it_is() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
    let mut lobby = ann.stream("/api/lobby/events").await;
    let mut others = bob.stream("/api/lobby/events").await;
    let (mut wire, _) = Realtime::connect(&ann).await;
    let said = owner.say(&room, "Bob", "hello @ann").await;
    let event = lobby.expect("mention").await.data;
    assert_eq!(serde_json::from_value::<Message>(event["message"].clone()).unwrap(), said);
    assert_eq!(wire.push().await["pub"]["data"], event);
    owner.say(&room, "Ann", "that is me, @Ann").await;
    let reading = mark(&ann, &room, json!(1)).await.expect(200);
    let read = lobby_event(&mut lobby, "read").await;
    assert_eq!(read, json!({ "type": "read", "room_id": room, "read_seq": 1, "unread": 0, "mentions": 0 }));
    assert_eq!(reading["unread"], 0);
    assert_eq!(wire.push().await["pub"]["data"], read);
    // Bob hears of the room, and of nothing that is Ann's.
    mark(&bob, &room, json!(2)).await.expect(200);
    assert_eq!(lobby_event(&mut others, "read").await["read_seq"], 2);
}

/// The next event of a lobby that is not about rooms, which must be of this name.
async fn lobby_event(lobby: &mut crate::support::Stream, name: &str) -> Value {
    loop {
        let event = lobby.next().await.expect("the stream goes on");
        if event.name != "room_updated" {
            assert_eq!(event.name, name, "{}", event.data);
            return event.data;
        }
    }
}

#[tokio::test]
async fn a_guest_hears_of_no_mention_in_a_room_that_it_does_not_reach() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let (room, other) = (owner.room("planning").await, owner.room("secret").await);
    let guest = owner.invite(&room, "member", "Gus").await;
    let mut lobby = guest.stream("/api/lobby/events").await;
    owner.say(&other, "Ann", "@Gus must not hear this").await;
    owner.say(&room, "Ann", "@Gus may hear this").await;
    assert_eq!(lobby_event(&mut lobby, "mention").await["message"]["content"], "@Gus may hear this");
    assert_eq!(listed(&guest, &room).await, counts(0, 1, 1));
    // In the other room the name is nobody's, so what says it is for all.
    let wanted = owner.messages(&other, "?for=ann-lee").await;
    assert_eq!(wanted.len(), 1);
    assert!(owner.messages(&room, "?for=ann-lee").await.is_empty());
}

#[tokio::test]
async fn what_somebody_is_doing_is_told_to_the_room_and_kept_nowhere() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut socket = owner.socket(&room, "?since=0").await;
    let mut plain = owner.socket(&room, "").await;
    socket.expect("hello").await;
    let scout = owner.guest(&room, "scout", "agent").await;
    let path = format!("/api/rooms/{room}/log");
    scout.post_json(&path, json!({ "text": "  tests: 34/120 " })).await.expect(204);
    let line = socket.expect("log").await;
    assert_eq!(
        (&line["text"], &line["name"], &line["kind"]),
        (&json!("tests: 34/120"), &json!("scout"), &json!("agent"))
    );
    for bad in [json!({}), json!({ "text": "" }), json!({ "text": "two\nlines" }), json!({ "text": "x".repeat(1001) })]
    {
        assert_eq!(scout.post_json(&path, bad).await.refusal(400), "invalid_request");
    }
    owner.say(&room, "Ann", "hi").await;
    assert_eq!(plain.message().await.seq, 1, "who asked for messages alone gets nothing else");
    assert_eq!(owner.messages(&room, "").await.len(), 1);
    let spectator = owner.invite(&room, "spectator", "Sue").await;
    assert_eq!(spectator.post_json(&path, json!({ "text": "hi" })).await.refusal(403), "read_only");
}

#[tokio::test]
async fn a_crowd_of_mentions_costs_nobody_its_stream() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let ann = owner.session("Ann").await;
    let mut lobby = ann.stream("/api/lobby/events").await;
    let long = format!("@Ann {}", "x".repeat(30_000));
    futures_util::future::join_all((0..100).map(|_| owner.say(&room, "Bob", &long))).await;
    mark(&ann, &room, json!(7)).await.expect(200);
    // What there was no place for is left out, and the stream goes on.
    while lobby.next().await.expect("the stream goes on").name != "read" {}
    assert_eq!(listed(&ann, &room).await, counts(7, 93, 93));
}

#[tokio::test]
async fn reading_under_a_name_makes_nobody() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    owner.say(&room, "Ann", "@scuot, are you there?").await;
    let typo = owner.clone().with_header("x-meet-name", "scuot").with_header("x-meet-kind", "agent");
    assert_eq!(listed(&typo, &room).await, counts(0, 1, 0));
    typo.get(&format!("/api/rooms/{room}/guard")).await.expect(200);
    assert_eq!(owner.messages(&room, "?for=somebody").await.len(), 1, "the name is still nobody's");
}

#[tokio::test]
async fn a_name_is_free_again_for_all_when_its_guest_is_gone() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let guest = owner.invite(&room, "member", "Gus").await;
    owner.say(&room, "Ann", "@Gus?").await;
    assert!(owner.messages(&room, "?for=scout").await.is_empty());
    guest.delete("/api/session").await.expect(204);
    assert_eq!(owner.messages(&room, "?for=scout").await.len(), 1, "who else shall answer?");
}

#[tokio::test]
async fn strangers_in_a_public_room_learn_nothing_of_who_is_known_there() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "commons", "visibility": "public" })).await;
    owner.say(&room, "Ann", "@Ann and @nobody").await;
    let stranger = server.new_tenant().await;
    assert_eq!(stranger.messages(&room, "?for=zed").await.len(), 1);
    assert!(owner.messages(&room, "?for=zed").await.is_empty());
}
