//! Readers with a cursor, over WebSocket and SSE alike: no gap and no duplicate at any seam, and a clear word when the
//! cursor is void.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Caller, Dice, Reader, Server, Setup, databases, soak};

/// Has `writers` callers post `each` messages, all at once; gives how many are stored.
async fn post_at_once(owner: &Caller, room: &str, writers: usize, each: usize) {
    join_all((0..writers).map(|writer| async move {
        for n in 0..each {
            owner.say(room, &format!("writer {writer}"), &format!("number {n}")).await;
        }
    }))
    .await;
}

#[tokio::test]
async fn readers_that_start_amid_sixty_four_writers_all_end_with_exactly_the_log() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        for round in 0..soak(20) {
            start_amid_writers(&owner, Dice(round as u64)).await;
        }
        server.stop().await;
    }
}

async fn start_amid_writers(owner: &Caller, mut dice: Dice) {
    let room = owner.room("planning").await;
    owner.say(&room, "ann", "first").await;
    let head = 1 + 64 * 10;
    let mut first = owner.socket(&room, "?since=0").await;
    let (writer, place) = (owner.clone(), room.clone());
    let writing = tokio::task::spawn(async move { post_at_once(&writer, &place, 64, 10).await });
    let (mut reading, mut seen) = (Vec::new(), 0);
    while seen < head - 60 {
        seen = first.message().await.seq;
        if seen % 32 == 0 {
            let since = dice.below(usize::try_from(seen).unwrap()) as u64;
            for reader in Reader::both(owner, &room, since).await {
                reading.push((since, reader.read_until(head)));
            }
        }
    }
    writing.await.unwrap();
    let log = owner.log(&room).await;
    assert_eq!(log.len() as u64, head);
    assert!(reading.len() >= 20);
    for (since, reader) in reading {
        assert_eq!(reader.await.unwrap(), log[usize::try_from(since).unwrap()..], "since {since}");
    }
}

#[tokio::test]
async fn an_event_carries_its_seq_as_its_id_and_a_hello_carries_none() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let said = owner.say(&room, "ann", "line\nbreak and \u{2028}").await;
    let mut events = owner.stream(&format!("/api/rooms/{room}/events?since=0")).await;
    let hello = events.next().await.unwrap();
    let epoch = owner.get(&format!("/api/rooms/{room}")).await.expect(200)["epoch"].clone();
    assert_eq!((hello.name.as_str(), hello.id), ("hello", None));
    assert_eq!((&hello.data["head_seq"], &hello.data["epoch"]), (&json!(1), &epoch));
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.id.as_deref()), ("message", Some("1")));
    assert_eq!(event.data, json!(said));
    let answer = owner.request(reqwest::Method::GET, &format!("/api/rooms/{room}/events")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert!(answer.headers()["cache-control"].to_str().unwrap().contains("no-cache"));
}

#[tokio::test]
async fn an_event_stream_resumes_behind_last_event_id_rather_than_since_and_else_at_the_head() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        for n in 1..=5 {
            owner.say(&room, "ann", &format!("number {n}")).await;
        }
        let path = format!("/api/rooms/{room}/events");
        let resuming = owner.clone().with_header("last-event-id", "4");
        let mut resumed = resuming.stream(&format!("{path}?since=1")).await;
        assert_eq!(resumed.expect("message").await.data["seq"], 5);
        let mut since = owner.stream(&format!("{path}?since=3")).await;
        assert_eq!(since.expect("message").await.data["seq"], 4);
        let mut live = owner.stream(&path).await;
        assert_eq!(live.expect("hello").await.data["head_seq"], 5);
        owner.say(&room, "ann", "number 6").await;
        assert_eq!(live.next().await.unwrap().data["seq"], 6);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_void_cursor_gets_a_resync_and_goes_on_from_the_head() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        for n in 1..=3 {
            owner.say(&room, "ann", &format!("number {n}")).await;
        }
        let epoch = owner.get(&format!("/api/rooms/{room}")).await.expect(200)["epoch"].clone();
        let mut head = 3;
        for query in ["?since=4", "?since=9223372036854775807", "?since=3&epoch=other", "?since=0&epoch=other"] {
            let socket = owner.socket(&room, query).await;
            let stream = owner.stream(&format!("/api/rooms/{room}/events{query}")).await;
            let mut readers = Vec::new();
            for mut reader in [Reader::from(socket), Reader::from(stream)] {
                let resync = reader.expect("resync").await;
                assert_eq!(resync, json!({ "type": "resync", "head_seq": head, "epoch": epoch }), "{query}");
                readers.push(reader);
            }
            let said = owner.say(&room, "ann", "live").await;
            head = said.seq;
            for mut reader in readers {
                assert_eq!(reader.message().await, said, "{query}");
            }
        }
        // What browsers keep as the id of a resync is a cursor that works.
        let mut events = owner.stream(&format!("/api/rooms/{room}/events?since=999")).await;
        let id = events.next().await.unwrap().id.unwrap();
        let mut again =
            owner.clone().with_header("last-event-id", &id).stream(&format!("/api/rooms/{room}/events")).await;
        again.expect("hello").await;
        server.stop().await;
    }
}

#[tokio::test]
async fn ten_thousand_behind_is_caught_up_and_one_more_is_a_resync() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        server.store_unheard(&owner, &room, "scribe", 10_001).await;
        for mut reader in Reader::both(&owner, &room, 0).await {
            assert_eq!(reader.expect("resync").await["head_seq"], 10_001);
        }
        for mut reader in Reader::both(&owner, &room, 1).await {
            assert_eq!(reader.expect("hello").await["head_seq"], 10_001);
            let caught_up = reader.until(10_001).await;
            assert!(caught_up.iter().map(|message| message.seq).eq(2..=10_001));
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn what_the_hub_never_heard_of_is_filled_in_from_the_store() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let first = owner.say(&room, "ann", "first").await;
        let mut readers = Vec::from(Reader::both(&owner, &room, 0).await);
        let mut from_now = Reader::from(owner.socket(&room, "").await);
        for reader in &mut readers {
            assert_eq!(reader.message().await, first);
        }
        for _ in 0..3 {
            server.store_unheard(&owner, &room, "scribe", 700).await;
            owner.say(&room, "ann", "heard").await;
        }
        let log = owner.log(&room).await;
        assert_eq!(log.len(), 1 + 3 * 701);
        readers.push(Reader::from(owner.stream(&format!("/api/rooms/{room}/events?since=1")).await));
        for reader in &mut readers {
            assert_eq!(reader.until(2104).await, log[1..]);
        }
        assert_eq!(from_now.until(2104).await, log[1..]);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_stranger_in_a_public_room_gets_nothing_from_before_it_was_public() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        owner.say(&room, "ann", "private").await;
        owner.patch(&format!("/api/rooms/{room}"), json!({ "visibility": "public" })).await.expect(200);
        let said = owner.say(&room, "ann", "public").await;
        let stranger = server.stranger();
        for mut reader in Reader::both(&stranger, &room, 0).await {
            reader.expect("hello").await;
            assert_eq!(reader.message().await, said);
        }
        owner
            .patch(&format!("/api/rooms/{room}"), json!({ "visibility": "public", "history": "all" }))
            .await
            .expect(200);
        for mut reader in Reader::both(&stranger, &room, 0).await {
            assert_eq!(reader.message().await.content, "private");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn strangers_are_shown_out_when_a_room_leaves_the_public() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "stage", "visibility": "public" })).await;
    let stranger = server.stranger();
    let mut socket = stranger.socket(&room, "").await;
    let mut events = stranger.stream(&format!("/api/rooms/{room}/events")).await;
    let mut own = owner.socket(&room, "").await;
    owner.patch(&format!("/api/rooms/{room}"), json!({ "visibility": "private" })).await.expect(200);
    assert_eq!(socket.end().await.0, Some(4040));
    while events.next().await.is_some() {}
    assert_eq!(stranger.try_socket(&room, "").await.err(), Some(401));
    let said = owner.say(&room, "ann", "among ourselves").await;
    assert_eq!(own.message().await, said);
}

#[tokio::test]
async fn readers_pick_up_where_they_stood_after_a_restart() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        owner.say(&room, "ann", "before").await;
        let epoch = owner.get(&format!("/api/rooms/{room}")).await.expect(200)["epoch"].as_str().unwrap().to_owned();
        let server = Setup::on(server.stop().await).start().await;
        let owner = server.stranger().with_token(owner.token());
        let mut socket = owner.socket(&room, &format!("?since=1&epoch={epoch}")).await;
        socket.expect("hello").await;
        let said = owner.say(&room, "ann", "after").await;
        assert_eq!((said.seq, socket.message().await), (2, said));
        server.stop().await;
    }
}
