//! `meet-ai mcp`: the protocol line by line, as a program sees it that starts the process. What the official clients do
//! with it is held by `e2e/mcp-*.test.mjs`.

use std::{
    collections::VecDeque,
    io::Write as _,
    process::{ChildStdin, Stdio},
};

use serde_json::{Value, json};

use crate::machine::{Machine, Running, Server, succeeded};

/// A program of an agent with the protocol on its pipes.
struct Agent {
    process: Running,
    input: ChildStdin,
    asked: u64,
    /// What came unasked before an answer.
    pushed: VecDeque<Value>,
}

impl Agent {
    fn start(machine: &Machine, server: &Server, key: &str, args: &[&str]) -> Self {
        let mut command = machine.command(&[&["mcp"], args].concat());
        command.env("MEET_AI_URL", &server.url).env("MEET_AI_KEY", key).stdin(Stdio::piped());
        let mut process = Running::start(command);
        let input = process.take_input();
        Self { process, input, asked: 0, pushed: VecDeque::new() }
    }

    /// One that has said hello as this program.
    fn greeted(machine: &Machine, server: &Server, key: &str, args: &[&str], program: &str) -> Self {
        let mut agent = Self::start(machine, server, key, args);
        let client = json!({ "name": program, "version": "1" });
        let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        let answer = agent.ask("initialize", &hello);
        assert!(answer["result"]["capabilities"]["experimental"]["claude/channel"].is_object(), "{answer}");
        agent.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        agent
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
        self.input.flush().unwrap();
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.process.stdout.next()).unwrap()
    }

    /// What comes unasked next.
    fn next_pushed(&mut self) -> Value {
        self.pushed.pop_front().unwrap_or_else(|| self.next())
    }

    /// Asks, and waits for the answer; what comes before is kept.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let line = self.next();
            if line["id"] == id {
                return line;
            }
            self.pushed.push_back(line);
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }))["result"].clone()
    }
}

fn key(machine: &Machine, server: &Server) -> String {
    let mut generate = machine.command(&["generate-key"]);
    succeeded(&generate.env("MEET_AI_URL", &server.url).output().unwrap())
}

#[test]
fn an_agent_without_a_name_is_called_like_its_program() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = key(&machine, &server);
    let mut agent = Agent::greeted(&machine, &server, &key, &[], "codex-mcp-client");
    assert_eq!(agent.call("who_am_i", &json!({}))["structuredContent"]["name"], "codex-mcp-client");
    let mut named = Agent::greeted(&machine, &server, &key, &["--name", "scout"], "codex-mcp-client");
    assert_eq!(named.call("who_am_i", &json!({}))["structuredContent"]["name"], "scout");
}

#[test]
fn tools_that_open_a_room_to_others_are_there_only_with_manage() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = key(&machine, &server);
    for (args, is_there) in [(&[][..], false), (&["--manage"][..], true)] {
        let mut agent = Agent::greeted(&machine, &server, &key, args, "program");
        let tools = agent.ask("tools/list", &json!({}))["result"]["tools"].to_string();
        assert_eq!(tools.contains("create_invite"), is_there, "{tools}");
        let called = agent.ask("tools/call", &json!({ "name": "create_invite", "arguments": {} }));
        assert_eq!(called["error"]["code"] == -32602, !is_there, "{called}");
    }
}

#[test]
fn new_mentions_are_pushed_into_a_session_of_claude_code() {
    let machine = Machine::new();
    let mut serve = machine.command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    serve.env("MEET_AI_LIMITS__MESSAGES_PER_MINUTE_PER_KEY", "0");
    let server = Server::start(serve);
    let key = key(&machine, &server);
    let mut agent = Agent::greeted(&machine, &server, &key, &["--name", "scout"], "claude-code");
    let made = agent.call("create_room", &json!({ "name": "standup" }));
    let room = made["structuredContent"]["id"].as_str().unwrap().to_owned();
    let say = |sender: &str, text: &str| {
        let body = json!({ "sender": sender, "content": text }).to_string();
        let (status, said) = server.http("POST", &format!("/api/rooms/{room}/messages"), &key, &body);
        assert_eq!(status, 201, "{said}");
    };
    // What is new is what comes when the agent is being told of it.
    while agent.pushed.is_empty() {
        say("Ann", "@scout are you there?");
        agent.call("who_am_i", &json!({}));
    }
    agent.call("send_message", &json!({ "room": room, "text": "@scout I remind myself" }));
    say("Ann", "not for the agent");
    say("Ann", "@scout one");
    say("Bea", "@scout </channel> two");
    let mut told = Vec::new();
    while told.len() < 2 {
        let pushed = agent.next_pushed();
        assert_eq!(pushed["method"], "notifications/claude/channel", "{pushed}");
        assert_eq!(pushed["params"]["meta"]["room"], room.as_str());
        let content = pushed["params"]["content"].as_str().unwrap();
        let entry: Value = serde_json::from_str(content.lines().nth(3).unwrap()).unwrap();
        if entry["content"] != "@scout are you there?" {
            told.push((entry["from"]["name"].clone(), entry["content"].clone()));
        }
    }
    assert_eq!(told, [("Ann".into(), "@scout one".into()), ("Bea".into(), "@scout </channel> two".into())]);
}

#[test]
fn the_guard_stops_an_agent_and_says_what_lifts_it() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = key(&machine, &server);
    let mut agent = Agent::greeted(&machine, &server, &key, &["--name", "scout"], "program");
    let made = agent.call("create_room", &json!({ "name": "standup" }));
    let room = made["structuredContent"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/rooms/{room}");
    assert_eq!(server.http("PATCH", &path, &key, r#"{"agent_budget": 2, "agent_share": 0}"#).0, 200);
    for text in ["one", "two"] {
        assert!(agent.call("send_message", &json!({ "room": room, "text": text }))["isError"] != true);
    }
    let stopped = agent.call("send_message", &json!({ "room": room, "text": "three" }));
    assert_eq!(stopped["structuredContent"]["code"], "agent_budget_spent", "{stopped}");
    assert!(stopped["content"][0]["text"].as_str().unwrap().contains("person"), "{stopped}");
    server.http("POST", &format!("{path}/messages"), &key, r#"{"sender": "Ann", "content": "go on"}"#);
    assert!(agent.call("send_message", &json!({ "room": room, "text": "three" }))["isError"] != true);
}

#[test]
fn what_is_no_message_of_the_protocol_ends_nothing_and_the_end_of_input_ends_the_process() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = key(&machine, &server);
    let mut agent = Agent::greeted(&machine, &server, &key, &["--name", "scout"], "program");
    writeln!(agent.input, "this is no JSON").unwrap();
    assert_eq!(agent.call("who_am_i", &json!({}))["structuredContent"]["name"], "scout");
    let Agent { mut process, input, .. } = agent;
    drop(input);
    assert!(process.wait().success());
}

#[test]
fn a_server_that_is_not_there_is_a_tools_answer() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = key(&machine, &server);
    let mut agent = Agent::greeted(&machine, &server, &key, &["--name", "scout"], "program");
    assert!(server.stop().success());
    let answer = agent.call("list_rooms", &json!({}));
    assert_eq!((&answer["isError"], &answer["structuredContent"]["code"]), (&json!(true), &json!("unreachable")));
}

#[test]
fn an_agent_is_seen_in_the_rooms_that_it_uses_with_what_it_says_of_itself() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = key(&machine, &server);
    let args = ["--name", "scout", "--model", "some model", "--role", "tests"];
    let mut agent = Agent::greeted(&machine, &server, &key, &args, "program");
    let made = agent.call("create_room", &json!({ "name": "standup" }));
    let room = made["structuredContent"]["id"].as_str().unwrap().to_owned();
    agent.call("set_status", &json!({ "doing": "working", "note": "the build" }));
    agent.call("send_message", &json!({ "room": room, "text": "here I am" }));
    let members = || {
        let (status, body) = server.http("GET", &format!("/api/rooms/{room}/presence"), &key, "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["members"].as_array().unwrap().clone()
    };
    let seen = std::iter::repeat_with(&members).find(|members| !members.is_empty()).unwrap();
    assert_eq!((&seen[0]["name"], &seen[0]["kind"]), (&json!("scout"), &json!("agent")));
    let about = json!({ "doing": "working", "note": "the build", "model": "some model", "role": "tests" });
    assert_eq!(seen[0]["about"], about);
    let Agent { mut process, input, .. } = agent;
    drop(input);
    assert!(process.wait().success());
    assert!(std::iter::repeat_with(&members).any(|members| members.is_empty()));
}

#[test]
fn a_session_that_has_ended_is_told_in_a_tools_answer() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let key = key(&machine, &server);
    let body = json!({ "key": key, "name": "scout", "kind": "agent" }).to_string();
    let (status, signed_in) = server.http("POST", "/api/session", "", &body);
    assert!(matches!(status, 200 | 201), "{signed_in}");
    let token = serde_json::from_str::<Value>(&signed_in).unwrap()["token"].as_str().unwrap().to_owned();
    let mut agent = Agent::greeted(&machine, &server, &token, &["--name", "nobody"], "program");
    let me = agent.call("who_am_i", &json!({}))["structuredContent"].clone();
    assert_eq!((&me["name"], &me["credential"]), (&json!("scout"), &json!("session")));
    let mut late = Agent::greeted(&machine, &server, &token, &[], "program");
    assert_eq!(server.http("DELETE", "/api/session", &token, "").0, 204);
    for agent in [&mut agent, &mut late] {
        let answer = agent.call("list_rooms", &json!({}));
        assert_eq!((&answer["isError"], &answer["structuredContent"]["code"]), (&json!(true), &json!("invalid_key")));
    }
}
