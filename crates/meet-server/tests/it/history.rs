//! Reading what was said: pages, cursors, filters, and waiting for more.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Caller, Server, Setup, databases, eventually, soon};

/// A room with messages `1` to `count`, ann and bob taking turns.
async fn talked(server: &Server, count: usize) -> (Caller, String) {
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    for n in 1..=count {
        owner.say(&room, if n % 2 == 1 { "ann" } else { "bob" }, &format!("message {n}")).await;
    }
    (owner, room)
}

async fn seqs(caller: &Caller, room: &str, query: &str) -> Vec<u64> {
    caller.messages(room, query).await.iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn pages_lead_through_all_of_history_in_both_directions() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, room) = talked(&server, 10).await;
        let path = format!("/api/rooms/{room}/messages");
        let all: Vec<u64> = (1..=10).collect();
        assert_eq!(seqs(&owner, &room, "").await, all);
        for (first, relation) in [("?limit=3", "next"), ("?limit=3&before_seq=11", "prev")] {
            let (mut pages, mut next) = (Vec::new(), Some(format!("{path}{first}")));
            while let Some(page) = next {
                let answer = owner.get(&page).await;
                let page: Vec<u64> =
                    answer.expect(200).as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect();
                assert!(page.is_sorted() && (1..=3).contains(&page.len()), "{page:?}");
                assert_eq!(answer.header("x-head-seq"), "10");
                assert!(!answer.header("x-epoch").is_empty());
                if relation == "next" {
                    pages.extend(page);
                } else {
                    pages.splice(0..0, page);
                }
                next = answer.link(relation);
            }
            assert_eq!(pages, all, "{relation}");
        }
        let third = owner.messages(&room, "?limit=3").await[2].id;
        assert_eq!(seqs(&owner, &room, &format!("?after={third}")).await, [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(seqs(&owner, &room, "?after_seq=8").await, [9, 10]);
        assert_eq!(seqs(&owner, &room, "?after_seq=10").await, [0; 0]);
        assert_eq!(seqs(&owner, &room, "?before_seq=1").await, [0; 0]);
    }
}

#[tokio::test]
async fn long_messages_make_shorter_pages_that_still_lead_through_all_of_history() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let long = format!("word {}", "x".repeat(32_000));
        for _ in 0..50 {
            owner.say(&room, "ann", &long).await;
        }
        for (first, relation) in [("limit=1000", "next"), ("limit=1000&before_seq=51", "prev")] {
            let (mut seen, mut next) = (Vec::new(), Some(format!("/api/rooms/{room}/messages?{first}")));
            while let Some(page) = next {
                let answer = owner.get(&page).await;
                assert!(answer.body.len() < 2 * 1024 * 1024, "{}", answer.body.len());
                seen.extend(answer.expect(200).as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()));
                next = answer.link(relation);
            }
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(1..=50), "{relation}: {seen:?}");
        }
        let found = owner.get(&format!("/api/rooms/{room}/search?q=word&limit=1000")).await;
        assert!(found.body.len() < 2 * 1024 * 1024, "{}", found.body.len());
        let oldest = found.expect(200).as_array().unwrap().last().unwrap()["seq"].as_u64().unwrap();
        let rest = owner.get(&format!("/api/rooms/{room}/search?q=word&limit=1000&before_seq={oldest}")).await;
        assert_eq!(rest.expect(200)[0]["seq"], oldest - 1);
    }
}

#[tokio::test]
async fn a_page_back_ends_where_a_public_room_begins() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, room) = talked(&server, 3).await;
        owner.patch(&format!("/api/rooms/{room}"), json!({ "visibility": "public" })).await.expect(200);
        for query in ["?before_seq=100&limit=1", "?before_seq=100", "?before_seq=2&limit=1", "?limit=1"] {
            let page = soon(query, server.stranger().get(&format!("/api/rooms/{room}/messages{query}"))).await;
            assert_eq!(page.expect(200), json!([]), "{query}");
            assert_eq!((page.link("prev"), page.link("next")), (None, None), "{query}");
        }
    }
}

#[tokio::test]
async fn a_cursor_of_another_epoch_is_refused_whether_or_not_the_caller_waits() {
    let server = Setup::new().start().await;
    let (owner, room) = talked(&server, 1).await;
    for query in ["?epoch=gone", "?epoch=gone&after_seq=1", "?epoch=gone&wait=60", "?epoch=gone&wait=60&after_seq=1"] {
        let answer = soon(query, owner.get(&format!("/api/rooms/{room}/messages{query}"))).await;
        assert_eq!(answer.refusal(400), "unknown_cursor", "{query}");
    }
}

#[tokio::test]
async fn filters_apply_before_the_limit() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, room) = talked(&server, 10).await;
        owner.say(&room, "cat", "ping @bob and @Bobby").await;
        owner.say(&room, "cat", "ping @bobby only").await;
        owner.say(&room, "Bobby", "I exist").await;
        assert_eq!(seqs(&owner, &room, "?exclude=ANN&limit=3").await, [2, 4, 6]);
        assert_eq!(seqs(&owner, &room, "?mentions=bob").await, [11]);
        assert_eq!(seqs(&owner, &room, "?mentions=bobby").await, [11, 12]);
        assert_eq!(seqs(&owner, &room, "?mentions=bobby&exclude=cat").await, [0; 0]);
        let answer = owner.get(&format!("/api/rooms/{room}/messages?exclude=ann&limit=2")).await;
        let next = owner.get(&answer.link("next").unwrap()).await.expect(200);
        assert_eq!(next.as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [6, 8]);
    }
}

#[tokio::test]
async fn a_cursor_of_another_room_answers_with_the_bytes_of_an_unknown_one() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, room) = talked(&server, 2).await;
        let second = owner.room("second").await;
        let elsewhere = owner.say(&second, "ann", "two").await;
        let (other, foreign_room) = talked(&server, 1).await;
        let foreign = other.messages(&foreign_room, "").await[0].id;
        let path = format!("/api/rooms/{room}/messages");
        let mut bodies = Vec::new();
        for cursor in [
            elsewhere.id.to_string(),
            foreign.to_string(),
            "01900000-0000-7000-8000-000000000001".into(),
            "junk".into(),
        ] {
            for wait in ["", "&wait=1"] {
                let answer = owner.get(&format!("{path}?after={cursor}{wait}")).await;
                assert_eq!(answer.refusal(400), "unknown_cursor", "{cursor}{wait}");
                bodies.push(answer.body);
            }
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]));
    }
}

#[tokio::test]
async fn a_cursor_out_of_range_is_refused_and_never_an_empty_list() {
    let server = Server::start().await;
    let (owner, room) = talked(&server, 2).await;
    let path = format!("/api/rooms/{room}/messages");
    for (query, code) in [
        ("after_seq=3", "unknown_cursor"),
        ("after_seq=99999999999999999999", "invalid_request"),
        ("after_seq=9223372036854775808", "unknown_cursor"),
        ("after_seq=-1", "invalid_request"),
        ("before_seq=-1", "invalid_request"),
        ("before_seq=x", "invalid_request"),
        ("after_seq=", "invalid_request"),
        ("after=", "unknown_cursor"),
        ("epoch=another", "unknown_cursor"),
        ("after_seq=1&epoch=another", "unknown_cursor"),
        ("after_seq=1&before_seq=2", "invalid_request"),
        ("limit=0", "invalid_request"),
        ("limit=-1", "invalid_request"),
        ("limit=1001", "invalid_request"),
        ("limit=1e2", "invalid_request"),
        ("wait=61", "invalid_request"),
        ("wait=-1", "invalid_request"),
        ("wait=99999999999999999999", "invalid_request"),
        ("wait=x", "invalid_request"),
        ("exclude=%00", "invalid_request"),
        ("mentions=%00", "invalid_request"),
    ] {
        assert_eq!(owner.get(&format!("{path}?{query}")).await.refusal(400), code, "{query}");
    }
    let long = "x".repeat(10_000);
    assert_eq!(owner.get(&format!("{path}?exclude={long}")).await.refusal(400), "invalid_request");
    let epoch = owner.get(&path).await.header("x-epoch").to_owned();
    owner.get(&format!("{path}?after_seq=1&epoch={epoch}")).await.expect(200);
}

#[tokio::test]
async fn a_long_poll_answers_with_the_next_message_and_starts_at_the_head() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, room) = talked(&server, 2).await;
        let wait = |query: &str| {
            let (caller, path) = (owner.clone(), format!("/api/rooms/{room}/messages?wait=60{query}"));
            tokio::task::spawn(async move { caller.get(&path).await })
        };
        let polls = [wait(""), wait("&after_seq=2"), wait("&exclude=bob"), wait("&mentions=cat")];
        eventually("four waiters", || server.app.hub().connections() == 4).await;
        owner.say(&room, "bob", "nothing for those who leave me out").await;
        let [first, second, third, fourth] = polls;
        for poll in [first, second] {
            let answer = soon("the poll", poll).await.unwrap();
            assert_eq!(answer.expect(200)[0]["seq"], 3);
            assert_eq!(answer.header("x-head-seq"), "3");
        }
        owner.say(&room, "ann", "hello @cat").await;
        for poll in [third, fourth] {
            assert_eq!(soon("the poll", poll).await.unwrap().expect(200)[0]["seq"], 4);
        }
        let at_once = owner.get(&format!("/api/rooms/{room}/messages?wait=60&after_seq=0")).await;
        assert_eq!(at_once.expect(200).as_array().unwrap().len(), 4);
    }
}

#[tokio::test]
async fn a_long_poll_that_hears_nothing_is_an_empty_list() {
    let server = Server::start().await;
    let (owner, room) = talked(&server, 2).await;
    assert_eq!(owner.messages(&room, "?wait=1").await, []);
    assert_eq!(owner.messages(&room, "?wait=0&after_seq=2").await, []);
    assert_eq!(owner.messages(&room, "?wait=1&before_seq=1").await, []);
    eventually("the waiters to leave", || server.app.hub().connections() == 0).await;
}

#[tokio::test]
async fn waiters_count_as_connections() {
    let server = Setup::new().with(|config| config.limits.sockets_per_user = 1).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let session = owner.session("ann").await;
    let (caller, path) = (session.clone(), format!("/api/rooms/{room}/messages?wait=60"));
    let waiting = path.clone();
    let poll = tokio::task::spawn(async move { caller.get(&waiting).await });
    eventually("the waiter", || server.app.hub().connections() == 1).await;
    let refused = session.get(&path).await;
    assert_eq!(refused.refusal(429), "rate_limited");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(session.try_socket(&room, "").await.err(), Some(429));
    session.get(&format!("/api/rooms/{room}/messages")).await.expect(200);
    owner.say(&room, "bob", "enough").await;
    soon("the poll", poll).await.unwrap().expect(200);
    session.socket(&room, "").await;
}

#[tokio::test]
async fn the_shown_times_are_the_servers() {
    let server = Setup::new().manual_clock().start().await;
    let (owner, room) = talked(&server, 1).await;
    server.clock.advance(Duration::from_millis(1234));
    let said = owner.say(&room, "ann", "later").await;
    assert_eq!(json!(said.created_at), Value::from("2026-02-07T12:00:01.234Z"));
}
