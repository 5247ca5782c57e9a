//! What time ends: rooms and sessions past their time take their connections along, and the lobby hears of it once.

use serde_json::json;

use crate::support::{Reader, Setup, databases, soon};

const DAY: i64 = 24 * 3600 * 1000;

#[tokio::test]
async fn a_deleted_room_takes_all_its_connections_along() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (room, other) =
            (owner.room_as(json!({ "name": "a", "visibility": "public" })).await, owner.room("b").await);
        let guest = owner.invite(&room, "member", "Gil").await;
        let mut sockets = vec![
            owner.socket(&room, "").await,
            owner.socket(&room, "?since=0&name=ann").await,
            guest.socket(&room, "").await,
            server.stranger().socket(&room, "").await,
        ];
        let mut events = owner.stream(&format!("/api/rooms/{room}/events")).await;
        let mut stays = owner.socket(&other, "").await;
        owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
        for socket in &mut sockets {
            assert_eq!(socket.end().await.0, Some(4040));
        }
        while events.next().await.is_some() {}
        assert_eq!(owner.try_socket(&room, "").await.err(), Some(404));
        let said = owner.say(&other, "ann", "still here").await;
        assert_eq!(stays.message().await, said);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_room_past_its_time_ends_its_connections_and_leaves_the_lobby_once() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let (room, other) = (owner.room("short").await, owner.room("long").await);
        owner.patch(&format!("/api/rooms/{room}"), json!({ "expires_in": 60 })).await.expect(200);
        owner.patch(&format!("/api/rooms/{other}"), json!({ "expires_in": 62 })).await.expect(200);
        let guest = owner.invite(&room, "member", "Gil").await;
        let mut held = owner.hold(&server.app, &room).await;
        let mut of_guest = guest.socket(&room, "?since=0").await;
        let mut stays = owner.socket(&other, "").await;
        server.clock.jump(59_999);
        server.app.sweep().await.unwrap();
        let said = owner.say(&room, "ann", "in time").await;
        assert_eq!(held.socket.message().await, said);
        assert_eq!(soon("the poll", held.poll).await.unwrap().expect(200), json!([said]));
        let late = held_poll(&server, &owner, &room).await;

        server.clock.jump(1);
        for _ in 0..3 {
            server.app.sweep().await.unwrap();
        }
        assert_eq!(held.socket.end().await.0, Some(4040));
        assert_eq!(of_guest.end().await.0, Some(4040));
        while held.events.next().await.is_some() {}
        assert_eq!(soon("the poll", late).await.unwrap().refusal(410), "expired");
        assert_eq!(owner.try_socket(&room, "").await.err(), Some(410));

        let new = owner.room("new").await;
        let mut gone = Vec::new();
        let mut event = held.lobby.next().await.unwrap();
        while event.name != "room_created" {
            if event.name == "room_deleted" {
                gone.push(event.data);
            } else {
                assert!(gone.is_empty() || event.data["id"] != json!(room), "a room that is gone comes back");
            }
            event = held.lobby.next().await.unwrap();
        }
        assert_eq!((gone, &event.data["id"]), (vec![json!({ "id": room })], &json!(new)));
        // Nor does it come back with the next news.
        owner.say(&new, "ann", "hi").await;
        while event.name != "room_updated" || event.data["id"] != json!(new) {
            event = held.lobby.next().await.unwrap();
            assert_ne!(event.data["id"], json!(room));
        }
        let said = owner.say(&other, "ann", "not yet").await;
        assert_eq!(stays.message().await, said);
        server.clock.jump(2000);
        server.app.sweep().await.unwrap();
        assert_eq!(stays.end().await.0, Some(4040));
        assert_eq!(held.lobby.expect("room_deleted").await.data, json!({ "id": other }));
        server.stop().await;
    }
}

/// A long poll that waits already.
async fn held_poll(
    server: &crate::support::Server,
    owner: &crate::support::Caller,
    room: &str,
) -> tokio::task::JoinHandle<crate::support::Answer> {
    let before = server.app.hub().connections();
    let (caller, path) = (owner.clone(), format!("/api/rooms/{room}/messages?wait=60"));
    let poll = tokio::task::spawn(async move { caller.get(&path).await });
    crate::support::eventually("the poll to wait", || server.app.hub().connections() > before).await;
    poll
}

#[tokio::test]
async fn nothing_can_be_said_in_a_room_past_its_time_even_before_it_is_swept() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
        let mut socket = owner.socket(&room, "?name=bob").await;
        server.clock.jump(60_000);
        socket.send(json!({ "content": "too late" })).await;
        match socket.next().await {
            Ok(frame) => assert_eq!(frame["code"], "expired"),
            Err(ended) => assert_eq!(ended.0, Some(4040), "the server swept of its own accord"),
        }
        let body = json!({ "sender": "ann", "content": "too late" });
        assert_eq!(owner.post_json(&format!("/api/rooms/{room}/messages"), body).await.refusal(410), "expired");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_room_that_is_given_more_time_in_time_goes_on() {
    let server = Setup::new().manual_clock().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
    let mut socket = owner.socket(&room, "").await;
    server.clock.jump(59_000);
    owner.patch(&format!("/api/rooms/{room}"), json!({ "expires_in": 60 })).await.expect(200);
    server.clock.jump(59_000);
    server.app.sweep().await.unwrap();
    let said = owner.say(&room, "ann", "still here").await;
    assert_eq!(socket.message().await, said);
}

#[tokio::test]
async fn a_session_past_its_time_ends_its_connections_and_no_others() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let session = owner.session("ann").await;
        server.clock.jump(DAY);
        let (guest, younger) = (owner.invite(&room, "member", "Gil").await, owner.session("bob").await);
        let held = session.hold(&server.app, &room).await;
        let mut stay = Vec::from(Reader::both(&owner, &room, 0).await);
        stay.extend(Reader::both(&guest, &room, 0).await);
        stay.extend(Reader::both(&younger, &room, 0).await);
        server.clock.jump(29 * DAY - 1);
        server.app.sweep().await.unwrap();
        assert_eq!(server.app.hub().connections(), 10);
        server.clock.jump(1);
        server.app.sweep().await.unwrap();
        held.expect_credential_ended().await;
        let said = owner.say(&room, "ann", "still here").await;
        for reader in &mut stay {
            assert_eq!(reader.message().await, said);
        }
        // What was believed for a few seconds is not believed any more.
        server.clock.advance(std::time::Duration::from_secs(5));
        assert_eq!(session.try_socket(&room, "").await.err(), Some(401));
        server.stop().await;
    }
}
