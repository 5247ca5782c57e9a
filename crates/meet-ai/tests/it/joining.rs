//! `join`: an invite becomes a session in `./.env`, once, and over nobody's key.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::{
    fake::{Answer, Fake},
    machine::{Machine, Server, failed, mode, succeeded},
};

/// A server with a room, and a machine elsewhere that knows nothing of it.
struct Story {
    owner: Machine,
    server: Server,
    room: String,
    agent: Machine,
}

impl Story {
    fn begin() -> Self {
        let owner = Machine::new();
        let server = owner.serve("data", "127.0.0.1:0");
        let room = owner.ok(&["create-room", "standup"]);
        Self { owner, server, room, agent: Machine::new() }
    }

    /// An invite to the room; the body of its making and the link.
    fn invite(&self, body: &Value) -> (Value, String) {
        let key = self.owner.key_of(&self.server.url);
        let path = format!("/api/rooms/{}/invites", self.room);
        let (status, made) = self.server.http("POST", &path, &key, &body.to_string());
        assert_eq!(status, 201, "{made}");
        let made: Value = serde_json::from_str(&made).unwrap();
        let link = made["url"].as_str().unwrap().to_owned();
        (made, link)
    }

    fn uses(&self) -> u64 {
        let key = self.owner.key_of(&self.server.url);
        let (_, listed) = self.server.http("GET", &format!("/api/rooms/{}/invites", self.room), &key, "");
        serde_json::from_str::<Value>(&listed).unwrap()[0]["uses"].as_u64().unwrap()
    }

    fn dot_env(&self) -> PathBuf {
        self.agent.work().join(".env")
    }
}

#[test]
fn an_invite_makes_this_directory_an_agents() {
    let story = Story::begin();
    let (made, link) = story.invite(&json!({ "role": "member" }));
    let output = story.agent.run(&["join", &link, "--name", "scout"]);
    let said = succeeded(&output) + &String::from_utf8_lossy(&output.stderr);
    for part in ["You are scout (agent, member)", &story.server.url, "standup", &story.room, "Next: "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let kept = fs::read_to_string(story.dot_env()).unwrap();
    assert_eq!(mode(&story.dot_env()), 0o600);
    let token = made["token"].as_str().unwrap();
    assert!(!kept.contains(token) && !said.contains(token) && !said.contains("mas_"), "{said}{kept}");
    assert!(kept.contains("MEET_AI_KEY=mas_") && kept.contains(&format!("MEET_AI_URL={}", story.server.url)), "{kept}");
    story.agent.ok(&["send-message", "standup", "scout", "Here I am."]);
    let heard = story.owner.ok(&["poll", "standup"]);
    assert!(heard.contains("scout (agent): Here I am."), "{heard}");
}

#[test]
fn the_same_invite_again_finds_the_session_and_is_not_used_twice() {
    let story = Story::begin();
    let (_, link) = story.invite(&json!({ "role": "member", "max_uses": 1 }));
    story.agent.ok(&["join", &link, "--name", "scout"]);
    let kept = fs::read_to_string(story.dot_env()).unwrap();
    for args in [&["join", &link, "--name", "Scout"][..], &["join", &link]] {
        let said = story.agent.ok(args);
        assert!(said.contains("You are already scout"), "{said}");
    }
    let again: Value = serde_json::from_str(&story.agent.ok(&["join", &link, "--json"])).unwrap();
    assert_eq!((&again["again"], &again["user"]["name"]), (&json!(true), &json!("scout")));
    assert_eq!((fs::read_to_string(story.dot_env()).unwrap(), story.uses()), (kept, 1));
    let (code, said) = failed(&story.agent.run(&["join", &link, "--name", "fixer"]));
    assert!(code == 1 && said.contains("as scout") && said.contains("--force"), "{said}");
}

#[test]
fn what_else_stands_there_stays_and_a_foreign_key_is_not_taken_away() {
    let story = Story::begin();
    let (_, link) = story.invite(&json!({ "role": "member" }));
    let before = "DATABASE_URL=postgres://x\nMEET_AI_KEY=mai_mine\n";
    fs::write(story.dot_env(), before).unwrap();
    fs::set_permissions(story.dot_env(), Permissions::from_mode(0o644)).unwrap();
    let (code, said) = failed(&story.agent.run(&["join", &link, "--name", "scout"]));
    assert!(code == 1 && said.contains("MEET_AI_KEY") && said.contains("--force"), "{said}");
    assert_eq!((fs::read_to_string(story.dot_env()).unwrap().as_str(), story.uses()), (before, 0));
    story.agent.ok(&["join", &link, "--name", "scout", "--force"]);
    let kept = fs::read_to_string(story.dot_env()).unwrap();
    assert!(kept.starts_with("DATABASE_URL=postgres://x\n") && kept.contains("# MEET_AI_KEY=mai_mine\n"), "{kept}");
    assert_eq!(mode(&story.dot_env()), 0o600, "what others could read has a session now");
    fs::write(story.dot_env(), "MEET_AI_URL=https://other.example.org\n").unwrap();
    let (code, said) = failed(&story.agent.run(&["join", &link, "--name", "fixer"]));
    assert!(code == 1 && said.contains("https://other.example.org"), "{said}");
}

#[test]
fn an_invite_that_gives_nothing_says_why_and_what_helps() {
    let story = Story::begin();
    let (_, once) = story.invite(&json!({ "role": "member", "max_uses": 1 }));
    story.agent.ok(&["join", &once, "--name", "scout"]);
    let (revoked, link) = story.invite(&json!({ "role": "spectator" }));
    let elsewhere = Machine::new();
    let (code, said) = failed(&elsewhere.run(&["join", &once, "--name", "fixer"]));
    assert!(code == 1 && said.contains("ask whoever invited you"), "{said}");
    let (code, said) = failed(&elsewhere.run(&["join", &link, "--name", "scout"]));
    assert!(code == 1 && said.contains("--name scout-2"), "{said}");
    let key = story.owner.key_of(&story.server.url);
    let id = revoked["id"].as_str().unwrap();
    assert_eq!(story.server.http("DELETE", &format!("/api/invites/{id}"), &key, "").0, 204);
    assert_eq!(failed(&elsewhere.run(&["join", &link, "--name", "fixer"])).0, 1);
    for wrong in ["standup", &story.server.url, ""] {
        let (code, said) = failed(&elsewhere.run(&["join", wrong]));
        assert!(code == 2 && said.contains("no invite link"), "{said}");
    }
    assert!(!elsewhere.work().join(".env").exists());
}

#[test]
fn a_session_that_has_ended_is_replaced_by_a_new_one() {
    let story = Story::begin();
    let (_, link) = story.invite(&json!({ "role": "member" }));
    story.agent.ok(&["join", &link, "--name", "scout"]);
    let kept = fs::read_to_string(story.dot_env()).unwrap();
    let session = kept.split("MEET_AI_KEY=").nth(1).unwrap().trim();
    assert_eq!(story.server.http("DELETE", "/api/session", session, "").0, 204);
    let said = story.agent.ok(&["join", &link, "--name", "fixer"]);
    assert!(said.contains("You are fixer"), "{said}");
    assert!(!fs::read_to_string(story.dot_env()).unwrap().contains(session));
}

#[test]
fn the_invite_goes_into_no_address_and_no_program() {
    let fake = Fake::start(vec![Answer::json("410 Gone", r#"{"error":"it is used up","code":"expired"}"#)]);
    let machine = Machine::new();
    let link = format!("{}/#invite=a-very-secret-invite", fake.url);
    failed(&machine.run(&["join", &link]));
    let requests = fake.requests();
    assert_eq!(requests.len(), 1);
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/session HTTP/1.1") && !head.contains("a-very-secret-invite"), "{head}");
    assert!(body.contains("a-very-secret-invite") && body.contains(r#""kind":"agent""#), "{body}");
}

#[test]
fn a_session_that_git_would_take_along_is_told() {
    let story = Story::begin();
    let (_, link) = story.invite(&json!({ "role": "member" }));
    let git = |args: &[&str]| {
        std::process::Command::new("git").args(args).current_dir(story.agent.work()).output().unwrap();
    };
    git(&["init", "--quiet"]);
    let output = story.agent.run(&["join", &link, "--name", "scout"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("add it to .gitignore"), "{said}");
    fs::write(story.agent.work().join(".gitignore"), ".env\n").unwrap();
    fs::remove_file(story.dot_env()).unwrap();
    let output = story.agent.run(&["join", &link, "--name", "fixer"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("gitignore"), "{said}");
}

/// The session in a `.env`.
fn session(story: &Story) -> String {
    let kept = fs::read_to_string(story.dot_env()).unwrap();
    kept.rsplit("MEET_AI_KEY=").next().unwrap().trim().to_owned()
}

#[test]
fn a_session_that_is_replaced_is_signed_out_and_one_that_is_over_is_in_nobodys_way() {
    let story = Story::begin();
    let [(_, first), (_, second), (_, third)] = [(); 3].map(|()| story.invite(&json!({ "role": "member" })));
    story.agent.ok(&["join", &first, "--name", "scout"]);
    let old = session(&story);
    let (code, said) = failed(&story.agent.run(&["join", &second, "--name", "fixer"]));
    assert!(code == 1 && said.contains("is then signed out"), "{said}");
    let output = story.agent.run(&["join", &second, "--name", "fixer", "--force"]);
    let told = succeeded(&output) + &String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("You are fixer") && told.contains("had before is signed out"), "{told}");
    assert_eq!(story.server.http("GET", "/api/session", &old, "").0, 401);
    assert_eq!(story.server.http("DELETE", "/api/session", &session(&story), "").0, 204);
    assert!(story.agent.ok(&["join", &third, "--name", "reader"]).contains("You are reader"));
}

#[test]
fn a_key_below_an_invites_remark_is_not_the_invites_session() {
    let story = Story::begin();
    let (_, link) = story.invite(&json!({ "role": "member" }));
    story.agent.ok(&["join", &link, "--name", "scout"]);
    let kept = fs::read_to_string(story.dot_env()).unwrap();
    let key = story.owner.key_of(&story.server.url);
    fs::write(story.dot_env(), kept.replace(&session(&story), &key)).unwrap();
    let (code, said) = failed(&story.agent.run(&["join", &link, "--name", "scout"]));
    assert!(code == 1 && said.contains("which this invite did not give") && said.contains("as a comment"), "{said}");
}

#[test]
fn a_place_that_cannot_be_written_burns_no_use() {
    let story = Story::begin();
    let (_, link) = story.invite(&json!({ "role": "member", "max_uses": 1 }));
    std::os::unix::fs::symlink("nowhere/at/all", story.dot_env()).unwrap();
    let (code, said) = failed(&story.agent.run(&["join", &link, "--name", "scout"]));
    assert!(code == 1 && said.contains("nothing can be written here"), "{said}");
    assert_eq!(story.uses(), 0);
}

#[test]
fn only_a_variable_that_says_something_else_is_warned_of() {
    let story = Story::begin();
    let (_, link) = story.invite(&json!({ "role": "member" }));
    for (url, warns) in [(story.server.url.as_str(), false), ("https://other.example.org", true)] {
        let mut command = story.agent.command(&["join", &link, "--name", "scout"]);
        let output = command.env("MEET_AI_URL", url).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && told.contains("MEET_AI_URL") == warns, "{told}");
    }
}
