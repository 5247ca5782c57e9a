//! How many connections there may be: per user, tenant, address and server; watchers; lines that say nothing.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use meet_centrifuge::{Protocol, code::DisconnectCode};

use crate::support::{
    Caller, Emulated, Ended, Form, Server, Setup, Wire, connect, connection_token, encode, eventually, narrow_line,
    read_to, soon,
};

/// How long a line may take for the head of a request; a busy machine gets a little more.
const SILENCE: Duration = Duration::from_secs(10);

/// Asserts that another socket, stream, lobby and poll are all refused with this status, and told when to come back.
async fn expect_full(caller: &Caller, room: &str, status: u16, code: &str) {
    let refused = [
        caller.refused_socket(room, "").await,
        caller.get(&format!("/api/rooms/{room}/events")).await,
        caller.get("/api/lobby/events").await,
        caller.get(&format!("/api/rooms/{room}/messages?wait=60")).await,
    ];
    for answer in refused {
        assert_eq!(answer.refusal(status), code);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    caller.get(&format!("/api/rooms/{room}/messages")).await.expect(200);
}

/// Asserts that a place is free again as soon as the connection that held it is gone.
async fn expect_free(server: &Server, caller: &Caller, room: &str) {
    eventually("the place to be free", || server.app.hub().connections() < 4).await;
    soon("a place", async { while caller.try_socket(room, "").await.is_err() {} }).await;
}

/// Opens a socket, a stream, a lobby and a poll: four connections.
async fn hold_four(server: &Server, caller: &Caller, room: &str) -> crate::support::Socket {
    let held = caller.hold(&server.app, room).await;
    assert_eq!(server.app.hub().connections(), 4);
    // All but the socket stay open in a task until the test is over.
    let crate::support::Held { socket, events, lobby, poll } = held;
    drop(tokio::task::spawn(async move {
        let _open = (events, lobby);
        drop(poll.await);
    }));
    socket
}

#[tokio::test]
async fn a_user_holds_only_so_many_connections_and_a_closed_one_frees_its_place() {
    let server = Setup::new().with(|config| config.limits.sockets_per_user = 4).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let (ann, bob) = (owner.session("ann").await, owner.session("bob").await);
    let socket = hold_four(&server, &ann, &room).await;
    expect_full(&ann, &room, 429, "rate_limited").await;
    // The same user by its name, and others.
    assert_eq!(owner.refused_socket(&room, "?name=ann").await.refusal(429), "rate_limited");
    bob.socket(&room, "").await;
    owner.socket(&room, "?name=carl").await;
    drop(socket);
    expect_free(&server, &ann, &room).await;
}

#[tokio::test]
async fn a_tenant_holds_only_so_many_connections_over_all_its_users() {
    let server = Setup::new().with(|config| config.limits.sockets_per_tenant = 4).start().await;
    let (owner, other) = (server.new_tenant().await, server.new_tenant().await);
    let room = owner.room("planning").await;
    let socket = hold_four(&server, &owner.session("ann").await, &room).await;
    for caller in [&owner, &owner.session("bob").await] {
        expect_full(caller, &room, 429, "rate_limited").await;
    }
    let elsewhere = other.room("elsewhere").await;
    other.socket(&elsewhere, "").await;
    drop(socket);
    expect_free(&server, &owner, &room).await;
}

#[tokio::test]
async fn an_address_holds_only_so_many_connections_whoever_it_is() {
    let server = Setup::new().with(|config| config.limits.sockets_per_ip = 4).start().await;
    let (owner, other) = (server.new_tenant().await, server.new_tenant().await);
    let (room, elsewhere) = (owner.room("planning").await, other.room("elsewhere").await);
    let socket = hold_four(&server, &owner, &room).await;
    expect_full(&owner, &room, 429, "rate_limited").await;
    expect_full(&other, &elsewhere, 429, "rate_limited").await;
    drop(socket);
    expect_free(&server, &other, &elsewhere).await;
}

/// Asserts that the gateway lets a caller in no more: its token is good, and there is no place.
async fn expect_gateway_full(caller: &Caller, token: &str) {
    for protocol in [Protocol::Json, Protocol::Protobuf] {
        let mut wire = Wire::open(caller.address(), protocol).await;
        assert_eq!(wire.try_ask(connect(token)).await, Err(Ended(Some(3504))));
    }
    for form in Form::ALL {
        let command = meet_centrifuge::message::Command { id: 1, ..connect(token) };
        let frame = encode(form.protocol(), &[command]);
        let mut stream = Emulated::open(&caller.stranger(), form, &frame).await.unwrap();
        let push = stream.next().await.and_then(|reply| reply.push).unwrap();
        assert_eq!(push.disconnect, Some(DisconnectCode::ConnectionLimit.into()));
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn connections_of_the_gateway_count_as_their_user_s_and_their_tenant_s() {
    for is_of_user in [true, false] {
        let server = Setup::new()
            .with(|config| {
                let limits = &mut config.limits;
                if is_of_user { limits.sockets_per_user = 3 } else { limits.sockets_per_tenant = 3 }
            })
            .start()
            .await;
        let (owner, other) = (server.new_tenant().await, server.new_tenant().await);
        let room = owner.room("planning").await;
        let (ann, bob) = (owner.session("ann").await, owner.session("bob").await);
        let (token, of_bob) = (connection_token(&ann).await, connection_token(&bob).await);
        let socket = ann.socket(&room, "").await;
        let (wire, _) = Wire::connect(server.address, Protocol::Json, &token).await;
        let (stream, _) = Emulated::connect(&server.stranger(), Form::Lines, &token).await;
        for _ in 0..5 {
            expect_gateway_full(&ann, &token).await;
        }
        assert_eq!(ann.refused_socket(&room, "").await.refusal(429), "rate_limited");
        let by_key = owner.clone().with_header("x-meet-name", "ann");
        expect_gateway_full(&by_key, &connection_token(&by_key).await).await;
        if is_of_user {
            Wire::connect(server.address, Protocol::Json, &of_bob).await;
        } else {
            expect_gateway_full(&bob, &of_bob).await;
        }
        let elsewhere = other.clone().with_header("x-meet-name", "ann");
        Wire::connect(server.address, Protocol::Json, &connection_token(&elsewhere).await).await;
        Wire::connect(server.address, Protocol::Json, &connection_token(&server.stranger()).await).await;
        drop((wire, stream));
        eventually("the others to be gone", || server.app.hub().connections() == 1).await;
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            // A place is given back a moment after its connection has left.
            soon("a place", async {
                while Wire::open(server.address, protocol).await.try_ask(connect(&token)).await.is_err() {}
            })
            .await;
        }
        drop(socket);
    }
}

#[tokio::test]
async fn a_full_address_or_server_takes_no_connection_of_the_gateway_either() {
    for (is_of_address, status) in [(true, 429), (false, 503)] {
        let server = Setup::new()
            .with(|config| {
                let limits = &mut config.limits;
                if is_of_address { limits.sockets_per_ip = 3 } else { limits.sockets = Some(3) }
            })
            .start()
            .await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let token = connection_token(&server.stranger()).await;
        let socket = owner.socket(&room, "").await;
        // One that has not even said who it is takes a place as well.
        let silent = Wire::open(server.address, Protocol::Json).await;
        let (stream, _) = Emulated::connect(&server.stranger(), Form::Events, &token).await;
        for _ in 0..5 {
            let line = TcpStream::connect(server.address).await.unwrap();
            let (wire, head) = Wire::upgrade(line, "", "", Protocol::Json).await;
            assert!(wire.is_none() && head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains("\r\nretry-after: "), "{head}");
            for form in Form::ALL {
                assert_eq!(Emulated::open(&server.stranger(), form, b"{}").await.err(), Some(status));
            }
        }
        assert_eq!(owner.refused_socket(&room, "").await.status, status);
        drop((socket, silent, stream));
        eventually("the places to be free", || server.app.hub().connections() == 0).await;
        Wire::connect(server.address, Protocol::Json, &token).await;
    }
}

#[tokio::test]
async fn a_full_server_says_so_and_when_to_come_back() {
    let server = Setup::new().with(|config| config.limits.sockets = Some(4)).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let socket = hold_four(&server, &owner, &room).await;
    expect_full(&owner, &room, 503, "unavailable").await;
    drop(socket);
    expect_free(&server, &owner, &room).await;
}

#[tokio::test]
async fn a_thousand_anonymous_watchers_are_a_number_and_the_next_one_is_too_many() {
    let server = Setup::new().with(|config| config.limits.sockets_per_ip = 1001).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room_as(json!({ "name": "stage", "visibility": "public" })).await;
    let mut observer = owner.socket(&room, "?since=0&name=ann").await;
    observer.expect("hello").await;
    observer.expect("presence").await;
    let stranger = server.stranger();
    let mut watchers = Vec::new();
    for _ in 0..20 {
        watchers.extend(join_all((0..50).map(|_| stranger.socket(&room, ""))).await);
    }
    assert_eq!(stranger.refused_socket(&room, "").await.refusal(429), "rate_limited");
    let shown = owner.get(&format!("/api/rooms/{room}/presence")).await.expect(200);
    assert_eq!((shown["members"].as_array().unwrap().len(), &shown["watching"]), (1, &json!(1000)));
    let said = owner.say(&room, "ann", "so many").await;
    assert_eq!(observer.next().await.unwrap(), json!(said), "no event in between");
    for message in join_all(watchers.iter_mut().map(crate::support::Socket::message)).await {
        assert_eq!(message, said);
    }
    drop(watchers);
    eventually("the watchers to go", || server.app.hub().connections() == 1).await;
    let shown = owner.get(&format!("/api/rooms/{room}/presence")).await.expect(200);
    assert_eq!(shown["watching"], 0);
}

#[tokio::test]
async fn an_upgrade_that_lacks_its_headers_is_refused_and_takes_no_place() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let path = format!("/api/rooms/{room}/ws");
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    for (headers, status) in [
        (String::new(), "426"),
        (upgrade.to_owned(), "426"),
        (format!("{upgrade}sec-websocket-version: 13\r\n"), "426"),
        (format!("{upgrade}sec-websocket-version: 8\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "426"),
        ("upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n".to_owned(), "426"),
    ] {
        let mut line = narrow_line(server.address).await;
        let request = format!("{}\r\n", owner.head("GET", &path, &headers));
        line.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to(&mut line, "\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
    }
    assert_eq!(server.app.hub().connections(), 0);
}

#[tokio::test]
async fn a_socket_that_is_upgraded_and_left_alone_leaves_when_its_line_is_cut() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let more = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut lines = Vec::new();
    for _ in 0..20 {
        let mut line = narrow_line(server.address).await;
        line.write_all(owner.head("GET", &format!("/api/rooms/{room}/ws?name=ann"), more).as_bytes()).await.unwrap();
        lines.push(line);
    }
    for line in &mut lines {
        assert!(read_to(line, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    }
    assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.expect(200)["online"], 1);
    let said = owner.say(&room, "ann", "is anybody there?").await;
    assert_eq!(owner.log(&room).await, [said]);
    drop(lines);
    eventually("them to be gone", || server.app.hub().connections() == 0).await;
    assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.expect(200)["online"], 0);
}

#[tokio::test]
async fn a_line_that_says_nothing_is_cut_and_holds_nobody_up() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut lines = Vec::new();
    for _ in 0..50 {
        lines.push(narrow_line(server.address).await);
        let mut half = narrow_line(server.address).await;
        half.write_all(b"GET /api/rooms HTTP/1.1\r\nhost: ").await.unwrap();
        lines.push(half);
    }
    let said = owner.say(&room, "ann", "the server lives").await;
    assert_eq!(owner.log(&room).await, [said]);
    let cut = join_all(lines.iter_mut().map(|line| async move {
        let mut rest = Vec::new();
        // With or without a word about it.
        drop(line.read_to_end(&mut rest).await);
    }));
    assert!(tokio::time::timeout(SILENCE + Duration::from_secs(5), cut).await.is_ok(), "silent lines stay open");
}

/// Opens a line and asks for something on it; gives the line and the head of the answer.
async fn ask(server: &Server) -> (TcpStream, String) {
    let mut line = TcpStream::connect(server.address).await.unwrap();
    line.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let head = read_to(&mut line, "\r\n\r\n").await;
    (line, head)
}

/// Opens lines and keeps them until one is refused, with the answer that it gets.
async fn fill(server: &Server, most: usize) -> (Vec<TcpStream>, String) {
    let mut lines = Vec::new();
    loop {
        let (mut line, head) = ask(server).await;
        if !head.starts_with("HTTP/1.1 200") {
            let mut body = String::new();
            let _ = soon("the end of the answer", line.read_to_string(&mut body)).await;
            return (lines, head + &body);
        }
        lines.push(line);
        assert!(lines.len() <= most, "{} lines are open", lines.len());
    }
}

/// Waits until a new line is answered again.
async fn expect_room(server: &Server) {
    soon("a free place", async { while !ask(server).await.1.starts_with("HTTP/1.1 200") {} }).await;
}

#[tokio::test]
async fn an_address_holds_only_so_many_lines_whatever_they_carry() {
    let server = Setup::new().with(|config| config.limits.connections_per_ip = Some(8)).start().await;
    let (lines, answer) = fill(&server, 8).await;
    assert_eq!(lines.len(), 8);
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("\r\nretry-after: "), "{answer}");
    assert!(answer.ends_with("{\"error\":\"too many open connections\",\"code\":\"rate_limited\"}"), "{answer}");
    drop(lines);
    expect_room(&server).await;

    // A socket keeps its line, long after its request.
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut sockets = Vec::new();
    while let Ok(socket) = owner.try_socket(&room, "").await {
        sockets.push(socket);
        assert!(sockets.len() <= 8);
    }
    drop(sockets);
    expect_room(&server).await;
}

#[tokio::test]
async fn a_trusted_proxy_holds_as_many_lines_as_the_server_takes() {
    let setup = Setup::new().with(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.client_ip_header = Some("x-real-ip".to_owned());
        config.limits.connections_per_ip = Some(4);
        config.limits.connections = Some(40);
    });
    let server = setup.start().await;
    let (lines, answer) = fill(&server, 40).await;
    assert_eq!(lines.len(), 40);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"unavailable\""), "{answer}");
    assert!(answer.contains("\r\nretry-after: "), "{answer}");
    drop(lines);
    expect_room(&server).await;
}

#[tokio::test]
async fn a_full_server_still_shows_its_metrics_on_their_own_address() {
    // The system gives a free port; the server takes it right after it was given back.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().with(|config| {
        config.metrics.listen = Some(address);
        config.limits.connections_per_ip = Some(0);
        config.limits.connections = Some(20);
    });
    let server = setup.start().await;
    let (lines, answer) = fill(&server, 20).await;
    assert!(lines.len() == 20 && answer.starts_with("HTTP/1.1 503"), "{answer}");
    let shown = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(shown.status(), 200);
    assert!(shown.text().await.unwrap().contains("meet_connections_refused_total"));
    drop(lines);
    expect_room(&server).await;
}

#[tokio::test]
async fn bodies_that_never_end_fill_their_share_and_short_messages_still_get_through() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let long = json!({ "sender": "ann", "content": "x".repeat(30_000) });
    let post = async || owner.post_json(&format!("/api/rooms/{room}/messages"), long.clone()).await;
    post().await.expect(201);
    // Nobody's credential is needed to begin a body of 256 KiB, and 64 of them are the share of an address.
    let head = format!("POST /api/session HTTP/1.1\r\nhost: {}\r\ncontent-length: 262144\r\n\r\n", server.address);
    let body = vec![b' '; 262_000];
    let stuck = join_all((0..70).map(async |_| {
        let mut line = TcpStream::connect(server.address).await.unwrap();
        line.write_all(head.as_bytes()).await.unwrap();
        line.write_all(&body).await.unwrap();
        line
    }));
    let stuck = stuck.await;
    let refused = soon("the share to be used up", async {
        loop {
            let answer = post().await;
            if answer.status != 201 {
                break answer;
            }
        }
    })
    .await;
    assert_eq!(refused.refusal(503), "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    owner.say(&room, "ann", "short").await;
    drop(stuck);
    soon("the share to be free", async { while post().await.status != 201 {} }).await;
}
