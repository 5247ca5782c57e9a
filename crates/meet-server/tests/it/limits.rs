//! How much a caller may do: fixed windows, one for each bucket and subject, counted once things are known to be right.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Caller, Server, Setup, databases};

fn limited() -> Setup {
    defaults(Setup::new())
}

/// The limits that a server has unless told otherwise.
fn defaults(setup: Setup) -> Setup {
    setup.manual_clock().with(|config| {
        config.limits.keys_per_hour_per_ip = 3;
        config.limits.rooms_per_day_per_key = 5;
        config.limits.messages_per_minute_per_key = 60;
    })
}

async fn say(caller: &Caller, room: &str, body: serde_json::Value) -> Answer {
    caller.post_json(&format!("/api/rooms/{room}/messages"), body).await
}

/// Says something until it is refused, and gives how often that went well.
async fn flood(caller: &Caller, room: &str, body: serde_json::Value) -> (usize, Answer) {
    for said in 0..1000 {
        let answer = say(caller, room, body.clone()).await;
        if answer.status != 201 {
            return (said, answer);
        }
    }
    panic!("no limit stopped it");
}

#[track_caller]
fn assert_window(answer: &Answer, limit: &str, remaining: &str, reset: &str) {
    let shown = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| answer.header(name));
    assert_eq!(shown, [limit, remaining, reset]);
}

#[tokio::test]
async fn the_61st_message_in_a_minute_is_one_too_many() {
    for database in databases().await {
        let server = defaults(Setup::on(database)).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let body = json!({ "sender": "ann", "content": "hi" });
        let first = say(&owner, &room, body.clone()).await;
        first.expect(201);
        assert_window(&first, "60", "59", "60");
        server.clock.advance(Duration::from_millis(20_500));
        let (said, refused) = flood(&owner, &room, body.clone()).await;
        assert_eq!((said, refused.refusal(429).as_str()), (59, "rate_limited"));
        assert_eq!(refused.json()["error"], "rate limit exceeded");
        assert_window(&refused, "60", "0", "40");
        assert_eq!(refused.header("retry-after"), "40");
        server.clock.advance(Duration::from_millis(39_499));
        assert_eq!(say(&owner, &room, body.clone()).await.refusal(429), "rate_limited");
        server.clock.advance(Duration::from_millis(1));
        say(&owner, &room, body).await.expect(201);
    }
}

#[tokio::test]
async fn all_names_and_sessions_of_a_key_share_its_window_on_every_door() {
    let server = limited().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let session = owner.session("bob").await;
    for n in 0..30 {
        say(&owner, &room, json!({ "sender": format!("name {n}"), "content": "hi" })).await.expect(201);
        say(&session, &room, json!({ "content": "hi" })).await.expect(201);
    }
    assert_eq!(say(&owner, &room, json!({ "sender": "another", "content": "hi" })).await.refusal(429), "rate_limited");
    assert_eq!(say(&session, &room, json!({ "content": "hi" })).await.refusal(429), "rate_limited");
    let mut socket = session.socket(&room, "").await;
    socket.send(json!({ "content": "hi", "client_id": "c" })).await;
    let refusal = socket.expect("error").await;
    assert_eq!((&refusal["code"], &refusal["client_id"]), (&json!("rate_limited"), &json!("c")));
    server.clock.advance(Duration::from_mins(1));
    socket.send(json!({ "content": "hi" })).await;
    socket.message().await;
}

#[tokio::test]
async fn one_bucket_never_eats_anothers() {
    let server = limited().start().await;
    let (owner, other) = (server.new_tenant().await, server.new_tenant().await);
    let (room, elsewhere) = (owner.room("planning").await, other.room("elsewhere").await);
    let body = json!({ "sender": "ann", "content": "hi" });
    flood(&owner, &room, body.clone()).await;
    owner.room("rooms are counted elsewhere").await;
    owner.get("/api/rooms").await.expect(200);
    owner.messages(&room, "").await;
    say(&other, &elsewhere, body).await.expect(201);
    server.new_tenant().await;
}

#[tokio::test]
async fn a_guest_spends_its_own_share_and_not_the_owners() {
    let server = limited().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let (flooder, quiet) = (owner.invite(&room, "member", "Gil").await, owner.invite(&room, "member", "Gus").await);
    let (said, refused) = flood(&flooder, &room, json!({ "content": "spam" })).await;
    assert_eq!((said, refused.refusal(429).as_str()), (60, "rate_limited"));
    say(&quiet, &room, json!({ "content": "hi" })).await.expect(201);
    let (said, _) = flood(&owner, &room, json!({ "sender": "ann", "content": "hi" })).await;
    assert_eq!(said, 60);
}

#[tokio::test]
async fn what_is_refused_is_not_counted() {
    let server = limited().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    for _ in 0..70 {
        say(&owner, &room, json!({ "sender": "ann" })).await.expect(400);
        say(&owner, &room, json!({ "sender": "ann", "content": "hi", "reply_to": "junk" })).await.expect(400);
        let unknown = json!({ "sender": "ann", "content": "hi", "reply_to": "01900000-0000-7000-8000-000000000001" });
        say(&owner, &room, unknown).await.expect(400);
        owner.post_json("/api/rooms", json!({ "name": "" })).await.expect(400);
    }
    let (said, _) = flood(&owner, &room, json!({ "sender": "ann", "content": "hi" })).await;
    assert_eq!(said, 60);
    for n in 1..5 {
        owner.room(&format!("room {n}")).await;
    }
}

#[tokio::test]
async fn the_sixth_room_in_a_day_is_one_too_many_whatever_happens_in_between() {
    for database in databases().await {
        let setup = defaults(Setup::on(database));
        let clock = setup.clock.clone();
        let server = setup.start().await;
        let owner = server.new_tenant().await;
        let first = owner.room("room 1").await;
        server.clock.advance(Duration::from_hours(1));
        for n in 2..5 {
            owner.room(&format!("room {n}")).await;
        }
        let fifth = owner.post_json("/api/rooms", json!({ "name": "room 5" })).await;
        fifth.expect(201);
        assert_window(&fifth, "5", "0", "82800");
        let refused = async |owner: &Caller| {
            let refused = owner.post_json("/api/rooms", json!({ "name": "one too many" })).await;
            assert_eq!(refused.refusal(429), "rate_limited");
            assert_window(&refused, "5", "0", "82800");
            assert_eq!(refused.header("retry-after"), "82800");
        };
        refused(&owner).await;
        refused(&owner.session("ann").await).await;
        owner.delete(&format!("/api/rooms/{first}")).await.expect(204);
        refused(&owner).await;
        let key = owner.post("/api/keys/rotate", "").await.expect(201)["key"].as_str().unwrap().to_owned();
        let owner = server.stranger().with_token(&key);
        refused(&owner).await;
        let mut setup = defaults(Setup::on(server.stop().await));
        setup.clock = clock;
        let server = setup.start().await;
        let owner = server.stranger().with_token(&key);
        refused(&owner).await;
        server.clock.advance(Duration::from_hours(23));
        owner.room("the next day").await;
    }
}

#[tokio::test]
async fn of_everything_sent_at_once_exactly_as_much_passes_as_may() {
    for database in databases().await {
        let server = defaults(Setup::on(database)).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let messages = format!("/api/rooms/{room}/messages");
        for (path, body, times, passes) in [
            ("/api/rooms", json!({ "name": "x" }), 20, 4),
            (messages.as_str(), json!({ "sender": "ann", "content": "hi" }), 120, 60),
        ] {
            let tasks: Vec<_> = (0..times)
                .map(|_| {
                    let (owner, path, body) = (owner.clone(), path.to_owned(), body.clone());
                    tokio::task::spawn(async move { owner.post_json(&path, body).await })
                })
                .collect();
            let mut passed = 0;
            for task in tasks {
                let answer = task.await.unwrap();
                if answer.status == 201 {
                    passed += 1;
                } else {
                    assert_eq!(answer.refusal(429), "rate_limited");
                }
            }
            assert_eq!(passed, passes, "{path}");
        }
    }
}

#[tokio::test]
async fn rotating_a_key_does_not_reset_its_messages() {
    let server = limited().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    flood(&owner, &room, json!({ "sender": "ann", "content": "hi" })).await;
    let key = owner.post("/api/keys/rotate", "").await.expect(201)["key"].as_str().unwrap().to_owned();
    let owner = server.stranger().with_token(&key);
    assert_eq!(say(&owner, &room, json!({ "sender": "ann", "content": "hi" })).await.refusal(429), "rate_limited");
    let second = owner.room("another").await;
    owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
    assert_eq!(say(&owner, &second, json!({ "sender": "bob", "content": "hi" })).await.refusal(429), "rate_limited");
}

#[tokio::test]
async fn the_fourth_key_in_an_hour_is_one_too_many_even_when_others_were_deleted() {
    for database in databases().await {
        let server = defaults(Setup::on(database)).start().await;
        for remaining in ["2", "1", "0"] {
            let answer = server.stranger().post("/api/keys", "").await;
            let key = answer.expect(201)["key"].as_str().unwrap().to_owned();
            assert_window(&answer, "3", remaining, "3600");
            server.stranger().with_token(&key).delete("/api/keys").await.expect(204);
        }
        let refused = server.stranger().post("/api/keys", "").await;
        assert_eq!(refused.refusal(429), "rate_limited");
        assert_window(&refused, "3", "0", "3600");
        assert_eq!(refused.header("retry-after"), "3600");
        server.clock.advance(Duration::from_hours(1));
        server.new_tenant().await;
    }
}

#[tokio::test]
async fn the_operator_is_free_of_limits_unless_configured() {
    let server = limited().start().await;
    let operator = server.operator();
    for n in 0..8 {
        operator.room(&format!("room {n}")).await;
    }
    let room = operator.room("planning").await;
    for _ in 0..65 {
        let said = say(&operator, &room, json!({ "sender": "ann", "content": "hi" })).await;
        said.expect(201);
        assert_eq!(said.header("ratelimit-limit"), "");
    }
    let server = limited().with(|config| config.limits.operator = true).start().await;
    let operator = server.operator();
    let room = operator.room("planning").await;
    let (said, _) = flood(&operator, &room, json!({ "sender": "ann", "content": "hi" })).await;
    assert_eq!(said, 60);
    for n in 1..5 {
        operator.room(&format!("room {n}")).await;
    }
    assert_eq!(operator.post_json("/api/rooms", json!({ "name": "x" })).await.refusal(429), "rate_limited");
}

#[tokio::test]
async fn a_jump_of_the_wall_clock_neither_frees_nor_locks_a_window() {
    let server = limited().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    flood(&owner, &room, json!({ "sender": "ann", "content": "hi" })).await;
    for hours in [3, -6, 3] {
        server.clock.jump(hours * 3600 * 1000);
        let refused = say(&owner, &room, json!({ "sender": "ann", "content": "hi" })).await;
        assert_eq!(refused.refusal(429), "rate_limited");
        assert_eq!(refused.header("retry-after"), "60");
    }
    server.clock.jump(-3 * 3600 * 1000);
    server.clock.advance(Duration::from_mins(1));
    say(&owner, &room, json!({ "sender": "ann", "content": "hi" })).await.expect(201);
}

async fn new_key(near: &Server, forwarded: &str) -> u16 {
    near.stranger().with_header("x-forwarded-for", forwarded).post("/api/keys", "").await.status
}

fn behind(proxies: &[&str]) -> Setup {
    limited().with(|config| {
        config.trusted_proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
        config.client_ip_header = Some("x-forwarded-for".to_owned());
    })
}

#[tokio::test]
async fn without_trusted_proxies_a_forged_address_changes_nothing() {
    for setup in [limited(), behind(&[]), behind(&["10.0.0.0/8"])] {
        let server = setup.start().await;
        for n in 1..=3 {
            assert_eq!(new_key(&server, &format!("198.51.100.{n}")).await, 201);
        }
        for n in 4..=6 {
            assert_eq!(new_key(&server, &format!("198.51.100.{n}")).await, 429);
        }
        let named =
            server.stranger().with_header("forwarded", "for=198.51.100.9").with_header("x-real-ip", "198.51.100.9");
        assert_eq!(named.post("/api/keys", "").await.refusal(429), "rate_limited");
    }
}

#[tokio::test]
async fn behind_one_proxy_the_address_that_it_saw_counts() {
    let server = behind(&["127.0.0.1/32"]).start().await;
    for _ in 0..3 {
        assert_eq!(new_key(&server, "198.51.100.1").await, 201);
    }
    assert_eq!(new_key(&server, "198.51.100.1").await, 429);
    assert_eq!(new_key(&server, "203.0.113.5, 198.51.100.1").await, 429, "what the client claims stands to the left");
    assert_eq!(new_key(&server, "::ffff:198.51.100.1").await, 429);
    assert_eq!(new_key(&server, "198.51.100.2").await, 201);
}

#[tokio::test]
async fn behind_two_proxies_the_address_that_the_outer_one_saw_counts() {
    let server = behind(&["127.0.0.1/32", "10.0.0.0/8"]).start().await;
    for n in 0..3 {
        assert_eq!(new_key(&server, &format!("203.0.113.{n}, 198.51.100.1, 10.0.0.{n}")).await, 201);
    }
    assert_eq!(new_key(&server, "203.0.113.9, 198.51.100.1, 10.0.0.9").await, 429);
    assert_eq!(new_key(&server, "198.51.100.1, 198.51.100.2, 10.0.0.9").await, 201);
}

#[tokio::test]
async fn ten_thousand_addresses_of_one_network_are_one_caller() {
    let server = behind(&["127.0.0.1/32"]).start().await;
    let mut admitted = 0;
    let stranger = server.stranger();
    for block in 0..100_u32 {
        let tasks: Vec<_> = (0..100_u32)
            .map(|n| {
                let caller = stranger.clone().with_header("x-forwarded-for", &format!("2001:db8:1:2::{block:x}:{n:x}"));
                tokio::task::spawn(async move { caller.post("/api/keys", "").await.status })
            })
            .collect();
        for task in tasks {
            match task.await.unwrap() {
                201 => admitted += 1,
                status => assert_eq!(status, 429),
            }
        }
    }
    assert_eq!(admitted, 3);
    assert_eq!(new_key(&server, "2001:db8:1:3::1").await, 201);
}

#[tokio::test]
async fn a_key_makes_so_many_users_in_a_minute_and_known_ones_are_free() {
    let setup = Setup::new().manual_clock().with(|config| config.limits.messages_per_minute_per_key = 2);
    let server = setup.start().await;
    let owner = server.new_tenant().await;
    let token = |name: String| {
        let caller = owner.clone().with_header("x-meet-name", &name);
        async move { caller.post("/realtime/connection-token", "").await }
    };
    for n in 0..4 {
        token(format!("user {n}")).await.expect(200);
    }
    let refused = token("user 4".to_owned()).await;
    assert_eq!((refused.refusal(429).as_str(), refused.header("retry-after")), ("rate_limited", "60"));
    let by_session = owner.post_json("/api/session", json!({ "key": owner.token(), "name": "user 4" })).await;
    assert_eq!(by_session.refusal(429), "rate_limited");
    token("user 0".to_owned()).await.expect(200);
    server.clock.advance(Duration::from_mins(1));
    token("user 4".to_owned()).await.expect(200);
}
