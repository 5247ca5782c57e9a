//! A client of the Centrifugo protocol whose connection is a stream: replies come down, commands go by requests.

use bytes::Bytes;
use futures_util::StreamExt;
use meet_centrifuge::{
    Protocol,
    message::{Command, ConnectResult, EmulationRequest, Reply},
};
use prost::Message as _;
use reqwest::{Method, header::HeaderMap};

use super::{Answer, Caller, encode, soon, wire};

/// How a stream is asked for and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines of JSON.
    Lines,
    /// Protobuf, message by message.
    Prefixed,
    /// Events, the first frame in the query.
    Events,
    /// Events, the first frame as the body.
    EventsByPost,
}

impl Form {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Lines, Self::Prefixed, Self::Events, Self::EventsByPost];

    /// The form of the messages.
    pub(crate) fn protocol(self) -> Protocol {
        if self == Self::Prefixed { Protocol::Protobuf } else { Protocol::Json }
    }

    /// The type of the bodies that clients send.
    pub(crate) fn content_type(self) -> &'static str {
        if self == Self::Prefixed { "application/octet-stream" } else { "application/json" }
    }
}

/// An open stream.
pub(crate) struct Emulated {
    caller: Caller,
    form: Form,
    /// The headers of the answer.
    pub(crate) headers: HeaderMap,
    /// The first bytes that came, before anything was read out of them.
    pub(crate) beginning: Vec<u8>,
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: Vec<u8>,
    asked: u32,
    session: String,
    node: String,
}

impl Emulated {
    /// Opens a stream by this first frame, or gives the status that refuses it.
    pub(crate) async fn open(caller: &Caller, form: Form, frame: &[u8]) -> Result<Self, u16> {
        let request = match form {
            Form::Lines | Form::Prefixed => caller.request(Method::POST, "/connection/http_stream"),
            Form::Events => {
                let frame = percent_encoding::percent_encode(frame, percent_encoding::NON_ALPHANUMERIC);
                caller.request(Method::GET, &format!("/connection/sse?cf_connect={frame}"))
            }
            Form::EventsByPost => caller.request(Method::POST, "/connection/sse"),
        };
        let request = request.header("content-type", form.content_type());
        let request = if form == Form::Events { request } else { request.body(frame.to_vec()) };
        let response = soon("a stream", request.send()).await.unwrap();
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        Ok(Self {
            caller: caller.clone(),
            form,
            headers: response.headers().clone(),
            beginning: Vec::new(),
            bytes: Box::pin(response.bytes_stream()),
            buffer: Vec::new(),
            asked: 1,
            session: String::new(),
            node: String::new(),
        })
    }

    /// A connection by this token.
    pub(crate) async fn connect(caller: &Caller, form: Form, token: &str) -> (Self, ConnectResult) {
        let command = Command { id: 1, ..wire::connect(token) };
        let mut stream = Self::open(caller, form, &encode(form.protocol(), &[command])).await.unwrap();
        let reply = stream.next().await.expect("a reply");
        let connected = reply.connect.clone().unwrap_or_else(|| panic!("{reply:?}"));
        (stream.session, stream.node) = (connected.session.clone(), connected.node.clone());
        (stream, connected)
    }

    /// Sends a command by a request of its own, and gives its id.
    pub(crate) async fn say(&mut self, mut command: Command) -> u32 {
        self.asked += 1;
        command.id = self.asked;
        self.deliver(&encode(self.form.protocol(), &[command])).await.expect(204);
        self.asked
    }

    /// Sends a frame as it is.
    pub(crate) async fn deliver(&self, frame: &[u8]) -> Answer {
        let data = Bytes::copy_from_slice(frame);
        let request = EmulationRequest { node: self.node.clone(), session: self.session.clone(), data };
        self.emulate(&request).await
    }

    /// The same with any node and secret.
    pub(crate) async fn emulate(&self, request: &EmulationRequest) -> Answer {
        let body = match self.form.protocol() {
            Protocol::Json => serde_json::to_vec(request).unwrap(),
            Protocol::Protobuf => request.encode_to_vec(),
        };
        let post = self.caller.request(Method::POST, "/emulation").header("content-type", self.form.content_type());
        self.caller.send(post.body(body)).await
    }

    /// By what others would have to speak for this connection.
    pub(crate) fn secret(&self) -> (&str, &str) {
        (&self.node, &self.session)
    }

    /// Sends a command and gives the reply to it; what else comes is passed over.
    pub(crate) async fn ask(&mut self, command: Command) -> Reply {
        let id = self.say(command).await;
        loop {
            let reply = self.next().await.expect("an answer");
            if reply.id == id {
                return reply;
            }
        }
    }

    /// The next reply that is no ping, or nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        soon("a reply", async {
            loop {
                while let Some(reply) = self.cut() {
                    if reply != Reply::default() {
                        return Some(reply);
                    }
                }
                let bytes = self.bytes.next().await?.ok()?;
                if self.beginning.is_empty() {
                    self.beginning = bytes.to_vec();
                }
                self.buffer.extend_from_slice(&bytes);
            }
        })
        .await
    }

    /// Takes one whole reply out of the buffer.
    fn cut(&mut self) -> Option<Reply> {
        if self.form == Form::Prefixed {
            let mut rest = self.buffer.as_slice();
            let reply = Reply::decode_length_delimited(&mut rest).ok()?;
            self.buffer = rest.to_vec();
            return Some(reply);
        }
        let ending: &[u8] = if self.form == Form::Lines { b"\n" } else { b"\n\n" };
        if self.form != Form::Lines && self.buffer.starts_with(b"\r\n") {
            self.buffer.drain(..2);
        }
        let end = self.buffer.windows(ending.len()).position(|window| window == ending)?;
        let message: Vec<u8> = self.buffer.drain(..end + ending.len()).take(end).collect();
        let json = if self.form == Form::Lines { &message } else { message.strip_prefix(b"data: ").unwrap() };
        Some(serde_json::from_slice(json).unwrap())
    }
}
