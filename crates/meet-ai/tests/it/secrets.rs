//! Keys go where they belong, and what others wrote stays data.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    fake::{Answer, Fake},
    machine::{Machine, Running, Server, failed},
};

fn has_credential(request: &str) -> bool {
    request.to_ascii_lowercase().contains("authorization") || request.contains("mai_")
}

#[test]
fn a_hostile_dot_env_gets_no_key_from_config_toml() {
    let machine = Machine::new();
    let _server = machine.serve("data", "127.0.0.1:0");
    assert!(fs::read_to_string(machine.config_toml()).unwrap().contains("mai_"));
    let hostile = Fake::start(vec![Answer::json("200 OK", "[]")]);
    fs::write(machine.work().join(".env"), format!("MEET_AI_URL={}\n", hostile.url)).unwrap();
    machine.run(&["rooms"]);
    machine.run(&["poll", "general"]);
    machine.run(&["generate-key"]);
    machine.run(&["doctor"]);
    let requests = hostile.requests();
    assert!(!requests.is_empty());
    assert!(!requests.iter().any(|request| has_credential(request)), "{requests:?}");
}

#[test]
fn a_key_does_not_follow_a_redirect() {
    let machine = Machine::new();
    let thief = Fake::start(vec![Answer::json("200 OK", "[]")]);
    let location = format!("location: {}/api/rooms\r\n", thief.url);
    let server = Fake::start(vec![Answer::Http("307 Temporary Redirect", location, String::new())]);
    let (code, said) = failed(&machine.run(&["rooms", "--url", &server.url, "--key", "mai_x"]));
    assert!(code == 1 && said.contains(&thief.url), "{said}");
    assert!(has_credential(&server.requests()[0]));
    assert!(thief.requests().is_empty());
}

#[test]
fn a_next_page_elsewhere_is_asked_of_the_same_server() {
    let machine = Machine::new();
    let thief = Fake::start(vec![Answer::json("200 OK", "[]")]);
    let room = json!([{
        "id": "01900000-0000-7000-8000-000000000001", "name": "a", "visibility": "private", "media": "audio",
        "bot_enabled": false, "head_seq": 0, "epoch": "e", "online": 0, "created_at": "2026-02-07T12:00:00.123Z",
        "expires_at": null,
        "agents": { "paused": false, "budget": 50, "share": 25, "remaining": 50 },
    }]);
    let link = format!("link: <{}/api/rooms?after=x>; rel=\"next\"\r\n", thief.url);
    let server = Fake::start(vec![Answer::Http("200 OK", link, room.to_string()), Answer::json("200 OK", "[]")]);
    machine.ok(&["rooms", "--url", &server.url, "--key", "mai_x"]);
    assert!(thief.requests().is_empty());
    assert!(server.requests()[1].starts_with("GET /api/rooms?after=x "));
}

#[test]
fn names_and_messages_cannot_command_a_terminal() {
    let machine = Machine::new();
    let osc = "\u{1b}]52;c;cm0gLXJmIH4=\u{7}\u{9b}2J";
    let room = json!([{
        "id": "01900000-0000-7000-8000-000000000001", "name": format!("general{osc}"), "visibility": "private",
        "media": "audio", "bot_enabled": false, "head_seq": 0, "epoch": "e", "online": 0,
        "created_at": "2026-02-07T12:00:00.123Z", "expires_at": null,
        "agents": { "paused": false, "budget": 50, "share": 25, "remaining": 50 },
    }]);
    let hostile = Fake::start(vec![Answer::json("200 OK", room.to_string())]);
    let refusing =
        Fake::start(vec![Answer::json("403 Forbidden", json!({ "error": osc, "code": "forbidden" }).to_string())]);
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    machine.ok(&["send-message", "general", "scout", osc]);
    for args in [
        &["rooms", "--url", &hostile.url, "--key", "mai_x"][..],
        &["rooms", "--json", "--url", &hostile.url, "--key", "mai_x"],
        &["rooms", "--url", &refusing.url, "--key", "mai_x"],
        &["poll", "general", "--url", &server.url],
        &["poll", "general", "--json", "--url", &server.url],
    ] {
        let output = machine.run(args);
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(printed.contains("]52;c;"), "{args:?}: {printed}");
        assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{args:?}: {printed:?}");
    }
}

#[test]
fn a_program_run_for_messages_never_sees_the_key() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = machine.key_of(&server.url);
    machine.ok(&["create-room", "general"]);
    machine.ok(&["send-message", "general", "scout", "$(touch hacked) `touch hacked`; touch hacked"]);
    let mut command = machine.command(&["listen", "general", "--since", "0", "--exec", "env"]);
    command.env("MEET_AI_KEY", &key).env("MEET_AI_URL", &server.url).env("LEFT_ALONE", "yes");
    let listener = Running::start(command);
    let ran = listener.event("exec");
    let environment = ran["output"].as_str().unwrap();
    assert!(environment.contains("LEFT_ALONE=yes"), "{environment}");
    assert!(!environment.contains("MEET_AI_KEY") && !environment.contains(&key), "{environment}");
    assert!(!machine.work().join("hacked").exists());
}

#[test]
fn a_program_that_fails_or_floods_does_not_end_the_listener() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    machine.ok(&["send-message", "general", "scout", "one"]);
    let flood = "sh -c 'yes flood | head -c 10485760; exit 3'";
    let listener =
        Running::start(machine.command(&["listen", "general", "--since", "0", "--exec", flood, "--url", &server.url]));
    for (seq, text) in [(1, "one"), (2, "two")] {
        assert_eq!(listener.message()["content"], text);
        let ran = listener.event("exec_failed");
        assert_eq!((&ran["seq"], &ran["exit"]), (&json!(seq), &json!(3)));
        let kept = ran["output"].as_str().unwrap().len() as u64;
        assert_eq!((kept, ran["discarded_bytes"].as_u64().unwrap() + kept), (64 * 1024, 10 * 1024 * 1024));
        if seq == 1 {
            machine.ok(&["send-message", "general", "scout", "two"]);
        }
    }
}

#[test]
fn the_most_talkative_log_holds_no_secret_no_query_and_no_message() {
    let machine = Machine::new();
    let mut command = machine.command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    command.env("MEET_AI_LOG", "trace").env("MEET_AI_METRICS__TOKEN", "metrics-secret");
    let mut server = Server::start(command);
    let key = machine.key_of(&server.url);
    let said = |method: &str, path: &str, key: &str, body: &str| {
        let (_, answer) = server.http(method, path, key, body);
        serde_json::from_str::<Value>(&answer).unwrap_or_default()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let room = text(&said("POST", "/api/rooms", &key, r#"{"name": "plans"}"#)["id"]);
    let messages = format!("/api/rooms/{room}/messages");
    said("POST", &messages, &key, r#"{"sender": "ann", "content": "the-message-itself"}"#);
    said("GET", &format!("/api/rooms/{room}/search?q=the-query-itself"), &key, "");
    said("GET", &format!("/api/lobby/events?token={key}x"), "", "");
    said("GET", "/api/rooms", "mai_wrong-credential-1234", "");
    said("GET", "/metrics", "metrics-secret", "");
    let invite = said("POST", &format!("/api/rooms/{room}/invites"), &key, r#"{"role": "member"}"#);
    let invite = text(&invite["token"]);
    let guest = said("POST", "/api/session", "", &json!({ "invite": invite, "name": "gil" }).to_string());
    let session = text(&guest["token"]);
    said("POST", &messages, &session, r#"{"content": 5}"#);
    said("POST", &format!("/api/rooms/{room}/log"), &session, r#"{"text": "the-line-itself"}"#);
    said("PUT", "/presence/status", &session, r#"{"about": {"doing": "working", "note": "the-note-itself"}}"#);
    let connection = text(&said("POST", "/realtime/connection-token", &session, "")["token"]);
    let subscription = text(&said("POST", &format!("/api/rooms/{room}/subscribe-token"), &session, "")["token"]);
    let signing = fs::read_to_string(machine.work().join("data/signing-keys.toml")).unwrap();
    let signing: Vec<_> = signing.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect();
    let rotated = text(&said("POST", "/api/keys/rotate", &key, "")["key"]);
    let owner = server.owner_link.as_deref().and_then(|link| link.split('=').next_back()).unwrap().to_owned();
    server.process.signal(Signal::TERM);
    server.process.wait();
    let log = server.process.stderr.rest();
    assert!(log.contains("/api/rooms/{id}/messages"), "requests are not logged: {log}");
    let secrets = [&key, &session, &invite, &rotated, &owner, &connection, &subscription, &signing[0], &signing[1]];
    assert!(secrets.iter().all(|secret| secret.len() > 20), "{secrets:?}");
    let texts = [
        "the-message-itself",
        "the-query-itself",
        "the-line-itself",
        "the-note-itself",
        "wrong-credential",
        "metrics-secret",
    ];
    for secret in secrets.into_iter().map(String::as_str).chain(texts) {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
}
