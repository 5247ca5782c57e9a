//! What a server's frames say: deliveries are told from the rest without reading their data, replies are read in full.
//! Pure.

use bytes::Bytes;
use meet_centrifuge::{
    Protocol,
    message::{Command, Reply},
};
use prost::Message as _;

use crate::Outcome;

/// One message of a frame.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    /// Something was published in the channel, with this offset.
    Publication(u64),
    /// Somebody came to the channel.
    Join,
    /// The server ended the subscription to the channel, with this code.
    Unsubscribe(u32),
    /// The server wants a sign of life.
    Ping,
    /// The answer to a command.
    Reply(Box<Reply>),
    /// Anything else, other channels included.
    Other,
}

/// A reply as far as it tells what it is.
#[derive(Clone, PartialEq, prost::Message)]
struct Outline {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(message, optional, tag = "4")]
    push: Option<PushOutline>,
}

/// A push, without its data.
#[derive(Clone, PartialEq, prost::Message)]
struct PushOutline {
    #[prost(string, tag = "2")]
    channel: String,
    #[prost(message, optional, tag = "4")]
    publication: Option<PublicationOutline>,
    #[prost(message, optional, tag = "5")]
    join: Option<Empty>,
    #[prost(message, optional, tag = "7")]
    unsubscribe: Option<UnsubscribeOutline>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PublicationOutline {
    #[prost(uint64, tag = "6")]
    offset: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UnsubscribeOutline {
    #[prost(uint32, tag = "2")]
    code: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

/// Tells each message of a frame in turn.
///
/// # Errors
/// When it is no frame of the protocol.
pub(crate) fn each(protocol: Protocol, channel: &str, frame: &[u8], mut take: impl FnMut(Seen)) -> Outcome<()> {
    match protocol {
        Protocol::Json => {
            for line in frame.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                take(line_of(channel, line)?);
            }
        }
        Protocol::Protobuf => {
            let mut rest = frame;
            while !rest.is_empty() {
                let length = prost::decode_length_delimiter(&mut rest)?;
                let (message, behind) = rest.split_at_checked(length).ok_or("a message is longer than its frame")?;
                take(message_of(channel, message)?);
                rest = behind;
            }
        }
    }
    Ok(())
}

/// A command as it stands in a frame.
pub(crate) fn encode(protocol: Protocol, command: &Command) -> Outcome<Vec<u8>> {
    Ok(match protocol {
        Protocol::Json => serde_json::to_vec(command)?,
        Protocol::Protobuf => command.encode_length_delimited_to_vec(),
    })
}

fn line_of(channel: &str, line: &[u8]) -> Outcome<Seen> {
    if line == b"{}" {
        return Ok(Seen::Ping);
    }
    let push = line.strip_prefix(br#"{"push":{"channel":""#);
    if push.is_some_and(|push| !push.starts_with(channel.as_bytes())) {
        return Ok(Seen::Other);
    }
    let inside = push.and_then(|push| push[channel.len()..].strip_prefix(b"\","));
    if inside.is_some_and(|inside| inside.starts_with(br#""pub":"#))
        && let Some(offset) = last_offset(line)
    {
        return Ok(Seen::Publication(offset));
    }
    if inside.is_some_and(|inside| inside.starts_with(br#""join":"#)) {
        return Ok(Seen::Join);
    }
    Ok(told(channel, serde_json::from_slice(line)?))
}

/// The number behind the last `"offset":`, which stands behind the data.
fn last_offset(line: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"offset\":";
    let begin = line.windows(NAME.len()).rposition(|window| window == NAME)? + NAME.len();
    let digits = line[begin..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.copied().try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

fn message_of(channel: &str, message: &[u8]) -> Outcome<Seen> {
    if message.is_empty() {
        return Ok(Seen::Ping);
    }
    let Outline { id, push } = Outline::decode(message)?;
    let Some(push) = push.filter(|_| id == 0) else {
        return Ok(told(channel, Reply::decode(Bytes::copy_from_slice(message))?));
    };
    Ok(match push {
        push if push.channel != channel => Seen::Other,
        PushOutline { publication: Some(publication), .. } => Seen::Publication(publication.offset),
        PushOutline { join: Some(_), .. } => Seen::Join,
        PushOutline { unsubscribe: Some(unsubscribe), .. } => Seen::Unsubscribe(unsubscribe.code),
        _ => Seen::Other,
    })
}

/// What a message says that was read in full.
fn told(channel: &str, reply: Reply) -> Seen {
    match reply.push {
        None if reply == Reply::default() => Seen::Ping,
        None => Seen::Reply(Box::new(reply)),
        Some(push) if push.channel != channel => Seen::Other,
        Some(push) => match (push.r#pub, push.join, push.unsubscribe) {
            (Some(publication), ..) => Seen::Publication(publication.offset),
            (_, Some(_), _) => Seen::Join,
            (_, _, Some(unsubscribe)) => Seen::Unsubscribe(unsubscribe.code),
            _ => Seen::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use meet_centrifuge::message::{Join, Publication, PublishResult, Push, Unsubscribe};

    use super::*;

    fn push(channel: &str) -> Push {
        Push { channel: channel.into(), ..Push::default() }
    }

    fn publication(channel: &str) -> Reply {
        let publication =
            Publication { data: Bytes::from_static(br#"{"offset":9}"#), offset: 4100, ..Publication::default() };
        Reply { push: Some(Push { r#pub: Some(publication), ..push(channel) }), ..Reply::default() }
    }

    fn seen(protocol: Protocol, replies: &[Reply]) -> Vec<Seen> {
        let encoded: Vec<Bytes> = replies.iter().map(|reply| protocol.encode(reply).unwrap()).collect();
        let between: &[u8] = if protocol == Protocol::Json { b"\n" } else { b"" };
        let mut seen = Vec::new();
        each(protocol, "chat:1", &encoded.join(between), |one| seen.push(one)).unwrap();
        seen
    }

    #[test]
    fn each_message_of_a_frame_tells_what_it_is() {
        let reply = Reply { id: 7, publish: Some(PublishResult {}), ..Reply::default() };
        let join = Reply { push: Some(Push { join: Some(Join::default()), ..push("chat:1") }), ..Reply::default() };
        let end = Unsubscribe { code: 2500, reason: "insufficient state".into() };
        let end = Reply { push: Some(Push { unsubscribe: Some(end), ..push("chat:1") }), ..Reply::default() };
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let replies = [publication("chat:1"), reply.clone(), join.clone(), Reply::default(), end.clone()];
            let expected = [
                Seen::Publication(4100),
                Seen::Reply(Box::new(reply.clone())),
                Seen::Join,
                Seen::Ping,
                Seen::Unsubscribe(2500),
            ];
            assert_eq!(seen(protocol, &replies), expected, "{protocol:?}");
        }
    }

    #[test]
    fn other_channels_do_not_count() {
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let replies = [publication("user:1"), publication("chat:2"), publication("chat:12")];
            assert_eq!(seen(protocol, &replies), [Seen::Other, Seen::Other, Seen::Other], "{protocol:?}");
        }
    }

    #[test]
    fn a_push_that_is_written_otherwise_is_read_as_well() {
        let line = br#"{ "push": {"pub": {"offset": 3, "data": {}}, "channel": "chat:1"}}"#;
        assert_eq!(line_of("chat:1", line).unwrap(), Seen::Publication(3));
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        assert!(each(Protocol::Json, "chat:1", b"{\"id\":", |_| ()).is_err());
        assert!(each(Protocol::Protobuf, "chat:1", &[9, 1], |_| ()).is_err());
    }
}
