//! Frames as clients and servers of the protocol write them, byte by byte.

use bytes::Bytes;
use meet_centrifuge::{
    Protocol,
    code::{DisconnectCode, ErrorCode, UnsubscribeCode},
    message::{
        ClientInfo, Command, ConnectRequest, ConnectResult, Join, MadeSubscription, Publication, PublishRequest,
        PublishResult, Push, Reply, SubscribeRequest, SubscribeResult,
    },
};

fn commands(protocol: Protocol, frame: &[u8]) -> Vec<Command> {
    protocol.commands(Bytes::copy_from_slice(frame)).collect::<Result<_, _>>().unwrap()
}

fn connect() -> Command {
    Command { id: 1, connect: Some(ConnectRequest { token: "t".into(), ..Default::default() }), ..Default::default() }
}

#[test]
fn a_frame_of_json_is_commands_with_a_line_break_between_them() {
    let subscribe = SubscribeRequest {
        channel: "chat:1".into(),
        recover: true,
        epoch: "e".into(),
        offset: 7,
        flag: 2,
        ..Default::default()
    };
    let subscribe = Command { id: 2, subscribe: Some(subscribe), ..Default::default() };
    let frame = br#"{"id":1,"connect":{"token":"t","unknown":{"a":[1]}}}
{"id":2,"subscribe":{"channel":"chat:1","recover":true,"epoch":"e","offset":7,"flag":2}}"#;
    assert_eq!(commands(Protocol::Json, frame), [connect(), subscribe.clone()]);
    let ended = [frame.as_slice(), b"\n"].concat();
    assert_eq!(commands(Protocol::Json, &ended), [connect(), subscribe]);
}

#[test]
fn a_frame_of_protobuf_is_commands_each_behind_its_length() {
    let publish = PublishRequest { channel: "c".into(), data: Bytes::from_static(b"{}"), ..Default::default() };
    let publish = Command { id: 200, publish: Some(publish), ..Default::default() };
    let mut frame = vec![0x07, 0x08, 0x01, 0x22, 0x03, 0x0a, 0x01, b't'];
    frame.extend([0x0c, 0x08, 0xc8, 0x01, 0x3a, 0x07, 0x0a, 0x01, b'c', 0x12, 0x02, b'{', b'}']);
    assert_eq!(commands(Protocol::Protobuf, &frame), [connect(), publish]);
}

#[test]
fn an_empty_message_is_a_pong() {
    for (protocol, frame) in [(Protocol::Json, b"{}".as_slice()), (Protocol::Protobuf, &[0])] {
        assert_eq!(protocol.ping(), frame);
        assert_eq!(protocol.encode(&Reply::default()).unwrap(), frame);
        let commands = commands(protocol, frame);
        assert!(commands.len() == 1 && commands[0].is_pong());
    }
    assert!(!connect().is_pong());
}

#[test]
fn a_subscription_with_nothing_in_it_is_still_one_in_protobuf() {
    let made = MadeSubscription { key: "c".into(), value: Some(SubscribeResult::default()) };
    let connect = ConnectResult { subs: vec![made], ..Default::default() };
    let reply = Reply { id: 1, connect: Some(connect), ..Default::default() };
    let encoded = Protocol::Protobuf.encode(&reply).unwrap();
    assert_eq!(encoded[..], [11, 8, 1, 0x2a, 7, 0x32, 5, 0x0a, 1, b'c', 0x12, 0]);
}

#[test]
fn what_is_empty_is_left_out_of_a_reply() {
    let made = MadeSubscription { key: "user:1".into(), value: Some(SubscribeResult::default()) };
    let subs = vec![made];
    let connect = ConnectResult { client: "c".into(), ping: 25, pong: true, subs, ..Default::default() };
    let reply = Reply { id: 1, connect: Some(connect), ..Default::default() };
    assert_eq!(
        Protocol::Json.encode(&reply).unwrap(),
        r#"{"id":1,"connect":{"client":"c","subs":{"user:1":{}},"ping":25,"pong":true}}"#
    );
    let reply = Reply { id: 3, error: Some(ErrorCode::TooManyRequests.into()), ..Default::default() };
    assert_eq!(
        Protocol::Json.encode(&reply).unwrap(),
        r#"{"id":3,"error":{"code":111,"message":"too many requests","temporary":true}}"#
    );
    let reply = Reply { id: 4, publish: Some(PublishResult::default()), ..Default::default() };
    assert_eq!(Protocol::Json.encode(&reply).unwrap(), r#"{"id":4,"publish":{}}"#);
    assert_eq!(Protocol::Protobuf.encode(&reply).unwrap(), [0x04, 0x08, 0x04, 0x42, 0x00].as_slice());
}

#[test]
fn a_push_holds_the_data_as_it_is() {
    let publication = Publication { data: Bytes::from_static(br#"{"a":1}"#), offset: 5, ..Default::default() };
    let push = Push { channel: "c".into(), r#pub: Some(publication), ..Default::default() };
    let reply = Reply { push: Some(push), ..Default::default() };
    assert_eq!(Protocol::Json.encode(&reply).unwrap(), r#"{"push":{"channel":"c","pub":{"data":{"a":1},"offset":5}}}"#);
    let mut bytes = vec![0x12, 0x22, 0x10, 0x12, 0x01, b'c', 0x22, 0x0b, 0x22, 0x07];
    bytes.extend(br#"{"a":1}"#);
    bytes.extend([0x30, 0x05]);
    assert_eq!(Protocol::Protobuf.encode(&reply).unwrap(), bytes);
}

#[test]
fn a_line_break_between_two_tokens_of_data_does_not_end_the_frame() {
    let info = ClientInfo { conn_info: Bytes::from_static(b"{\r\n\"name\": \"a\\nb\"\n}"), ..Default::default() };
    let push = Push { channel: "c".into(), join: Some(Join { info: Some(info) }), ..Default::default() };
    let reply = Protocol::Json.encode(&Reply { push: Some(push), ..Default::default() }).unwrap();
    assert_eq!(reply, r#"{"push":{"channel":"c","join":{"info":{"conn_info":{"name": "a\nb"}}}}}"#);
}

#[test]
fn data_that_is_no_json_has_no_json_form() {
    for data in [b"plain".as_slice(), b"{", b"\xff", b"1 2", b"1\n2", b"\"a\nb\""] {
        let publication = Publication { data: Bytes::copy_from_slice(data), ..Default::default() };
        let push = Push { r#pub: Some(publication), ..Default::default() };
        let reply = Reply { push: Some(push), ..Default::default() };
        Protocol::Json.encode(&reply).unwrap_err();
        Protocol::Protobuf.encode(&reply).unwrap();
    }
}

#[test]
fn clients_come_back_unless_a_code_says_that_it_makes_no_sense() {
    for code in DisconnectCode::ALL {
        assert_eq!(code.reconnects(), code.number() < 3500, "{code:?}");
        assert!((1..=32).contains(&code.text().len()), "{code:?}");
    }
    for code in ErrorCode::ALL {
        assert_eq!(code.is_temporary(), [100, 111, 113].contains(&code.number()), "{code:?}");
        assert!(!code.text().is_empty(), "{code:?}");
    }
    for code in UnsubscribeCode::ALL {
        assert!(!code.text().is_empty(), "{code:?}");
    }
}

#[test]
fn the_tables_of_codes_are_those_of_the_protocol() {
    let numbers: Vec<_> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(numbers, (100..=113).collect::<Vec<_>>());
    let numbers: Vec<_> = UnsubscribeCode::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(numbers, [2000, 2500, 2501, 2502]);
    let numbers: Vec<_> = DisconnectCode::ALL.iter().map(|code| code.number()).collect();
    let temporary = [3000, 3001, 3004, 3005, 3006, 3008, 3009, 3010, 3011, 3012, 3013, 3014];
    assert_eq!(numbers, temporary.into_iter().chain(3500..=3509).collect::<Vec<_>>());
}
