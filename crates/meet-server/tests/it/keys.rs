//! API keys: made, shown, rotated, deleted.

use std::time::Duration;

use futures_util::future::join_all;
use meet_server::config::{PublicUrl, Signup};
use serde_json::{Value, json};

use crate::support::{Caller, Server, Setup, databases, soon};

#[tokio::test]
async fn a_new_key_is_shown_once_and_only_its_prefix_afterwards() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let answer = server.stranger().post("/api/keys", "").await;
        let new = answer.expect(201);
        let key = new["key"].as_str().unwrap();
        let secret = key.strip_prefix("mai_").expect("a key begins with mai_");
        assert_eq!(secret.len(), 24);
        assert!(secret.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{secret}");
        assert_eq!(new["prefix"], key[..8]);
        let caller = server.stranger().with_token(key);
        let shown = caller.get("/api/keys").await;
        let info = shown.expect(200);
        assert_eq!((&info["prefix"], info.as_object().unwrap().len()), (&json!(&key[..8]), 4));
        assert!(info["id"].is_string() && info["created_at"].is_string());
        assert!(!shown.whole().contains(key));
    }
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_at_most_once_a_minute() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let first = last_used_becomes(&owner, &Value::Null).await;
        server.clock.advance(Duration::from_secs(59));
        for _ in 0..20 {
            owner.get("/api/rooms").await.expect(200);
            assert_eq!(owner.get("/api/keys").await.expect(200)["last_used"], first);
        }
        server.clock.advance(Duration::from_secs(2));
        let second = last_used_becomes(&owner, &first).await;
        assert!(second.as_str() > first.as_str());
    }
}

/// Waits until the written time is another than `old`; it is written off the request path.
async fn last_used_becomes(owner: &Caller, old: &Value) -> Value {
    soon("the key's last use", async {
        loop {
            let used = owner.get("/api/keys").await.expect(200)["last_used"].clone();
            if used != *old {
                return used;
            }
        }
    })
    .await
}

#[tokio::test]
async fn rotating_keeps_the_tenant_and_its_rooms() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        owner.say(&room, "ann", "before").await;
        let org = owner.get("/api/session").await.expect(200)["org"].clone();
        let new = owner.post("/api/keys/rotate", "").await.expect(201);
        let key = new["key"].as_str().unwrap();
        assert_eq!(new["prefix"], key[..8]);
        assert_ne!(key, owner.token());
        let again = server.stranger().with_token(key);
        assert_eq!(again.get("/api/session").await.expect(200)["org"], org);
        assert_eq!(again.messages(&room, "").await.len(), 1);
        assert_eq!(owner.get("/api/rooms").await.refusal(401), "invalid_key");
    }
}

#[tokio::test]
async fn of_those_who_rotate_one_key_at_once_one_gets_the_key_that_counts() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let answers = join_all((0..8).map(|_| owner.post("/api/keys/rotate", ""))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert_eq!((won.len(), lost.len()), (1, 7));
        for answer in lost {
            assert_eq!(answer.refusal(401), "invalid_key");
        }
        let key = won[0].expect(201)["key"].as_str().unwrap().to_owned();
        let again = server.stranger().with_token(&key);
        // Deleting and rotating at once: one of them is done.
        let (rotated, deleted) = tokio::join!(again.post("/api/keys/rotate", ""), again.delete("/api/keys"));
        match (rotated.status, deleted.status) {
            (201, 401) => {
                let key = rotated.expect(201)["key"].as_str().unwrap().to_owned();
                server.stranger().with_token(&key).get("/api/rooms").await.expect(200);
            }
            (401, 204) => {}
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn the_operators_tenant_cannot_be_deleted() {
    let server = Server::start().await;
    let operator = server.operator();
    assert_eq!(operator.delete("/api/keys").await.refusal(403), "forbidden");
    operator.get("/api/rooms").await.expect(200);
}

#[tokio::test]
async fn strangers_get_keys_only_where_sign_up_is_open() {
    let public = |url: &str| Some(PublicUrl::parse(url).unwrap());
    for (url, signup, is_open) in [
        (None, None, true),
        (public("http://localhost:3000"), None, true),
        (public("https://meet.example.org"), None, false),
        (public("https://meet.example.org"), Some(Signup::Open), true),
        (None, Some(Signup::Closed), false),
    ] {
        let server = Setup::new()
            .with(|config| {
                config.public_url.clone_from(&url);
                config.signup = signup;
            })
            .start()
            .await;
        let answer = server.stranger().post("/api/keys", "").await;
        if is_open {
            answer.expect(201);
        } else {
            assert_eq!(answer.refusal(403), "signup_closed", "{url:?} {signup:?}");
        }
        server.operator().room("by the operator").await;
    }
}
