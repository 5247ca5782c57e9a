//! The way from nothing to a conversation, by the two variables that the original tool had.

use std::{fs, io::Write as _};

use serde_json::Value;

use crate::machine::{Machine, Running, failed, succeeded};

#[test]
fn the_original_tools_flow_works() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    // Another machine: all that it knows is in two variables.
    let elsewhere = Machine::new();
    let mut generate = elsewhere.command(&["generate-key"]);
    let output = generate.env("MEET_AI_URL", &server.url).output().unwrap();
    let key = succeeded(&output);
    assert!(key.starts_with("mai_") && key.len() == 28, "{key}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&key), "the key is on standard output only");
    let with_key = |args: &[&str]| {
        let mut command = elsewhere.command(args);
        command.env("MEET_AI_URL", &server.url).env("MEET_AI_KEY", &key);
        command
    };
    let run = |args: &[&str]| succeeded(&with_key(args).output().unwrap());

    let room = run(&["create-room", "general"]);
    let mut listener = Running::start(with_key(&["listen", "general"]));
    listener.event("connected");
    let first = run(&["send-message", "general", "scout", "Hello from an agent"]);
    run(&["send-message", &room, "Ann", "Hello from a person", "--human"]);

    let heard = [listener.message(), listener.message()];
    assert_eq!(heard[0]["content"], "Hello from an agent");
    assert_eq!(
        (&heard[0]["sender"], &heard[0]["sender_type"], &heard[0]["seq"]),
        (&"scout".into(), &"agent".into(), &1.into())
    );
    assert_eq!((&heard[1]["sender_type"], &heard[1]["roomId"]), (&"human".into(), &room.as_str().into()));

    let polled: Vec<Value> =
        run(&["poll", "general", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(polled, heard, "every transport shows the same message");
    assert_eq!(run(&["poll", "general", "--after", &first, "--json"]).lines().count(), 1);
    assert_eq!(run(&["poll", "general", "--after-seq", "1", "--json"]).lines().count(), 1);
    assert_eq!(run(&["poll", "general", "--exclude", "scout", "--json"]).lines().count(), 1);
    assert_eq!(run(&["poll", "general", "--after-seq", "2", "--wait", "0"]), "");
    assert!(run(&["poll", "general"]).contains("scout (agent): Hello from an agent"));
    let rooms: Value = serde_json::from_str(&run(&["rooms", "--json"])).unwrap();
    assert_eq!((&rooms["id"], &rooms["head_seq"]), (&room.as_str().into(), &2.into()));
    assert!(run(&["rooms"]).contains("general"));

    listener.signal(rustix::process::Signal::INT);
    assert!(listener.wait().success());
}

#[test]
fn a_message_may_come_from_standard_input() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    let mut command = machine.command(&["send-message", "general", "scout", "-"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("two\nlines\n".as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let message: Value = serde_json::from_str(&machine.ok(&["poll", "general", "--json"])).unwrap();
    assert_eq!(message["content"], "two\nlines");
    drop(server);
}

#[test]
fn a_key_may_stand_in_dot_env() {
    let server = Machine::new();
    let server = server.serve("data", "127.0.0.1:0");
    let elsewhere = Machine::new();
    let key = elsewhere.ok(&["generate-key", "--url", &server.url]);
    let text = format!("export MEET_AI_KEY='{key}' # ours\nMEET_AI_URL={}\n", server.url);
    fs::write(elsewhere.work().join(".env"), text).unwrap();
    elsewhere.ok(&["create-room", "general"]);
    assert!(elsewhere.ok(&["rooms"]).contains("general"));
}

#[test]
fn a_message_may_answer_another() {
    let machine = Machine::new();
    let _server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    let asked = machine.ok(&["send-message", "general", "ann", "Shall we?"]);
    let answer = machine.ok(&["send-message", "general", "scout", "Yes.", "--reply-to", &asked]);
    let polled: Value = serde_json::from_str(&machine.ok(&["poll", "general", "--after", &asked, "--json"])).unwrap();
    assert_eq!((&polled["id"], &polled["reply_to"]), (&answer.into(), &asked.into()));
    let unknown = "01900000-0000-7000-8000-000000000000";
    let (code, said) = failed(&machine.run(&["send-message", "general", "scout", "Yes.", "--reply-to", unknown]));
    assert!(code == 1 && said.contains("reply_to"), "{said}");
}

#[test]
fn a_public_room_is_read_without_a_key_and_a_private_one_is_not() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "news", "--public"]);
    machine.ok(&["create-room", "plans"]);
    machine.ok(&["send-message", "news", "scout", "for everybody"]);
    let stranger = Machine::new();
    let read = |room: &str| stranger.run(&["poll", room, "--url", &server.url]);
    assert!(succeeded(&read("news")).contains("for everybody"));
    assert_eq!(failed(&read("plans")).0, 1);
}

#[test]
fn the_browser_and_the_command_line_are_one_tenant() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let room = machine.ok(&["create-room", "general"]);
    let token = server.owner_link.as_ref().unwrap().split_once("#owner=").unwrap().1;
    let (status, body) = server.http("POST", "/api/session", "", &format!(r#"{{"owner":"{token}","name":"Ann"}}"#));
    assert_eq!(status, 201, "{body}");
    let session: Value = serde_json::from_str(&body).unwrap();
    let (status, rooms) = server.http("GET", "/api/rooms", session["token"].as_str().unwrap(), "");
    assert!(status == 200 && rooms.contains(&room), "{rooms}");
}

#[test]
fn a_name_that_several_rooms_have_lists_their_ids() {
    let machine = Machine::new();
    let _server = machine.serve("data", "127.0.0.1:0");
    let ids = [machine.ok(&["create-room", "twin"]), machine.ok(&["create-room", "twin"])];
    let output = machine.run(&["poll", "twin"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(ids.iter().all(|id| said.contains(id)), "{said}");
}

#[test]
fn a_long_history_is_polled_to_its_end() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let room = machine.ok(&["create-room", "long"]);
    let key = machine.key_of(&server.url);
    for number in 1..=1100 {
        let body = format!(r#"{{"sender":"scout","content":"number {number}"}}"#);
        let (status, answer) = server.http("POST", &format!("/api/rooms/{room}/messages"), &key, &body);
        assert_eq!(status, 201, "{answer}");
    }
    let polled = machine.ok(&["poll", "long", "--json"]);
    let seqs: Vec<u64> =
        polled.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=1100).collect::<Vec<u64>>());
}
