//! One connection that asks and waits for the reply, one command at a time.

use std::{net::SocketAddr, time::Duration};

use meet_centrifuge::{
    Protocol,
    message::{Command, ConnectRequest, PublishRequest, Reply, SubscribeRequest, SubscribeResult},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::replies::{self, Seen};
use crate::{
    Outcome,
    frames::{self, Frame},
    socket::{self, Source},
};

/// How long a server may take to reply.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Where a server takes connections, and in which form of the protocol.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// What it is called there.
    pub(crate) host: String,
    /// The path of its WebSocket.
    pub(crate) path: String,
    /// The form.
    pub(crate) protocol: Protocol,
}

/// A connection that is let in.
pub(crate) struct Client {
    stream: TcpStream,
    rest: Vec<u8>,
    protocol: Protocol,
    last: u32,
}

impl Client {
    /// Opens it and shows the connection token.
    pub(crate) async fn connect(door: &Door, token: &str, source: Source) -> Outcome<Self> {
        let form = match door.protocol {
            Protocol::Json => "",
            Protocol::Protobuf => "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n",
        };
        let head = format!("GET {} HTTP/1.1\r\nHost: {}\r\n{form}", door.path, door.host);
        let (stream, rest) = socket::open(door.address, source, &head).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, rest, protocol: door.protocol, last: 0 };
        let connect = ConnectRequest { token: token.to_owned(), name: "bench".into(), ..ConnectRequest::default() };
        client.call(Command { connect: Some(connect), ..Command::default() }).await?;
        Ok(client)
    }

    /// Sends a command and gives its reply; one that is an error is an error here.
    pub(crate) async fn call(&mut self, command: Command) -> Outcome<Reply> {
        let id = self.send(command).await?;
        checked(tokio::time::timeout(PATIENCE, self.reply(id)).await??)
    }

    /// Reads until the reply to this command.
    async fn reply(&mut self, id: u32) -> Outcome<Reply> {
        loop {
            while let Some((frame, length)) = frames::first(&self.rest) {
                let mut found = None;
                let mut answer = Vec::new();
                match frame {
                    Frame::Text(payload) | Frame::Binary(payload) => {
                        replies::each(self.protocol, "", payload, |seen| match seen {
                            Seen::Reply(reply) if reply.id == id => found = Some(reply),
                            Seen::Ping => answer.extend_from_slice(&pong(self.protocol)),
                            _ => {}
                        })?;
                    }
                    Frame::Ping(payload) => answer = frames::pong(payload),
                    Frame::Close(code) => return Err(format!("the server ended the connection with {code}").into()),
                    Frame::Other => {}
                }
                self.rest.drain(..length);
                if !answer.is_empty() {
                    self.stream.write_all(&answer).await?;
                }
                if let Some(reply) = found {
                    return Ok(*reply);
                }
            }
            if self.stream.read_buf(&mut self.rest).await? == 0 {
                return Err("the server hung up instead of a reply".into());
            }
        }
    }

    /// Sends a command and gives the id that its reply will have.
    pub(crate) async fn send(&mut self, command: Command) -> Outcome<u32> {
        self.last += 1;
        let command = replies::encode(self.protocol, &Command { id: self.last, ..command })?;
        self.stream.write_all(&frames::data(self.protocol == Protocol::Json, &command)).await?;
        Ok(self.last)
    }

    /// Publishes and waits until it is taken.
    pub(crate) async fn publish(&mut self, channel: &str, data: String) -> Outcome<()> {
        let publish = PublishRequest { channel: channel.to_owned(), data: data.into(), ..Default::default() };
        self.call(Command { publish: Some(publish), ..Command::default() }).await?;
        Ok(())
    }

    /// Subscribes; for connections that have no use for what is published.
    pub(crate) async fn subscribe(&mut self, request: SubscribeRequest) -> Outcome<SubscribeResult> {
        let reply = self.call(Command { subscribe: Some(request), ..Command::default() }).await?;
        reply.subscribe.ok_or_else(|| "a reply without a subscription".into())
    }

    /// Takes it apart: the socket, what was read and not yet taken, the form of the protocol.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>, Protocol) {
        (self.stream, self.rest, self.protocol)
    }
}

/// The frame that answers a ping of the protocol.
pub(crate) fn pong(protocol: Protocol) -> Vec<u8> {
    frames::data(protocol == Protocol::Json, &protocol.ping())
}

/// The reply, unless it is an error.
pub(crate) fn checked(reply: Reply) -> Outcome<Reply> {
    match reply.error {
        None => Ok(reply),
        Some(error) => Err(format!("the server refused: {} {}", error.code, error.message).into()),
    }
}
