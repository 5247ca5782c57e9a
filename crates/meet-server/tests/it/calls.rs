//! Calls of rooms: who gets a token for what, who is told, and who is thrown out.

use meet_server::config::Provider;
use serde_json::json;

use crate::support::{Caller, Demo, Setup, databases};

/// A token for a room's call.
async fn token(caller: &Caller, room: &str) -> String {
    let answer = caller.post_json("/realtime/conference-token", json!({ "spaceId": room })).await.expect(200);
    assert!(answer["expiresAt"].is_string(), "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

/// The names of those who are in a room's call.
async fn names(caller: &Caller, room: &str) -> Vec<String> {
    let details = caller.get(&format!("/api/rooms/{room}")).await.expect(200);
    let participants = details["call"]["participants"].as_array().unwrap();
    participants.iter().map(|participant| participant["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn whoever_is_in_a_call_is_seen_in_the_room_and_told_on_its_socket() {
    for database in databases().await {
        let setup = Setup::on(database).with(|config| config.conference.provider = Some(Provider::Fake));
        let server = setup.start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("standup").await;
        let (ann, bob) = (owner.session("Ann").await, owner.invite(&room, "member", "Bob").await);
        let mut socket = owner.socket(&room, "?since=0").await;
        socket.expect("hello").await;

        let in_call = Demo::attend(&server, &token(&ann, &room).await).await;
        let told = socket.expect("call").await;
        assert_eq!((&told["event"], &told["name"], &told["kind"]), (&json!("join"), &json!("Ann"), &json!("human")));
        assert_eq!(names(&bob, &room).await, ["Ann"]);
        let second = Demo::attend(&server, &token(&bob, &room).await).await;
        assert_eq!(socket.expect("call").await["name"], "Bob");
        assert_eq!(names(&owner, &room).await.len(), 2);
        drop(in_call);
        let told = socket.expect("call").await;
        assert_eq!((&told["event"], &told["name"]), (&json!("leave"), &json!("Ann")));
        assert_eq!(names(&owner, &room).await, ["Bob"]);
        drop(second);
    }
}
