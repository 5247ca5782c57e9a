//! The room's WebSocket: what it sends, what it takes, what it refuses and how.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::support::{Ended, Server, Setup, databases};

#[tokio::test]
async fn without_a_cursor_a_socket_gets_message_frames_only_and_from_now_on() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        owner.say(&room, "ann", "before").await;
        // As soon as it is open it misses nothing.
        for n in 0..20 {
            let mut socket = owner.socket(&room, "").await;
            let _somebody_joins = owner.socket(&room, "?name=bob&since=0").await;
            let said = owner.say(&room, "ann", &format!("number {n}")).await;
            let frame = socket.next().await.unwrap();
            assert_eq!(frame, json!(said), "the first frame is the first message");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn with_a_cursor_a_socket_gets_a_hello_what_it_missed_and_what_is_said() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let mut said = Vec::new();
        for n in 1..=3 {
            said.push(owner.say(&room, "ann", &format!("number {n}")).await);
        }
        let shown = owner.get(&format!("/api/rooms/{room}")).await.expect(200);
        let mut socket = owner.socket(&room, "?since=1").await;
        let hello = json!({ "type": "hello", "room_id": room, "head_seq": 3, "epoch": shown["epoch"] });
        assert_eq!(socket.next().await.unwrap(), hello);
        said.push(owner.say(&room, "ann", "live").await);
        for message in &said[1..] {
            assert_eq!(socket.next().await.unwrap(), json!(message));
        }
        let epoch = shown["epoch"].as_str().unwrap();
        let mut again = owner.socket(&room, &format!("?since=4&epoch={epoch}")).await;
        assert_eq!(again.expect("hello").await["head_seq"], 4);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_frame_is_stored_broadcast_and_acknowledged_and_a_repeat_only_acknowledged() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let mut socket = owner.socket(&room, "?name=bob&kind=agent").await;
        let mut other = owner.socket(&room, "").await;
        socket.send(json!({ "type": "ping" })).await;
        socket.expect("pong").await;
        socket.send(json!({ "type": "message", "content": "with a type", "client_id": "c1" })).await;
        socket.send(json!({ "content": "without", "unknown": [1] })).await;
        socket.send(json!({ "content": "with a type", "client_id": "c1" })).await;
        let (mut acks, mut messages) = (Vec::new(), Vec::new());
        while acks.len() < 3 || messages.len() < 2 {
            let frame = socket.next().await.unwrap();
            if frame["type"] == "ack" { acks.push(frame) } else { messages.push(frame) }
        }
        for n in [0, 2] {
            let ack = json!({ "type": "ack", "client_id": "c1", "id": messages[0]["id"], "seq": 1 });
            assert_eq!(acks[n], ack);
        }
        assert_eq!(acks[1], json!({ "type": "ack", "id": messages[1]["id"], "seq": 2 }));
        assert_eq!(json!(owner.log(&room).await), json!(messages));
        for message in &messages {
            assert_eq!((&message["sender"], &message["sender_type"]), (&json!("bob"), &json!("agent")));
            assert_eq!(message.get("client_id"), None);
            assert_eq!(other.next().await.unwrap(), *message);
        }
        socket.send(json!({ "content": "another body", "client_id": "c1" })).await;
        let refused = socket.expect("error").await;
        assert_eq!((&refused["code"], &refused["client_id"]), (&json!("idempotency_conflict"), &json!("c1")));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_frame_gets_an_error_frame_and_closes_nothing() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut socket = owner.socket(&room, "?name=bob").await;
    let long = "x".repeat(40 * 1024);
    let frames = [
        ("invalid_request", String::new()),
        ("invalid_request", "no JSON".into()),
        ("invalid_request", "[]".into()),
        ("invalid_request", r#"{"type":"dance"}"#.into()),
        ("invalid_request", r#"{"type":7,"content":"x"}"#.into()),
        ("invalid_request", r#"{"content":7}"#.into()),
        ("invalid_request", r#"{"content":""}"#.into()),
        ("invalid_request", "{}".into()),
        ("invalid_request", r#"{"content":"a\u0000b"}"#.into()),
        ("invalid_request", r#"{"content":"\ud800"}"#.into()),
        ("invalid_request", json!({ "content": "x", "sender": "n".repeat(65) }).to_string()),
        ("invalid_request", json!({ "content": "x", "client_id": "n".repeat(256) }).to_string()),
        ("unknown_cursor", json!({ "content": "x", "reply_to": "01900000-0000-7000-8000-000000000001" }).to_string()),
        ("too_large", json!({ "content": long }).to_string()),
    ];
    for (code, frame) in frames {
        let shown: String = frame.chars().take(60).collect();
        socket.send(frame).await;
        assert_eq!(socket.expect("error").await["code"], code, "{shown}");
    }
    socket.send_raw(tungstenite::Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(socket.expect("error").await["code"], "invalid_request");
    socket.send(json!({ "type": "ping" })).await;
    socket.expect("pong").await;
    assert_eq!(owner.log(&room).await, []);
}

#[tokio::test]
async fn a_frame_of_ten_megabytes_ends_its_socket_with_1009_and_the_server_lives() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut other = owner.socket(&room, "").await;
    let text = tungstenite::Message::text("x".repeat(10 * 1024 * 1024));
    assert_eq!(owner.socket(&room, "?name=bob").await.send_and_end(text).await, Ended(Some(1009)));
    let binary = tungstenite::Message::binary(vec![0; 10 * 1024 * 1024]);
    assert_eq!(owner.socket(&room, "?name=bob").await.send_and_end(binary).await, Ended(Some(1009)));
    let said = owner.say(&room, "ann", "still here").await;
    assert_eq!(other.message().await, said);
}

#[tokio::test]
async fn a_bare_key_without_a_name_must_name_the_sender_of_each_frame() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut socket = owner.socket(&room, "").await;
    socket.send(json!({ "content": "who am I?", "client_id": "c1" })).await;
    let refused = socket.expect("error").await;
    assert_eq!(refused["error"], "sender and content are required");
    assert_eq!((&refused["code"], &refused["client_id"]), (&json!("invalid_request"), &json!("c1")));
    socket.send(json!({ "content": "hi", "sender": "Zoe", "sender_type": "agent" })).await;
    let said = socket.message().await;
    assert_eq!((said.sender.as_str(), said.sender_type.as_str()), ("Zoe", "agent"));
    // Any name of the tenant may be given, also by a socket that has one itself.
    let mut named = owner.socket(&room, "?name=bob").await;
    named.send(json!({ "content": "hi", "sender": "Zoe" })).await;
    assert_eq!(named.message().await.sender, "Zoe");
}

#[tokio::test]
async fn a_session_speaks_as_itself_and_a_spectator_only_listens() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "stage", "visibility": "public" })).await;
    let guest = owner.invite(&room, "member", "Gil").await;
    let mut socket = guest.socket(&room, "").await;
    socket.send(json!({ "content": "hi" })).await;
    // The acknowledgement and the message come in either order.
    let two = [socket.next().await.unwrap(), socket.next().await.unwrap()];
    assert!(two.iter().any(|frame| frame["type"] == "ack"));
    assert!(two.iter().any(|frame| frame["sender"] == "Gil"));
    for frame in [json!({ "content": "x", "sender": "bob" }), json!({ "content": "x", "sender_type": "agent" })] {
        socket.send(frame).await;
        assert_eq!(socket.expect("error").await["code"], "forbidden");
    }
    let onlookers = [
        server.stranger().socket(&room, "").await,
        server.new_tenant().await.socket(&room, "?name=eve").await,
        owner.invite(&room, "spectator", "Sue").await.socket(&room, "").await,
    ];
    let said = owner.say(&room, "ann", "listen").await;
    for mut socket in onlookers {
        assert_eq!(socket.message().await, said);
        socket.send(json!({ "content": "x", "sender": "bob", "client_id": "c" })).await;
        let refused = socket.expect("error").await;
        assert_eq!((&refused["code"], &refused["client_id"]), (&json!("read_only"), &json!("c")));
    }
}

#[tokio::test]
async fn frames_count_in_the_same_window_as_posts() {
    let server = Setup::new().with(|config| config.limits.messages_per_minute_per_key = 2).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut socket = owner.socket(&room, "?name=bob&since=0").await;
    owner.say(&room, "ann", "one").await;
    socket.send(json!({ "content": "two", "client_id": "c2" })).await;
    let mut ack = socket.next().await.unwrap();
    while ack["type"] != "ack" {
        ack = socket.next().await.unwrap();
    }
    socket.send(json!({ "content": "three", "client_id": "c3" })).await;
    let mut refused = socket.next().await.unwrap();
    while refused["type"] != "error" {
        refused = socket.next().await.unwrap();
    }
    assert_eq!((&refused["code"], &refused["client_id"]), (&json!("rate_limited"), &json!("c3")));
    // A repeat is not counted.
    socket.send(json!({ "content": "two", "client_id": "c2" })).await;
    assert_eq!(socket.expect("ack").await["seq"], 2);
}

#[tokio::test]
async fn a_socket_is_refused_with_a_status_before_the_upgrade() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let short = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
        owner.invite(&room, "member", "Gil").await;
        server.clock.advance(Duration::from_secs(61));
        let unknown = "01900000-0000-7000-8000-000000000001";
        let (stranger, foreign) = (server.stranger(), server.new_tenant().await);
        let wrong = server.stranger().with_token("mai_000000000000000000000000");
        for (caller, room, query, status, code) in [
            (&stranger, room.as_str(), "", 401, "missing_key"),
            (&wrong, &room, "", 401, "invalid_key"),
            (&foreign, &room, "", 404, "room_not_found"),
            (&owner, unknown, "", 404, "room_not_found"),
            (&owner, "no-id", "", 404, "room_not_found"),
            (&owner, &short, "", 410, "expired"),
            (&owner, &room, "?since=-1", 400, "invalid_request"),
            (&owner, &room, "?since=x", 400, "invalid_request"),
            (&owner, &room, "?name=bob&kind=robot", 400, "invalid_request"),
            (&owner, &room, "?name=%00", 400, "invalid_request"),
            (&owner, &room, "?name=gil", 409, "name_taken"),
        ] {
            assert_eq!(caller.refused_socket(room, query).await.refusal(status), code, "{room}{query}");
        }
        let plain = owner.get(&format!("/api/rooms/{room}/ws")).await;
        assert_eq!(plain.refusal(426), "upgrade_required");
        assert_eq!(
            (plain.json()["error"].as_str(), plain.header("upgrade")),
            (Some("expected WebSocket upgrade"), "websocket")
        );
        assert_eq!(server.app.hub().connections(), 0);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_socket_speaks_on_in_a_room_that_is_given_more_time() {
    let server = Setup::new().manual_clock().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
    let mut socket = owner.socket(&room, "?name=ann").await;
    owner.patch(&format!("/api/rooms/{room}"), json!({ "expires_in": 3600 })).await.expect(200);
    server.clock.advance(Duration::from_secs(61));
    socket.send(json!({ "content": "still here" })).await;
    assert_eq!(socket.message().await.content, "still here");
}

#[tokio::test]
async fn an_exclusive_agent_holds_its_name_in_a_room_alone() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let (room, other) = (owner.room("planning").await, owner.room("another").await);
    let alone = "?since=0&name=scout&kind=agent&exclusive=true";
    let mut elsewhere = owner.socket(&other, alone).await;
    let mut beside = owner.socket(&room, "?since=0&name=scout&kind=agent").await;
    let mut first = owner.socket(&room, alone).await;
    let mut critic = owner.socket(&room, "?since=0&name=critic&kind=agent&exclusive=true").await;
    let mut second = owner.socket(&room, &alone.replace("scout", "Scout")).await;
    assert_eq!(first.end().await.0, Some(4409));
    owner.say(&room, "Ann", "hi").await;
    owner.say(&other, "Ann", "hi").await;
    for socket in [&mut beside, &mut critic, &mut second, &mut elsewhere] {
        assert_eq!(socket.message().await.content, "hi", "nobody else is sent away");
    }
    let guest = owner.guest(&room, "Gizmo", "agent").await;
    let mut older = guest.socket(&room, "?exclusive=true").await;
    let _newer = guest.socket(&room, "?exclusive=true").await;
    assert_eq!(older.end().await.0, Some(4409));
    for query in ["?exclusive=true", "?exclusive=true&name=Ann", "?exclusive=1&name=scout&kind=agent"] {
        assert_eq!(owner.try_socket(&room, query).await.err(), Some(400), "{query}");
    }
}
