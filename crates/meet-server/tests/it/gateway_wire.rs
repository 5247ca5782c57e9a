//! The bytes of the Centrifugo protocol at the front door: frames that are none, both forms, names and sizes.

use futures_util::future::join_all;
use meet_centrifuge::{
    Protocol,
    code::{DisconnectCode, ErrorCode},
    message::{
        Command, HistoryRequest, PresenceRequest, PresenceStatsRequest, PublishRequest, Reply, RpcRequest, SendRequest,
        StreamPosition, SubscribeRequest, UnsubscribeRequest,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{
    Caller, Ended, Server, Setup, Wire, chat, connection_token, encode, message, soak, subscribe_token,
};

const BOTH: [Protocol; 2] = [Protocol::Json, Protocol::Protobuf];

/// What ends a connection with this code.
fn ended(code: DisconnectCode) -> Ended {
    Ended(Some(u16::try_from(code.number()).unwrap()))
}

/// The number of a refusal.
#[track_caller]
fn refusal(reply: &Reply) -> u32 {
    reply.error.as_ref().unwrap_or_else(|| panic!("no error in {reply:?}")).code
}

/// To listen to a channel that needs no token.
fn subscribe(channel: &str) -> Command {
    let subscribe = SubscribeRequest { channel: channel.to_owned(), ..SubscribeRequest::default() };
    Command { subscribe: Some(subscribe), ..Command::default() }
}

/// A user of a key, by name.
fn named(owner: &Caller, name: &str) -> Caller {
    owner.clone().with_header("x-meet-name", name)
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_with_its_code() {
    let server = Server::start().await;
    let token = connection_token(&named(&server.operator(), "Ann")).await;
    let connect = format!("{{\"id\":1,\"connect\":{{\"token\":\"{token}\"}}}}");
    let before: [&str; 12] = [
        "",
        "\n",
        " ",
        "x",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"id":1}"#,
        r#"{"id":1,"subscribe":{"channel":"a"}}"#,
        r#"{"id":1,"connect":{"token":5}}"#,
        r#"{"id":-1,"connect":{}}"#,
    ];
    for frame in before.into_iter().chain([connect.replace("\"id\":1", "\"id\":0").as_str()]) {
        let mut wire = Wire::open(server.address, Protocol::Json).await;
        wire.frame(frame.as_bytes()).await;
        assert_eq!(wire.end().await, ended(DisconnectCode::BadRequest), "{frame:?} at first");
    }
    let after: [&str; 14] = [
        "",
        "\n",
        "x",
        "[1]",
        "{}",
        "{}\n",
        r#"{"id":5}"#,
        r#"{"id":5,"ping":{}}"#,
        r#"{"subscribe":{"channel":"a"}}"#,
        r#"{"id":0,"rpc":{"method":"m"}}"#,
        r#"{"id":5,"subscribe":{"channel":""}}"#,
        r#"{"id":5,"unsubscribe":{}}"#,
        "{\"id\":5,\"rpc\":{}}\n\n{\"id\":6,\"rpc\":{}}",
        r#"{"id":5,"subscribe":{"channel":5}}"#,
    ];
    for frame in after.into_iter().chain([connect.as_str()]) {
        let (mut wire, _) = Wire::connect(server.address, Protocol::Json, &token).await;
        wire.frame(frame.as_bytes()).await;
        assert_eq!(wire.end().await, ended(DisconnectCode::BadRequest), "{frame:?} once it is in");
    }
}

#[tokio::test]
async fn bytes_that_are_no_protobuf_end_the_connection_as_well() {
    let server = Server::start().await;
    let token = connection_token(&named(&server.operator(), "Ann")).await;
    let ping = Command { id: 5, ping: Some(meet_centrifuge::message::PingRequest {}), ..Command::default() };
    let again = encode(Protocol::Protobuf, &[Command { id: 5, ..subscribe("") }]);
    let ping = encode(Protocol::Protobuf, &[ping]);
    let frames: [&[u8]; 9] =
        [b"", &[0], &[0x80], &[5, 1], &[1, 0xff], &[0xff; 12], b"{\"id\":1,\"connect\":{}}", &again, &ping];
    for frame in frames {
        let mut wire = Wire::open(server.address, Protocol::Protobuf).await;
        wire.frame(frame).await;
        assert_eq!(wire.end().await, ended(DisconnectCode::BadRequest), "{frame:?} at first");
        let (mut wire, _) = Wire::connect(server.address, Protocol::Protobuf, &token).await;
        wire.frame(frame).await;
        assert_eq!(wire.end().await, ended(DisconnectCode::BadRequest), "{frame:?} once it is in");
    }
}

#[tokio::test]
async fn a_frame_may_hold_several_commands_and_a_line_break_at_its_end() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, ann) = (owner.room("r").await, named(&owner, "Ann"));
    for protocol in BOTH {
        let mut wire = Wire::open(server.address, protocol).await;
        let (token, ticket) = (connection_token(&ann).await, subscribe_token(&ann, &room).await);
        let channel = format!("chat:{room}");
        let commands = [
            Command { id: 1, ..crate::support::connect(&token) },
            Command { id: 2, subscribe: Some(chat(&room, &ticket)), ..Command::default() },
            Command {
                id: 3,
                history: Some(HistoryRequest { channel: channel.clone(), ..Default::default() }),
                ..Command::default()
            },
            Command {
                id: 4,
                publish: Some(PublishRequest { channel, data: r#"{"content":"hi"}"#.into(), ..Default::default() }),
                ..Command::default()
            },
        ];
        let mut frame = encode(protocol, &commands);
        if protocol == Protocol::Json {
            frame.push(b'\n');
        }
        wire.frame(&frame).await;
        assert!(wire.next().await.unwrap().connect.is_some(), "this reply is the first");
        assert!(wire.reply_to(2).await.unwrap().subscribe.is_some());
        assert!(wire.reply_to(3).await.unwrap().history.is_some());
        assert!(wire.reply_to(4).await.unwrap().publish.is_some());
        assert_eq!(message(&wire.publication().await).content, "hi");
    }
}

#[tokio::test]
async fn the_form_is_asked_for_by_subprotocol_or_query_and_an_empty_header_asks_for_nothing() {
    let server = Server::start().await;
    let token = connection_token(&named(&server.operator(), "Ann")).await;
    let (json, protobuf) = (Protocol::Json, Protocol::Protobuf);
    for (query, offered, protocol, chosen) in [
        ("", None, json, None),
        ("", Some(""), json, None),
        ("", Some("centrifuge-json"), json, Some("centrifuge-json")),
        ("", Some("centrifuge-protobuf"), protobuf, Some("centrifuge-protobuf")),
        ("", Some("something-else"), json, None),
        ("?format=protobuf", None, protobuf, None),
        ("?format=protobuf", Some(""), protobuf, None),
        ("?cf_protocol=protobuf", None, protobuf, None),
        ("?format=json&cf_protocol=json", None, json, None),
        ("?cf_protocol_version=v2&format=&x=y&x=z&%ff", None, json, None),
    ] {
        let header = offered.map(|offered| format!("Sec-WebSocket-Protocol: {offered}\r\n")).unwrap_or_default();
        let line = TcpStream::connect(server.address).await.unwrap();
        let (wire, head) = Wire::upgrade(line, query, &header, protocol).await;
        let mut wire = wire.unwrap_or_else(|| panic!("{query} {offered:?}: {head}"));
        let echoed = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(echoed, chosen, "{query} {offered:?}");
        assert!(!wire.enter(&token).await.client.is_empty());
    }
}

#[tokio::test]
async fn a_frame_has_a_longest_length_and_a_longer_one_ends_the_connection() {
    let server = Server::start().await;
    let token = connection_token(&named(&server.operator(), "Ann")).await;
    for protocol in BOTH {
        let (mut wire, _) = Wire::connect(server.address, protocol, &token).await;
        let rpc = |bytes: usize| {
            let data = format!("\"{}\"", "x".repeat(bytes)).into();
            let rpc = RpcRequest { method: "m".into(), data };
            encode(protocol, &[Command { id: 9, rpc: Some(rpc), ..Command::default() }])
        };
        let around = rpc(200_000).len() - 200_000;
        let longest = rpc(256 * 1024 - around);
        assert_eq!(longest.len(), 256 * 1024);
        wire.frame(&longest).await;
        assert_eq!(refusal(&wire.reply_to(9).await.unwrap()), ErrorCode::NotAvailable.number());
        wire.frame(&rpc(256 * 1024 - around + 1)).await;
        assert_eq!(wire.end().await, Ended(Some(1009)));
    }
}

#[tokio::test]
async fn a_text_of_legal_length_goes_through_however_it_is_written() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, ann) = (owner.room("r").await, named(&owner, "Ann"));
    let emoji = "\u{1f600}".repeat(8 * 1024);
    let escaped = "\\ud83d\\ude00".repeat(8 * 1024);
    for protocol in BOTH {
        let (mut wire, _) = Wire::connect(server.address, protocol, &connection_token(&ann).await).await;
        wire.subscribe(chat(&room, &subscribe_token(&ann, &room).await)).await;
        for written in [&emoji, &escaped] {
            let data = format!("{{\"content\":\"{written}\"}}");
            let publish = PublishRequest { channel: format!("chat:{room}"), data: data.into(), ..Default::default() };
            let reply = wire.ask(Command { publish: Some(publish), ..Command::default() }).await;
            assert!(reply.publish.is_some(), "{reply:?}");
            assert_eq!(message(&wire.publication().await).content, emoji);
        }
        let data = format!("{{\"content\":\"{escaped}x\"}}");
        let publish = PublishRequest { channel: format!("chat:{room}"), data: data.into(), ..Default::default() };
        let reply = wire.ask(Command { publish: Some(publish), ..Command::default() }).await;
        assert_eq!(refusal(&reply), ErrorCode::BadRequest.number(), "one byte more is refused, and no more than that");
    }
    assert_eq!(owner.log(&room).await.len(), 4);
}

#[tokio::test]
async fn a_connection_listens_to_128_channels_and_not_to_one_more() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let people: Vec<_> = (0..126).map(|n| format!("person {n}")).collect();
    let said = join_all(people.iter().map(|name| owner.say(&room, name, "here"))).await;
    for protocol in BOTH {
        let token = connection_token(&named(&owner, "Ann")).await;
        let (mut wire, connected) = Wire::connect(server.address, protocol, &token).await;
        let free = 128 - connected.subs.len();
        for person in &said[..free] {
            let reply = wire.ask(subscribe(&format!("status:{}", person.user))).await;
            assert!(reply.subscribe.is_some(), "{reply:?}");
        }
        let one_more = format!("status:{}", said[free].user);
        assert_eq!(refusal(&wire.ask(subscribe(&one_more)).await), ErrorCode::LimitExceeded.number());
        let first = format!("status:{}", said[0].user);
        assert_eq!(refusal(&wire.ask(subscribe(&first)).await), ErrorCode::AlreadySubscribed.number());
        let leave = Command { unsubscribe: Some(UnsubscribeRequest { channel: first }), ..Command::default() };
        assert!(wire.ask(leave).await.unsubscribe.is_some());
        assert!(wire.ask(subscribe(&one_more)).await.subscribe.is_some(), "one that is left makes room");
    }
}

#[tokio::test]
async fn names_of_channels_are_bounded_and_those_of_no_kind_are_unknown() {
    let server = Server::start().await;
    let owner = server.operator();
    let token = connection_token(&named(&owner, "Ann")).await;
    let nobody = "01900000-0000-7000-8000-000000000001";
    for protocol in BOTH {
        let (mut wire, connected) = Wire::connect(server.address, protocol, &token).await;
        for (channel, code) in [
            ("x".repeat(256), ErrorCode::BadRequest),
            ("\u{e9}".repeat(128), ErrorCode::BadRequest),
            ("x".repeat(255), ErrorCode::UnknownChannel),
            ("news".into(), ErrorCode::UnknownChannel),
            ("news:chat".into(), ErrorCode::UnknownChannel),
            ("CHAT:x".into(), ErrorCode::UnknownChannel),
            ("\u{0}".into(), ErrorCode::UnknownChannel),
            ("chat:".into(), ErrorCode::PermissionDenied),
            ("chat:x".into(), ErrorCode::PermissionDenied),
            (format!("chat:{nobody}"), ErrorCode::PermissionDenied),
            ("status:x".into(), ErrorCode::PermissionDenied),
            (format!("status:{nobody}"), ErrorCode::PermissionDenied),
            (format!("user:{nobody}"), ErrorCode::PermissionDenied),
            (format!("org:{nobody}"), ErrorCode::PermissionDenied),
            (format!("role:{nobody}:owner"), ErrorCode::PermissionDenied),
            (connected.subs[0].key.clone(), ErrorCode::AlreadySubscribed),
        ] {
            let reply = wire.ask(subscribe(&channel)).await;
            assert_eq!(refusal(&reply), code.number(), "{channel}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn however_many_channels_are_asked_for_in_vain_nothing_of_them_is_kept() {
    let setup = Setup::new().with(|config| config.limits.sockets_per_user = 0);
    let server = setup.start().await;
    let token = connection_token(&named(&server.operator(), "Ann")).await;
    let (mut wire, connected) = Wire::connect(server.address, Protocol::Json, &token).await;
    let rounds = 20 * soak(10);
    for round in 0..rounds {
        let names = (0..5000).map(|n| format!("{{\"id\":1,\"subscribe\":{{\"channel\":\"{round}:{n}\"}}}}"));
        let frame = names.collect::<Vec<_>>().join("\n");
        wire.frame(frame.as_bytes()).await;
        for _ in 0..5000 {
            assert_eq!(refusal(&wire.next().await.unwrap()), ErrorCode::UnknownChannel.number());
        }
    }
    // All its places are still free, and leaving what was never listened to is no more than an answer.
    let frame = (0..5000).map(|n| format!("{{\"id\":1,\"unsubscribe\":{{\"channel\":\"0:{n}\"}}}}"));
    wire.frame(frame.collect::<Vec<_>>().join("\n").as_bytes()).await;
    for _ in 0..5000 {
        assert!(wire.next().await.unwrap().unsubscribe.is_some());
    }
    assert_eq!((server.app.hub().connections(), server.app.hub().queued_bytes()), (1, 0));
    assert_eq!(connected.subs.len(), 3);
}

#[tokio::test]
async fn every_command_is_answered_in_protobuf_as_it_is_in_json() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, ann) = (owner.room("r").await, named(&owner, "Ann"));
    let said = owner.say(&room, "Bob", "one").await;
    let second = owner.say(&room, "Bob", "two").await;
    let channel = format!("chat:{room}");
    for protocol in BOTH {
        let (mut wire, connected) = Wire::connect(server.address, protocol, &connection_token(&ann).await).await;
        assert!(connected.session.is_empty() && connected.expires && connected.ttl > 590, "{connected:?}");
        assert_eq!((connected.ping, connected.pong), (25, true));
        let recover = SubscribeRequest { recover: true, offset: 1, ..chat(&room, &subscribe_token(&ann, &room).await) };
        let begun = wire.subscribe(SubscribeRequest { join_leave: true, ..recover }).await;
        assert!(begun.recovered && begun.was_recovering && begun.recoverable && begun.positioned && begun.expires);
        assert!(begun.publications.iter().map(message).eq([second.clone()]));
        let joined = wire.push().await.unwrap().join.expect("its own coming").info.unwrap();
        let info: Value = serde_json::from_slice(&joined.conn_info).unwrap();
        assert_eq!((joined.client.as_str(), info), (&*connected.client, json!({ "name": "Ann", "kind": "human" })));

        let presence = PresenceRequest { channel: channel.clone() };
        let reply = wire.ask(Command { presence: Some(presence), ..Command::default() }).await;
        assert_eq!(reply.presence.unwrap().presence, [(connected.client, joined)].into());
        let stats = PresenceStatsRequest { channel: channel.clone() };
        let reply = wire.ask(Command { presence_stats: Some(stats), ..Command::default() }).await;
        assert_eq!(reply.presence_stats.map(|stats| (stats.num_clients, stats.num_users)), Some((1, 1)));

        let since = Some(StreamPosition { offset: 1, epoch: begun.epoch.clone() });
        let at = |offset| Some(StreamPosition { offset, epoch: String::new() });
        for (since, limit, reverse, expected) in [
            (None, 0, false, vec![]),
            (None, -1, false, vec![&said, &second]),
            (None, 1, false, vec![&said]),
            (None, 1, true, vec![&second]),
            (since.clone(), 10, false, vec![&second]),
            (at(2), 10, true, vec![&said]),
            (at(u64::MAX), 10, false, vec![]),
            (at(1 << 63), i32::MAX, false, vec![]),
            (at(u64::MAX), 10, true, vec![&second, &said]),
            (at(1), i32::MIN, true, vec![]),
        ] {
            let history = HistoryRequest { channel: channel.clone(), limit, since, reverse };
            let reply = wire.ask(Command { history: Some(history), ..Command::default() }).await;
            let history = reply.history.unwrap_or_else(|| panic!("{:?}", reply.error));
            let read: Vec<_> = history.publications.iter().map(message).collect();
            assert_eq!(read.iter().collect::<Vec<_>>(), expected);
            assert_eq!((history.offset, &history.epoch), (2, &begun.epoch));
        }
        let foreign = Some(StreamPosition { offset: 1, epoch: "_".into() });
        let history = HistoryRequest { channel: channel.clone(), limit: 1, since: foreign, reverse: false };
        let reply = wire.ask(Command { history: Some(history), ..Command::default() }).await;
        assert_eq!(refusal(&reply), ErrorCode::UnrecoverablePosition.number());

        let rpc = Command { rpc: Some(RpcRequest { method: "m".into(), data: "1".into() }), ..Command::default() };
        assert_eq!(refusal(&wire.ask(rpc).await), ErrorCode::NotAvailable.number());
        let leave = UnsubscribeRequest { channel: channel.clone() };
        let reply = wire.ask(Command { unsubscribe: Some(leave), ..Command::default() }).await;
        assert!(reply.unsubscribe.is_some());
        let send = Command { send: Some(SendRequest { data: "1".into() }), ..Command::default() };
        wire.frame(&encode(protocol, &[send])).await;
        assert_eq!(wire.end().await, ended(DisconnectCode::NotAvailable));
    }
}
