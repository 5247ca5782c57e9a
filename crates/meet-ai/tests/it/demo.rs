//! `demo`: a conversation that ends in the guard and goes on by a person, on a server of which nothing is left.

use std::{fs, path::PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::machine::{Machine, Running, Server, until};

/// A running demonstration, with its temporary directory.
struct Demo {
    server: Server,
    temporary: PathBuf,
    owner: String,
}

impl Demo {
    fn start(machine: &Machine) -> Self {
        let temporary = machine.path("tmp");
        fs::create_dir_all(&temporary).unwrap();
        let mut command = machine.command(&["demo", "--no-browser", "--fast"]);
        command.env("TMPDIR", &temporary);
        let process = Running::start(command);
        let link = loop {
            let line = process.stdout.next();
            if line.contains("#owner=") {
                break line.trim().to_owned();
            }
        };
        let (url, token) = link.split_once("/#owner=").unwrap();
        let server = Server { process, url: url.to_owned(), owner_link: Some(link.clone()), banner: String::new() };
        let sign_in = json!({ "owner": token, "name": "Ann" }).to_string();
        let (status, session) = server.http("POST", "/api/session", "", &sign_in);
        assert_eq!(status, 201, "{session}");
        let owner = serde_json::from_str::<Value>(&session).unwrap()["token"].as_str().unwrap().to_owned();
        Self { server, temporary, owner }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.server.http(method, path, &self.owner, body);
        assert!(status < 300, "{method} {path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap_or_default()
    }

    /// The only room, once it is there.
    fn room(&self) -> String {
        let rooms = || self.ask("GET", "/api/rooms", "");
        until("a room", || rooms()[0]["id"].is_string());
        rooms()[0]["id"].as_str().unwrap().to_owned()
    }

    /// Reads on until somebody says this, and gives the messages up to it.
    fn hears(&self, room: &str, text: &str) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let page = self.ask("GET", &format!("/api/rooms/{room}/messages?after_seq={}&wait=30", heard.len()), "");
            assert_ne!(page, json!([]), "{text} is never said: {heard:?}");
            heard.extend(page.as_array().unwrap().iter().cloned());
            if heard.iter().any(|message| message["content"].as_str().unwrap().contains(text)) {
                return heard;
            }
        }
    }
}

#[test]
fn a_demonstration_trips_the_guard_and_a_person_lifts_it() {
    let machine = Machine::new();
    let mut demo = Demo::start(&machine);
    let room = demo.room();
    let heard = demo.hears(&room, "1.4 is tagged.");
    let row = |message: &Value| message["sender_type"] == "agent";
    let longest = heard.split(|message| !row(message)).map(<[Value]>::len).max();
    let budget = demo.ask("GET", &format!("/api/rooms/{room}"), "")["agents"]["budget"].as_u64().unwrap();
    assert_eq!(longest, usize::try_from(budget).ok(), "the agents spoke until they were stopped");
    assert!(heard.iter().any(|message| message["content"].as_str().unwrap().contains("@scout please")));
    demo.ask("POST", &format!("/api/rooms/{room}/messages"), r#"{"content": "@scout are you there?"}"#);
    demo.hears(&room, "@Ann I heard you.");
    assert_eq!(fs::read_dir(&demo.temporary).unwrap().count(), 1);
    assert!(!machine.config_toml().exists(), "the key of what is thrown away is kept nowhere");
    demo.server.process.signal(Signal::INT);
    assert!(demo.server.process.wait().success());
    assert_eq!(fs::read_dir(&demo.temporary).unwrap().count(), 0);
}

#[test]
fn a_demonstration_that_the_system_or_the_end_of_a_terminal_ends_leaves_nothing_either() {
    for signal in [Signal::TERM, Signal::HUP] {
        let machine = Machine::new();
        let mut demo = Demo::start(&machine);
        demo.server.process.signal(signal);
        assert!(demo.server.process.wait().success());
        assert_eq!(fs::read_dir(&demo.temporary).unwrap().count(), 0);
        assert_eq!(fs::read_dir(machine.work()).unwrap().count(), 0);
    }
}

#[test]
fn whoever_watches_may_take_the_play_apart() {
    let machine = Machine::new();
    let mut demo = Demo::start(&machine);
    let room = demo.room();
    let path = format!("/api/rooms/{room}");
    demo.ask("PATCH", &path, r#"{"agents_paused": true}"#);
    demo.ask("PATCH", &path, r#"{"agents_paused": false}"#);
    demo.hears(&room, "1.4 is tagged.");
    demo.ask("DELETE", &path, "");
    let told = demo.server.process.stderr.next();
    assert!(told.contains("the server goes on"), "{told}");
    assert_eq!(demo.ask("GET", "/api/rooms", ""), json!([]));
    demo.server.process.signal(Signal::TERM);
    assert!(demo.server.process.wait().success());
}
