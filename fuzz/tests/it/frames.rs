//! Frames of the room socket: broken ones are errors, good ones mean what they say.

use bolero::{TypeGenerator, check, produce};
use meet_api::{ClientFrame, frame::ClientMessage, request::SendMessage};
use serde_json::json;

use crate::input::{TRIES, text};

/// A fragment of a frame, valid or nearly so.
#[derive(Debug, Clone, TypeGenerator)]
enum Token {
    Part(#[generator(0..PARTS.len())] usize),
    Number(i64),
    Byte(u8),
}

const PARTS: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"type\"",
    "\"message\"",
    "\"ping\"",
    "\"content\"",
    "\"sender\"",
    "\"client_id\"",
    "\"sender_type\"",
    "\"agent\"",
    "\"reply_to\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "null",
    "true",
    "1e999",
    "\"",
    "{\"type\":",
];

#[test]
fn broken_frames_are_refused_and_never_stop_the_reader() {
    let tokens = produce::<Vec<Token>>().with().len(0..24usize);
    check!().with_iterations(TRIES).with_generator(tokens).for_each(|tokens| {
        let mut bytes = Vec::new();
        for token in tokens {
            match token {
                Token::Part(index) => bytes.extend_from_slice(PARTS[*index].as_bytes()),
                Token::Number(number) => bytes.extend_from_slice(number.to_string().as_bytes()),
                Token::Byte(byte) => bytes.push(*byte),
            }
        }
        let _ = serde_json::from_slice::<ClientFrame>(&bytes);
        let _ = serde_json::from_slice::<ClientMessage>(&bytes);
    });
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    check!().with_iterations(50).with_generator(0..100_000usize).for_each(|depth| {
        let frame = format!("{{\"type\":\"message\",\"content\":{}", "[".repeat(*depth));
        assert!(serde_json::from_str::<ClientFrame>(&frame).is_err());
    });
}

#[test]
fn a_frame_says_what_its_sender_wrote() {
    check!().with_iterations(TRIES).with_generator((text(), text(), text())).for_each(|(sender, content, id)| {
        let frame = json!({"type": "message", "sender": sender, "content": content, "client_id": id, "unknown": [1]});
        let message = ClientMessage {
            message: SendMessage {
                sender: Some(sender.clone()),
                content: Some(content.clone()),
                ..SendMessage::default()
            },
            client_id: Some(id.clone()),
        };
        let read = serde_json::from_str::<ClientFrame>(&frame.to_string()).unwrap();
        assert_eq!(read, ClientFrame::Message(message));
    });
}
