//! Tokens for the realtime gateway: what they say, for whom they are, and when they end.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use meet_api::Role;
use meet_server::{
    App, Clock, Error,
    auth::{Member, Who},
    backup::backup,
    config::PublicUrl,
    tokens::{KEYS_FILE, TokenError},
};
use serde_json::{Value, json};

use crate::support::{Caller, Server, Setup, databases};

const CONNECTION: &str = "the secret of connection tokens, for tests only";
const SUBSCRIPTION: &str = "the secret of subscription tokens, for tests only";
const ANOTHER: &str = "a secret of another server, for tests only";
const HOUR: i64 = 3_600_000;

/// A server whose secrets are known, at noon of a day.
fn known() -> Setup {
    Setup::new().manual_clock().with(|config| {
        config.realtime.token_secret = Some(CONNECTION.into());
        config.realtime.subscription_secret = Some(SUBSCRIPTION.into());
    })
}

/// When the clock of [`known`] stands, in seconds.
fn noon(server: &Server) -> i64 {
    server.clock.now().millis() / 1000
}

fn part(token: &str, place: usize) -> Value {
    let text = token.split('.').nth(place).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

fn forge(secret: &str, algorithm: Algorithm, payload: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), payload, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

async fn connection_token(caller: &Caller) -> String {
    let answer = caller.post("/realtime/connection-token", "").await.expect(200);
    answer["token"].as_str().unwrap().to_owned()
}

async fn subscription_token(caller: &Caller, room: &str) -> String {
    let answer = caller.post(&format!("/api/rooms/{room}/subscribe-token"), "").await.expect(200);
    answer["token"].as_str().unwrap().to_owned()
}

/// The member that a token stands for now.
async fn member(server: &Server, token: &str) -> Result<Option<Member>, Error> {
    server.app.member_of_token(&server.app.verify_connection_token(token).unwrap()).await
}

/// Asserts that a token which is still whole stands for nobody any more.
async fn expect_ended(server: &Server, token: &str, what: &str) {
    assert!(matches!(member(server, token).await, Err(Error::InvalidKey)), "{what}");
}

/// Asserts that a token has exactly these claims, with the id of the session taken from it.
fn expect_claims(token: &str, mut claims: Value, has_session: bool) {
    let said = part(token, 1);
    if has_session {
        assert!(said["meta"]["session"].is_string(), "{said}");
        claims["meta"]["session"] = said["meta"]["session"].clone();
    }
    assert_eq!(said, claims);
}

#[tokio::test]
async fn a_connection_token_says_who_it_is_for_and_nothing_else() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let (iat, exp) = (noon(&server), noon(&server) + 600);
        let people = [
            ("owner", "ann", "human", owner.browser("ann").await),
            ("member", "Gil", "human", owner.invite(&room, "member", "Gil").await),
            ("spectator", "Gus", "human", owner.invite(&room, "spectator", "Gus").await),
        ];
        for (role, name, kind, caller) in people {
            let who = caller.get("/api/session").await.expect(200);
            let (id, org) = (who["user"]["id"].as_str().unwrap(), who["org"].as_str().unwrap());
            let mut channels = vec![format!("user:{id}"), format!("org:{org}"), format!("role:{org}:{role}")];
            if role != "owner" {
                channels.remove(1);
            }
            let answer = caller.post_json("/realtime/connection-token", json!({})).await.expect(200);
            assert_eq!(answer["expiresAt"], json!("2026-02-07T12:10:00.000Z"));
            assert_eq!(answer.as_object().unwrap().len(), 2);
            let token = answer["token"].as_str().unwrap();
            assert_eq!(part(token, 0), json!({ "typ": "JWT", "alg": "HS256" }));
            let info = json!({ "name": name, "kind": kind });
            let meta = json!({ "session": null, "generation": 0 });
            let claims = json!({ "sub": id, "channels": channels, "info": info, "meta": meta, "iat": iat, "exp": exp });
            expect_claims(token, claims, true);
        }

        let org = owner.get("/api/session").await.expect(200)["org"].as_str().unwrap().to_owned();
        let named = owner.clone().with_header("x-meet-name", "Zo%C3%AB").with_header("x-meet-kind", "agent");
        let token = connection_token(&named).await;
        let said = json!({ "sender": "zoe\u{308}", "sender_type": "agent", "content": "hi" });
        let said = owner.post_json(&format!("/api/rooms/{room}/messages"), said).await.expect(201);
        let id = said["user"].as_str().unwrap();
        let claims = json!({
            "sub": id, "channels": [format!("user:{id}"), format!("org:{org}"), format!("role:{org}:owner")],
            "info": { "name": "Zo\u{eb}", "kind": "agent" }, "meta": { "session": null, "generation": 0 },
            "iat": iat, "exp": exp,
        });
        expect_claims(&token, claims, false);

        expect_claims(&connection_token(&server.stranger()).await, json!({ "sub": "", "iat": iat, "exp": exp }), false);
    }
}

#[tokio::test]
async fn a_subscription_token_opens_one_room_to_the_user_of_the_connection() {
    let server = known().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let named = owner.clone().with_header("x-meet-name", "ann");
    for caller in [&named, &owner.invite(&room, "spectator", "Gus").await] {
        let connection = part(&connection_token(caller).await, 1);
        let answer = caller.post(&format!("/api/rooms/{room}/subscribe-token"), "").await.expect(200);
        assert_eq!(answer["expiresAt"], json!("2026-02-07T12:10:00.000Z"));
        let token = answer["token"].as_str().unwrap();
        let channel = format!("chat:{room}");
        let claims =
            json!({ "sub": connection["sub"], "channel": channel, "iat": noon(&server), "exp": noon(&server) + 600 });
        assert_eq!(part(token, 1), claims);
        let verified = server.app.verify_subscription_token(token).unwrap();
        assert_eq!((verified.channel, json!(verified.user)), (channel, connection["sub"].clone()));
    }
}

#[tokio::test]
async fn a_room_gives_tokens_to_whoever_may_read_it() {
    let server = known().start().await;
    let (owner, other) = (server.new_tenant().await, server.new_tenant().await.session("bob").await);
    let (private, public) =
        (owner.room("planning").await, owner.room_as(json!({ "name": "commons", "visibility": "public" })).await);
    let path = |room: &str| format!("/api/rooms/{room}/subscribe-token");
    assert_eq!(other.post(&path(&private), "").await.refusal(404), "room_not_found");
    assert_eq!(server.stranger().post(&path(&private), "").await.refusal(401), "missing_key");
    let guest = owner.invite(&public, "member", "Gil").await;
    assert_eq!(guest.post(&path(&private), "").await.refusal(404), "room_not_found");
    for unknown in ["00000000-0000-7000-8000-000000000000", "x"] {
        assert_eq!(owner.post(&path(unknown), "").await.refusal(404), "room_not_found");
    }
    let anonymous = subscription_token(&server.stranger(), &public).await;
    assert_eq!(part(&anonymous, 1)["sub"], json!(""));
    assert_eq!(server.app.verify_subscription_token(&anonymous).unwrap().user, None);
    let foreign = subscription_token(&other, &public).await;
    let who = other.get("/api/session").await.expect(200);
    assert_eq!(part(&foreign, 1)["sub"], who["user"]["id"]);
    owner.patch(&format!("/api/rooms/{private}"), json!({ "expires_in": 60 })).await.expect(200);
    server.clock.advance(Duration::from_mins(1));
    let ann = owner.session("ann").await;
    assert_eq!(ann.post(&path(&private), "").await.refusal(410), "expired");
    owner.delete(&format!("/api/rooms/{public}")).await.expect(204);
    assert_eq!(ann.post(&path(&public), "").await.refusal(404), "room_not_found");
}

#[tokio::test]
async fn a_key_names_whom_a_token_is_for_and_a_session_is_itself() {
    let server = known().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    owner.invite(&room, "member", "Gil").await;
    let session = owner.session("ann").await;
    for path in ["/realtime/connection-token".to_owned(), format!("/api/rooms/{room}/subscribe-token")] {
        let nameless = owner.post(&path, "").await;
        assert_eq!(nameless.refusal(400), "invalid_request");
        assert!(
            nameless.json()["error"].as_str().unwrap().starts_with("X-Meet-Name is required"),
            "{}",
            nameless.whole()
        );
        let long = "x".repeat(65);
        for name in ["", " ", "%00", "a%0Ab", "%ff", "%E2%80%AE", long.as_str()] {
            let refused = owner.clone().with_header("x-meet-name", name).post(&path, "").await;
            assert_eq!(refused.refusal(400), "invalid_request", "{name:?}");
            assert!(refused.json()["error"].as_str().unwrap().contains("X-Meet-Name"), "{}", refused.whole());
        }
        let named = owner.clone().with_header("x-meet-name", "ann");
        let refused = named.clone().with_header("x-meet-kind", "robot").post(&path, "").await;
        assert_eq!(refused.refusal(400), "invalid_request");
        let guest = owner.clone().with_header("x-meet-name", "GIL");
        assert_eq!(guest.post(&path, "").await.refusal(409), "name_taken");
        session
            .clone()
            .with_header("x-meet-name", "Ann")
            .with_header("x-meet-kind", "human")
            .post(&path, "")
            .await
            .expect(200);
        for (header, value) in [("x-meet-name", "bob"), ("x-meet-kind", "agent")] {
            assert_eq!(session.clone().with_header(header, value).post(&path, "").await.refusal(403), "forbidden");
        }
    }
}

#[tokio::test]
async fn a_connection_token_is_asked_for_with_an_object_or_nothing() {
    let server = Server::start().await;
    for body in ["", "{}", " ", r#"{"later": 1}"#] {
        server.stranger().post("/realtime/connection-token", body).await.expect(200);
    }
    for body in ["[]", "null", "5", "\"x\"", "{", "{} {}", "true"] {
        assert_eq!(
            server.stranger().post("/realtime/connection-token", body).await.refusal(400),
            "invalid_request",
            "{body}"
        );
    }
    let wrong = server.stranger().with_token("mai_000000000000000000000000");
    assert_eq!(wrong.post("/realtime/connection-token", "").await.refusal(401), "invalid_key");
}

#[tokio::test]
async fn the_config_names_the_address_of_the_gateway_as_browsers_reach_it() {
    let server = Server::start().await;
    let config = server.stranger().get("/realtime/config").await.expect(200);
    let url = format!("ws://{}/connection/websocket", server.address);
    assert_eq!(config, json!({ "connection": { "url": url }, "conference": null }));
    let public = PublicUrl::parse("https://meet.example.org").unwrap();
    let server = Setup::new().with(|config| config.public_url = Some(public)).start().await;
    let config = server.operator().get("/realtime/config").await.expect(200);
    assert_eq!(config["connection"]["url"], json!("wss://meet.example.org/connection/websocket"));
}

#[tokio::test]
async fn no_token_opens_a_door_that_is_not_its_own() {
    let server = known().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let ann = owner.session("ann").await;
    let (connection, subscription) = (connection_token(&ann).await, subscription_token(&ann, &room).await);
    let (connect, subscribe) = (part(&connection, 1), part(&subscription, 1));
    let app = &server.app;
    assert!(app.verify_connection_token(&connection).is_ok() && app.verify_subscription_token(&subscription).is_ok());
    // Nor does a key or a session's token.
    for token in
        [subscription.as_str(), owner.token(), ann.token(), "", ".", "..", "a.b.c", &connection[..connection.len() - 1]]
    {
        assert_eq!(app.verify_connection_token(token), Err(TokenError::Invalid), "{token}");
    }
    for token in [connection.as_str(), owner.token(), ann.token(), "", &subscription[..subscription.len() - 1]] {
        assert_eq!(app.verify_subscription_token(token), Err(TokenError::Invalid), "{token}");
    }
    // The claims are right, and the signature is of somebody else, of another kind, or none.
    let [header, payload, signature] = connection.split('.').collect::<Vec<_>>()[..] else { panic!("{connection}") };
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let mut other = connect.clone();
    other["sub"] = json!("00000000-0000-7000-8000-000000000000");
    let other = URL_SAFE_NO_PAD.encode(other.to_string());
    for token in [
        forge(ANOTHER, Algorithm::HS256, &connect),
        forge(SUBSCRIPTION, Algorithm::HS256, &connect),
        forge(CONNECTION, Algorithm::HS512, &connect),
        forge(CONNECTION, Algorithm::HS384, &connect),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}.{other}.{signature}"),
        format!("{connection}.{signature}"),
    ] {
        assert_eq!(app.verify_connection_token(&token), Err(TokenError::Invalid), "{token}");
    }
    for secret in [ANOTHER, CONNECTION] {
        let token = forge(secret, Algorithm::HS256, &subscribe);
        assert_eq!(app.verify_subscription_token(&token), Err(TokenError::Invalid), "{token}");
    }
    // Their doors stay shut to each other even when one secret has signed both.
    let crossed = forge(CONNECTION, Algorithm::HS256, &subscribe);
    assert_eq!(app.verify_connection_token(&crossed), Err(TokenError::Invalid));
    let crossed = forge(SUBSCRIPTION, Algorithm::HS256, &connect);
    assert_eq!(app.verify_subscription_token(&crossed), Err(TokenError::Invalid));
}

/// The claims with one of them changed, or with `None` left out.
fn changed(claims: &Value, name: &str, value: Option<Value>) -> Value {
    let mut claims = claims.clone();
    let object = claims.as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(name.to_owned(), value),
        None => object.remove(name),
    };
    claims
}

#[tokio::test]
async fn claims_that_this_server_would_not_make_are_invalid_whoever_signed_them() {
    let server = known().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let named = owner.clone().with_header("x-meet-name", "ann");
    let guest = owner.invite(&room, "member", "Gil").await;
    let connect = part(&connection_token(&named).await, 1);
    let of_guest = part(&connection_token(&guest).await, 1);
    let subscribe = part(&subscription_token(&guest, &room).await, 1);
    let verify = |claims: &Value| server.app.verify_connection_token(&forge(CONNECTION, Algorithm::HS256, claims));
    assert!(verify(&connect).is_ok() && verify(&of_guest).is_ok());
    let channels = |list: &[&str]| Some(json!(list));
    let text = |claims: &Value, place: usize| claims["channels"][place].as_str().unwrap().to_owned();
    let (own, org, role) = (text(&connect, 0), text(&connect, 1), text(&connect, 2));
    let spectator = role.replace(":owner", ":spectator");
    for (name, value) in [
        ("channel", Some(json!(format!("chat:{room}")))),
        ("channel", Some(json!(null))),
        ("channel", Some(json!(""))),
        ("subs", Some(json!({ "chat:x": {} }))),
        ("exp", None),
        ("exp", Some(json!("soon"))),
        ("sub", None),
        ("sub", Some(json!(""))),
        ("sub", Some(json!("ann"))),
        ("sub", Some(json!(5))),
        ("sub", Some(json!("00000000-0000-7000-8000-000000000000"))),
        ("meta", None),
        ("meta", Some(json!({ "generation": 0 }))),
        ("meta", Some(json!({ "session": null }))),
        ("info", None),
        ("channels", None),
        ("channels", channels(&[])),
        ("channels", channels(&[&own, &org])),
        ("channels", channels(&[&own, &org, &role, "chat:x"])),
        ("channels", channels(&[&own, &role, &role])),
        ("channels", channels(&[&own, "org:00000000-0000-7000-8000-000000000000", &role])),
        // The rights of a bare key are an owner's.
        ("channels", channels(&[&own, &org, &spectator])),
    ] {
        assert_eq!(verify(&changed(&connect, name, value.clone())), Err(TokenError::Invalid), "{name}: {value:?}");
    }
    let anonymous = part(&connection_token(&server.stranger()).await, 1);
    for (name, value) in [("channels", &connect["channels"]), ("meta", &connect["meta"]), ("info", &connect["info"])] {
        assert_eq!(verify(&changed(&anonymous, name, Some(value.clone()))), Err(TokenError::Invalid), "{name}");
    }
    let verify = |claims: &Value| server.app.verify_subscription_token(&forge(SUBSCRIPTION, Algorithm::HS256, claims));
    assert!(verify(&subscribe).is_ok());
    for (name, value) in
        [("channel", None), ("channel", Some(json!(5))), ("sub", Some(json!("ann"))), ("sub", None), ("exp", None)]
    {
        assert_eq!(verify(&changed(&subscribe, name, value.clone())), Err(TokenError::Invalid), "{name}: {value:?}");
    }
}

#[tokio::test]
async fn a_token_holds_for_ten_minutes_to_the_second_and_not_before_its_time() {
    let server = known().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let ann = owner.session("ann").await;
    let (connection, subscription) = (connection_token(&ann).await, subscription_token(&ann, &room).await);
    let app = &server.app;
    let outcome =
        || (app.verify_connection_token(&connection).map(drop), app.verify_subscription_token(&subscription).map(drop));
    let early = changed(&part(&connection, 1), "nbf", Some(json!(noon(&server) + 1)));
    let early = forge(CONNECTION, Algorithm::HS256, &early);
    assert_eq!(app.verify_connection_token(&early), Err(TokenError::Expired));
    server.clock.advance(Duration::from_secs(1));
    assert!(app.verify_connection_token(&early).is_ok());
    server.clock.advance(Duration::from_millis(598_999));
    assert_eq!(outcome(), (Ok(()), Ok(())));
    // A jump of the wall clock ends nothing.
    server.clock.jump(3 * HOUR);
    assert_eq!(outcome(), (Ok(()), Ok(())));
    server.clock.jump(-3 * HOUR);
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(outcome(), (Err(TokenError::Expired), Err(TokenError::Expired)));
    let eternal = changed(&part(&connection, 1), "exp", Some(json!(i64::MAX)));
    assert!(app.verify_connection_token(&forge(CONNECTION, Algorithm::HS256, &eternal)).is_ok(), "nothing overflows");
    let ancient = changed(&part(&connection, 1), "exp", Some(json!(i64::MIN)));
    let ancient = forge(CONNECTION, Algorithm::HS256, &ancient);
    assert_eq!(app.verify_connection_token(&ancient), Err(TokenError::Expired));
}

#[tokio::test]
async fn a_clock_that_was_set_wrong_makes_no_token_longer_or_shorter() {
    for jump in [3 * HOUR, -3 * HOUR] {
        let server = known().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let ann = owner.session("ann").await;
        server.clock.jump(jump);
        let (connection, subscription) = (connection_token(&ann).await, subscription_token(&ann, &room).await);
        let app = &server.app;
        let outcome = || {
            (app.verify_connection_token(&connection).map(drop), app.verify_subscription_token(&subscription).map(drop))
        };
        server.clock.advance(Duration::from_millis(599_999));
        assert_eq!(outcome(), (Ok(()), Ok(())), "{jump}");
        // A clock that went ahead may as well be set right meanwhile.
        server.clock.jump(-jump.max(0));
        assert_eq!(outcome(), (Ok(()), Ok(())), "{jump}");
        server.clock.advance(Duration::from_millis(1));
        assert_eq!(outcome(), (Err(TokenError::Expired), Err(TokenError::Expired)), "{jump}");
    }
}

#[tokio::test]
async fn a_token_stands_for_the_member_that_asked_for_it() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let guest = owner.invite(&room, "spectator", "Gus").await;
        let found = member(&server, &connection_token(&guest).await).await.unwrap().unwrap();
        let who = guest.get("/api/session").await.expect(200);
        assert_eq!(
            (json!(found.user()), json!(found.rooms.as_deref()), found.role),
            (who["user"].clone(), json!([room]), Role::Spectator)
        );
        assert!(found.session.is_some() && found.expires_at.is_some());
        let named = owner.clone().with_header("x-meet-name", "Bot").with_header("x-meet-kind", "agent");
        let found = member(&server, &connection_token(&named).await).await.unwrap().unwrap();
        let Who::User(user) = &found.who else { panic!("{found:?}") };
        assert_eq!(
            (user.name.as_str(), found.role, found.rooms.is_none(), found.session),
            ("Bot", Role::Owner, true, None)
        );
        assert!(found.bare_key().is_err(), "it may not do what needs the key itself");
        assert!(member(&server, &connection_token(&server.stranger()).await).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_token_ends_with_what_it_was_issued_for() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let body = json!({ "role": "member" });
        let invite = owner.post_json(&format!("/api/rooms/{room}/invites"), body).await.expect(201);
        let body = json!({ "invite": invite["token"], "name": "Gil" });
        let guest = server.stranger().post_json("/api/session", body).await.expect(201);
        let guest = server.stranger().with_token(guest["token"].as_str().unwrap());
        let named = owner.clone().with_header("x-meet-name", "ann");
        let (ann, bob) = (owner.session("ann").await, owner.session("bob").await);
        let of_guest = connection_token(&guest).await;
        let (of_ann, of_bob) = (connection_token(&ann).await, connection_token(&bob).await);
        let of_key = connection_token(&named).await;
        for token in [&of_guest, &of_ann, &of_bob, &of_key] {
            assert!(member(&server, token).await.is_ok());
        }
        ann.delete("/api/session").await.expect(204);
        expect_ended(&server, &of_ann, "signed out").await;
        owner.delete(&format!("/api/invites/{}", invite["id"].as_str().unwrap())).await.expect(204);
        expect_ended(&server, &of_guest, "revoked").await;
        assert!(member(&server, &of_bob).await.is_ok() && member(&server, &of_key).await.is_ok(), "others go on");
        let held = member(&server, &of_key).await.unwrap().unwrap();
        let rotated = owner.post("/api/keys/rotate", "").await.expect(201);
        expect_ended(&server, &of_bob, "rotated").await;
        expect_ended(&server, &of_key, "rotated").await;
        // Whoever was let in before is asked again, too.
        let asked = server.app.room(Some(&held), room.parse().unwrap()).await;
        assert!(matches!(asked, Err(Error::InvalidKey)), "{asked:?}");
        let owner = server.stranger().with_token(rotated["key"].as_str().unwrap());
        let token = connection_token(&owner.clone().with_header("x-meet-name", "ann")).await;
        assert_eq!(part(&token, 1)["meta"], json!({ "session": null, "generation": 1 }));
        assert!(member(&server, &token).await.is_ok());
        owner.delete("/api/keys").await.expect(204);
        expect_ended(&server, &token, "deleted").await;
    }
}

#[tokio::test]
async fn tokens_of_the_previous_secret_hold_while_it_is_named() {
    let server = known().start().await;
    let owner = server.new_tenant().await;
    let ann = owner.session("ann").await;
    let room = owner.room("planning").await;
    let (connection, subscription) = (connection_token(&ann).await, subscription_token(&ann, &room).await);
    let clock = server.clock.clone();
    let mut database = server.stop().await;
    for (is_named, outcome) in [(true, Ok(())), (false, Err(TokenError::Invalid))] {
        let mut setup = Setup::on(database).with(|config| {
            config.realtime.token_secret = Some(ANOTHER.into());
            config.realtime.subscription_secret = Some(ANOTHER.to_uppercase().into());
            if is_named {
                config.realtime.previous_token_secret = Some(CONNECTION.into());
                config.realtime.previous_subscription_secret = Some(SUBSCRIPTION.into());
            }
        });
        setup.clock = clock.clone();
        let server = setup.start().await;
        assert_eq!(server.app.verify_connection_token(&connection).map(drop), outcome);
        assert_eq!(server.app.verify_subscription_token(&subscription).map(drop), outcome);
        let ann = server.stranger().with_token(ann.token());
        assert!(server.app.verify_connection_token(&connection_token(&ann).await).is_ok());
        database = server.stop().await;
    }
}

#[tokio::test]
async fn a_server_does_not_start_with_secrets_that_are_short_or_one() {
    let same = Setup::new().with(|config| {
        config.realtime.token_secret = Some(CONNECTION.into());
        config.realtime.previous_subscription_secret = Some(CONNECTION.into());
    });
    let short = Setup::new().with(|config| config.realtime.subscription_secret = Some("hunter2".into()));
    for (setup, named) in [(same, "PREVIOUS_SUBSCRIPTION_SECRET"), (short, "MEET_AI_REALTIME__SUBSCRIPTION_SECRET")] {
        let config = setup.configured();
        let address = config.listen;
        let refusal = App::open(config, Clock::system(), address).await.err().unwrap().to_string();
        assert!(refusal.contains(named), "{refusal}");
        assert!(!refusal.contains(CONNECTION) && !refusal.contains("hunter2"), "{refusal}");
        assert!(!setup.database.data_dir().join("meet-ai.db").exists(), "it has made nothing");
    }
}

#[tokio::test]
async fn the_keys_are_in_one_private_file_and_nowhere_else() {
    let server = Server::start().await;
    let ann = server.new_tenant().await.session("ann").await;
    let token = connection_token(&ann).await;
    let directory = server.database.data_dir();
    let path = directory.join(KEYS_FILE);
    let keys = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secrets: Vec<&str> = keys.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(secrets.len() == 2 && secrets.iter().all(|secret| secret.len() > 40), "{} secrets", secrets.len());
    let copy = server.database.directory().join("copy.db");
    backup(server.app.config(), &copy).await.unwrap();
    let database = server.stop().await;
    let holds = |bytes: &[u8], secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    let files = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).filter(|file| *file != path);
    for file in files.chain([copy]) {
        let bytes = fs::read(&file).unwrap();
        assert!(secrets.iter().all(|secret| !holds(&bytes, secret)), "{}", file.display());
    }
    let again = Setup::on(database).start().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), keys);
    assert!(member(&again, &token).await.unwrap().is_some(), "a restart ends no token");
}
