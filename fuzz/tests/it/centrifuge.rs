//! Connections of the Centrifugo protocol: whatever a client says, its session goes on or ends, once and for good. The
//! corpus is the frames that clients send; random ones are made of those, each target for ten seconds.

use std::{sync::Arc, time::Duration};

use bolero::{TypeGenerator, check, produce};
use bytes::Bytes;
use meet_centrifuge::{
    Protocol, Session,
    code::{DisconnectCode, ErrorCode},
    message::{Command, EmulationRequest},
    session::{Answer, Connected, History, Opening, Output, Settings, Subscribed},
};

use prost::Message as _;
use serde_json::json;

use crate::input::text;

/// How long each target is tried when nobody asks for more.
const TRIED_FOR: Duration = Duration::from_secs(10);

/// What happens to a connection.
#[derive(Debug, Clone, TypeGenerator)]
enum Event {
    Said(#[generator(0..FRAMES.len())] usize),
    Bytes(Vec<u8>),
    Answered(#[generator(0..6u8)] u8),
    Published(#[generator(0..9u64)] u64),
    Passed(u16),
}

/// The corpus: what clients say, each of it once.
const FRAMES: [&str; 18] = [
    r#"{"id":1,"connect":{"token":"t"}}"#,
    r#"{"id":1,"connect":{"subs":{"a":{"recover":true,"offset":3}}}}"#,
    "{}",
    r#"{"id":2,"subscribe":{"channel":"a"}}"#,
    r#"{"id":2,"subscribe":{"channel":"b","recover":true,"offset":2,"flag":2}}"#,
    r#"{"id":3,"unsubscribe":{"channel":"a"}}"#,
    r#"{"id":4,"publish":{"channel":"a","data":{}}}"#,
    r#"{"id":5,"history":{"channel":"a","limit":-1,"since":{"offset":1}}}"#,
    r#"{"id":6,"refresh":{"token":"t"}}"#,
    r#"{"id":7,"sub_refresh":{"channel":"a","token":"t"}}"#,
    r#"{"send":{"data":1}}"#,
    "{\"id\":8,\"presence\":{\"channel\":\"a\"}}\n{\"id\":9,\"rpc\":{\"method\":\"m\"}}",
    r#"{"id":1,"connect":{"token":"t","name":"js","version":"5","data":{"a":[1]},"headers":{"h":"v"}}}"#,
    r#"{"id":2,"subscribe":{"channel":"a","token":"t","epoch":"e","positioned":true,"recoverable":true,"join_leave":true}}"#,
    r#"{"id":3,"subscribe":{"channel":"a","tf":{"op":"and","nodes":[]},"delta":"fossil","type":1,"unknown":{}}}"#,
    r#"{"id":4,"presence_stats":{"channel":"a"}}"#,
    r#"{"id":5,"history":{"channel":"a","limit":9,"since":{"offset":2,"epoch":"e"},"reverse":true}}"#,
    "{\"id\":6,\"publish\":{\"channel\":\"a\",\"data\":{\"content\":\"\\ud83d\\ude00\",\r\"client_id\":\"c\"}}}\n",
];

/// A change to some bytes.
#[derive(Debug, Clone, TypeGenerator)]
enum Edit {
    Cut(u16, #[generator(1..40u8)] u8),
    Insert(u16, u8),
    Replace(u16, u8),
    Repeat(u16, #[generator(1..40u8)] u8),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: u16| usize::from(at) % (bytes.len() + 1);
        match *self {
            Self::Insert(at, byte) => bytes.insert(place(at), byte),
            Self::Replace(at, byte) => {
                let at = place(at);
                bytes.splice(at..bytes.len().min(at + 1), [byte]);
            }
            Self::Cut(at, length) => {
                let at = place(at);
                bytes.drain(at..bytes.len().min(at + usize::from(length)));
            }
            Self::Repeat(at, length) => {
                let at = place(at);
                let part = bytes[at..bytes.len().min(at + usize::from(length))].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

/// A frame of the corpus in either form.
fn frame(protocol: Protocol, json: &'static str) -> Vec<u8> {
    match protocol {
        Protocol::Json => json.as_bytes().to_vec(),
        Protocol::Protobuf => {
            let commands = Protocol::Json.commands(Bytes::from_static(json.as_bytes()));
            commands.flat_map(|command| command.unwrap().encode_length_delimited_to_vec()).collect()
        }
    }
}

#[test]
fn the_corpus_says_the_same_in_both_forms() {
    for json in FRAMES {
        let read = |protocol: Protocol| protocol.commands(frame(protocol, json).into()).collect::<Vec<_>>();
        let commands = read(Protocol::Json);
        assert!(!commands.is_empty() && commands.iter().all(Result::is_ok), "{json}");
        assert_eq!(commands, read(Protocol::Protobuf));
    }
}

#[test]
fn a_frame_that_was_tampered_with_is_read_up_to_where_it_makes_no_sense() {
    let edits = produce::<Vec<Edit>>().with().len(0..5usize);
    let frames = (0..FRAMES.len(), edits);
    check!().with_iterations(usize::MAX).with_test_time(TRIED_FOR).with_generator(frames).for_each(|(which, edits)| {
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let mut bytes = frame(protocol, FRAMES[*which]);
            for edit in edits {
                edit.apply(&mut bytes);
            }
            let (most, mut commands) = (bytes.len() + 1, protocol.commands(bytes.into()));
            let good: Vec<_> = commands.by_ref().take(most).map_while(Result::ok).collect();
            assert!(good.len() < most && commands.next().is_none(), "something is read behind the end");
            good.iter().for_each(reads_back);
        }
    });
}

/// Whatever was read is written and read again as itself.
fn reads_back(command: &Command) {
    let written = command.encode_length_delimited_to_vec();
    let read = Protocol::Protobuf.commands(written.into()).next();
    assert_eq!(read, Some(Ok(command.clone())));
    // Bytes that are no JSON cannot be written as such, and line breaks between its tokens are left out.
    let Ok(written) = serde_json::to_vec(command) else { return };
    let read = Protocol::Json.commands(written.clone().into()).next().unwrap().unwrap();
    assert_eq!(serde_json::to_vec(&read).unwrap(), written);
}

#[test]
fn the_body_of_an_emulated_command_holds_what_was_put_in_or_is_refused() {
    let edits = produce::<Vec<Edit>>().with().len(0..5usize);
    let bodies = (text(), text(), text(), edits);
    check!().with_iterations(usize::MAX).with_test_time(TRIED_FOR).with_generator(bodies).for_each(
        |(node, session, data, edits)| {
            let data = Bytes::from(data.clone());
            let request = EmulationRequest { node: node.clone(), session: session.clone(), data };
            let text = std::str::from_utf8(&request.data).unwrap();
            let json = json!({ "node": node, "session": session, "data": text, "unknown": [1] }).to_string();
            for (protocol, mut body) in
                [(Protocol::Json, json.into_bytes()), (Protocol::Protobuf, request.encode_to_vec())]
            {
                assert_eq!(protocol.emulated(body.clone().into()).unwrap(), request);
                for edit in edits {
                    edit.apply(&mut body);
                }
                let most = body.len();
                if let Ok(read) = protocol.emulated(body.into()) {
                    assert!(read.node.len() + read.session.len() + read.data.len() <= most);
                }
            }
        },
    );
}

fn answer(which: u8) -> Answer {
    let history = Some(History { epoch: "e".into(), top: 3, publications: Vec::new() });
    let subscribed = Subscribed { ttl: Some(5), history, ..Subscribed::default() };
    match which {
        0 => ErrorCode::PermissionDenied.into(),
        1 => DisconnectCode::InvalidToken.into(),
        2 => Answer::Connected(Connected {
            ttl: Some(9),
            subscriptions: [("a".into(), subscribed)].into(),
            ..Connected::default()
        }),
        3 => Answer::Subscribed(subscribed),
        4 => Answer::Refreshed { ttl: None },
        _ => Answer::Done,
    }
}

#[test]
fn a_session_ends_at_most_once_and_is_silent_afterwards() {
    let events = produce::<Vec<Event>>().with().len(0..24usize);
    check!().with_iterations(usize::MAX).with_test_time(TRIED_FOR).with_generator(events).for_each(|events| {
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let opening = Opening { protocol, client: "c".into(), emulation: None, chance: 0.5 };
            let mut session = Session::new(Arc::new(Settings::default()), opening, Duration::ZERO);
            let (mut now, mut ended) = (Duration::ZERO, false);
            for event in events {
                match event {
                    Event::Said(index) => session.receive(frame(protocol, FRAMES[*index]).into()),
                    Event::Bytes(bytes) => session.receive(Bytes::copy_from_slice(bytes)),
                    Event::Answered(which) => session.answer(answer(*which), now),
                    Event::Published(offset) => session.publication("a", *offset, protocol.ping()),
                    Event::Passed(seconds) => {
                        now += Duration::from_secs((*seconds).into());
                        session.tick(now);
                    }
                }
                while let Some(output) = session.poll() {
                    assert!(!ended, "{output:?} after the end");
                    ended = matches!(output, Output::Close(_));
                }
            }
        }
    });
}
