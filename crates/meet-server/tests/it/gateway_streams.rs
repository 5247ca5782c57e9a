//! The gateway without a WebSocket: replies come down a stream, commands go by requests that know its secret.

use meet_centrifuge::{
    Protocol,
    code::DisconnectCode,
    message::{Command, Disconnect, EmulationRequest, PublishRequest, RpcRequest},
};
use meet_server::config::Origin;
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    Caller, Emulated, Form, Server, Setup, chat, connect, connection_token, encode, eventually, message,
    subscribe_token,
};

/// A user of a key, by name.
fn named(owner: &Caller, name: &str) -> Caller {
    owner.clone().with_header("x-meet-name", name)
}

/// A harmless command.
fn rpc() -> Command {
    Command { rpc: Some(RpcRequest { method: "m".into(), ..RpcRequest::default() }), ..Command::default() }
}

/// Asserts that the server says why, and that nothing follows.
async fn expect_end(stream: &mut Emulated, code: DisconnectCode) {
    loop {
        let push = stream.next().await.expect("a reason before the end").push.unwrap_or_default();
        if let Some(disconnect) = push.disconnect {
            assert_eq!(disconnect, Disconnect::from(code));
            break;
        }
    }
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_stream_says_how_its_client_speaks_and_nothing_between_holds_it_up() {
    let server = Server::start().await;
    let ann = named(&server.operator(), "Ann");
    for form in Form::ALL {
        let (mut stream, connected) = Emulated::connect(&server.stranger(), form, &connection_token(&ann).await).await;
        assert!(connected.session.len() >= 43 && connected.session != connected.client, "{form:?}: {connected:?}");
        assert!(!connected.node.is_empty() && connected.node != connected.session);
        assert_eq!((connected.ping, connected.pong, connected.subs.len()), (25, true, 3));
        let header = |name: &str| stream.headers[name].to_str().unwrap();
        assert_eq!(header("x-accel-buffering"), "no");
        for word in ["private", "no-cache", "no-store"] {
            assert!(header("cache-control").contains(word), "{form:?}");
        }
        let is_events = matches!(form, Form::Events | Form::EventsByPost);
        let expected = if is_events { "text/event-stream" } else { form.content_type() };
        assert!(header("content-type").starts_with(expected), "{form:?}");
        assert_eq!(stream.beginning.starts_with(b"\r\n"), is_events, "{form:?}");
        assert_eq!(stream.ask(rpc()).await.error.map(|error| error.code), Some(108));
    }
}

#[tokio::test]
async fn what_is_asked_by_a_request_is_answered_on_the_stream() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, ann) = (owner.room("r").await, named(&owner, "Ann"));
    for form in Form::ALL {
        let (mut stream, _) = Emulated::connect(&server.stranger(), form, &connection_token(&ann).await).await;
        let subscribe = Some(chat(&room, &subscribe_token(&ann, &room).await));
        let reply = stream.ask(Command { subscribe, ..Command::default() }).await;
        assert!(reply.subscribe.is_some(), "{reply:?}");
        let data = r#"{"content":"hi"}"#.into();
        let publish = PublishRequest { channel: format!("chat:{room}"), data, ..Default::default() };
        stream.say(Command { publish: Some(publish), ..Command::default() }).await;
        let (mut is_acknowledged, mut heard) = (false, None);
        while !is_acknowledged || heard.is_none() {
            let reply = stream.next().await.unwrap();
            is_acknowledged |= reply.publish.is_some();
            let publication = reply.push.and_then(|push| push.r#pub).filter(|publication| publication.offset > 0);
            heard = publication.or(heard);
        }
        assert_eq!(heard.map(|publication| message(&publication).content).as_deref(), Some("hi"));
    }
}

#[tokio::test]
async fn the_first_frame_may_hold_more_than_the_connect() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, ann) = (owner.room("r").await, named(&owner, "Ann"));
    for form in Form::ALL {
        let (token, ticket) = (connection_token(&ann).await, subscribe_token(&ann, &room).await);
        let subscribe = Command { id: 2, subscribe: Some(chat(&room, &ticket)), ..Command::default() };
        let frame = encode(form.protocol(), &[Command { id: 1, ..connect(&token) }, subscribe]);
        let mut stream = Emulated::open(&server.stranger(), form, &frame).await.unwrap();
        assert!(stream.next().await.unwrap().connect.is_some());
        assert!(stream.next().await.unwrap().subscribe.is_some());
    }
}

#[tokio::test]
async fn only_whoever_knows_the_secret_speaks_for_a_stream() {
    let server = Server::start().await;
    let ann = named(&server.operator(), "Ann");
    for form in Form::ALL {
        let (mut stream, connected) = Emulated::connect(&server.stranger(), form, &connection_token(&ann).await).await;
        let data: bytes::Bytes = encode(form.protocol(), &[Command { id: 9, ..rpc() }]).into();
        let (node, session) = stream.secret();
        let unknown = session.chars().rev().collect::<String>();
        for (node, session) in [
            (node, connected.client.as_str()),
            (node, &unknown),
            (node, ""),
            ("", session),
            (connected.client.as_str(), session),
            (session, node),
        ] {
            let request = EmulationRequest { node: node.into(), session: session.into(), data: data.clone() };
            assert_eq!(stream.emulate(&request).await.refusal(404), "not_found", "{form:?} {node} {session}");
        }
        assert_eq!(stream.ask(rpc()).await.error.map(|error| error.code), Some(108), "and nothing of it was heard");
    }
}

#[tokio::test]
async fn bodies_that_are_no_command_are_refused_and_the_stream_goes_on() {
    let server = Server::start().await;
    let ann = named(&server.operator(), "Ann");
    let (mut stream, _) = Emulated::connect(&server.stranger(), Form::Lines, &connection_token(&ann).await).await;
    let post = async |content_type: &str, body: Vec<u8>| {
        let request = server.stranger().request(Method::POST, "/emulation").header("content-type", content_type);
        server.stranger().send(request.body(body)).await
    };
    for body in ["", "x", "[]x", "5", r#"{"node":5}"#, r#"{"node":"n","session":"s","data":{}}"#] {
        assert_eq!(post("application/json", body.into()).await.refusal(400), "invalid_request", "{body}");
    }
    for body in [&[0xff][..], &[10, 5, b'x'], b"{\"node\":\"n\"}"] {
        assert_eq!(post("application/octet-stream", body.into()).await.refusal(400), "invalid_request", "{body:?}");
    }
    for content_type in ["application/json", "application/octet-stream"] {
        assert_eq!(post(content_type, vec![b' '; 256 * 1024 + 1]).await.refusal(413), "too_large");
    }
    assert_eq!(stream.ask(rpc()).await.error.map(|error| error.code), Some(108));
}

#[tokio::test]
async fn a_first_frame_that_is_missing_or_too_long_opens_no_stream() {
    let server = Server::start().await;
    let stranger = server.stranger();
    for form in Form::ALL {
        assert_eq!(Emulated::open(&stranger, form, b"").await.err(), Some(400), "{form:?}");
        if form != Form::Events {
            let too_long = vec![b' '; 256 * 1024 + 1];
            assert_eq!(Emulated::open(&stranger, form, &too_long).await.err(), Some(413), "{form:?}");
        }
    }
    let bare = stranger.request(Method::GET, "/connection/sse");
    assert_eq!(stranger.send(bare).await.refusal(400), "invalid_request");
    assert_eq!(server.app.hub().connections(), 0);
}

#[tokio::test]
async fn a_stream_ends_with_a_push_that_says_why() {
    let server = Server::start().await;
    for form in Form::ALL {
        let garbage: &[u8] = if form.protocol() == Protocol::Json { b"x" } else { &[0xff] };
        let mut stream = Emulated::open(&server.stranger(), form, garbage).await.unwrap();
        expect_end(&mut stream, DisconnectCode::BadRequest).await;

        let frame = encode(form.protocol(), &[Command { id: 1, ..connect("no token") }]);
        let mut stream = Emulated::open(&server.stranger(), form, &frame).await.unwrap();
        expect_end(&mut stream, DisconnectCode::InvalidToken).await;

        let owner = server.new_tenant().await;
        let token = connection_token(&named(&owner, "Ann")).await;
        let (mut stream, _) = Emulated::connect(&server.stranger(), form, &token).await;
        stream.deliver(garbage).await.expect(204);
        expect_end(&mut stream, DisconnectCode::BadRequest).await;
        assert_eq!(stream.deliver(garbage).await.refusal(404), "not_found", "{form:?}");

        let (mut stream, _) = Emulated::connect(&server.stranger(), form, &token).await;
        owner.delete("/api/keys").await.expect(204);
        expect_end(&mut stream, DisconnectCode::InvalidToken).await;
    }
    eventually("all of them to be gone", || server.app.hub().connections() == 0).await;
}

#[tokio::test]
async fn a_stream_that_its_client_leaves_is_forgotten() {
    let server = Server::start().await;
    let ann = named(&server.operator(), "Ann");
    for form in Form::ALL {
        let (stream, _) = Emulated::connect(&server.stranger(), form, &connection_token(&ann).await).await;
        let (other, _) = Emulated::connect(&server.stranger(), form, &connection_token(&ann).await).await;
        let (node, session) = stream.secret();
        let data = encode(form.protocol(), &[Command { id: 9, ..rpc() }]).into();
        let request = EmulationRequest { node: node.into(), session: session.into(), data };
        drop(stream);
        eventually("it to be gone", || server.app.hub().connections() == 1).await;
        assert_eq!(other.emulate(&request).await.refusal(404), "not_found", "{form:?}");
        drop(other);
        eventually("the other to be gone", || server.app.hub().connections() == 0).await;
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_ask_whether_they_may() {
    let setup = Setup::new().with(|config| config.allowed_origins = vec![Origin::parse("https://a.example").unwrap()]);
    let server = setup.start().await;
    for path in ["/connection/http_stream", "/connection/sse", "/emulation"] {
        let ask = async |origin: &str| {
            let page = server.stranger().with_header("origin", origin);
            let page = page.with_header("access-control-request-method", "POST");
            page.with_header("access-control-request-headers", "content-type").call("OPTIONS", path, &Value::Null).await
        };
        let answer = ask("https://a.example").await;
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), "https://a.example", "{path}");
        assert!(answer.header("access-control-allow-methods").contains("POST"), "{path}");
        assert!(answer.header("access-control-allow-headers").contains("content-type"), "{path}");
        assert_eq!(ask("https://evil.example").await.header("access-control-allow-origin"), "", "{path}");
    }
    let page = server.stranger().with_header("origin", "https://a.example");
    let token = connection_token(&server.stranger()).await;
    let (stream, _) = Emulated::connect(&page, Form::Lines, &token).await;
    assert_eq!(stream.headers["access-control-allow-origin"], "https://a.example");
    let answer = stream.deliver(&encode(Protocol::Json, &[Command { id: 9, ..rpc() }])).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "https://a.example"));
}

#[tokio::test]
async fn a_stream_is_told_that_the_server_stops() {
    let server = Server::start().await;
    let ann = named(&server.operator(), "Ann");
    let mut streams = Vec::new();
    for form in Form::ALL {
        streams.push(Emulated::connect(&server.stranger(), form, &connection_token(&ann).await).await.0);
    }
    let stopping = tokio::task::spawn(server.stop());
    for mut stream in streams {
        expect_end(&mut stream, DisconnectCode::Shutdown).await;
    }
    crate::support::soon("the end", stopping).await.unwrap();
}
