//! `listen` over restarts, restores, deletions and rotations: no gap, no duplicate, and an end when
//! there is nothing more to hear.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use serde_json::{Value, json};

use crate::machine::{Machine, Running};

fn heard(listener: &Running, count: usize) -> Vec<String> {
    (0..count).map(|_| listener.message()["content"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_listener_hears_what_is_said_from_then_on() {
    let machine = Machine::new();
    let _server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    machine.ok(&["send-message", "general", "scout", "before"]);
    let listener = Running::start(machine.command(&["listen", "general"]));
    assert_eq!(listener.event("connected")["head_seq"], 1);
    machine.ok(&["send-message", "general", "scout", "after"]);
    assert_eq!(heard(&listener, 1), ["after"]);
}

#[test]
fn a_listener_may_leave_a_sender_out_or_want_mentions_only() {
    let machine = Machine::new();
    let _server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    let others = Running::start(machine.command(&["listen", "general", "--exclude", "scout"]));
    let mentions = Running::start(machine.command(&["listen", "general", "--mentions", "scout"]));
    others.event("connected");
    mentions.event("connected");
    machine.ok(&["send-message", "general", "scout", "from scout"]);
    machine.ok(&["send-message", "general", "ann", "for nobody"]);
    machine.ok(&["send-message", "general", "ann", "for @scout"]);
    assert_eq!(heard(&others, 2), ["for nobody", "for @scout"]);
    assert_eq!(heard(&mentions, 1), ["for @scout"]);
}

#[test]
fn a_listener_that_knows_who_it_is_leaves_out_its_own() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let room = machine.ok(&["create-room", "general"]);
    let token = server.owner_link.as_ref().unwrap().split_once("#owner=").unwrap().1;
    let (_, body) = server.http("POST", "/api/session", "", &json!({ "owner": token, "name": "Ann" }).to_string());
    let session: Value = serde_json::from_str(&body).unwrap();
    let mut command = machine.command(&["listen", "general"]);
    command.env("MEET_AI_KEY", session["token"].as_str().unwrap()).env("MEET_AI_URL", &server.url);
    let listener = Running::start(command);
    listener.event("connected");
    let path = format!("/api/rooms/{room}/messages");
    let (status, _) = server.http("POST", &path, session["token"].as_str().unwrap(), r#"{"content":"mine"}"#);
    assert_eq!(status, 201);
    machine.ok(&["send-message", "general", "scout", "theirs"]);
    assert_eq!(heard(&listener, 1), ["theirs"]);
}

#[test]
fn a_place_that_the_room_has_not_reached_means_from_now_on() {
    let machine = Machine::new();
    let _server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    machine.ok(&["send-message", "general", "scout", "one"]);
    let listener = Running::start(machine.command(&["listen", "general", "--since", "2"]));
    assert_eq!(listener.event("resync")["head_seq"], 1);
    assert_eq!(listener.event("connected")["since"], 1);
    machine.ok(&["send-message", "general", "scout", "two"]);
    assert_eq!(heard(&listener, 1), ["two"]);
}

#[test]
fn a_program_answers_by_the_key_in_dot_env_and_its_answer_starts_no_program() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    // Another tenant than the one whose key the first start kept.
    let key = machine.ok(&["generate-key"]);
    fs::write(machine.work().join(".env"), format!("MEET_AI_KEY={key}\n")).unwrap();
    machine.ok(&["create-room", "general"]);
    let binary = env!("CARGO_BIN_EXE_meet-ai");
    let program = format!("#!/bin/sh\n{binary} send-message general scout \"@scout is on it\"\n");
    let file = machine.work().join("answer.sh");
    fs::write(&file, program).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o700)).unwrap();
    let mut command = machine.command(&["listen", "general", "--mentions", "Scout", "--exec", "./answer.sh"]);
    command.env("MEET_AI_KEY", &key).env("MEET_AI_URL", &server.url);
    let listener = Running::start(command);
    listener.event("connected");
    for seq in [1, 3] {
        machine.ok(&["send-message", "general", "ann", "@scout, please"]);
        assert_eq!(listener.event("exec")["seq"], seq);
    }
    assert_eq!(heard(&listener, 2), ["@scout, please", "@scout, please"]);
    assert_eq!(machine.ok(&["poll", "general", "--exclude", "ann", "--json"]).lines().count(), 2);
}

#[test]
fn a_program_of_a_listener_with_a_given_key_does_not_speak_as_the_owner() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    let key = machine.ok(&["generate-key"]);
    machine.ok(&["create-room", "builds", "--key", &key]);
    let rooms = format!("{} rooms", env!("CARGO_BIN_EXE_meet-ai"));
    for (given, sees) in [(None, Some(0)), (Some(&key), Some(1))] {
        let room = if given.is_some() { "builds" } else { "general" };
        let mut command = machine.command(&["listen", room, "--exec", &rooms]);
        command.env("MEET_AI_URL", &server.url).envs(given.map(|key| ("MEET_AI_KEY", key)));
        let listener = Running::start(command);
        listener.event("connected");
        let mut say = vec!["send-message", room, "ann", "what is there?"];
        say.extend(given.iter().flat_map(|key| ["--key", key.as_str()]));
        machine.ok(&say);
        let ran = listener.event(if given.is_some() { "exec_failed" } else { "exec" });
        assert_eq!(ran["exit"].as_i64(), sees, "{ran}");
        let said = format!("{}{}", ran["output"], ran["errors"]);
        assert_eq!(said.contains("general"), given.is_none(), "{ran}");
    }
}

#[test]
fn a_listener_outlives_a_restart_without_gap_or_duplicate() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let address = server.address();
    machine.ok(&["create-room", "general"]);
    let listener = Running::start(machine.command(&["listen", "general"]));
    listener.event("connected");
    machine.ok(&["send-message", "general", "scout", "one"]);
    assert_eq!(heard(&listener, 1), ["one"]);
    assert!(server.stop().success());
    listener.event("disconnected");
    let _server = machine.serve("data", &address);
    machine.ok(&["send-message", "general", "scout", "two"]);
    machine.ok(&["send-message", "general", "scout", "three"]);
    listener.event("connected");
    machine.ok(&["send-message", "general", "scout", "four"]);
    assert_eq!(heard(&listener, 3), ["two", "three", "four"]);
}

#[test]
fn a_listener_hears_all_that_is_new_after_a_restored_backup() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let address = server.address();
    machine.ok(&["create-room", "general"]);
    machine.ok(&["send-message", "general", "scout", "one"]);
    machine.ok(&["send-message", "general", "scout", "two"]);
    machine.ok(&["backup", "copy.backup", "--data-dir", "data"]);
    machine.ok(&["send-message", "general", "scout", "lost"]);
    let from_the_start = Running::start(machine.command(&["listen", "general", "--since", "0"]));
    assert_eq!(heard(&from_the_start, 3), ["one", "two", "lost"]);
    let from_a_place = Running::start(machine.command(&["listen", "general", "--since", "1"]));
    assert_eq!(heard(&from_a_place, 2), ["two", "lost"]);
    let from_now = Running::start(machine.command(&["listen", "general"]));
    from_now.event("connected");
    assert!(server.stop().success());

    machine.ok(&["restore", "copy.backup", "--data-dir", "restored"]);
    let _server = machine.serve("restored", &address);
    for text in ["three", "four", "five"] {
        machine.ok(&["send-message", "general", "scout", text]);
    }
    for listener in [&from_the_start, &from_a_place, &from_now] {
        listener.event("resync");
        assert_eq!(heard(listener, 3), ["three", "four", "five"]);
        listener.event("connected");
    }
    machine.ok(&["send-message", "general", "scout", "six"]);
    for listener in [&from_the_start, &from_a_place, &from_now] {
        assert_eq!(heard(listener, 1), ["six"]);
    }
}

#[test]
fn a_listener_ends_when_its_room_or_its_key_does() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = machine.key_of(&server.url);
    let room = machine.ok(&["create-room", "short"]);
    machine.ok(&["create-room", "long"]);
    let mut of_the_room = Running::start(machine.command(&["listen", "short"]));
    let mut of_the_key = Running::start(machine.command(&["listen", "long"]));
    of_the_room.event("connected");
    of_the_key.event("connected");
    assert_eq!(server.http("DELETE", &format!("/api/rooms/{room}"), &key, "").0, 204);
    assert_eq!(of_the_room.event("error")["code"], "room_not_found");
    assert_eq!(of_the_room.wait().code(), Some(1));
    assert_eq!(server.http("POST", "/api/keys/rotate", &key, "").0, 201);
    assert_eq!(of_the_key.event("error")["code"], "invalid_key");
    assert_eq!(of_the_key.wait().code(), Some(1));
}
