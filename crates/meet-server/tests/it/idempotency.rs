//! A resend never doubles: over every door, at any moment.

use std::{collections::HashSet, time::Duration};

use meet_api::Message;
use serde_json::json;

use crate::support::{Caller, Server, Setup, databases};

async fn post(caller: &Caller, room: &str, key: &str, content: &str) -> crate::support::Answer {
    let body = json!({ "sender": "ann", "content": content });
    let caller = caller.clone().with_header("idempotency-key", key);
    caller.post_json(&format!("/api/rooms/{room}/messages"), body).await
}

#[tokio::test]
async fn a_hundred_concurrent_repeats_over_post_and_socket_are_one_message() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let mut tasks = Vec::new();
        for n in 0..100 {
            let (owner, room) = (owner.clone(), room.clone());
            tasks.push(tokio::task::spawn(async move {
                if n % 2 == 0 {
                    let message: Message =
                        serde_json::from_value(post(&owner, &room, "once", "hi").await.expect(201)).unwrap();
                    return (json!(message.id), message.seq);
                }
                let mut socket = owner.socket(&room, "?name=ann").await;
                socket.send(json!({ "content": "hi", "client_id": "once" })).await;
                loop {
                    let frame = socket.next().await.unwrap();
                    if frame["type"] == "ack" {
                        assert_eq!(frame["client_id"], "once");
                        return (frame["id"].clone(), frame["seq"].as_u64().unwrap());
                    }
                    assert_eq!(frame["type"], "message", "{frame}");
                }
            }));
        }
        let mut answers = HashSet::new();
        for task in tasks {
            answers.insert(task.await.unwrap());
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        let stored = owner.get(&format!("/api/rooms/{room}/messages")).await;
        assert_eq!(stored.expect(200).as_array().unwrap().len(), 1);
        assert!(!stored.whole().contains("once"), "the client's id is never part of a message");
    }
}

#[tokio::test]
async fn the_same_key_with_another_message_is_a_conflict() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let first = post(&owner, &room, "k", "one").await.expect(201);
        assert_eq!(post(&owner, &room, "k", "one").await.expect(201), first);
        assert_eq!(post(&owner, &room, "k", "two").await.refusal(409), "idempotency_conflict");
        let mut socket = owner.socket(&room, "?name=ann").await;
        socket.send(json!({ "content": "two", "client_id": "k" })).await;
        let refusal = socket.expect("error").await;
        assert_eq!((&refusal["code"], &refusal["client_id"]), (&json!("idempotency_conflict"), &json!("k")));
        assert_eq!(owner.messages(&room, "").await.len(), 1);
    }
}

#[tokio::test]
async fn a_key_belongs_to_one_user_and_one_room() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (room, second) = (owner.room("planning").await, owner.room("second").await);
        let ids: HashSet<_> = [
            post(&owner, &room, "k", "hi").await.expect(201)["id"].to_string(),
            post(&owner, &second, "k", "hi").await.expect(201)["id"].to_string(),
            post(&owner.invite(&room, "member", "Gil").await, &room, "k", "hi").await.json()["id"].to_string(),
        ]
        .into();
        // The guest may not call itself ann, so that one was refused.
        assert!(ids.contains("null"));
        let guest = owner.invite(&room, "member", "Gus").await.with_header("idempotency-key", "k");
        let body = json!({ "content": "hi" });
        let by_guest = guest.post_json(&format!("/api/rooms/{room}/messages"), body).await.expect(201);
        assert!(!ids.contains(&by_guest["id"].to_string()));
        assert_eq!((owner.messages(&room, "").await.len(), owner.messages(&second, "").await.len()), (2, 1));
    }
}

#[tokio::test]
async fn a_repeat_is_not_counted_and_is_answered_above_the_limit() {
    for database in databases().await {
        let server = Setup::on(database)
            .manual_clock()
            .with(|config| config.limits.messages_per_minute_per_key = 3)
            .start()
            .await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let first = post(&owner, &room, "k1", "one").await.expect(201);
        for _ in 0..10 {
            assert_eq!(post(&owner, &room, "k1", "one").await.expect(201), first);
            assert_eq!(post(&owner, &room, "k1", "other").await.refusal(409), "idempotency_conflict");
        }
        post(&owner, &room, "k2", "two").await.expect(201);
        post(&owner, &room, "k3", "three").await.expect(201);
        assert_eq!(post(&owner, &room, "k4", "four").await.refusal(429), "rate_limited");
        assert_eq!(post(&owner, &room, "k1", "one").await.expect(201), first);
        assert_eq!(post(&owner, &room, "k1", "other").await.refusal(409), "idempotency_conflict");
        assert_eq!(owner.messages(&room, "").await.len(), 3);
    }
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day_and_over_a_restart() {
    for database in databases().await {
        let setup = Setup::on(database).manual_clock();
        let clock = setup.clock.clone();
        let server = setup.start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let first = post(&owner, &room, "k", "one").await.expect(201);
        let token = owner.token().to_owned();
        let mut setup = Setup::on(server.stop().await);
        setup.clock = clock;
        let server = setup.start().await;
        let owner = server.stranger().with_token(&token);
        server.clock.advance(Duration::from_hours(23));
        assert_eq!(post(&owner, &room, "k", "one").await.expect(201), first);
        assert_eq!(owner.messages(&room, "").await.len(), 1);
    }
}

#[tokio::test]
async fn a_repeat_is_answered_when_nothing_new_can_be_stored() {
    for database in databases().await {
        let (mut token, mut seen) = (String::new(), None);
        let mut database = Some(database);
        // First with room on the disk and for one message, then without either.
        for free in [0, u64::MAX] {
            let setup = Setup::on(database.take().unwrap()).with(|config| {
                config.limits.min_free_bytes = Some(free);
                config.limits.messages_per_room = 1;
            });
            let server = setup.start().await;
            if seen.is_none() {
                let owner = server.new_tenant().await;
                let room = owner.room("planning").await;
                let first = post(&owner, &room, "k", "one").await.expect(201);
                owner.token().clone_into(&mut token);
                seen = Some((room, first));
            }
            let (room, first) = seen.as_ref().unwrap();
            let owner = server.stranger().with_token(&token);
            assert_eq!(post(&owner, room, "k", "one").await.expect(201), *first);
            assert!(matches!(post(&owner, room, "k2", "two").await.status, 409 | 507));
            database = Some(server.stop().await);
        }
    }
}

#[tokio::test]
async fn a_key_has_1_to_255_characters() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    post(&owner, &room, &"k".repeat(255), "one").await.expect(201);
    assert_eq!(post(&owner, &room, &"k".repeat(256), "two").await.refusal(400), "invalid_request");
    assert_eq!(post(&owner, &room, "", "two").await.refusal(400), "invalid_request");
    let mut socket = owner.socket(&room, "?name=ann").await;
    for bad in ["x".repeat(256), String::new(), "a\0b".to_owned()] {
        socket.send(json!({ "content": "hi", "client_id": bad })).await;
        assert_eq!(socket.expect("error").await["code"], "invalid_request");
    }
    assert_eq!(owner.messages(&room, "").await.len(), 1);
}
