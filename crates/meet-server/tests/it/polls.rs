//! Long polls in bulk: they end with what they wait for, wake together, and never skip a message. One alone is told of
//! in `history`.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Caller, Server, Setup, databases, eventually, soak, soon};

/// Starts a long poll and returns when it waits.
async fn waiting(server: &Server, caller: &Caller, path: String) -> tokio::task::JoinHandle<crate::support::Answer> {
    let before = server.app.hub().connections();
    let caller = caller.clone();
    let poll = tokio::task::spawn(async move { caller.get(&path).await });
    eventually("the poll to wait", || server.app.hub().connections() > before).await;
    poll
}

#[tokio::test]
async fn a_long_poll_ends_with_its_room() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let poll = waiting(&server, &owner, format!("/api/rooms/{room}/messages?wait=60")).await;
        owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
        assert_eq!(soon("the poll", poll).await.unwrap().refusal(404), "room_not_found");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_hundred_pollers_wake_with_the_same_message() {
    let server = Setup::new().with(|config| config.limits.sockets_per_user = 0).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let path = format!("/api/rooms/{room}/messages?wait=60");
    let polls: Vec<_> = (0..100)
        .map(|_| {
            let (owner, path) = (owner.clone(), path.clone());
            tokio::task::spawn(async move { owner.get(&path).await })
        })
        .collect();
    eventually("all to wait", || server.app.hub().connections() == 100).await;
    let said = owner.say(&room, "ann", "wake up").await;
    for poll in polls {
        assert_eq!(soon("a poll", poll).await.unwrap().expect(200), json!([said]));
    }
    assert_eq!(server.app.hub().connections(), 0);
}

#[tokio::test]
async fn pollers_that_follow_their_cursor_amid_writers_get_everything_once() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let each = 20 * soak(20);
        let writers = (0..16).map(|writer| {
            let (owner, room) = (&owner, &room);
            async move {
                for n in 0..each {
                    owner.say(room, &format!("writer {writer}"), &format!("number {n}")).await;
                }
            }
        });
        // One goes by the last message, one by the head that it was told.
        let [by_message, by_head] = [false, true].map(|by_head| follow(&owner, &room, by_head, 16 * each as u64));
        let (_, by_message, by_head) = tokio::join!(join_all(writers), by_message, by_head);
        let log = owner.log(&room).await;
        assert_eq!(by_message, log);
        let wanted: Vec<_> = log.into_iter().filter(|message| message.sender != "writer 3").collect();
        assert_eq!(by_head, wanted);
        server.stop().await;
    }
}

/// Polls until `head` is reached; by the head that the server tells, and then without one of the writers.
async fn follow(owner: &Caller, room: &str, by_head: bool, head: u64) -> Vec<meet_api::Message> {
    let (mut cursor, mut got) = (0, Vec::<meet_api::Message>::new());
    while cursor < head {
        let exclude = if by_head { "&exclude=writer%203" } else { "" };
        let answer =
            owner.get(&format!("/api/rooms/{room}/messages?wait=1&limit=1000&after_seq={cursor}{exclude}")).await;
        let page: Vec<meet_api::Message> = serde_json::from_value(answer.expect(200)).unwrap();
        cursor = match page.last() {
            _ if by_head && page.len() < 1000 => answer.header("x-head-seq").parse().unwrap(),
            Some(last) => last.seq,
            None => cursor,
        };
        got.extend(page);
    }
    got
}
