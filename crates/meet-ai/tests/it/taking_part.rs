//! What an agent does in a room by the command line: reading on, showing what it does, being one listener.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};

use crate::machine::{Machine, Running, Server, failed, succeeded, until};

/// A machine with a server and a room.
fn begin() -> (Machine, Server, String) {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let room = machine.ok(&["create-room", "standup"]);
    (machine, server, room)
}

/// What was said, of lines of JSON.
fn texts(lines: &str) -> Vec<String> {
    let message = |line| serde_json::from_str::<Value>(line).unwrap();
    lines.lines().map(|line| message(line)["content"].as_str().unwrap().to_owned()).collect()
}

/// What `who` tells of this agent.
fn about(machine: &Machine, name: &str) -> Value {
    let who: Value = serde_json::from_str(&machine.ok(&["who", "standup", "--json"])).unwrap();
    let members = who["members"].as_array().unwrap().clone();
    members.into_iter().find(|member| member["name"] == name).map(|member| member["about"].clone()).unwrap_or_default()
}

#[test]
fn an_agent_reads_on_where_it_was() {
    let (machine, _server, _) = begin();
    let say = |text: &str| machine.ok(&["send-message", "standup", "Ann", text, "--human"]);
    let unread =
        |more: &[&str]| texts(&machine.ok(&[&["unread", "standup", "--as", "scout", "--json"], more].concat()));
    say("one");
    say("two");
    assert_eq!(unread(&["--peek"]), ["one", "two"]);
    assert_eq!(unread(&["--limit", "1"]), ["one"]);
    machine.ok(&["send-message", "standup", "scout", "my own"]);
    assert_eq!(unread(&[]), ["two"]);
    assert_eq!(unread(&["--wait", "0"]), Vec::<String>::new());
    say("for @scout");
    say("for @fixer");
    assert_eq!(unread(&["--mentions", "scout"]), ["for @scout"]);
    assert_eq!(unread(&[]), Vec::<String>::new(), "what was left out counts as read");
    say("three");
    let told = machine.ok(&["mark-read", "standup", "--as", "scout"]);
    assert!(told.starts_with("read up to #") && told.ends_with(", 0 unread"), "{told}");
    assert_eq!(unread(&[]), Vec::<String>::new());
    let other = machine.ok(&["unread", "standup", "--as", "fixer", "--json"]);
    assert_eq!(texts(&other).len(), 6, "another agent has a place of its own");
    assert_eq!(texts(&machine.ok(&["poll", "standup", "--last", "2", "--json"])), ["for @fixer", "three"]);
}

#[test]
fn who_has_a_key_says_which_agent_it_is() {
    let (machine, _server, _) = begin();
    for args in [&["unread", "standup"][..], &["mark-read", "standup"], &["status", "--doing", "working"]] {
        let (code, said) = failed(&machine.run(args));
        assert!(code == 2 && said.contains("--as NAME"), "{said}");
    }
    let (code, said) = failed(&machine.run(&["send-message", "standup", "hello"]));
    assert!(code == 2 && said.contains("ROOM SENDER TEXT"), "{said}");
    for flags in [&["--resume"][..], &["--exclusive"], &["--model", "abacus-1"], &["--role", "reviewer"]] {
        let (code, said) = failed(&machine.run(&[&["listen", "standup"], flags].concat()));
        assert!(code == 2 && said.contains("--as NAME") && said.contains(flags[0]), "{said}");
    }
}

#[test]
fn a_session_is_who_it_is() {
    let (machine, server, room) = begin();
    let key = machine.key_of(&server.url);
    let (_, made) = server.http("POST", &format!("/api/rooms/{room}/invites"), &key, r#"{"role": "member"}"#);
    let made: Value = serde_json::from_str(&made).unwrap();
    let agent = Machine::new();
    agent.ok(&["join", made["url"].as_str().unwrap(), "--name", "scout"]);
    assert!(agent.ok(&["whoami"]).starts_with("scout (agent, member) on "));
    agent.ok(&["send-message", "standup", "Here I am."]);
    agent.ok(&["send-message", "standup", "Scout", "Again."]);
    let mut piped = agent.command(&["send-message", "standup", "-"]);
    let said = piped.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut said.stdin.as_ref().unwrap(), b"By a pipe.\n").unwrap();
    succeeded(&said.wait_with_output().unwrap());
    assert_eq!(failed(&agent.run(&["send-message", "standup", "fixer", "Not me."])).0, 1);
    let (code, said) = failed(&agent.run(&["unread", "standup", "--as", "fixer"]));
    assert!(code == 2 && said.contains("this session is scout"), "{said}");
    machine.ok(&["send-message", "standup", "Ann", "welcome", "--human"]);
    assert_eq!(texts(&agent.ok(&["unread", "standup", "--json"])), ["welcome"]);
    assert_eq!(agent.ok(&["unread", "standup", "--as", "scout", "--json"]), "");
    let heard = machine.ok(&["poll", "standup", "--json"]);
    assert_eq!(texts(&heard), ["Here I am.", "Again.", "By a pipe.", "welcome"]);
    assert!(heard.lines().take(3).all(|line| line.contains(r#""sender":"scout","sender_type":"agent""#)), "{heard}");
}

#[test]
fn an_agent_shows_what_it_does_and_sees_what_may_be_said() {
    let (machine, _server, _) = begin();
    let listener = Running::start(machine.command(&["listen", "standup", "--as", "scout"]));
    listener.event("connected");
    until("scout listens", || about(&machine, "scout") == json!({ "doing": "listening" }));
    let waiting = ["--doing", "waiting", "--note", "Ann decides", "--model", "abacus-1", "--role", "reviewer"];
    machine.ok(&[&["status", "--as", "scout"][..], &waiting].concat());
    let output = machine.run(&["who", "standup", "--as", "scout"]);
    let said = succeeded(&output) + &String::from_utf8_lossy(&output.stderr);
    for part in ["scout", "agent", "waiting", "Ann decides", "abacus-1", "reviewer", "agents may say ", "of them"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = failed(&machine.run(&["status", "--as", "scout"]));
    assert!(code == 2 && said.contains("nothing to say"), "{said}");
}

#[test]
fn an_agent_whose_program_runs_is_working() {
    let (machine, server, _) = begin();
    let answer = machine.work().join("answer.sh");
    // It ends when it is told to, so that what is seen meanwhile does not depend on time.
    let program = "#!/bin/sh\ncat > asked\nuntil [ -e go ]; do :; done\n";
    fs::write(&answer, program).unwrap();
    fs::set_permissions(&answer, Permissions::from_mode(0o700)).unwrap();
    let exec = ["listen", "standup", "--as", "scout", "--for", "scout", "--exec", "./answer.sh", "--role", "reviewer"];
    let listener = Running::start(machine.command(&exec));
    listener.event("connected");
    let does = |doing: &str| until(doing, || about(&machine, "scout") == json!({ "doing": doing, "role": "reviewer" }));
    does("listening");
    machine.ok(&["send-message", "standup", "Ann", "who takes this?", "--human"]);
    does("working");
    fs::write(machine.work().join("go"), "").unwrap();
    assert_eq!(listener.event("exec")["exit"], 0);
    does("listening");
    machine.ok(&["send-message", "standup", "Ann", "not for you, @Ann", "--human"]);
    machine.ok(&["send-message", "standup", "scout", "mine, and for nobody"]);
    machine.ok(&["send-message", "standup", "Ann", "but this, @scout", "--human"]);
    assert_eq!(listener.event("exec")["seq"], 4);
    drop(server);
}

#[test]
fn a_listener_that_resumes_hears_what_was_said_while_it_was_away() {
    let (machine, _server, _) = begin();
    let start = |more: &[&str]| {
        let args = [&["listen", "standup", "--as", "scout", "--mentions", "scout", "--resume"], more].concat();
        let listener = Running::start(machine.command(&args));
        listener.event("connected");
        listener
    };
    let say = |text: &str| machine.ok(&["send-message", "standup", "Ann", text, "--human"]);
    let heard = |listener: &Running| listener.message()["content"].as_str().unwrap().to_owned();
    say("@scout one");
    let mut listener = start(&[]);
    assert_eq!(heard(&listener), "@scout one");
    listener.signal(rustix::process::Signal::TERM);
    assert!(listener.wait().success());
    say("@scout two");
    say("nothing");
    // A program that is killed has not ended for its message, which comes again.
    let mut working = start(&["--exec", "tail -f /dev/null"]);
    assert_eq!(heard(&working), "@scout two");
    working.signal(rustix::process::Signal::KILL);
    working.wait();
    say("@scout three");
    let listener = start(&["--exec", "true"]);
    assert_eq!([heard(&listener), heard(&listener)], ["@scout two", "@scout three"]);
    assert_eq!(listener.event("exec")["seq"], 2);
    assert_eq!(listener.event("exec")["seq"], 4);
}

#[test]
fn a_newer_exclusive_listener_takes_over_and_the_older_one_ends_with_a_sentence() {
    let (machine, _server, _) = begin();
    let start = |name: &str| {
        let args = ["listen", "standup", "--as", name, "--exclusive"];
        let listener = Running::start(machine.command(&args));
        listener.event("connected");
        listener
    };
    let mut older = start("scout");
    let other = start("fixer");
    let newer = start("scout");
    let told = older.event("error");
    assert!(
        told["error"].as_str().unwrap().contains("taken its place") && told["error"].as_str().unwrap().contains("4409")
    );
    assert_eq!(older.wait().code(), Some(1));
    machine.ok(&["send-message", "standup", "Ann", "hello", "--human"]);
    for listener in [&newer, &other] {
        assert_eq!(listener.message()["content"], "hello");
    }
}

#[test]
fn what_an_agent_tells_is_heard_by_those_who_are_there_and_kept_nowhere() {
    let (machine, server, room) = begin();
    let key = machine.key_of(&server.url);
    let mut request = format!("ws://{}/api/rooms/{room}/ws?since=0", server.address()).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    let (mut socket, _) = tungstenite::connect(request).unwrap();
    let mut frame = |kind: &str| loop {
        let frame: Value = serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap_or_default();
        if frame["type"] == kind {
            return frame;
        }
    };
    frame("hello");
    machine.ok(&["log", "standup", "212 of 300 tests", "--as", "scout"]);
    let told = frame("log");
    assert_eq!(
        [&told["name"], &told["kind"], &told["text"]],
        [&json!("scout"), &json!("agent"), &json!("212 of 300 tests")]
    );
    assert_eq!(machine.ok(&["poll", "standup"]), "", "a log entry is no message");
}

#[test]
fn what_an_agent_says_of_itself_outlives_that_its_listener_connects_anew() {
    let (machine, server, _) = begin();
    let address = server.address();
    let listener = Running::start(machine.command(&["listen", "standup", "--as", "scout", "--resume"]));
    listener.event("connected");
    until("scout listens", || about(&machine, "scout") == json!({ "doing": "listening" }));
    machine.ok(&["status", "--as", "scout", "--doing", "waiting", "--note", "Ann decides"]);
    assert!(server.stop().success());
    listener.event("disconnected");
    let _server = machine.serve("data", &address);
    listener.event("connected");
    machine.ok(&["send-message", "standup", "Ann", "hello", "--human"]);
    assert_eq!(listener.message()["content"], "hello");
    assert_eq!(about(&machine, "scout"), json!({ "doing": "waiting", "note": "Ann decides" }));
}

#[test]
fn a_person_of_an_agents_name_is_heard_by_the_agent() {
    let (machine, _server, _) = begin();
    let listener = Running::start(machine.command(&["listen", "standup", "--as", "scout"]));
    listener.event("connected");
    machine.ok(&["send-message", "standup", "scout", "my own"]);
    machine.ok(&["send-message", "standup", "scout", "@scout, a person's", "--human"]);
    assert_eq!(listener.message()["content"], "@scout, a person's");
    let unread = machine.ok(&["unread", "standup", "--as", "scout", "--json"]);
    assert_eq!(texts(&unread), ["@scout, a person's"]);
}

#[test]
fn an_agents_own_words_do_not_end_its_waiting() {
    let (machine, _server, _) = begin();
    machine.ok(&["send-message", "standup", "scout", "my own"]);
    let waiting = Running::start(machine.command(&["unread", "standup", "--as", "scout", "--wait", "60", "--json"]));
    let fixer = ["unread", "standup", "--as", "fixer", "--json"];
    assert_eq!(texts(&machine.ok(&fixer)), ["my own"]);
    machine.ok(&["send-message", "standup", "Ann", "hello", "--human"]);
    assert_eq!(waiting.message()["content"], "hello");
}

#[test]
fn a_place_above_the_newest_message_is_told_as_that() {
    let (machine, _server, _) = begin();
    machine.ok(&["send-message", "standup", "Ann", "hello", "--human"]);
    let mark = ["mark-read", "standup", "99999", "--as", "scout"];
    let (code, said) = failed(&machine.run(&mark));
    assert!(code == 1 && said.contains("#99999 is above the newest message, which is #1"), "{said}");
    let (_, said) = failed(&machine.run(&[&mark[..], &["--json"]].concat()));
    assert!(serde_json::from_str::<Value>(&said).unwrap()["hint"].as_str().unwrap().contains("#1"), "{said}");
}

#[test]
fn a_listener_whose_place_is_taken_runs_its_program_no_more() {
    let (machine, _server, _) = begin();
    let answer = machine.work().join("answer.sh");
    fs::write(&answer, "#!/bin/sh\ncat >> asked\nexec tail -f /dev/null\n").unwrap();
    fs::set_permissions(&answer, Permissions::from_mode(0o700)).unwrap();
    let exclusive = ["listen", "standup", "--as", "scout", "--exclusive"];
    let mut older = Running::start(machine.command(&[&exclusive[..], &["--exec", "./answer.sh"]].concat()));
    older.event("connected");
    for text in ["one", "two", "three"] {
        machine.ok(&["send-message", "standup", "Ann", text, "--human"]);
        assert_eq!(older.message()["content"], text);
    }
    let asked = || fs::read_to_string(machine.work().join("asked")).unwrap_or_default();
    until("a question", || asked().ends_with('\n'));
    let _newer = Running::start(machine.command(&exclusive));
    older.event("error");
    assert_eq!(older.wait().code(), Some(1));
    assert_eq!(asked().lines().count(), 1);
}

#[test]
fn a_listener_tells_when_agents_may_go_on() {
    let (machine, server, room) = begin();
    let key = machine.key_of(&server.url);
    let listener = Running::start(machine.command(&["listen", "standup", "--as", "scout"]));
    listener.event("connected");
    for (paused, event) in [(true, "paused"), (false, "resumed")] {
        let rules = json!({ "agents_paused": paused }).to_string();
        assert_eq!(server.http("PATCH", &format!("/api/rooms/{room}"), &key, &rules).0, 200);
        assert_eq!(listener.event(event)["type"], "guard");
    }
}

#[test]
fn an_agent_that_is_stopped_is_told_by_which_rule() {
    let (machine, server, room) = begin();
    let key = machine.key_of(&server.url);
    let rules = json!({ "agent_budget": 3, "agent_share": 2 }).to_string();
    assert_eq!(server.http("PATCH", &format!("/api/rooms/{room}"), &key, &rules).0, 200);
    let refused = |name: &str| {
        let (code, said) = failed(&machine.run(&["send-message", "standup", name, "again", "--json"]));
        let told: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(code, 1);
        told["code"].as_str().unwrap().to_owned()
    };
    machine.ok(&["send-message", "standup", "scout", "one"]);
    machine.ok(&["send-message", "standup", "scout", "two"]);
    assert_eq!(refused("scout"), "agent_share_spent");
    machine.ok(&["send-message", "standup", "fixer", "three"]);
    assert_eq!(refused("fixer"), "agent_budget_spent");
    machine.ok(&["send-message", "standup", "Ann", "go on", "--human"]);
    machine.ok(&["send-message", "standup", "fixer", "four"]);
    assert_eq!(server.http("PATCH", &format!("/api/rooms/{room}"), &key, r#"{"agents_paused":true}"#).0, 200);
    assert_eq!(refused("fixer"), "agents_paused");
    let output = machine.run(&["who", "standup"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("agents are paused here"));
}

#[test]
fn an_agent_that_may_only_read_keeps_its_place_and_listens() {
    let (machine, server, room) = begin();
    let key = machine.key_of(&server.url);
    let (_, made) = server.http("POST", &format!("/api/rooms/{room}/invites"), &key, r#"{"role": "spectator"}"#);
    let made: Value = serde_json::from_str(&made).unwrap();
    let agent = Machine::new();
    let said = agent.ok(&["join", made["url"].as_str().unwrap(), "--name", "reader"]);
    assert!(said.contains("reader (agent, spectator)"), "{said}");
    machine.ok(&["send-message", "standup", "Ann", "one", "--human"]);
    assert_eq!(texts(&agent.ok(&["unread", "standup", "--json"])), ["one"]);
    assert_eq!(agent.ok(&["unread", "standup", "--json"]), "");
    let listener = Running::start(agent.command(&["listen", "standup", "--resume", "--exec", "cat"]));
    listener.event("connected");
    machine.ok(&["send-message", "standup", "Ann", "two", "--human"]);
    assert_eq!(listener.message()["content"], "two");
    assert_eq!(listener.event("exec")["seq"], 2);
    let (code, said) = failed(&agent.run(&["send-message", "standup", "may I?"]));
    assert!(code == 1 && !said.contains("panicked"), "{said}");
}
