//! What the exit code says: 0 done, 1 refused, 2 usage, 3 unreachable.

use std::fs;

use serde_json::{Value, json};

use crate::{
    fake::{Answer, Fake},
    machine::{DeadAddress, Machine, failed},
};

const ROOM: &str = "01900000-0000-7000-8000-000000000001";

/// A message as a server sends it.
fn message() -> Value {
    json!({
        "id": "01900000-0000-7000-8000-000000000002", "room_id": ROOM, "roomId": ROOM, "seq": 1, "type": "message",
        "user": "01900000-0000-7000-8000-000000000003", "sender": "scout", "sender_type": "agent", "content": "hi",
        "reply_to": null, "created_at": "2026-02-07T12:00:00.123Z",
    })
}

#[test]
fn wrong_usage_is_two() {
    let machine = Machine::new();
    for args in [
        &["no-such-command"][..],
        &["poll"],
        &["poll", "room", "--wait", "61"],
        &["poll", "room", "--after", "x", "--after-seq", "1"],
        &["rooms", "--url", "localhost:3000"],
        &["listen", "room", "--exec", "'open"],
        &["listen", "room", "--exec", "./no-such"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--listen", "0.0.0.0:0"],
        &["config", "--config", "/does/not/exist"],
    ] {
        assert_eq!(failed(&machine.run(args)).0, 2, "{args:?}");
    }
}

#[test]
fn an_empty_argument_is_named() {
    let machine = Machine::new();
    for (args, missing) in [
        (&["create-room", ""][..], "the name of the room is missing"),
        (&["send-message", "", "scout", "hi"], "the room is missing"),
        (&["send-message", "general", " ", "hi"], "the name of the sender is missing"),
        (&["send-message", "general", "scout", ""], "what is said is missing"),
        (&["send-message", "general", "scout", "-"], "what is said, on standard input, is missing"),
    ] {
        let (code, said) = failed(&machine.run(args));
        assert!(code == 2 && said.contains(missing), "{args:?}: {said}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_three() {
    let machine = Machine::new();
    let nobody = DeadAddress::new();
    for args in [&["rooms", "--url", &nobody.url][..], &["listen", "room", "--url", &nobody.url]] {
        let (code, said) = failed(&machine.run(args));
        assert!(code == 3 && said.contains(&nobody.url), "{args:?}: {said}");
    }
    let (_, said) = failed(&machine.run(&["rooms", "--url", &nobody.url]));
    let start = format!("serve --listen {}`", nobody.url.strip_prefix("http://").unwrap());
    assert!(said.contains("hint: nothing listens there: start a server with") && said.contains(&start), "{said}");
    let stranger = Fake::start(vec![Answer::Http("200 OK", String::new(), "<html>".to_owned())]);
    let (code, said) = failed(&machine.run(&["rooms", "--key", "mai_x", "--url", &stranger.url]));
    assert!(code == 3 && said.contains("is not meet-ai"), "{said}");
}

#[test]
fn https_at_a_port_of_plain_http_is_told() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let https = server.url.replacen("http", "https", 1);
    let (code, said) = failed(&machine.run(&["rooms", "--url", &https]));
    assert!(code == 3 && said.contains(&format!("no TLS is spoken there: try {}", server.url)), "{said}");
}

#[test]
fn what_the_server_refuses_is_one_and_its_sentence_is_told() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let stranger = Machine::new();
    let unknown = "01900000-0000-7000-8000-000000000000";
    let url = server.url.as_str();
    for (args, sentence) in [
        (&["rooms", "--url", url][..], "Missing API key"),
        (&["rooms", "--url", url, "--key", "mai_wrong"], "Invalid API key"),
        (&["listen", unknown, "--url", url, "--key", "mai_wrong"], "Invalid API key"),
        (&["poll", unknown, "--url", url], "Missing API key"),
    ] {
        let (code, said) = failed(&stranger.run(args));
        assert!(code == 1 && said.contains(sentence), "{args:?}: {said}");
    }
    for (args, sentence) in [
        (&["poll", unknown][..], "room not found"),
        (&["listen", unknown], "room not found"),
        (&["send-message", unknown, "scout", "hi"], "room not found"),
        (&["poll", "nowhere"], "no room is called nowhere"),
    ] {
        let (code, said) = failed(&machine.run(args));
        assert!(code == 1 && said.contains(sentence), "{args:?}: {said}");
    }
}

#[test]
fn a_name_that_only_a_key_can_find_is_told_with_the_missing_key() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "standup"]);
    let (code, said) = failed(&Machine::new().run(&["poll", "standup", "--url", &server.url]));
    assert_eq!(code, 1);
    for part in ["no public room is called standup", "no key was found", "MEET_AI_KEY", "generate-key`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_room_that_is_not_found_tells_who_looked_and_the_name_that_is_near() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "Standup"]);
    let (code, said) = failed(&machine.run(&["poll", "stadnup"]));
    assert!(code == 1 && said.contains("no room is called stadnup; did you mean Standup?"), "{said}");
    let asked = format!("the key from config.toml went to {} (from config.toml)", server.url);
    assert!(said.contains(&asked) && said.contains("rooms` lists"), "{said}");
    let (_, said) = failed(&machine.run(&["poll", "retro"]));
    assert!(!said.contains("did you mean"), "{said}");
    let (_, said) = failed(&machine.run(&["poll", "01900000-0000-7000-8000-000000000000"]));
    assert!(said.contains("room not found") && said.contains(&asked), "{said}");
}

#[test]
fn an_error_names_the_place_that_chose_the_server_and_the_key() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let nobody = DeadAddress::new();
    let rooms = |url: &str| {
        fs::write(machine.work().join(".env"), format!("MEET_AI_URL={url}\n")).unwrap();
        failed(&machine.command(&["rooms"]).env("MEET_AI_KEY", "mai_wrong").output().unwrap())
    };
    let (code, said) = rooms(&nobody.url);
    assert!(code == 3 && said.contains(&format!("{} (from ./.env) cannot be reached", nobody.url)), "{said}");
    let (code, said) = rooms(&server.url);
    let told = format!("the key from the environment went to {} (from ./.env)", server.url);
    assert!(code == 1 && said.contains(&told), "{said}");
}

#[test]
fn programs_get_failures_as_json_too() {
    let machine = Machine::new();
    let _server = machine.serve("data", "127.0.0.1:0");
    let (code, said) = failed(&machine.run(&["poll", "01900000-0000-7000-8000-000000000000", "--json"]));
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["event"], &told["code"]), (1, &json!("error"), &json!("room_not_found")));
}

#[test]
fn a_message_that_got_no_answer_is_sent_again_under_the_same_key() {
    let machine = Machine::new();
    let room = ROOM;
    let limited = r#"{"error":"rate limit exceeded","code":"rate_limited"}"#;
    let fake = Fake::start(vec![
        Answer::HangUp,
        Answer::Http("502 Bad Gateway", String::new(), "<html>".to_owned()),
        Answer::Http("429 Too Many Requests", "retry-after: 1\r\n".to_owned(), limited.to_owned()),
        Answer::json("201 Created", message().to_string()),
    ]);
    let id = machine.ok(&["send-message", room, "scout", "hi", "--url", &fake.url, "--key", "mai_x"]);
    assert_eq!(id, "01900000-0000-7000-8000-000000000002");
    let requests = fake.requests();
    let key = |request: &String| {
        request.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).map(str::to_owned).unwrap()
    };
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| key(request) == key(&requests[0])), "{requests:?}");
}

#[test]
fn a_page_that_a_filter_emptied_is_not_the_last() {
    let machine = Machine::new();
    let link = format!("link: </api/rooms/{ROOM}/messages?after_seq=20000&limit=1000>; rel=\"next\"\r\n");
    let fake = Fake::start(vec![
        Answer::Http("200 OK", link, "[]".to_owned()),
        Answer::json("200 OK", json!([message()]).to_string()),
    ]);
    let polled = machine.ok(&["poll", ROOM, "--exclude", "scribe", "--wait", "5", "--json", "--url", &fake.url]);
    assert_eq!(serde_json::from_str::<Value>(&polled).unwrap(), message());
    let requests = fake.requests();
    let second = requests[1].lines().next().unwrap();
    assert!(second.contains("after_seq=20000") && second.contains("exclude=scribe"), "{second}");
    assert!(requests[0].contains("wait=5") && !second.contains("wait="), "only the first request waits");
}

#[test]
fn a_limit_tells_when_to_come_back() {
    let machine = Machine::new();
    let limited = r#"{"error":"rate limit exceeded","code":"rate_limited"}"#;
    let fake =
        Fake::start(vec![Answer::Http("429 Too Many Requests", "retry-after: 85230\r\n".into(), limited.into())]);
    let (code, said) = failed(&machine.run(&["create-room", "general", "--url", &fake.url, "--key", "mai_x"]));
    assert!(code == 1 && said.contains("rate limit exceeded; again in 23 h 41 min"), "{said}");
}

#[test]
fn what_cannot_succeed_is_not_tried_again() {
    let machine = Machine::new();
    let full = r#"{"error":"the storage quota is used up","code":"quota_exceeded"}"#;
    let fake = Fake::start(vec![Answer::json("507 Insufficient Storage", full)]);
    let room = "01900000-0000-7000-8000-000000000001";
    let args = ["send-message", room, "scout", "hi", "--url", &fake.url, "--key", "mai_x"];
    assert_eq!(failed(&machine.run(&args)).0, 1);
    assert_eq!(fake.requests().len(), 1);
}
