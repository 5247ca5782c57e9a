//! Rooms without an owner: `POST /api/token`, in the order of its rules, with its ends and its races.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use meet_server::{
    Config,
    config::{Origin, Provider},
};
use serde_json::{Value, json};

use crate::support::{Answer, Caller, Database, Demo, Server, Setup, databases};

const TWO_HOURS: Duration = Duration::from_hours(2);

fn quick(config: &mut Config) {
    config.conference.provider = Some(Provider::Fake);
    config.limits.tokens_per_minute_per_ip = 0;
    config.allowed_origins = vec![Origin::parse("https://app.example.org").unwrap()];
}

async fn start() -> Server {
    start_on(Database::sqlite()).await
}

async fn start_on(database: Database) -> Server {
    Setup::on(database).manual_clock().with(quick).start().await
}

/// A browser on this server's own page, without a session.
fn browser(server: &Server) -> Caller {
    let stranger = server.stranger();
    let origin = stranger.own_origin();
    stranger.with_header("origin", &origin)
}

/// A page of another, allowed origin.
fn elsewhere(server: &Server) -> Caller {
    server.stranger().with_header("origin", "https://app.example.org")
}

async fn enter(caller: &Caller, room: &str, name: &str) -> Answer {
    caller.post_json("/api/token", json!({ "room": room, "name": name })).await
}

/// The same caller with the cookie that it was given.
fn with_cookie(caller: &Caller, answer: &Answer) -> Caller {
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    assert!(!cookie.is_empty(), "no cookie came");
    caller.clone().with_header("cookie", cookie)
}

/// How many meetings are open at the provider.
fn meetings(server: &Server) -> usize {
    server.app.demo_calls().unwrap().meetings().len()
}

fn error_of(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn each_rule_is_asked_before_the_next() {
    let server = start().await;
    let wrong = json!({ "room": "", "name": "Ann" });
    assert_eq!(server.stranger().get("/api/token").await.refusal(405), "method_not_allowed");
    for caller in [server.stranger(), server.stranger().with_header("origin", "https://evil.example")] {
        let answer = caller.post_json("/api/token", wrong.clone()).await;
        assert_eq!(error_of(&answer), (403, "Forbidden".to_owned()));
        assert_eq!(answer.refusal(403), "bad_origin");
    }
    let ann = browser(&server);
    let say = |body: Value| {
        let ann = ann.clone();
        async move { error_of(&ann.post_json("/api/token", body).await) }
    };
    let (long, letters) = ("x".repeat(65), "ü".repeat(64));
    for (body, sentence) in [
        (json!({}), "room and name required"),
        (json!({ "room": "standup" }), "room and name required"),
        (wrong, "room and name required"),
        (json!({ "room": long, "name": "Ann" }), "input too long"),
        (json!({ "room": "standup", "name": "x".repeat(33) }), "input too long"),
        (json!({ "room": "  ", "name": "Ann" }), "room and name must not be blank"),
        (json!({ "room": "standup", "name": "\t " }), "room and name must not be blank"),
        (json!({ "room": "a\u{0}b", "name": "Ann" }), "room and name must not contain NUL"),
    ] {
        assert_eq!(say(body.clone()).await, (400, sentence.to_owned()), "{body}");
    }
    ann.post_json("/api/token", json!({ "room": 5, "name": "Ann" })).await.refusal(400);
    ann.post("/api/token", "no json").await.refusal(400);
    assert_eq!(meetings(&server), 0, "nothing was made for what was refused");
    enter(&ann, &letters, "Ann").await.expect(200);
}

#[tokio::test]
async fn twenty_requests_a_minute_are_taken_from_one_address_whatever_it_says_about_itself() {
    let lifted = |config: &mut Config| {
        quick(config);
        config.limits.tokens_per_minute_per_ip = 20;
    };
    let server = Setup::new().manual_clock().with(lifted).start().await;
    let ann = browser(&server).with_header("x-forwarded-for", "1.2.3.4");
    for n in 0..20 {
        // What is malformed counts as well.
        let answer = ann.post_json("/api/token", json!({ "room": "standup" })).await;
        assert_eq!(answer.status, 400, "{n}");
    }
    let forged = browser(&server).with_header("x-forwarded-for", "5.6.7.8");
    let refused = enter(&forged, "standup", "Ann").await;
    assert_eq!(error_of(&refused), (429, "Too many requests".to_owned()));
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit-limit")), ("60", "20"));
    assert_eq!(enter(&server.stranger(), "standup", "Ann").await.status, 403, "the Origin comes first");
    server.clock.advance(Duration::from_mins(1));
    let answer = enter(&ann, "standup", "Ann").await;
    answer.expect(200);
    assert_eq!(answer.header("ratelimit-remaining"), "19");
}

#[tokio::test]
async fn behind_a_configured_proxy_each_address_has_its_own_share() {
    let behind_proxy = |config: &mut Config| {
        quick(config);
        config.limits.tokens_per_minute_per_ip = 1;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.2/32".parse().unwrap()];
        config.client_ip_header = Some("x-forwarded-for".to_owned());
    };
    let server = Setup::new().manual_clock().with(behind_proxy).start().await;
    let from = |header: &str| browser(&server).with_header("x-forwarded-for", header);
    enter(&from("198.51.100.1"), "standup", "Ann").await.expect(200);
    enter(&from("6.6.6.6, 198.51.100.1"), "standup", "Ann").await.refusal(429);
    enter(&from("6.6.6.6, 198.51.100.1, 10.0.0.2"), "standup", "Ann").await.refusal(429);
    enter(&from("198.51.100.2, 10.0.0.2"), "standup", "Ann").await.expect(200);
    enter(&from("2001:db8:0:1::1"), "standup", "Ann").await.expect(200);
    enter(&from("2001:db8:0:1:ffff::2"), "standup", "Ann").await.refusal(429);
}

#[tokio::test]
async fn the_first_caller_sets_the_type_and_later_ones_only_raise_it() {
    for database in databases().await {
        let server = start_on(database).await;
        let ask = |body: Value| {
            let ann = browser(&server);
            async move { ann.post_json("/api/token", body).await.expect(200) }
        };
        let first = ask(json!({ "room": "standup", "name": "Ann" })).await;
        assert_eq!(
            (&first["roomType"], &first["typeConflict"], &first["botEnabled"]),
            (&json!("audio"), &json!(false), &json!(false))
        );
        let bot = ask(json!({ "room": " standup ", "name": "Bob", "enableBot": true })).await;
        assert_eq!((&bot["botEnabled"], &bot["roomId"]), (&json!(true), &first["roomId"]));
        let raised = ask(json!({ "room": "standup", "name": "Cem", "type": "screenshare", "enableBot": false })).await;
        assert_eq!(
            (&raised["roomType"], &raised["typeConflict"], &raised["botEnabled"]),
            (&json!("screenshare"), &json!(false), &json!(true))
        );
        for body in
            [json!({ "room": "standup", "name": "Di" }), json!({ "room": "standup", "name": "Di", "type": "audio" })]
        {
            let conflict = ask(body).await;
            assert_eq!((&conflict["roomType"], &conflict["typeConflict"]), (&json!("screenshare"), &json!(true)));
        }
        // One name in two Unicode forms is one room.
        let composed = ask(json!({ "room": "caf\u{e9}", "name": "Ann" })).await;
        let decomposed = ask(json!({ "room": "cafe\u{301}", "name": "Bob" })).await;
        assert_eq!(composed["roomId"], decomposed["roomId"]);
        assert_ne!(composed["roomId"], first["roomId"]);
        assert_eq!(meetings(&server), 2);
    }
}

#[tokio::test]
async fn a_hundred_first_callers_of_a_name_are_in_one_meeting_of_one_type() {
    for database in databases().await {
        let server = start_on(database).await;
        let callers = (0..100).map(|n| {
            let caller = if n % 2 == 0 { browser(&server) } else { elsewhere(&server) };
            let kind = if n % 3 == 0 { "screenshare" } else { "audio" };
            async move {
                let body = json!({ "room": "launch", "name": format!("Guest {n}"), "type": kind });
                caller.post_json("/api/token", body).await.expect(200)
            }
        });
        let answers = join_all(callers).await;
        let rooms: HashSet<_> = answers.iter().map(|answer| answer["roomId"].to_string()).collect();
        let tokens: HashSet<_> = answers.iter().map(|answer| answer["authToken"].to_string()).collect();
        assert_eq!((rooms.len(), tokens.len(), meetings(&server)), (1, 100, 1));
        let after = enter(&browser(&server), "launch", "Late").await;
        // All places are taken by those who are on their way.
        assert_eq!(after.refusal(429), "rate_limited");
    }
}

#[tokio::test]
async fn an_expired_room_says_so_once_and_the_next_group_sees_nothing_of_it() {
    for database in databases().await {
        let server = start_on(database).await;
        let answer = enter(&browser(&server), "standup", "Ann").await;
        let (ann, first) = (with_cookie(&browser(&server), &answer), answer.expect(200));
        let room = first["roomId"].as_str().unwrap().to_owned();
        let guest = enter(&elsewhere(&server), "standup", "Eve").await.expect(200);
        let eve = server.stranger().with_token(guest["chatToken"].as_str().unwrap());
        let said = json!({ "content": "our secret" });
        ann.post_json(&format!("/api/rooms/{room}/messages"), said.clone()).await.expect(201);
        let mut events = eve.stream(&format!("/api/rooms/{room}/events")).await;
        let mut call = Demo::attend(&server, first["authToken"].as_str().unwrap()).await;

        server.clock.advance(TWO_HOURS);
        let told = enter(&browser(&server), "standup", "Bob").await;
        assert_eq!(error_of(&told), (410, "room expired".to_owned()));
        assert_eq!(meetings(&server), 0, "closed before the answer is sent");
        call.expect("removed").await;
        while events.next().await.is_some() {}
        assert_eq!(Demo::try_attend(&server, first["authToken"].as_str().unwrap()).await.err(), Some(401));

        let answer = enter(&browser(&server), "standup", "Bob").await;
        let (bob, second) = (with_cookie(&browser(&server), &answer), answer.expect(200));
        assert_ne!(second["roomId"], first["roomId"]);
        let new_room = second["roomId"].as_str().unwrap();
        assert_eq!(bob.get(&format!("/api/rooms/{new_room}/messages")).await.expect(200), json!([]));
        for (who, status) in [(&ann, 404), (&bob, 404), (&eve, 401)] {
            who.get(&format!("/api/rooms/{room}/messages")).await.refusal(status);
            let who = who.clone();
            let answer = who.post_json(&format!("/api/rooms/{room}/messages"), said.clone()).await;
            answer.refusal(status);
        }
        ann.get(&format!("/api/rooms/{new_room}/messages")).await.refusal(404);
    }
}

#[tokio::test]
async fn the_sweeper_leaves_a_tombstone_that_answers_one_caller() {
    for database in databases().await {
        let server = start_on(database).await;
        enter(&browser(&server), "standup", "Ann").await.expect(200);
        enter(&browser(&server), "retro", "Ann").await.expect(200);
        server.clock.advance(TWO_HOURS);
        server.app.tend_calls().await.unwrap();
        assert_eq!(meetings(&server), 0);
        let answers = join_all((0..20).map(|_| {
            let caller = browser(&server);
            async move { enter(&caller, "standup", "Bob").await.status }
        }));
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|status| **status == 410).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 19, "{answers:?}");
        server.clock.advance(Duration::from_hours(24));
        enter(&browser(&server), "retro", "Bob").await.expect(200);
    }
}

#[tokio::test]
async fn of_a_hundred_callers_at_the_instant_of_expiry_one_is_told_and_the_others_meet() {
    for database in databases().await {
        let server = start_on(database).await;
        let before = enter(&browser(&server), "standup", "Ann").await.expect(200);
        server.clock.advance(TWO_HOURS);
        let sweeping = async {
            server.app.sweep().await.unwrap();
            server.app.tend_calls().await.unwrap();
        };
        let callers = (0..100).map(|n| {
            let caller = browser(&server);
            async move { enter(&caller, "standup", &format!("Guest {n}")).await }
        });
        let (answers, ()) = tokio::join!(join_all(callers), sweeping);
        assert_eq!(answers.iter().filter(|answer| answer.status == 410).count(), 1);
        let rooms: HashSet<_> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.json()["roomId"].to_string())
            .collect();
        assert_eq!((answers.iter().filter(|answer| answer.status == 200).count(), rooms.len()), (99, 1));
        assert!(!rooms.contains(&before["roomId"].to_string()));
        assert_eq!(meetings(&server), 1);
    }
}

#[tokio::test]
async fn strangers_in_two_rooms_see_nothing_of_each_other() {
    let server = start().await;
    let first = enter(&browser(&server), "red", "Ann").await;
    let second = enter(&browser(&server), "blue", "Ann").await;
    let (ann, other) = (with_cookie(&browser(&server), &first), with_cookie(&browser(&server), &second));
    let (red, blue) = (first.json()["roomId"].clone(), second.json()["roomId"].clone());
    let (red, blue) = (red.as_str().unwrap(), blue.as_str().unwrap());
    for (who, own, foreign) in [(&ann, red, blue), (&other, blue, red)] {
        let rooms = who.get("/api/rooms").await.expect(200);
        assert_eq!((rooms.as_array().unwrap().len(), &rooms[0]["id"]), (1, &json!(own)));
        assert_eq!(who.get("/api/session").await.expect(200)["rooms"], json!([own]));
        who.get(&format!("/api/rooms/{own}")).await.expect(200);
        for path in ["", "/messages", "/presence", "/search?q=a"] {
            who.get(&format!("/api/rooms/{foreign}{path}")).await.refusal(404);
        }
        who.post_json("/realtime/conference-token", json!({ "spaceId": foreign })).await.refusal(404);
        who.post_json("/api/rooms", json!({ "name": "mine" })).await.refusal(403);
        who.delete(&format!("/api/rooms/{own}")).await.refusal(403);
    }
    server.operator().get(&format!("/api/rooms/{red}")).await.refusal(404);
}

#[tokio::test]
async fn an_owner_who_joins_a_call_is_still_the_owner_and_speaks_there_under_the_other_name() {
    for database in databases().await {
        let server = start_on(database).await;
        let tenant = server.new_tenant().await;
        let own = tenant.room("planning").await;
        let owner = tenant.browser("Olga").await;
        let answer = enter(&owner, "standup", "Guest Olga").await;
        assert_eq!(answer.header("set-cookie"), "", "the session that it has stays");
        let let_in = answer.expect(200);
        assert_eq!(let_in["chatToken"], Value::Null);
        let room = let_in["roomId"].as_str().unwrap();
        let session = owner.get("/api/session").await.expect(200);
        assert_eq!((&session["role"], &session["user"]["name"]), (&json!("owner"), &json!("Olga")));
        owner.patch(&format!("/api/rooms/{own}"), json!({ "name": "still mine" })).await.expect(200);
        let path = format!("/api/rooms/{room}/messages");
        let said = owner.post_json(&path, json!({ "content": "hello" })).await.expect(201);
        assert_eq!(said["sender"], "Guest Olga");
        assert_ne!(said["user"], session["user"]["id"]);
        // Again under another name: the same guest, who is called so from now on.
        enter(&owner, "standup", "Olga again").await.expect(200);
        let again = owner.post_json(&path, json!({ "content": "me again" })).await.expect(201);
        assert_eq!((&again["sender"], &again["user"]), (&json!("Olga again"), &said["user"]));

        // Signing out ends the guest too, and rotating the key as well.
        let mut socket = owner.socket(room, "").await;
        owner.delete("/api/session").await.expect(204);
        assert_eq!(socket.end().await.0, Some(4041));
        let second = tenant.browser("Olga").await;
        enter(&second, "standup", "Olga").await.expect(200);
        let mut socket = second.socket(room, "").await;
        tenant.post("/api/keys/rotate", "").await.expect(201);
        assert_eq!(socket.end().await.0, Some(4041));
        second.get(&path).await.refusal(401);
    }
}

#[tokio::test]
async fn two_people_of_one_name_stay_both() {
    let server = start().await;
    let first = enter(&browser(&server), "standup", "Anna").await.expect(200);
    let second = enter(&browser(&server), "standup", "Anna").await;
    let (anna, second) = (with_cookie(&browser(&server), &second), second.expect(200));
    let one = Demo::attend(&server, first["authToken"].as_str().unwrap()).await;
    let two = Demo::attend(&server, second["authToken"].as_str().unwrap()).await;
    let path = format!("/api/rooms/{}", first["roomId"].as_str().unwrap());
    crate::support::eventually_ok("both are in", || async {
        anna.get(&path).await.expect(200)["call"]["participants"].as_array().unwrap().len() == 2
    })
    .await;
    drop((one, two));
}

#[tokio::test]
async fn a_browser_keeps_its_session_from_room_to_room_and_a_dead_cookie_is_no_hindrance() {
    let server = start().await;
    let first = enter(&browser(&server), "red", "Ann").await;
    let ann = with_cookie(&browser(&server), &first);
    let second = enter(&ann, "blue", "Ann").await;
    assert_eq!(second.header("set-cookie"), "");
    let rooms: HashSet<_> = [&first, &second].map(|answer| answer.json()["roomId"].to_string()).into();
    let listed = ann.get("/api/rooms").await.expect(200);
    let listed: HashSet<_> = listed.as_array().unwrap().iter().map(|room| room["id"].to_string()).collect();
    assert_eq!(listed, rooms);
    ann.delete("/api/session").await.expect(204);
    let answer = enter(&ann, "red", "Ann").await;
    answer.expect(200);
    assert!(answer.header("set-cookie").contains("HttpOnly"), "a new session replaces the dead one");
}

#[tokio::test]
async fn rooms_and_people_are_bounded() {
    let bounded = |config: &mut Config| {
        quick(config);
        config.quick_rooms.max_rooms = 2;
        config.quick_rooms.max_participants = 2;
    };
    let server = Setup::new().manual_clock().with(bounded).start().await;
    let ann = enter(&browser(&server), "red", "Ann").await.expect(200);
    enter(&browser(&server), "blue", "Ann").await.expect(200);
    assert_eq!(enter(&browser(&server), "green", "Ann").await.refusal(429), "rate_limited");
    let ann = Demo::attend(&server, ann["authToken"].as_str().unwrap()).await;
    enter(&browser(&server), "red", "Bob").await.expect(200);
    let full = enter(&browser(&server), "red", "Cem").await;
    assert_eq!(error_of(&full), (429, "this call is full".to_owned()));
    // Whoever never came and cannot any more gives the place free again.
    server.clock.advance(Duration::from_mins(10));
    enter(&browser(&server), "red", "Cem").await.expect(200);
    drop(ann);
}

#[tokio::test]
async fn a_guest_gets_no_more_places_by_another_door() {
    let bounded = |config: &mut Config| {
        quick(config);
        config.quick_rooms.max_participants = 4;
    };
    let server = Setup::new().manual_clock().with(bounded).start().await;
    let answer = enter(&browser(&server), "red", "Ann").await;
    let ann = with_cookie(&browser(&server), &answer);
    let space = json!({ "spaceId": answer.json()["roomId"] });
    let mut tokens = HashSet::from([answer.json()["authToken"].to_string()]);
    for _ in 0..10 {
        let answer = ann.post_json("/realtime/conference-token", space.clone()).await.expect(200);
        tokens.insert(answer["token"].to_string());
    }
    assert_eq!(tokens.len(), 3, "it gets the places again that it has and does not use");
    for _ in 0..3 {
        enter(&ann, "red", "Ann").await.expect(200);
    }
    enter(&elsewhere(&server), "red", "Bob").await.expect(200);
    assert_eq!(enter(&elsewhere(&server), "red", "Cem").await.refusal(429), "rate_limited");
    let mut held = Vec::new();
    for token in &tokens {
        held.push(Demo::attend(&server, token.trim_matches('"')).await);
    }
    assert_eq!(ann.post_json("/realtime/conference-token", space).await.refusal(429), "rate_limited");
}

#[tokio::test]
async fn without_a_provider_there_are_no_calls() {
    let server = Setup::new().start().await;
    assert_eq!(enter(&browser(&server), "red", "Ann").await.refusal(503), "conference_unavailable");
    assert_eq!(server.operator().get("/realtime/config").await.expect(200)["conference"], Value::Null);
}
