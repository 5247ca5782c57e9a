//! Which credential counts, and that one that ends, ends everywhere at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Answer, Caller, Server, Setup, databases, soon};

#[tokio::test]
async fn rotating_a_key_ends_everything_that_came_by_the_old_one() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let session = owner.session("ann").await;
        let guest = owner.invite(&room, "member", "Gil").await;
        let invite = new_invite(&owner, &room, json!({ "role": "member" })).await;
        let mut held = Vec::new();
        for caller in [&owner, &session, &guest] {
            held.push(caller.hold(&server.app, &room).await);
        }
        let answer = owner.post("/api/keys/rotate", "").await.expect(201);
        for held in held {
            held.expect_credential_ended().await;
        }
        for caller in [&owner, &session, &guest] {
            caller.expect_shut_out(&room).await;
        }
        assert_eq!(redeem(&server.stranger(), &invite, "late").await.refusal(410), "expired");
        let again = server.stranger().with_token(answer["key"].as_str().unwrap());
        assert_eq!(again.get(&format!("/api/rooms/{room}")).await.expect(200)["name"], "planning");
        server.stop().await;
    }
}

#[tokio::test]
async fn deleting_a_key_ends_everything_of_its_tenant() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "open", "visibility": "public" })).await;
        let session = owner.session("ann").await;
        let guest = owner.invite(&room, "member", "Gil").await;
        let mut watcher = server.stranger().socket(&room, "").await;
        let mut held = Vec::new();
        for caller in [&owner, &session, &guest] {
            held.push(caller.hold(&server.app, &room).await);
        }
        owner.delete("/api/keys").await.expect(204);
        for held in held {
            held.expect_credential_ended().await;
        }
        assert_eq!(watcher.end().await.0, Some(4040));
        for caller in [&owner, &session, &guest] {
            caller.expect_shut_out(&room).await;
        }
        assert_eq!(server.new_tenant().await.get(&format!("/api/rooms/{room}")).await.refusal(404), "room_not_found");
        server.stop().await;
    }
}

#[tokio::test]
async fn revoking_an_invite_ends_its_guests_and_nobody_else() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let invite =
            owner.post_json(&format!("/api/rooms/{room}/invites"), json!({ "role": "member" })).await.expect(201);
        let token = invite["token"].as_str().unwrap();
        let first = guest_of(&redeem(&server.stranger(), token, "Gil").await, &owner);
        let second = guest_of(&redeem(&server.stranger(), token, "Gus").await, &owner);
        let other = owner.invite(&room, "member", "Ola").await;
        let held = [first.hold(&server.app, &room).await, second.hold(&server.app, &room).await];
        let mut stays = other.socket(&room, "").await;
        let path = format!("/api/invites/{}", invite["id"].as_str().unwrap());
        owner.delete(&path).await.expect(204);
        for held in held {
            held.expect_credential_ended().await;
        }
        first.expect_shut_out(&room).await;
        second.expect_shut_out(&room).await;
        assert_eq!(redeem(&server.stranger(), token, "Guy").await.refusal(410), "expired");
        assert_eq!(owner.delete(&path).await.refusal(404), "not_found");
        let said = owner.say(&room, "ann", "still here?").await;
        assert_eq!(stays.message().await, said);
        server.stop().await;
    }
}

#[tokio::test]
async fn signing_out_ends_one_session_and_nobody_elses() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let (leaver, other) = (owner.session("ann").await, owner.session("ann").await);
        let held = leaver.hold(&server.app, &room).await;
        let mut stays = other.socket(&room, "").await;
        leaver.delete("/api/session").await.expect(204);
        held.expect_credential_ended().await;
        leaver.expect_shut_out(&room).await;
        let said =
            other.post_json(&format!("/api/rooms/{room}/messages"), json!({ "content": "hi" })).await.expect(201);
        assert_eq!(json!(stays.message().await), said);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_cookie_ends_with_its_session_on_every_transport() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let browser = owner.browser("ann").await;
        let held = browser.hold(&server.app, &room).await;
        let answer = browser.delete("/api/session").await;
        answer.expect(204);
        assert!(answer.header("set-cookie").contains("Max-Age=0"));
        held.expect_credential_ended().await;
        assert_eq!(browser.try_socket(&room, "").await.err(), Some(401));
        assert_eq!(browser.stream(&format!("/api/rooms/{room}/events")).await.status, 401);
        assert_eq!(browser.get("/api/rooms").await.refusal(401), "invalid_key");
    }
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_with_its_connections() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let session = owner.session("ann").await;
        server.clock.advance(Duration::from_secs(30 * 24 * 3600 - 1));
        let held = session.hold(&server.app, &room).await;
        server.app.sweep().await.unwrap();
        session.get("/api/session").await.expect(200);
        server.clock.advance(Duration::from_secs(1));
        server.app.sweep().await.unwrap();
        held.expect_credential_ended().await;
        server.clock.advance(Duration::from_secs(10));
        session.expect_shut_out(&room).await;
        owner.get("/api/rooms").await.expect(200);
    }
}

#[tokio::test]
async fn a_connection_that_opens_while_its_key_is_rotated_does_not_outlive_it() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let mut owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        for _ in 0..10 {
            let old = owner.clone();
            let opening: Vec<_> = (0..4)
                .map(|_| {
                    let (old, room) = (old.clone(), room.clone());
                    tokio::task::spawn(async move { old.try_socket(&room, "").await })
                })
                .collect();
            let key = owner.post("/api/keys/rotate", "").await.expect(201);
            owner = owner.stranger().with_token(key["key"].as_str().unwrap());
            for opened in opening {
                match opened.await.unwrap() {
                    Ok(mut socket) => assert_eq!(socket.end().await.0, Some(4041)),
                    Err(status) => assert_eq!(status, 401),
                }
            }
        }
    }
}

#[tokio::test]
async fn of_two_credentials_the_header_counts_then_the_url_then_the_cookie_and_nothing_falls_through() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let (by_header, by_url) = (owner.session("header").await, owner.session("url").await);
    let good = owner.cookie("cookie").await;
    let wrong_cookie = format!("{}=mas_wrong", good.split('=').next().unwrap());
    for header in [None, Some(by_header.token()), Some("mas_wrong")] {
        for url in [None, Some(by_url.token()), Some("mai_wrong")] {
            for cookie in [None, Some(good.as_str()), Some(wrong_cookie.as_str())] {
                let mut caller = server.stranger().with_header("origin", &owner.own_origin());
                if let Some(token) = header {
                    caller = caller.with_token(token);
                }
                if let Some(cookie) = cookie {
                    caller = caller.with_header("cookie", cookie);
                }
                let what = format!("header {header:?}, url {url:?}, cookie {cookie:?}");
                let query = url.map(|token| format!("?token={token}")).unwrap_or_default();
                let expected = expected_speaker(header, url, cookie);
                assert_eq!(speaker_on_a_socket(&caller, &room, &query).await, expected, "{what}");
                let status = caller.stream(&format!("/api/rooms/{room}/events{query}")).await.status;
                assert_eq!(status, if expected.is_some() { 200 } else { 401 }, "{what}");
                let answer = caller.get(&format!("/api/session{query}")).await;
                if url.is_some() {
                    assert_eq!(answer.refusal(400), "invalid_request", "{what}");
                } else {
                    let name = answer.json()["user"]["name"].as_str().map(str::to_owned);
                    assert_eq!(name, expected.map(str::to_owned), "{what}");
                }
            }
        }
    }
}

fn expected_speaker<'a>(header: Option<&str>, url: Option<&str>, cookie: Option<&str>) -> Option<&'a str> {
    let (shown, name) = match (header, url) {
        (Some(token), _) => (token, "header"),
        (None, Some(token)) => (token, "url"),
        (None, None) => (cookie?, "cookie"),
    };
    (!shown.ends_with("_wrong")).then_some(name)
}

/// Under which name the socket speaks; nothing when it is refused.
async fn speaker_on_a_socket(caller: &Caller, room: &str, query: &str) -> Option<&'static str> {
    match caller.try_socket(room, query).await {
        Err(status) => {
            assert_eq!(status, 401);
            None
        }
        Ok(mut socket) => {
            socket.send(json!({ "content": "who am I?" })).await;
            let sender = socket.message().await.sender;
            ["header", "url", "cookie"].into_iter().find(|name| *name == sender)
        }
    }
}

#[tokio::test]
async fn an_empty_token_in_the_url_is_a_credential_that_fails_as_an_empty_header_is() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "stage", "visibility": "public" })).await;
    let browser = owner.browser("ann").await;
    for path in [format!("/api/rooms/{room}/events?token="), "/api/lobby/events?token=".to_owned()] {
        assert_eq!(browser.get(&path).await.refusal(401), "missing_key", "the cookie does not step in at {path}");
    }
    assert_eq!(browser.refused_socket(&room, "?token=").await.refusal(401), "missing_key");
    assert_eq!(browser.get("/api/rooms?token=").await.refusal(400), "invalid_request");
}

#[tokio::test]
async fn a_token_in_the_url_is_refused_wherever_no_socket_opens() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let token = owner.token();
    for (method, path) in [
        ("GET", "/api/rooms".to_owned()),
        ("POST", "/api/rooms".to_owned()),
        ("GET", format!("/api/rooms/{room}/messages")),
        ("POST", format!("/api/rooms/{room}/messages")),
        ("GET", "/api/public/rooms".to_owned()),
        ("POST", "/api/keys".to_owned()),
        ("POST", "/api/session".to_owned()),
        ("DELETE", "/api/session".to_owned()),
    ] {
        let answer = server.stranger().call(method, &format!("{path}?token={token}"), &json!({ "name": "x" })).await;
        assert_eq!(answer.refusal(400), "invalid_request", "{method} {path}");
        assert!(!answer.whole().contains(token), "the answer repeats the token");
    }
}

#[tokio::test]
async fn a_header_that_is_no_bearer_is_no_credential_and_the_cookie_does_not_step_in() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let browser = owner.browser("ann").await;
    for header in ["Basic bWFp", owner.token(), "Bearer", "Bearer "] {
        let answer = browser.clone().with_header("authorization", header).get("/api/rooms").await;
        assert_eq!(answer.refusal(401), "missing_key", "{header}");
        assert_eq!(answer.json()["error"], "Missing API key");
    }
    for token in ["mai_wrong", "mas_wrong", "something", "mai_000000000000000000000000"] {
        let answer = browser.clone().with_header("authorization", &format!("Bearer {token}")).get("/api/rooms").await;
        assert_eq!(answer.refusal(401), "invalid_key", "{token}");
        assert_eq!(answer.json()["error"], "Invalid API key");
        assert_eq!(answer.header("set-cookie"), "", "the cookie was not looked at");
    }
    let wrong = server.stranger().with_token("mai_000000000000000000000000");
    assert_eq!(wrong.delete("/api/session").await.refusal(401), "invalid_key");
    assert_eq!(wrong.get("/api/public/rooms").await.refusal(401), "invalid_key");
}

#[tokio::test]
async fn a_dead_cookie_is_cleared_and_locks_nobody_out() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let browser = owner.browser("ann").await;
        let key = owner.post("/api/keys/rotate", "").await.expect(201)["key"].as_str().unwrap().to_owned();
        let answer = browser.get("/api/session").await;
        assert_eq!(answer.refusal(401), "invalid_key");
        let cleared = answer.header("set-cookie");
        assert!(cleared.starts_with("meet_ai_session_") && cleared.contains("Max-Age=0"), "{cleared}");
        for path in ["/", "/key", "/docs", "/r/01900000-0000-7000-8000-000000000001", "/healthz", "/readyz"] {
            assert_eq!(browser.get(path).await.status, 200, "{path}");
        }
        browser.post("/api/keys", "").await.expect(201);
        let signed_out = browser.delete("/api/session").await;
        signed_out.expect(204);
        assert!(signed_out.header("set-cookie").contains("Max-Age=0"));
        let signed_in = browser.post_json("/api/session", json!({ "key": key, "name": "ann" })).await;
        assert_eq!(signed_in.expect(201)["user"]["name"], "ann");
        assert!(signed_in.header("set-cookie").contains("HttpOnly; SameSite=Lax"));

        // The same cookie at a server whose data is gone.
        let other = Server::start().await;
        let name = format!("meet_ai_session_{}", other.address.port());
        let lost = other.stranger().with_header("cookie", &format!("{name}=mas_of_another_database"));
        let lost = lost.with_header("origin", &format!("http://{}", other.address));
        assert!(lost.get("/api/rooms").await.header("set-cookie").contains("Max-Age=0"));
        let body = json!({ "key": other.operator().token(), "name": "ann" });
        lost.post_json("/api/session", body).await.expect(201);
    }
}

#[tokio::test]
async fn a_session_token_is_not_the_key_itself() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let session = owner.session("ann").await;
    assert_eq!(session.post("/api/keys/rotate", "").await.refusal(403), "forbidden");
    assert_eq!(session.delete("/api/keys").await.refusal(403), "forbidden");
    let browser = owner.browser("ann").await;
    assert_eq!(browser.post("/api/keys/rotate", "").await.refusal(403), "forbidden");
    let body = json!({ "key": session.token(), "name": "eve" });
    assert_eq!(server.stranger().post_json("/api/session", body).await.refusal(403), "forbidden");
    owner.get("/api/rooms").await.expect(200);
}

#[tokio::test]
async fn a_session_cookie_is_for_one_port_and_over_tls_for_one_host() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let cookie = owner.cookie("ann").await;
    assert!(cookie.starts_with(&format!("meet_ai_session_{}=mas_", server.address.port())), "{cookie}");
    let public = Some(meet_server::config::PublicUrl::parse("https://meet.example.org").unwrap());
    let server = Setup::new().with(|config| config.public_url = public).start().await;
    let body = json!({ "key": server.operator().token(), "name": "ann" });
    let answer = server.stranger().post_json("/api/session", body).await;
    let token = answer.expect(201)["token"].as_str().unwrap().to_owned();
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with(&format!("__Host-meet_ai_session={token}; Path=/; HttpOnly; SameSite=Lax;")),
        "{cookie}"
    );
    assert!(cookie.ends_with("; Secure") && cookie.contains("Max-Age=2592000"), "{cookie}");
}

#[tokio::test]
async fn a_jump_of_the_wall_clock_ends_nothing_by_itself() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let session = owner.session("ann").await;
        let guest = owner.invite(&room, "member", "Gil").await;
        let mut socket = session.socket(&room, "").await;
        let mut seq = 0;
        let browser = owner.browser("eve").await;
        // Within a day an idempotency key, within a month a session would be over.
        for hours in [3, -3, -3, 3, 24 * 365, -24 * 365] {
            server.clock.jump(hours * 3600 * 1000);
            server.app.sweep().await.unwrap();
            while server.app.purge().await.unwrap() {}
            // What is believed for a few seconds is asked for again.
            server.clock.advance(Duration::from_secs(6));
            let answer = browser.get("/api/session").await;
            answer.expect(200);
            assert_eq!(answer.header("set-cookie"), "", "a cookie does not die of a wrong clock");
            for caller in [&owner, &session, &guest] {
                let body = if caller.token() == owner.token() {
                    json!({ "sender": "bob", "content": "hi" })
                } else {
                    json!({ "content": "hi" })
                };
                let said = caller.post_json(&format!("/api/rooms/{room}/messages"), body).await.expect(201);
                seq += 1;
                assert_eq!(said["seq"], seq);
                assert_eq!(json!(socket.message().await), said);
            }
        }
    }
}

async fn new_invite(owner: &Caller, room: &str, body: Value) -> String {
    let invite = owner.post_json(&format!("/api/rooms/{room}/invites"), body).await.expect(201);
    invite["token"].as_str().unwrap().to_owned()
}

async fn redeem(caller: &Caller, invite: &str, name: &str) -> Answer {
    soon("a sign-in", caller.post_json("/api/session", json!({ "invite": invite, "name": name }))).await
}

fn guest_of(answer: &Answer, near: &Caller) -> Caller {
    near.stranger().with_token(answer.expect(201)["token"].as_str().unwrap())
}

/// Sends the head of a request and gives the line; `more` are further header lines.
async fn begin(caller: &Caller, method: &str, path: &str, more: &str) -> TcpStream {
    let (address, key) = (caller.address(), caller.token());
    let mut line = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n{more}\r\n");
    line.write_all(head.as_bytes()).await.unwrap();
    line
}

#[tokio::test]
async fn a_caller_who_hangs_up_in_the_midst_of_rotating_leaves_nothing_open() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        for _ in 0..30 {
            let owner = server.new_tenant().await;
            let room = owner.room("planning").await;
            let mut socket = owner.socket(&room, "").await;
            drop(begin(&owner, "POST", "/api/keys/rotate", "content-length: 0\r\n").await);
            assert_eq!(socket.end().await.0, Some(4041));
            assert_eq!(owner.get("/api/rooms").await.refusal(401), "invalid_key");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_body_that_comes_after_the_end_of_its_key_does_nothing() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let body = json!({ "role": "member", "name": "late", "sender": "late", "content": "late" }).to_string();
        let more = format!("content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n", body.len());
        let mut lines = Vec::new();
        let place = format!("/api/rooms/{room}");
        let (invites, messages) = (format!("{place}/invites"), format!("{place}/messages"));
        for (method, path) in [("POST", &*invites), ("POST", &messages), ("PATCH", &place), ("POST", "/api/rooms")] {
            let mut line = begin(&owner, method, path, &more).await;
            // The server asks for the body once it knows who is calling.
            let mut asked = [0; 25];
            soon("the question for the body", line.read_exact(&mut asked)).await.unwrap();
            assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
            lines.push(line);
        }
        let new = owner.post("/api/keys/rotate", "").await.expect(201);
        for mut line in lines {
            line.write_all(body.as_bytes()).await.unwrap();
            let mut answer = String::new();
            soon("the answer", line.read_to_string(&mut answer)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
        let again = server.stranger().with_token(new["key"].as_str().unwrap());
        assert_eq!(again.get(&format!("/api/rooms/{room}/invites")).await.expect(200), json!([]));
        assert_eq!(again.messages(&room, "").await, []);
        assert_eq!(again.get("/api/rooms").await.expect(200).as_array().unwrap().len(), 1);
        server.stop().await;
    }
}
