//! Whatever comes in: one shape of refusal that says what is wrong, nothing lost, and the server lives.

use futures_util::future::join_all;
use meet_api::text::MAX_CONTENT;
use serde_json::{Value, json};

use crate::support::{Caller, Server, Setup, databases, exchange, operations};

async fn owner_and_room() -> (Server, Caller, String) {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    (server, owner, room)
}

#[tokio::test]
async fn what_is_not_json_is_refused_on_every_route_that_takes_a_body() {
    let (_server, owner, room) = owner_and_room().await;
    for (method, template, id) in operations() {
        if !matches!(id.as_str(), "create-room" | "update-room" | "send-message" | "create-invite" | "sign-in") {
            continue;
        }
        let path = template.replace("{id}", &room);
        for body in [
            "{",
            "[1",
            "nonsense",
            "{\"name\":}",
            "{} {}",
            "\"text\"",
            "[]",
            "5",
            "null",
            "\u{feff}{}",
            "{\"name\": \"\\ud800\"}",
        ] {
            let request = owner.request(reqwest::Method::from_bytes(method.as_bytes()).unwrap(), &path);
            let answer = owner.send(request.body(body)).await;
            assert_eq!(answer.refusal(400), "invalid_request", "{method} {path} {body}");
        }
        let request = owner.request(reqwest::Method::from_bytes(method.as_bytes()).unwrap(), &path);
        let answer = owner.send(request.body(vec![b'{', b'"', 0xFF, 0xFE, b'"', b'}'])).await;
        assert_eq!(answer.refusal(400), "invalid_request", "{method} {path}");
        let request = owner.request(reqwest::Method::from_bytes(method.as_bytes()).unwrap(), &path);
        let answer = owner.send(request.body("[".repeat(100_000))).await;
        assert_eq!(answer.refusal(400), "invalid_request", "{method} {path} nested deeply");
    }
    assert_eq!(owner.messages(&room, "").await, []);
}

#[tokio::test]
async fn a_wrong_type_is_refused_by_the_name_of_its_field() {
    let (_server, owner, room) = owner_and_room().await;
    let messages = format!("/api/rooms/{room}/messages");
    for (path, body, field) in [
        ("/api/rooms", json!({ "name": 5 }), "name"),
        ("/api/rooms", json!({ "name": "x", "visibility": "secret" }), "visibility"),
        ("/api/rooms", json!({ "name": "x", "media": 7 }), "media"),
        ("/api/rooms", json!({ "name": "x", "expires_in": "soon" }), "expires_in"),
        ("/api/rooms", json!({ "name": "x", "expires_in": -1 }), "expires_in"),
        ("/api/rooms", json!({ "name": "x", "expires_in": 0 }), "expires_in"),
        ("/api/rooms", json!({ "name": "x", "expires_in": 9_999_999_999_u64 }), "expires_in"),
        (&messages, json!({ "sender": ["ann"], "content": "hi" }), "sender"),
        (&messages, json!({ "sender": "ann", "content": { "text": "hi" } }), "content"),
        (&messages, json!({ "sender": "ann", "content": "hi", "sender_type": "ghost" }), "sender_type"),
        (&messages, json!({ "sender": "ann", "content": "hi", "reply_to": 5 }), "reply_to"),
    ] {
        let answer = owner.post_json(path, body.clone()).await;
        assert_eq!(answer.refusal(400), "invalid_request", "{body}");
        let sentence = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(sentence.contains(field), "{body}: {sentence}");
    }
    let patch = owner.patch(&format!("/api/rooms/{room}"), json!({ "listed": "yes" })).await;
    assert!(patch.json()["error"].as_str().unwrap().contains("listed"));
}

#[tokio::test]
async fn names_and_texts_keep_their_rules() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let messages = format!("/api/rooms/{room}/messages");
        let long = "x".repeat(10_000);
        for name in
            ["a\0b", "a\u{1b}]52;c;b\u{7}", "a\nb", "a\u{202e}b", "a\u{2066}b", &long, &"x".repeat(101), "\u{200e}"]
        {
            assert_eq!(
                owner.post_json("/api/rooms", json!({ "name": name })).await.refusal(400),
                "invalid_request",
                "{name:?}"
            );
            let patch = owner.patch(&format!("/api/rooms/{room}"), json!({ "name": name })).await;
            assert_eq!(patch.refusal(400), "invalid_request", "{name:?}");
            let body = json!({ "sender": name, "content": "hi" });
            assert_eq!(owner.post_json(&messages, body).await.refusal(400), "invalid_request", "{name:?}");
            let body = json!({ "key": owner.token(), "name": name });
            assert_eq!(
                server.stranger().post_json("/api/session", body).await.refusal(400),
                "invalid_request",
                "{name:?}"
            );
        }
        assert_eq!(owner.try_socket(&room, "?name=a%00b").await.err(), Some(400));
        assert_eq!(owner.try_socket(&room, &format!("?name={long}")).await.err(), Some(400));
        let body = json!({ "sender": "x".repeat(65), "content": "hi" });
        assert_eq!(owner.post_json(&messages, body).await.refusal(400), "invalid_request");
        for content in ["a\0b", "\0"] {
            let body = json!({ "sender": "ann", "content": content });
            assert_eq!(owner.post_json(&messages, body).await.refusal(400), "invalid_request", "{content:?}");
        }
        owner.room(&"é".repeat(100)).await;
        owner.say(&room, &"é".repeat(64), "\u{202e}content is kept as it came\u{1b}[31m\n").await;
    }
}

#[tokio::test]
async fn a_name_that_hides_something_or_shows_nothing_is_refused_and_emoji_are_names() {
    let (server, owner, room) = owner_and_room().await;
    let messages = format!("/api/rooms/{room}/messages");
    for name in ["An\u{200b}n", "Ann\u{2060}", "\u{feff}Ann", "A\u{ad}nn", "Ann\u{e0041}", "An\u{200d}n", "\u{2800}"] {
        for (path, body) in [
            ("/api/rooms", json!({ "name": name })),
            (&*messages, json!({ "sender": name, "content": "hi" })),
            ("/api/session", json!({ "key": owner.token(), "name": name })),
        ] {
            assert_eq!(owner.post_json(path, body).await.refusal(400), "invalid_request", "{name:?} at {path}");
        }
    }
    for name in ["👩‍👩‍👧", "❤️", "🏳️‍🌈"] {
        assert_eq!(owner.say(&room, name, "hi").await.sender, name);
        owner.room(name).await;
    }
    drop(server);
}

#[tokio::test]
async fn messages_that_are_refused_cost_the_others_of_their_batch_nothing() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (room, gone) = (owner.room("planning").await, owner.room("gone").await);
        owner.delete(&format!("/api/rooms/{gone}")).await.expect(204);
        let (path, to_gone) = (format!("/api/rooms/{room}/messages"), format!("/api/rooms/{gone}/messages"));
        let keyed = owner.clone().with_header("idempotency-key", "twice");
        let mut socket = owner.socket(&room, "?name=bob").await;
        let say = |content: String| json!({ "sender": "ann", "content": content });
        let good = join_all((0..50).map(|n| owner.post_json(&path, say(format!("number {n}")))));
        let twice = join_all(["one", "other"].map(|content| keyed.post_json(&path, say(content.to_owned()))));
        let nul = owner.post_json(&path, say("a\0b".to_owned()));
        let nowhere = owner.post_json(&to_gone, say("hello?".to_owned()));
        let frame = socket.send(json!({ "content": "a\0b" }));
        let (good, twice, nul, nowhere, ()) = tokio::join!(good, twice, nul, nowhere, frame);
        for answer in good {
            answer.expect(201);
        }
        let mut statuses: Vec<_> = twice.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        assert_eq!(nul.refusal(400), "invalid_request");
        assert_eq!(nowhere.refusal(404), "room_not_found");
        assert_eq!(owner.log(&room).await.len(), 51, "without a gap");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_request_with_two_hosts_is_refused_whichever_comes_first() {
    let (server, owner, _) = owner_and_room().await;
    let own = format!("host: {}\r\n", server.address);
    for hosts in [format!("{own}host: evil.example\r\n"), format!("host: evil.example\r\n{own}"), own.repeat(2)] {
        let request = format!(
            "GET /api/rooms HTTP/1.1\r\n{hosts}authorization: Bearer {}\r\nconnection: close\r\n\r\n",
            owner.token()
        );
        let answer = exchange(server.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{hosts}: {answer}");
    }
}

#[tokio::test]
async fn content_over_its_limit_is_too_large_and_closes_nothing() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let messages = format!("/api/rooms/{room}/messages");
        let mut socket = owner.socket(&room, "?name=ann").await;
        for bytes in [MAX_CONTENT + 1, 40 * 1024] {
            let body = json!({ "sender": "ann", "content": "x".repeat(bytes) });
            assert_eq!(owner.post_json(&messages, body.clone()).await.refusal(413), "too_large", "{bytes}");
            socket.send(body).await;
            assert_eq!(socket.expect("error").await["code"], "too_large", "{bytes}");
        }
        for bytes in [300 * 1024, 4 * 1024 * 1024] {
            let answer =
                owner.post(&messages, format!("{{\"sender\":\"ann\",\"content\":\"{}\"}}", "x".repeat(bytes))).await;
            assert_eq!(answer.refusal(413), "too_large", "{bytes}");
        }
        assert_eq!(owner.post("/api/session", "x".repeat(4 * 1024 * 1024)).await.refusal(413), "too_large");
        let exact = owner.say(&room, "ann", &"x".repeat(MAX_CONTENT)).await;
        assert_eq!((exact.seq, socket.message().await), (1, exact));
    }
}

#[tokio::test]
async fn emoji_of_legal_length_fit_through_every_door_however_they_are_escaped() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let messages = format!("/api/rooms/{room}/messages");
        let content = "🎉".repeat(MAX_CONTENT / 4);
        let escaped = "\\ud83c\\udf89".repeat(MAX_CONTENT / 4);
        let mut socket = owner.socket(&room, "?since=0&name=ann").await;
        let mut events = owner.stream(&format!("/api/rooms/{room}/events?since=0")).await;
        owner.say(&room, "ann", &content).await;
        owner.post(&messages, format!("{{\"sender\":\"ann\",\"content\":\"{escaped}\"}}")).await.expect(201);
        socket.send(json!({ "content": content })).await;
        socket.send(format!("{{\"content\":\"{escaped}\"}}")).await;
        for seq in 1..=4 {
            let heard = socket.message().await;
            assert_eq!((heard.seq, heard.content == content), (seq, true));
            assert!(events.expect("message").await.data["content"] == json!(content));
        }
        assert!(owner.messages(&room, "").await.iter().all(|message| message.content == content));
        assert_eq!(owner.messages(&room, "?wait=5&after_seq=3").await.len(), 1);
    }
}

#[tokio::test]
async fn unknown_addresses_and_methods_answer_in_the_same_shape() {
    let (server, owner, room) = owner_and_room().await;
    for path in [
        "/nothing",
        "/api",
        "/api/nothing",
        "/api/rooms/x/y/z",
        "/api/rooms/",
        "/r/",
        "/assets/nothing.js",
        "/..%2f..%2fetc/passwd",
        "/index.html",
        "/%00",
    ] {
        for caller in [&owner, &server.stranger()] {
            let answer = caller.get(path).await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(matches!(answer.refusal(404).as_str(), "not_found" | "room_not_found"), "{path}");
        }
    }
    assert_eq!(owner.post("/nothing", "").await.refusal(404), "not_found");
    let known = operations();
    for (_, template, _) in &known {
        let path = template.replace("{id}", &room);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
            if known.iter().any(|(other, path, _)| other == method && path == template) {
                continue;
            }
            let answer = owner.call(method, &path, &Value::Null).await;
            assert_eq!(answer.refusal(405), "method_not_allowed", "{method} {path}");
            assert!(!answer.header("allow").is_empty(), "{method} {path}");
        }
    }
    assert_eq!(owner.post("/", "").await.refusal(405), "method_not_allowed");
    assert_eq!(owner.get(&format!("/api/rooms/{room}/ws")).await.refusal(426), "upgrade_required");
    assert_eq!(owner.get(&format!("/api/rooms/{room}/ws")).await.json()["error"], "expected WebSocket upgrade");
}

#[tokio::test]
async fn a_storage_quota_refuses_writes_and_nothing_else() {
    for database in databases().await {
        let server = Setup::on(database).with(|config| config.limits.bytes_per_tenant = 4096).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let messages = format!("/api/rooms/{room}/messages");
        let body = json!({ "sender": "ann", "content": "x".repeat(500) });
        let mut said = 0;
        let refused = loop {
            let answer = owner.post_json(&messages, body.clone()).await;
            if answer.status != 201 {
                break answer;
            }
            said += 1;
            assert!(said < 10);
        };
        assert_eq!(refused.refusal(507), "quota_exceeded");
        let mut socket = owner.socket(&room, "?name=ann").await;
        socket.send(&body).await;
        assert_eq!(socket.expect("error").await["code"], "quota_exceeded");
        let stored = owner.messages(&room, "").await;
        assert_eq!(stored.iter().map(|message| message.seq).collect::<Vec<_>>(), (1..=said).collect::<Vec<u64>>());
        let other = server.new_tenant().await;
        let elsewhere = other.room("elsewhere").await;
        other.say(&elsewhere, "bob", "plenty of room here").await;
    }
}

#[tokio::test]
async fn a_full_room_takes_no_more_and_can_be_read() {
    for database in databases().await {
        let server = Setup::on(database).with(|config| config.limits.messages_per_room = 3).start().await;
        let owner = server.new_tenant().await;
        let (room, second) = (owner.room("planning").await, owner.room("second").await);
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let (owner, path) = (owner.clone(), format!("/api/rooms/{room}/messages"));
                let body = json!({ "sender": "ann", "content": format!("message {n}") });
                tokio::task::spawn(async move { owner.post_json(&path, body).await })
            })
            .collect();
        let mut stored = 0;
        for task in tasks {
            let answer = task.await.unwrap();
            if answer.status == 201 {
                stored += 1;
            } else {
                assert_eq!(answer.refusal(409), "room_full");
            }
        }
        assert_eq!((stored, owner.messages(&room, "").await.len()), (3, 3));
        owner.say(&second, "ann", "here is room").await;
    }
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_writes_and_reads_go_on() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    owner.say(&room, "ann", "before").await;
    let invites = format!("/api/rooms/{room}/invites");
    let invite = owner.post_json(&invites, json!({ "role": "member" })).await.expect(201);
    let token = owner.token().to_owned();
    let setup = Setup::on(server.stop().await).with(|config| config.limits.min_free_bytes = Some(u64::MAX));
    let server = setup.start().await;
    let owner = server.stranger().with_token(&token);
    let body = json!({ "sender": "ann", "content": "after" });
    assert_eq!(owner.post_json(&format!("/api/rooms/{room}/messages"), body).await.refusal(507), "disk_full");
    assert_eq!(owner.post_json("/api/rooms", json!({ "name": "x" })).await.refusal(507), "disk_full");
    assert_eq!(server.stranger().post("/api/keys", "").await.refusal(507), "disk_full");
    assert_eq!(owner.post_json(&invites, json!({ "role": "member" })).await.refusal(507), "disk_full");
    let guest = json!({ "invite": invite["token"], "name": "gus" });
    assert_eq!(server.stranger().post_json("/api/session", guest).await.refusal(507), "disk_full");
    let newcomer = json!({ "key": token, "name": "bob" });
    assert_eq!(server.stranger().post_json("/api/session", newcomer).await.refusal(507), "disk_full");
    // Whoever is known comes in, to read and to make room.
    owner.session("ann").await;
    assert_eq!(owner.messages(&room, "").await.len(), 1);
    let mut socket = owner.socket(&room, "?since=0").await;
    assert_eq!(socket.message().await.content, "before");
}

#[tokio::test]
async fn junk_instead_of_http_is_refused_and_the_server_lives() {
    let (server, owner, _) = owner_and_room().await;
    let long_header = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    for junk in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"POST /api/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        long_header.as_bytes(),
    ] {
        let answer = exchange(server.address, junk).await;
        assert!(!answer.contains(" 200 ") && !answer.contains(" 201 ") && !answer.contains(" 500 "), "{answer}");
    }
    owner.get("/api/rooms").await.expect(200);
}
