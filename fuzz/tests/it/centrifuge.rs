//! Connections of the Centrifugo protocol: whatever a client says, its session goes on or ends, once and for good.

use std::{sync::Arc, time::Duration};

use bolero::{TypeGenerator, check, produce};
use bytes::Bytes;
use meet_centrifuge::{
    Protocol, Session,
    code::{DisconnectCode, ErrorCode},
    session::{Answer, Connected, History, Opening, Output, Settings, Subscribed},
};

use crate::input::TRIES;

/// What happens to a connection.
#[derive(Debug, Clone, TypeGenerator)]
enum Event {
    Said(#[generator(0..FRAMES.len())] usize),
    Bytes(Vec<u8>),
    Answered(#[generator(0..6u8)] u8),
    Published(#[generator(0..9u64)] u64),
    Passed(u16),
}

const FRAMES: [&str; 12] = [
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
];

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
    check!().with_iterations(TRIES).with_generator(events).for_each(|events| {
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let opening = Opening { protocol, client: "c".into(), emulation: None, chance: 0.5 };
            let mut session = Session::new(Arc::new(Settings::default()), opening, Duration::ZERO);
            let (mut now, mut ended) = (Duration::ZERO, false);
            for event in events {
                match event {
                    Event::Said(index) => session.receive(Bytes::from_static(FRAMES[*index].as_bytes())),
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
