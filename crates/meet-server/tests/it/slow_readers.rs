//! Readers that do not read: bounded, ended, told why when they come back in time, and nobody else notices.

use futures_util::future::join_all;
use meet_centrifuge::{
    Protocol,
    message::{Command, SubscribeRequest},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    Caller, Ended, Reader, Server, Setup, Socket, Wire, chat, connect, connection_token, encode, eventually, message,
    narrow_line, soak, subscribe_token,
};

const CLOSED: &str = "meet_connections_closed_total{code=\"1013\"}";
/// What may wait in the queue of one reader.
const QUEUE_BYTES: usize = 1024 * 1024;

/// A server with room for many sockets of one caller, whose metrics can be read.
async fn start() -> Server {
    let setup = Setup::new().with(|config| {
        config.metrics.token = Some("metrics-token".to_owned().into());
        config.limits.sockets_per_user = 0;
        config.limits.bytes_per_tenant = 0;
    });
    setup.start().await
}

/// Talks until nobody but the quick readers is connected, who each have a message before the next one is said; gives
/// the number of messages, and the most that was ever queued.
async fn talk_until_alone(server: &Server, owner: &Caller, room: &str, quick: &mut [Reader]) -> (u64, usize) {
    let content = "x".repeat(30_000);
    let (mut head, mut most) = (0, 0);
    while server.app.hub().connections() > quick.len() {
        head = owner.say(room, "ann", &content).await.seq;
        most = most.max(server.app.hub().queued_bytes());
        for message in join_all(quick.iter_mut().map(Reader::message)).await {
            assert_eq!(message.seq, head, "the quick ones wait for the slow ones");
        }
        assert!(head < 500, "the slow ones are never ended");
    }
    (head, most)
}

#[tokio::test]
async fn two_hundred_sockets_that_never_read_are_ended_and_nobody_else_waits_for_them() {
    let server = start().await;
    let owner = server.new_tenant().await;
    let slow = 200 * soak(2);
    for _ in 0..soak(5) {
        let room = owner.room("stage").await;
        let before = server.metric(CLOSED).await;
        let mut stuck = Vec::new();
        for _ in 0..slow {
            stuck.push(owner.narrow_socket(&room, "").await);
        }
        let mut quick = Vec::new();
        for _ in 0..5 {
            quick.extend(Reader::both(&owner, &room, 0).await);
        }
        // As long as the slow ones hold their lines, everybody else has everything at once.
        let (head, most) = talk_until_alone(&server, &owner, &room, &mut quick).await;
        assert!(most <= (slow + 10) * QUEUE_BYTES, "{most} bytes waited");
        assert_eq!(server.app.hub().queued_bytes(), 0, "what is ended frees its queue");
        assert!(head > 10, "the slow ones were there for {head} messages only");
        let resumed: Vec<Socket> = stuck.split_off(slow - 20);
        let ends = join_all(resumed.into_iter().map(|mut socket| async move { socket.end().await })).await;
        assert_eq!(ends, vec![Ended(Some(1013)); 20]);
        let ended = server.metric(CLOSED).await - before;
        assert!(ended >= slow as u64, "{ended} of {slow} were counted");
    }
}

#[tokio::test]
async fn event_streams_that_are_never_read_are_ended_too() {
    let server = start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("stage").await;
    let before = server.metric(CLOSED).await;
    let mut stuck: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        stuck.push(owner.unread_stream(&room).await);
    }
    eventually("the streams to open", || server.app.hub().connections() == 20).await;
    let (head, _) = talk_until_alone(&server, &owner, &room, &mut []).await;
    assert_eq!(owner.log(&room).await.len() as u64, head);
    assert!(server.metric(CLOSED).await - before >= 20);
}

#[tokio::test]
async fn a_reader_that_is_slow_only_while_it_catches_up_gets_everything() {
    let server = start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("stage").await;
    let content = "x".repeat(30_000);
    for _ in 0..50 {
        owner.say(&room, "ann", &content).await;
    }
    let mut late = owner.narrow_socket(&room, "?since=0").await;
    // More than its queue holds is said while it does not read.
    for _ in 0..100 {
        owner.say(&room, "ann", &content).await;
    }
    late.expect("hello").await;
    let got = Reader::from(late).until(150).await;
    assert!(got.iter().map(|message| message.seq).eq(1..=150));
}

const BOTH: [Protocol; 2] = [Protocol::Json, Protocol::Protobuf];

#[tokio::test]
async fn clients_of_the_gateway_that_never_read_are_ended_and_come_back_for_everything() {
    let server = start().await;
    let owner = server.new_tenant().await;
    let (room, ann) = (owner.room("stage").await, owner.session("ann").await);
    let (token, ticket) = (connection_token(&ann).await, subscribe_token(&ann, &room).await);
    let count = 40 * soak(5);
    let (mut stuck, mut streams) = (Vec::new(), Vec::new());
    for n in 0..count {
        let protocol = BOTH[n % 2];
        let mut wire = Wire::over(narrow_line(server.address).await, protocol).await;
        wire.enter(&token).await;
        let epoch = wire.subscribe(chat(&room, &ticket)).await.epoch;
        stuck.push((protocol, epoch, wire));
    }
    for protocol in BOTH {
        let subscribe = Command { id: 2, subscribe: Some(chat(&room, &ticket)), ..Command::default() };
        let frame = encode(protocol, &[Command { id: 1, ..connect(&token) }, subscribe]);
        let content_type =
            ["application/json", "application/octet-stream"][usize::from(protocol == Protocol::Protobuf)];
        let more = format!("content-type: {content_type}\r\ncontent-length: {}\r\n\r\n", frame.len());
        let mut line = narrow_line(server.address).await;
        line.write_all(owner.head("POST", "/connection/http_stream", &more).as_bytes()).await.unwrap();
        line.write_all(&frame).await.unwrap();
        streams.push(line);
    }
    eventually("the streams to open", || server.app.hub().connections() == count + 2).await;
    let mut quick = Vec::from(Reader::both(&owner, &room, 0).await);
    for protocol in BOTH {
        let (mut wire, _) = Wire::connect(server.address, protocol, &token).await;
        wire.subscribe(chat(&room, &ticket)).await;
        quick.push(wire.into());
    }
    let (head, most) = talk_until_alone(&server, &owner, &room, &mut quick).await;
    assert!(most <= (count + 6) * QUEUE_BYTES, "{most} bytes waited");
    assert_eq!(server.app.hub().queued_bytes(), 0, "what is ended frees its queue");
    for (protocol, epoch, mut wire) in stuck.split_off(count - 6) {
        let mut got = Vec::new();
        let end = loop {
            match wire.push().await {
                Ok(push) => got.extend(push.r#pub.filter(|publication| publication.offset > 0)),
                Err(end) => break end,
            }
        };
        assert_eq!(end, Ended(Some(3008)));
        let offset = got.len() as u64;
        assert!(offset < head, "it was too slow for {head} messages");
        let (mut wire, _) = Wire::connect(server.address, protocol, &token).await;
        let begun = wire.subscribe(SubscribeRequest { recover: true, offset, epoch, ..chat(&room, &ticket) }).await;
        assert!(begun.recovered);
        got.extend(begun.publications);
        while (got.len() as u64) < head {
            got.push(wire.publication().await);
        }
        assert!(got.iter().map(|publication| message(publication).seq).eq(1..=head));
    }
    let ended = server.metric("meet_connections_closed_total{code=\"3008\"}").await;
    assert!(ended >= count as u64, "{ended} of {count} were counted");
}
