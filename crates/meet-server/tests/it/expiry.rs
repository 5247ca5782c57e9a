//! What time ends: rooms and sessions past their time take their connections along, and the lobby hears of it once.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Caller, Reader, Server, Setup, databases, eventually, soon};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_room_past_its_time_ends_its_connections_and_leaves_the_lobby_once() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let (room, other) = (owner.room("short").await, owner.room("long").await);
        owner.patch(&format!("/api/rooms/{room}"), json!({ "expires_in": 30 })).await.expect(200);
        owner.patch(&format!("/api/rooms/{other}"), json!({ "expires_in": 32 })).await.expect(200);
        let guest = owner.invite(&room, "member", "Gil").await;
        let mut held = owner.hold(&server.app, &room).await;
        let mut of_guest = guest.socket(&room, "?since=0").await;
        let mut stays = owner.socket(&other, "").await;
        server.clock.advance(Duration::from_millis(29_999));
        server.app.sweep().await.unwrap();
        let said = owner.say(&room, "ann", "in time").await;
        assert_eq!(held.socket.message().await, said);
        assert_eq!(soon("the poll", held.poll).await.unwrap().expect(200), json!([said]));
        let late = held_poll(&server, &owner, &room).await;

        server.clock.advance(Duration::from_millis(1));
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
        server.clock.advance(Duration::from_secs(2));
        server.app.sweep().await.unwrap();
        assert_eq!(stays.end().await.0, Some(4040));
        assert_eq!(held.lobby.expect("room_deleted").await.data, json!({ "id": other }));
        server.stop().await;
    }
}

/// A long poll that waits already.
async fn held_poll(server: &Server, owner: &Caller, room: &str) -> tokio::task::JoinHandle<Answer> {
    let before = server.app.hub().connections();
    let (caller, path) = (owner.clone(), format!("/api/rooms/{room}/messages?wait=60"));
    let poll = tokio::task::spawn(async move { caller.get(&path).await });
    eventually("the poll to wait", || server.app.hub().connections() > before).await;
    poll
}

#[tokio::test]
async fn nothing_can_be_said_in_a_room_past_its_time_even_before_it_is_swept() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "short", "expires_in": 30 })).await;
        let mut socket = owner.socket(&room, "?name=bob").await;
        server.clock.advance(Duration::from_secs(30));
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
    let room = owner.room_as(json!({ "name": "short", "expires_in": 30 })).await;
    let mut socket = owner.socket(&room, "").await;
    server.clock.advance(Duration::from_secs(29));
    owner.patch(&format!("/api/rooms/{room}"), json!({ "expires_in": 30 })).await.expect(200);
    server.clock.advance(Duration::from_secs(29));
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
        server.clock.advance(DAY);
        let (guest, younger) = (owner.invite(&room, "member", "Gil").await, owner.session("bob").await);
        server.clock.advance(28 * DAY + Duration::from_secs(24 * 3600 - 10));
        let held = session.hold(&server.app, &room).await;
        let mut stay = Vec::from(Reader::both(&owner, &room, 0).await);
        stay.extend(Reader::both(&guest, &room, 0).await);
        stay.extend(Reader::both(&younger, &room, 0).await);
        server.clock.advance(Duration::from_millis(9_999));
        server.app.sweep().await.unwrap();
        assert_eq!(server.app.hub().connections(), 10);
        server.clock.advance(Duration::from_millis(1));
        server.app.sweep().await.unwrap();
        held.expect_credential_ended().await;
        let said = owner.say(&room, "ann", "still here").await;
        for reader in &mut stay {
            assert_eq!(reader.message().await, said);
        }
        // What was believed for a few seconds is not believed any more.
        server.clock.advance(Duration::from_secs(5));
        assert_eq!(session.try_socket(&room, "").await.err(), Some(401));
        server.stop().await;
    }
}

/// Has everything purged that is past its time or was deleted.
async fn purge(server: &Server) {
    while server.app.purge().await.unwrap() {}
}

#[tokio::test]
async fn a_jump_of_the_wall_clock_ends_and_forgets_nothing_that_it_takes_back_within_the_hour() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "short", "expires_in": 3600 })).await;
        let said = owner.say(&room, "ann", "worth keeping").await;
        let (session, guest) = (owner.session("ann").await, owner.invite(&room, "member", "Gil").await);
        let held = session.hold(&server.app, &room).await;
        let keyed = owner.clone().with_header("idempotency-key", "once");
        let body = json!({ "sender": "ann", "content": "said once" });
        let once = keyed.post_json(&format!("/api/rooms/{room}/messages"), body.clone()).await.expect(201);

        assert_eq!(soon("the poll", held.poll).await.unwrap().expect(200), json!([once]));
        eventually("the poll to go", || server.app.hub().connections() == 3).await;

        // A year ahead, as after a dead battery.
        let year = i64::try_from((365 * DAY).as_millis()).unwrap();
        server.clock.jump(year);
        for _ in 0..3 {
            server.app.sweep().await.unwrap();
            purge(&server).await;
            server.clock.advance(Duration::from_secs(5));
        }
        assert_eq!(server.app.hub().connections(), 3);
        owner.get(&format!("/api/rooms/{room}")).await.expect(200);
        let listed = owner.get("/api/rooms").await.expect(200);
        assert!(listed.as_array().unwrap().iter().any(|listed| listed["id"] == json!(room)), "{listed}");
        let again = keyed.post_json(&format!("/api/rooms/{room}/messages"), body.clone()).await.expect(201);
        assert_eq!(again, once, "the key is known while the clock is ahead");
        server.clock.jump(-year);
        server.app.sweep().await.unwrap();
        purge(&server).await;

        assert_eq!(owner.messages(&room, "").await.first(), Some(&said));
        let again = keyed.post_json(&format!("/api/rooms/{room}/messages"), body).await.expect(201);
        assert_eq!(again, once, "the key is still known");
        session.get("/api/session").await.expect(200);
        guest.get("/api/session").await.expect(200);
        let mut socket = held.socket;
        assert_eq!(socket.message().await.content, "said once");
        assert_eq!(owner.get(&format!("/api/rooms/{room}/invites")).await.expect(200).as_array().unwrap().len(), 1);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_wall_clock_that_stays_ahead_for_an_hour_is_believed() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
        let (tenant, id) = (owner.tenant().await, room.parse().unwrap());
        let mut lobby = owner.stream("/api/lobby/events").await;
        server.clock.jump(i64::try_from((3 * DAY).as_millis()).unwrap());
        server.app.sweep().await.unwrap();
        purge(&server).await;
        assert!(server.app.store().room(tenant, id).await.unwrap().is_some());
        server.clock.advance(HOUR);
        server.app.sweep().await.unwrap();
        purge(&server).await;
        assert_eq!(lobby.expect("room_deleted").await.data, json!({ "id": room }));
        assert!(server.app.store().room(tenant, id).await.unwrap().is_none(), "and now it is forgotten");
        server.stop().await;
    }
}

#[tokio::test]
async fn right_after_a_jump_of_the_wall_clock_nothing_is_over_for_requests_either() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "short", "visibility": "public", "expires_in": 3600 })).await;
        let asked = json!({ "role": "member", "expires_in": 3600 });
        let invite = owner.post_json(&format!("/api/rooms/{room}/invites"), asked).await.expect(201);
        server.clock.jump(i64::try_from((3 * HOUR).as_millis()).unwrap());
        owner.get(&format!("/api/rooms/{room}")).await.expect(200);
        assert_eq!(owner.get("/api/rooms").await.expect(200).as_array().unwrap().len(), 1);
        let said = owner.say(&room, "ann", "still here").await;
        let mut socket = owner.socket(&room, "?since=0").await;
        assert_eq!(socket.message().await, said);
        let body = json!({ "invite": invite["token"], "name": "Gil" });
        owner.stranger().post_json("/api/session", body).await.expect(201);
        server.clock.advance(HOUR);
        assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.refusal(410), "expired");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_and_forth_tells_of_a_room_once_and_ends_its_new_visitors() {
    let server = Setup::new().manual_clock().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
    let mut lobby = owner.stream("/api/lobby/events").await;
    let sweep = async |minutes| {
        server.clock.advance(Duration::from_mins(minutes));
        server.app.sweep().await.unwrap();
    };
    sweep(30).await;
    assert_eq!(lobby.expect("room_deleted").await.data, json!({ "id": room }));
    let back = i64::try_from((3 * HOUR).as_millis()).unwrap();
    server.clock.jump(-back);
    sweep(0).await;
    let mut visitor = owner.socket(&room, "").await;
    server.clock.jump(back);
    sweep(0).await;
    sweep(60).await;
    assert_eq!(visitor.end().await.0, Some(4040));
    let new = owner.room("new").await;
    loop {
        let event = lobby.next().await.unwrap();
        assert_ne!(event.name, "room_deleted", "it was told before");
        if event.name == "room_created" {
            assert_eq!(event.data["id"], json!(new));
            break;
        }
    }
}
