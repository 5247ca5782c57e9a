//! One order for everyone: whatever is stored is gapless, and every socket, stream and page tells it alike.

use futures_util::future::join_all;
use meet_api::Message;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Caller, Dice, Reader, Setup, databases, soak, soon};

#[tokio::test]
async fn five_hundred_concurrent_posts_into_one_room_are_gapless_and_in_one_order_for_everyone() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        for _ in 0..soak(20) {
            let before = owner.log(&room).await.len();
            let head = (before + 500) as u64;
            let mut reading = Vec::new();
            for _ in 0..5 {
                for reader in Reader::both(&owner, &room, before as u64).await {
                    reading.push(reader.read_until(head));
                }
                let from_now = Reader::from(owner.socket(&room, "").await);
                reading.push(from_now.read_until(head));
            }
            let contents: Vec<_> = (0..500).map(|n| format!("number {n}")).collect();
            let posted: Vec<Message> = join_all(contents.iter().map(|content| owner.say(&room, "ann", content))).await;
            let log = owner.log(&room).await.split_off(before);
            assert_eq!(log.len(), 500);
            for message in &posted {
                assert_eq!(log[usize::try_from(message.seq).unwrap() - before - 1], *message);
            }
            for reader in reading {
                assert_eq!(reader.await.unwrap(), log);
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn five_hundred_concurrent_posts_into_a_hundred_rooms_are_gapless_and_in_one_order_for_everyone() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let mut rooms = Vec::new();
        for n in 0..100 {
            rooms.push(owner.room(&format!("room {n}")).await);
        }
        for round in 0..soak(20) {
            let mut reading = Vec::new();
            for room in &rooms {
                for reader in Reader::both(&owner, room, 5 * round as u64).await {
                    reading.push((room, reader.read_until(5 * (round + 1) as u64)));
                }
            }
            let posts = (0..5).flat_map(|n| rooms.iter().map(move |room| (room, format!("number {n}"))));
            let posts: Vec<_> = posts.collect();
            join_all(posts.iter().map(|(room, content)| owner.say(room, "ann", content))).await;
            for (room, reader) in reading {
                let log = owner.log(room).await.split_off(5 * round);
                assert_eq!(log.len(), 5);
                assert_eq!(reader.await.unwrap(), log);
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn more_long_messages_at_once_than_a_queue_may_hold_reach_everyone() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let mut reading = Vec::new();
        for _ in 0..5 {
            reading.push(Reader::from(owner.socket(&room, "").await).read_until(33));
        }
        // 32 of them fit into a queue of 1 MiB, however late a reader is; 33 do not.
        let content = "x".repeat(32_000);
        join_all((0..33).map(|_| owner.say(&room, "ann", &content))).await;
        let log = owner.log(&room).await;
        for reader in reading {
            assert_eq!(reader.await.unwrap(), log);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_thousand_posts_cut_at_random_bytes_leave_an_idle_subscriber_with_exactly_the_log() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        for round in 0..soak(20) {
            cut_posts(&owner, Dice(round as u64)).await;
        }
        server.stop().await;
    }
}

async fn cut_posts(owner: &Caller, mut dice: Dice) {
    let room = owner.room("planning").await;
    let readers = Reader::both(owner, &room, 0).await;
    for lot in 0..20 {
        let cuts: Vec<_> = (0..50)
            .map(|n| {
                let body = json!({ "sender": "ann", "content": format!("number {lot}.{n}") }).to_string();
                let length = format!("content-length: {}\r\n", body.len());
                let head = owner.head("POST", &format!("/api/rooms/{room}/messages"), &length);
                let request = format!("{head}\r\n{body}");
                // In the request, right behind it, or in the answer.
                let (end, answer) = match dice.below(3) {
                    0 => (dice.below(request.len() + 1), 0),
                    1 => (request.len(), 0),
                    _ => (request.len(), 1 + dice.below(40)),
                };
                (request, end, answer, dice.below(2) == 0)
            })
            .collect();
        join_all(cuts.into_iter().map(|(request, end, answer, is_reset)| async move {
            let mut line = TcpStream::connect(owner.address()).await.unwrap();
            line.write_all(&request.as_bytes()[..end]).await.unwrap();
            soon("the answer", line.read_exact(&mut vec![0; answer])).await.unwrap();
            if is_reset {
                line.set_zero_linger().unwrap();
            }
        }))
        .await;
    }
    let end = owner.say(&room, "ann", "the end").await;
    let log = owner.log(&room).await;
    let until = usize::try_from(end.seq).unwrap();
    assert!((200..=1000).contains(&until), "{until} of 1000 were stored");
    for mut reader in readers {
        assert_eq!(reader.until(end.seq).await, log[..until]);
    }
    let mut contents: Vec<_> = log.iter().map(|message| &message.content).collect();
    contents.sort();
    contents.dedup();
    assert_eq!(contents.len(), log.len(), "nothing is stored twice");
}
