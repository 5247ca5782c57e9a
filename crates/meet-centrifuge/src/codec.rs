//! Frames: one or more messages, as JSON lines or as length-prefixed Protobuf.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    code::DisconnectCode,
    message::{Command, EmulationRequest, Push, Reply},
};

/// The two forms of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Text: messages with one line break between two of them.
    Json,
    /// Bytes: each message behind its length as a varint.
    Protobuf,
}

/// A frame that no command can be read from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the frame is malformed: {0}")]
pub struct Malformed(String);

/// A reply whose data is not JSON cannot be told in JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the data is not JSON")]
pub struct NotJson;

impl Protocol {
    /// The commands of a frame, read one by one, so that nothing is read behind one that ends the connection. A frame
    /// without any is malformed.
    pub fn commands(self, frame: Bytes) -> Commands {
        Commands { protocol: self, rest: Some(frame) }
    }

    /// A reply as it stands in a frame, in Protobuf with its length.
    ///
    /// # Errors
    /// [`NotJson`] in JSON, when the data is none.
    pub fn encode(self, reply: &Reply) -> Result<Bytes, NotJson> {
        match self {
            Self::Json => Ok(serde_json::to_vec(reply).map_err(|_| NotJson)?.into()),
            Self::Protobuf => Ok(reply.encode_length_delimited_to_vec().into()),
        }
    }

    /// A ping, and the pong that answers it: a message with nothing in it.
    pub const fn ping(self) -> Bytes {
        match self {
            Self::Json => Bytes::from_static(b"{}"),
            Self::Protobuf => Bytes::from_static(&[0]),
        }
    }

    /// The push that ends a connection which has no close frame.
    pub fn disconnect(self, code: DisconnectCode) -> Bytes {
        let push = Push { disconnect: Some(code.into()), ..Push::default() };
        // There is no data in it that could fail to be JSON.
        self.encode(&Reply { push: Some(push), ..Reply::default() }).unwrap_or_default()
    }

    /// A command on its way to a connection that only leads down, as the body of a request.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn emulated(self, body: Bytes) -> Result<EmulationRequest, Malformed> {
        match self {
            Self::Json => serde_json::from_slice(&body).map_err(|error| Malformed(error.to_string())),
            Self::Protobuf => EmulationRequest::decode(body).map_err(|error| Malformed(error.to_string())),
        }
    }
}

/// The commands of a frame.
#[derive(Debug)]
pub struct Commands {
    protocol: Protocol,
    rest: Option<Bytes>,
}

impl Iterator for Commands {
    type Item = Result<Command, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let read = match self.protocol {
            Protocol::Json => read_line(rest),
            Protocol::Protobuf => read_prefixed(rest),
        };
        Some(read.map(|(command, rest)| {
            self.rest = (!rest.is_empty()).then_some(rest);
            command
        }))
    }
}

fn read_line(mut rest: Bytes) -> Result<(Command, Bytes), Malformed> {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = rest.split_to(end);
    // A list of values would be read as a command without names.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed("a command is an object".into()));
    }
    let command = serde_json::from_slice(&line).map_err(|error| Malformed(error.to_string()))?;
    Ok((command, rest.slice(rest.len().min(1)..)))
}

fn read_prefixed(mut rest: Bytes) -> Result<(Command, Bytes), Malformed> {
    let malformed = |error: prost::DecodeError| Malformed(error.to_string());
    let length = prost::decode_length_delimiter(&mut rest).map_err(malformed)?;
    if length > rest.len() {
        return Err(Malformed("a message is longer than its frame".into()));
    }
    let command = Command::decode(rest.split_to(length)).map_err(malformed)?;
    Ok((command, rest))
}

impl Command {
    /// Whether it is the answer to a ping.
    pub fn is_pong(&self) -> bool {
        *self == Self::default()
    }
}
