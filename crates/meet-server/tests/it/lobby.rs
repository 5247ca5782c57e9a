//! The lobby: everyone sees its own rooms come, change and go, and nobody else's.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Server, Setup, Stream, databases};

/// Waits for a room to be told of with this value.
async fn update(lobby: &mut Stream, field: &str, value: u64) {
    while lobby.expect("room_updated").await.data[field] != value {}
}

#[tokio::test]
async fn rooms_come_change_and_go_before_the_eyes_of_the_lobby() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let mut lobby = owner.stream("/api/lobby/events").await;
        let room = owner.post_json("/api/rooms", json!({ "name": "planning" })).await.expect(201);
        let id = room["id"].as_str().unwrap();
        let event = lobby.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data, event.id), ("room_created", &room, None));
        let patched = owner.patch(&format!("/api/rooms/{id}"), json!({ "name": "plans" })).await.expect(200);
        let event = lobby.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data), ("room_updated", &patched));
        owner.say(id, "ann", "hi").await;
        update(&mut lobby, "head_seq", 1).await;
        let socket = owner.socket(id, "?name=ann").await;
        update(&mut lobby, "online", 1).await;
        drop(socket);
        update(&mut lobby, "online", 0).await;
        owner.delete(&format!("/api/rooms/{id}")).await.expect(204);
        assert_eq!(lobby.expect("room_deleted").await.data, json!({ "id": id }));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_busy_room_is_told_of_in_few_events_and_the_last_one_is_true() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let (room, quiet) = (owner.room("busy").await, owner.room("quiet").await);
    let mut lobby = owner.stream("/api/lobby/events").await;
    for n in 0..50 {
        owner.say(&room, "ann", &format!("number {n}")).await;
        owner.patch(&format!("/api/rooms/{room}"), json!({ "name": format!("busy {n}") })).await.expect(200);
    }
    let (mut events, mut last) = (0, json!(null));
    while last["head_seq"] != 50 || last["name"] != "busy 49" {
        last = lobby.expect("room_updated").await.data;
        events += 1;
        assert_eq!(last["id"], json!(room));
    }
    owner.say(&quiet, "ann", "hi").await;
    while last["id"] != json!(quiet) {
        last = lobby.expect("room_updated").await.data;
        events += 1;
    }
    assert!(events < 50, "{events} events for 101 changes");
}

#[tokio::test]
async fn a_room_that_is_gone_does_not_come_back_by_news_that_was_late() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let rooms = join_all((0..60).map(async |n| owner.room(&format!("room {n}")).await)).await;
        let last = owner.room("last").await;
        let mut lobby = owner.stream("/api/lobby/events").await;
        // News of all of them is under way when they go.
        join_all(rooms.iter().map(|room| owner.say(room, "ann", "hi"))).await;
        lobby.expect("room_updated").await;
        join_all(rooms.iter().map(|room| owner.say(room, "ann", "news"))).await;
        let deleted = join_all(rooms.iter().map(async |room| owner.delete(&format!("/api/rooms/{room}")).await));
        for answer in deleted.await {
            answer.expect(204);
        }
        let mut gone = HashSet::new();
        // What was late is told before the second of two changes that came after it.
        for name in ["first", "second"] {
            owner.patch(&format!("/api/rooms/{last}"), json!({ "name": name })).await.expect(200);
            loop {
                let event = lobby.next().await.unwrap();
                let id = event.data["id"].as_str().unwrap().to_owned();
                match event.name.as_str() {
                    "room_deleted" => assert!(gone.insert(id), "told twice"),
                    _ => assert!(!gone.contains(&id), "a room that is gone comes back"),
                }
                if event.data["name"] == name {
                    break;
                }
            }
        }
        assert_eq!(gone, rooms.into_iter().collect());
        server.stop().await;
    }
}

#[tokio::test]
async fn a_lobby_shows_a_guest_its_rooms_and_a_stranger_nothing() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (shared, hidden) = (owner.room("shared").await, owner.room("hidden").await);
        let guest = owner.invite(&shared, "member", "Gil").await;
        let other = server.new_tenant().await;
        let (mut of_guest, mut of_other) =
            (guest.stream("/api/lobby/events").await, other.stream("/api/lobby/events").await);
        assert_eq!(server.stranger().stream("/api/lobby/events").await.status, 401);
        owner.room("new").await;
        owner.say(&hidden, "ann", "secret").await;
        owner.patch(&format!("/api/rooms/{hidden}"), json!({ "name": "renamed" })).await.expect(200);
        owner.delete(&format!("/api/rooms/{hidden}")).await.expect(204);
        owner.say(&shared, "ann", "hi").await;
        let event = of_guest.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["id"]), ("room_updated", &json!(shared)));
        owner.delete(&format!("/api/rooms/{shared}")).await.expect(204);
        assert_eq!(of_guest.expect("room_deleted").await.data, json!({ "id": shared }));
        let own = other.room("own").await;
        let event = of_other.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["id"]), ("room_created", &json!(own)));
        server.stop().await;
    }
}
