//! Invites and owner links: counted, limited in tries, and nobody takes another's name by one.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Caller, Server, Setup, databases};

async fn invite(owner: &Caller, room: &str, body: Value) -> Value {
    owner.post_json(&format!("/api/rooms/{room}/invites"), body).await.expect(201)
}

async fn redeem(near: &Caller, token: &Value, name: &str) -> Answer {
    near.stranger().post_json("/api/session", json!({ "invite": token, "name": name })).await
}

fn unlimited() -> Setup {
    Setup::new().manual_clock()
}

#[tokio::test]
async fn an_invite_is_a_link_whose_secret_stays_out_of_logs() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let made = invite(&owner, &room, json!({ "role": "member" })).await;
    let token = made["token"].as_str().unwrap();
    assert!(token.len() >= 22, "at least 128 bits in Base64");
    assert_eq!(made["url"], format!("http://{}/#invite={token}", server.address));
    let listed = owner.get(&format!("/api/rooms/{room}/invites")).await;
    assert_eq!(listed.expect(200)[0]["id"], made["id"]);
    assert!(!listed.whole().contains(token), "a list shows no secrets");
    let joined = redeem(&owner, &made["token"], "Gil").await.expect(201);
    assert_eq!(joined["role"], "member");
    assert_eq!(joined["rooms"], json!([room]));
    assert_eq!(owner.get(&format!("/api/rooms/{room}/invites")).await.expect(200)[0]["uses"], 1);
}

#[tokio::test]
async fn of_a_hundred_who_race_for_three_uses_three_get_in() {
    for database in databases().await {
        // Every racer comes from an address of its own, so that only the uses decide.
        let server = Setup::on(database)
            .with(|config| {
                config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
                config.client_ip_header = Some("x-forwarded-for".to_owned());
            })
            .start()
            .await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let made = invite(&owner, &room, json!({ "role": "member", "max_uses": 3 })).await;
        let racers: Vec<_> = (0..100)
            .map(|n| {
                let racer = server.stranger().with_header("x-forwarded-for", &format!("198.51.100.{n}"));
                let body = json!({ "invite": made["token"], "name": format!("racer {n}") });
                tokio::task::spawn(async move { racer.post_json("/api/session", body).await })
            })
            .collect();
        let mut admitted = 0;
        for racer in racers {
            let answer = racer.await.unwrap();
            if answer.status == 201 {
                admitted += 1;
            } else {
                assert_eq!(answer.refusal(410), "expired");
            }
        }
        assert_eq!(admitted, 3);
        assert_eq!(owner.get(&format!("/api/rooms/{room}/invites")).await.expect(200)[0]["uses"], 3);
    }
}

#[tokio::test]
async fn an_address_may_try_twenty_invites_a_minute() {
    let server = unlimited().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let made = invite(&owner, &room, json!({ "role": "member" })).await;
    for n in 0..20 {
        assert_eq!(redeem(&owner, &json!(format!("guess {n}")), "Gil").await.refusal(410), "expired");
    }
    let refused = redeem(&owner, &made["token"], "Gil").await;
    assert_eq!(refused.refusal(429), "rate_limited");
    assert_eq!(refused.header("retry-after"), "60");
    let owner_try = owner.stranger().post_json("/api/session", json!({ "owner": "guess", "name": "Gil" })).await;
    assert_eq!(owner_try.refusal(429), "rate_limited");
    owner.session("ann").await;
    server.clock.advance(Duration::from_mins(1));
    redeem(&owner, &made["token"], "Gil").await.expect(201);
}

#[tokio::test]
async fn a_guest_cannot_come_under_a_name_that_somebody_has_in_any_spelling() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        owner.say(&room, "Zoë", "mine").await;
        owner.session("Straße").await;
        let made = invite(&owner, &room, json!({ "role": "member", "max_uses": 2 })).await;
        for taken in ["Zoë", "ZOË", "zoe\u{308}", "ZOE\u{308}", "  zoë ", "STRASSE", "straße"] {
            assert_eq!(redeem(&owner, &made["token"], taken).await.refusal(409), "name_taken", "{taken}");
        }
        let agent = json!({ "invite": made["token"], "name": "zoë", "kind": "agent" });
        assert_eq!(owner.stranger().post_json("/api/session", agent).await.refusal(409), "name_taken");
        // Nothing of that was counted as a use, and the guest's own name is now taken for everyone.
        redeem(&owner, &made["token"], "Gil").await.expect(201);
        assert_eq!(redeem(&owner, &made["token"], "GIL").await.refusal(409), "name_taken");
        let as_guest = json!({ "sender": "gil", "content": "it is me" });
        assert_eq!(owner.post_json(&format!("/api/rooms/{room}/messages"), as_guest).await.refusal(409), "name_taken");
        let as_guest = json!({ "key": owner.token(), "name": "Gil" });
        assert_eq!(owner.stranger().post_json("/api/session", as_guest).await.refusal(409), "name_taken");
        assert_eq!(owner.try_socket(&room, "?name=gil").await.err(), Some(409));
        // Names are the tenant's own: another has them all.
        let other = server.new_tenant().await;
        let elsewhere = other.room("elsewhere").await;
        other.say(&elsewhere, "Gil", "hi").await;
        other.say(&elsewhere, "Zoë", "hi").await;
    }
}

#[tokio::test]
async fn of_many_who_want_one_name_at_once_one_gets_it() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let made = invite(&owner, &room, json!({ "role": "member" })).await;
        let racers: Vec<_> = ["Zoë", "ZOË", "zoe\u{308}"]
            .into_iter()
            .cycle()
            .take(15)
            .map(|name| {
                let (owner, token) = (owner.clone(), made["token"].clone());
                tokio::task::spawn(async move { redeem(&owner, &token, name).await })
            })
            .collect();
        let mut admitted = 0;
        for racer in racers {
            let answer = racer.await.unwrap();
            if answer.status == 201 {
                admitted += 1;
            } else {
                assert_eq!(answer.refusal(409), "name_taken");
            }
        }
        assert_eq!(admitted, 1);
        assert_eq!(owner.get(&format!("/api/rooms/{room}/invites")).await.expect(200)[0]["uses"], 1);
    }
}

#[tokio::test]
async fn two_guests_of_one_invite_are_two_users() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let made = invite(&owner, &room, json!({ "role": "member" })).await;
    let first = redeem(&owner, &made["token"], "Gil").await.expect(201);
    let second = redeem(&owner, &made["token"], "Gus").await.expect(201);
    assert_ne!(first["user"]["id"], second["user"]["id"]);
    assert_eq!(first["org"], second["org"]);
}

#[tokio::test]
async fn an_invite_ends_when_its_time_is_over_and_its_guests_stay() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let made = invite(&owner, &room, json!({ "role": "member", "expires_in": 600 })).await;
        assert_eq!(made["expires_at"], "2026-02-07T12:10:00.000Z");
        server.clock.advance(Duration::from_secs(599));
        let joined = redeem(&owner, &made["token"], "Gil").await.expect(201);
        server.clock.advance(Duration::from_secs(1));
        assert_eq!(redeem(&owner, &made["token"], "Gus").await.refusal(410), "expired");
        let guest = owner.stranger().with_token(joined["token"].as_str().unwrap());
        guest.get(&format!("/api/rooms/{room}")).await.expect(200);
        server.clock.advance(Duration::from_hours(30 * 24));
        assert_eq!(guest.get(&format!("/api/rooms/{room}")).await.refusal(401), "invalid_key");
    }
}

#[tokio::test]
async fn an_invite_gives_no_more_than_asked_for_and_only_what_exists() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let path = format!("/api/rooms/{room}/invites");
    for body in [
        json!({ "role": "owner" }),
        json!({ "role": "king" }),
        json!({}),
        json!({ "role": "member", "expires_in": 0 }),
        json!({ "role": "member", "expires_in": -5 }),
        json!({ "role": "member", "expires_in": 1_000_000_000_000_u64 }),
        json!({ "role": "member", "max_uses": 0 }),
        json!({ "role": "member", "max_uses": "three" }),
    ] {
        assert_eq!(owner.post_json(&path, body.clone()).await.refusal(400), "invalid_request", "{body}");
    }
    assert_eq!(owner.get(&path).await.expect(200), json!([]));
}

#[tokio::test]
async fn sign_in_takes_exactly_one_credential_and_a_name() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let key = owner.token();
    for body in [
        json!({ "name": "ann" }),
        json!({ "key": key }),
        json!({ "key": key, "invite": "x", "name": "ann" }),
        json!({ "key": key, "name": "" }),
        json!({ "key": key, "name": "ann", "kind": "ghost" }),
        json!({ "key": 5, "name": "ann" }),
    ] {
        assert_eq!(
            server.stranger().post_json("/api/session", body.clone()).await.refusal(400),
            "invalid_request",
            "{body}"
        );
    }
    let wrong = json!({ "key": "mai_000000000000000000000000", "name": "ann" });
    assert_eq!(server.stranger().post_json("/api/session", wrong).await.refusal(401), "invalid_key");
    let agent = json!({ "key": key, "name": "bot", "kind": "agent" });
    let session = server.stranger().post_json("/api/session", agent).await.expect(201);
    assert_eq!(
        (&session["user"]["kind"], &session["role"], &session["rooms"]),
        (&json!("agent"), &json!("owner"), &Value::Null)
    );
    assert!(session["token"].as_str().unwrap().starts_with("mas_"));
}

#[tokio::test]
async fn an_owner_link_opens_the_operators_tenant_once_and_for_ten_minutes() {
    for database in databases().await {
        use secrecy::ExposeSecret;
        let server = Setup::on(database).manual_clock().start().await;
        let room = server.operator().room("planning").await;
        let (link, _) = server.app.owner_link().await.unwrap();
        let base = format!("http://{}/#owner=", server.address);
        let token = link.expose_secret().strip_prefix(&base).unwrap().to_owned();
        let sign_in = |token: &str| json!({ "owner": token, "name": "boss" });
        let session = server.stranger().post_json("/api/session", sign_in(&token)).await.expect(201);
        assert_eq!((&session["role"], &session["rooms"]), (&json!("owner"), &Value::Null));
        let boss = server.stranger().with_token(session["token"].as_str().unwrap());
        boss.get(&format!("/api/rooms/{room}")).await.expect(200);
        boss.room("another").await;
        assert_eq!(server.stranger().post_json("/api/session", sign_in(&token)).await.refusal(410), "expired");

        let (link, _) = server.app.owner_link().await.unwrap();
        let token = link.expose_secret().strip_prefix(&base).unwrap().to_owned();
        server.clock.advance(Duration::from_mins(10));
        assert_eq!(server.stranger().post_json("/api/session", sign_in(&token)).await.refusal(410), "expired");
    }
}
