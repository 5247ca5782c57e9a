//! The orderly end: everyone is told, what was begun is finished and kept, and it does not take for ever.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use meet_centrifuge::Protocol;

use crate::support::{
    Ended, Server, Setup, Wire, chat, connection_token, databases, eventually, narrow_line, read_to, soon,
    subscribe_token,
};

/// How long the end may take; a busy machine gets a little more.
const PROMISED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn everyone_who_listens_is_told_that_the_server_stops() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "stage", "visibility": "public" })).await;
        let mut held = owner.hold(&server.app, &room).await;
        let mut watcher = server.stranger().socket(&room, "").await;
        let (app, address) = (server.app.clone(), server.address);
        let stopping = tokio::task::spawn(server.stop());
        assert_eq!(held.socket.end().await.0, Some(1001));
        assert_eq!(watcher.end().await.0, Some(1001));
        while held.events.next().await.is_some() {}
        while held.lobby.next().await.is_some() {}
        assert_eq!(soon("the poll", held.poll).await.unwrap().expect(200), json!([]));
        let database = soon("the end", stopping).await.unwrap();
        assert_eq!(app.hub().connections(), 0);
        assert!(TcpStream::connect(address).await.is_err(), "nobody is let in any more");
        drop(database);
    }
}

#[tokio::test]
async fn posts_that_are_under_way_when_the_server_stops_are_answered_and_kept() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let body = |n: usize| json!({ "sender": "ann", "content": format!("number {n}") }).to_string();
        let mut begun = Vec::new();
        for n in 0..20 {
            let more = format!("content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n", body(n).len());
            let mut line = narrow_line(server.address).await;
            let head = owner.head("POST", &format!("/api/rooms/{room}/messages"), &more);
            line.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
            // The server has begun: it asks for the body.
            assert!(read_to(&mut line, "\r\n\r\n").await.starts_with("HTTP/1.1 100"));
            begun.push(line);
        }
        let mut socket = owner.socket(&room, "?name=bob").await;
        let app = server.app.clone();
        let stopping = tokio::task::spawn(server.stop());
        eventually("the stop to begin", || app.tasks().is_stopping()).await;
        let answers = join_all(begun.into_iter().enumerate().map(|(n, mut line)| async move {
            line.write_all(body(n).as_bytes()).await.unwrap();
            let mut answer = String::new();
            soon("an answer", line.read_to_string(&mut answer)).await.unwrap();
            answer
        }));
        for answer in answers.await {
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        }
        assert_eq!(socket.end().await.0, Some(1001));
        let server = Setup::on(soon("the end", stopping).await.unwrap()).start().await;
        let owner = server.stranger().with_token(owner.token());
        let log = owner.log(&room).await;
        let mut kept: Vec<_> = log.iter().map(|message| message.content.clone()).collect();
        let mut sent: Vec<_> = (0..20).map(|n| format!("number {n}")).collect();
        kept.sort();
        sent.sort();
        assert_eq!(kept, sent);
        server.stop().await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_the_stop_is_there_after_it() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let (owner, path) = (owner.clone(), format!("/api/rooms/{room}/messages"));
                tokio::task::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for n in 0.. {
                        let body = json!({ "sender": format!("writer {writer}"), "content": format!("number {n}") });
                        let request = owner.request(reqwest::Method::POST, &path).json(&body);
                        // Until the server is gone, or says that it goes.
                        let Ok(answer) = request.send().await else { break };
                        if answer.status() != 201 {
                            break;
                        }
                        let Ok(message) = answer.bytes().await else { break };
                        acknowledged.push(serde_json::from_slice::<meet_api::Message>(&message).unwrap());
                    }
                    acknowledged
                })
            })
            .collect();
        let mut reader = owner.socket(&room, "?since=0").await;
        while reader.message().await.seq < 200 {}
        let server = Setup::on(server.stop().await).start().await;
        let owner = server.stranger().with_token(owner.token());
        let log = owner.log(&room).await;
        for writer in writers {
            for message in soon("a writer", writer).await.unwrap() {
                assert_eq!(log[usize::try_from(message.seq).unwrap() - 1], message);
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn nobody_can_hold_up_the_end() {
    let server = Setup::new().with(|config| config.limits.sockets_per_user = 0).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let (mut silent, mut stuck) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        silent.push(narrow_line(server.address).await);
        let mut half = narrow_line(server.address).await;
        half.write_all(owner.head("POST", &format!("/api/rooms/{room}/messages"), "content-length: 9\r\n").as_bytes())
            .await
            .unwrap();
        silent.push(half);
        stuck.push(owner.narrow_socket(&room, "").await);
        silent.push(owner.unread_stream(&room).await);
    }
    eventually("the streams to open", || server.app.hub().connections() == 20).await;
    for _ in 0..20 {
        owner.say(&room, "ann", &"x".repeat(30_000)).await;
    }
    let ended = tokio::time::timeout(PROMISED + Duration::from_secs(2), server.stop()).await;
    assert!(ended.is_ok(), "the server did not stop in time");
    drop((silent, stuck));
}

#[tokio::test]
async fn clients_of_the_gateway_are_told_to_come_back_and_hold_nothing_up() {
    let server = Setup::new().with(|config| config.limits.sockets_per_user = 0).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let ann = owner.session("ann").await;
    let (token, ticket) = (connection_token(&ann).await, subscribe_token(&ann, &room).await);
    let (mut told, mut stuck) = (Vec::new(), Vec::new());
    for protocol in [Protocol::Json, Protocol::Protobuf] {
        told.push(Wire::open(server.address, protocol).await);
        told.push(Wire::connect(server.address, protocol, &token).await.0);
        let (mut listening, _) = Wire::connect(server.address, protocol, &token).await;
        listening.subscribe(chat(&room, &ticket)).await;
        told.push(listening);
        for _ in 0..10 {
            let mut wire = Wire::over(narrow_line(server.address).await, protocol).await;
            wire.enter(&token).await;
            wire.subscribe(chat(&room, &ticket)).await;
            stuck.push(wire);
        }
    }
    for _ in 0..20 {
        owner.say(&room, "ann", &"x".repeat(30_000)).await;
    }
    let stopping = tokio::task::spawn(tokio::time::timeout(PROMISED + Duration::from_secs(2), server.stop()));
    for end in join_all(told.iter_mut().map(Wire::end)).await {
        assert_eq!(end, Ended(Some(3001)));
    }
    assert!(soon("the end", stopping).await.unwrap().is_ok(), "the server did not stop in time");
    drop(stuck);
}

#[tokio::test]
async fn a_server_that_stops_takes_no_new_listeners() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    // A line that is open already, with a request that is only begun.
    let mut line = narrow_line(server.address).await;
    let head =
        owner.head("POST", &format!("/api/rooms/{room}/messages"), "content-length: 2\r\nexpect: 100-continue\r\n");
    line.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    read_to(&mut line, "\r\n\r\n").await;
    let app = server.app.clone();
    let stopping = tokio::task::spawn(server.stop());
    eventually("the stop to begin", || app.tasks().is_stopping()).await;
    let second = owner.head("GET", &format!("/api/rooms/{room}/events"), "");
    line.write_all(format!("{{}}{second}\r\n").as_bytes()).await.unwrap();
    let mut answers = String::new();
    soon("the line to end", line.read_to_string(&mut answers)).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 400") && !answers.contains("HTTP/1.1 200"), "{answers}");
    soon("the end", stopping).await.unwrap();
}
