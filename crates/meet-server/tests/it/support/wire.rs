//! A client of the Centrifugo protocol in either of its forms, down to the bytes: the upgrade by hand, frames as they
//! are, a line that may be cut.

use std::{collections::VecDeque, net::SocketAddr};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use meet_api::Message as Said;
use meet_centrifuge::{
    Protocol,
    message::{Command, ConnectRequest, ConnectResult, Publication, Push, Reply, SubscribeRequest, SubscribeResult},
};
use prost::Message as _;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, protocol::CloseFrame, protocol::Role},
};

use super::{Ended, read_to, soon};

/// A connection, which is cut when dropped.
pub(crate) struct Wire {
    socket: WebSocketStream<TcpStream>,
    protocol: Protocol,
    asked: u32,
    unread: VecDeque<Reply>,
    pushes: VecDeque<Push>,
}

impl Wire {
    /// Asks for an upgrade, with these headers besides those that it takes; the head of the answer comes with the
    /// connection, or in its place.
    pub(crate) async fn upgrade(
        mut line: TcpStream,
        query: &str,
        headers: &str,
        protocol: Protocol,
    ) -> (Option<Self>, String) {
        let host = line.peer_addr().unwrap();
        let request = format!(
            "GET /connection/websocket{query} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        line.write_all(request.as_bytes()).await.unwrap();
        let head = read_to(&mut line, "\r\n\r\n").await;
        if !head.starts_with("HTTP/1.1 101 ") {
            return (None, head);
        }
        let socket = WebSocketStream::from_raw_socket(line, Role::Client, None).await;
        let wire = Self { socket, protocol, asked: 0, unread: VecDeque::new(), pushes: VecDeque::new() };
        (Some(wire), head)
    }

    /// A connection over this line that has said nothing yet.
    pub(crate) async fn over(line: TcpStream, protocol: Protocol) -> Self {
        let header = match protocol {
            Protocol::Json => "",
            Protocol::Protobuf => "sec-websocket-protocol: centrifuge-protobuf\r\n",
        };
        let (wire, head) = Self::upgrade(line, "", header, protocol).await;
        wire.unwrap_or_else(|| panic!("no upgrade: {head}"))
    }

    /// A connection that has said nothing yet.
    pub(crate) async fn open(address: SocketAddr, protocol: Protocol) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), protocol).await
    }

    /// A connection by this token.
    pub(crate) async fn connect(address: SocketAddr, protocol: Protocol, token: &str) -> (Self, ConnectResult) {
        let mut wire = Self::open(address, protocol).await;
        let connected = wire.enter(token).await;
        (wire, connected)
    }

    /// Connects by this token.
    pub(crate) async fn enter(&mut self, token: &str) -> ConnectResult {
        let reply = self.ask(connect(token)).await;
        reply.connect.clone().unwrap_or_else(|| panic!("{reply:?}"))
    }

    /// Listens to a channel, with a token where one is needed.
    pub(crate) async fn subscribe(&mut self, request: SubscribeRequest) -> SubscribeResult {
        let reply = self.ask(Command { subscribe: Some(request), ..Command::default() }).await;
        reply.subscribe.clone().unwrap_or_else(|| panic!("{reply:?}"))
    }

    /// Sends a frame as it is: as text in JSON, unless it is none, as bytes in Protobuf.
    pub(crate) async fn frame(&mut self, frame: &[u8]) {
        self.try_frame(frame).await.unwrap();
    }

    async fn try_frame(&mut self, frame: &[u8]) -> Result<(), Error> {
        let text = std::str::from_utf8(frame).ok().filter(|_| self.protocol == Protocol::Json);
        let message = text.map_or_else(|| Message::binary(frame.to_vec()), Message::text);
        soon("a frame to be taken", self.socket.send(message)).await
    }

    /// Sends a command with the next id, and gives that. How the line ended meanwhile is seen by who reads.
    pub(crate) async fn say(&mut self, mut command: Command) -> u32 {
        self.asked += 1;
        command.id = self.asked;
        let _ = self.try_frame(&encode(self.protocol, &[command])).await;
        self.asked
    }

    /// Sends a command and gives the reply to it; pushes are kept.
    pub(crate) async fn ask(&mut self, command: Command) -> Reply {
        let told = format!("{command:?}");
        self.try_ask(command).await.unwrap_or_else(|ended| panic!("{ended:?} instead of an answer to {told}"))
    }

    /// The same, or how the connection ended.
    pub(crate) async fn try_ask(&mut self, command: Command) -> Result<Reply, Ended> {
        let id = self.say(command).await;
        self.reply_to(id).await
    }

    /// The reply to the command with this id; pushes are kept.
    pub(crate) async fn reply_to(&mut self, id: u32) -> Result<Reply, Ended> {
        loop {
            let reply = self.next().await?;
            match reply.push {
                Some(push) => self.pushes.push_back(push),
                None if reply.id == id => return Ok(reply),
                None => {}
            }
        }
    }

    /// The next push, apart from what the lobby says, or how the connection ended.
    pub(crate) async fn push(&mut self) -> Result<Push, Ended> {
        loop {
            let push = match self.pushes.pop_front() {
                Some(push) => push,
                None => match self.next().await?.push {
                    Some(push) => push,
                    None => continue,
                },
            };
            if !push.channel.starts_with("org:") {
                return Ok(push);
            }
        }
    }

    /// What was pushed before the last reply that was read.
    pub(crate) fn pushed(&mut self) -> impl Iterator<Item = Push> + use<> {
        std::mem::take(&mut self.pushes).into_iter().filter(|push| !push.channel.starts_with("org:"))
    }

    /// The next publication of a room.
    pub(crate) async fn publication(&mut self) -> Publication {
        loop {
            let push = self.push().await.unwrap_or_else(|ended| panic!("{ended:?} instead of a publication"));
            if let Some(publication) = push.r#pub.filter(|publication| publication.offset > 0) {
                return publication;
            }
        }
    }

    /// Reads until the connection ends, and gives its close code.
    pub(crate) async fn end(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.next().await {
                return ended;
            }
        }
    }

    /// The next reply; pings are answered.
    pub(crate) async fn next(&mut self) -> Result<Reply, Ended> {
        loop {
            match self.unread.pop_front() {
                Some(reply) if reply == Reply::default() => {
                    let pong = self.protocol.ping();
                    let _ = self.try_frame(&pong).await;
                }
                Some(reply) => return Ok(reply),
                None => {
                    let frame = soon("a frame", self.next_frame()).await?;
                    self.unread.extend(decode(self.protocol, frame));
                }
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Bytes, Ended> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) if self.protocol == Protocol::Json => return Ok(text.into()),
                Some(Ok(Message::Binary(bytes))) if self.protocol == Protocol::Protobuf => return Ok(bytes),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Ended(frame.map(|CloseFrame { code, .. }| code.into())));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("a frame of the other form: {other:?}"),
                Some(Err(_)) | None => return Err(Ended(None)),
            }
        }
    }
}

/// To be let in by this token.
pub(crate) fn connect(token: &str) -> Command {
    let connect = ConnectRequest { token: token.to_owned(), ..ConnectRequest::default() };
    Command { connect: Some(connect), ..Command::default() }
}

/// To listen to a room by this token.
pub(crate) fn chat(room: &str, token: &str) -> SubscribeRequest {
    SubscribeRequest { channel: format!("chat:{room}"), token: token.to_owned(), ..SubscribeRequest::default() }
}

/// A frame of commands.
pub(crate) fn encode(protocol: Protocol, commands: &[Command]) -> Vec<u8> {
    match protocol {
        Protocol::Json => {
            let lines: Vec<_> = commands.iter().map(|command| serde_json::to_string(command).unwrap()).collect();
            lines.join("\n").into_bytes()
        }
        Protocol::Protobuf => commands.iter().flat_map(prost::Message::encode_length_delimited_to_vec).collect(),
    }
}

/// The replies of a frame.
pub(super) fn decode(protocol: Protocol, mut frame: Bytes) -> Vec<Reply> {
    match protocol {
        Protocol::Json => {
            frame.split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
        }
        Protocol::Protobuf => {
            let mut replies = Vec::new();
            while !frame.is_empty() {
                replies.push(Reply::decode_length_delimited(&mut frame).unwrap());
            }
            replies
        }
    }
}

/// The message that a room's publication is.
pub(crate) fn message(publication: &Publication) -> Said {
    serde_json::from_slice(&publication.data).unwrap()
}
