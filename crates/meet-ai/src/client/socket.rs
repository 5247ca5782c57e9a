//! The room socket as a client holds it: the upgrade over the same HTTP stack as every other call,
//! then frames.
//!
//! It follows no room by itself; `commands::listen` decides what a frame means.

use std::time::Duration;

use futures_util::StreamExt as _;
use meet_api::{Message, RoomId, ServerFrame};
use reqwest::{
    Method, StatusCode, Upgraded,
    header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE},
};
use serde::Deserialize;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use super::{Client, ClientError};

/// A server that says nothing for so long is dead: it pings every 25 seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// The largest frame that a server may send.
const MAX_FRAME: usize = 1024 * 1024;

/// What a socket is asked to send.
#[derive(Debug, Clone, Default)]
pub struct SocketQuery {
    /// From after this message on.
    pub since: u64,
    /// The epoch that `since` is of, when known.
    pub epoch: Option<String>,
    /// Without this sender's.
    pub exclude: Option<String>,
    /// Only what mentions this name.
    pub mentions: Option<String>,
    /// Only what mentions this name, or nobody who is known in the room.
    pub to: Option<String>,
    /// Whether an older connection of this agent in the room shall end.
    pub exclusive: bool,
}

/// An open room socket.
#[derive(Debug)]
pub struct RoomSocket(WebSocketStream<Upgraded>);

/// What comes out of a room socket.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Box<Message>),
    /// Another frame that this version knows.
    Frame(ServerFrame),
    /// The end.
    Closed(Closed),
}

/// Why a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The server closed it with this code.
    Code(u16),
    /// It broke, or fell silent.
    Broken(String),
}

/// A frame, told apart by `type`; whatever else comes is not for us.
#[derive(Deserialize)]
#[serde(untagged)]
enum Frame {
    Message(Box<Message>),
    Other(ServerFrame),
}

impl Client {
    /// Opens a room's socket. A refusal is the HTTP answer that came in place of the upgrade.
    pub async fn open_socket(&self, room: RoomId, query: &SocketQuery) -> Result<RoomSocket, ClientError> {
        let mut url = self.endpoint(&["api", "rooms", &room.to_string(), "ws"]);
        url.query_pairs_mut().extend_pairs(query.pairs());
        if let Some(speaker) = self.speaker() {
            url.query_pairs_mut().append_pair("name", &speaker.name).append_pair("kind", speaker.kind.as_str());
        }
        let nonce = generate_key();
        let mut request = self.request(Method::GET, url);
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        if let Ok(nonce) = HeaderValue::from_str(&nonce) {
            headers.insert("sec-websocket-key", nonce);
        }
        let response = self.send(request).await?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS || !is_accepted(response.headers(), &nonce) {
            return Err(ClientError::not_ours(&self.connection, status));
        }
        let stream = response.upgrade().await.map_err(|source| ClientError::unreachable(&self.connection, source))?;
        let config = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        Ok(RoomSocket(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await))
    }
}

fn is_accepted(headers: &HeaderMap, nonce: &str) -> bool {
    headers.get("sec-websocket-accept").is_some_and(|accept| *accept == derive_accept_key(nonce.as_bytes()))
}

impl SocketQuery {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let pairs = [
            ("since", Some(self.since.to_string())),
            ("epoch", self.epoch.clone()),
            ("exclude", self.exclude.clone()),
            ("mentions", self.mentions.clone()),
            ("for", self.to.clone()),
            ("exclusive", self.exclusive.then(|| true.to_string())),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

impl RoomSocket {
    /// The next frame; pings are answered on the way, and any frame is a sign of life.
    pub async fn next(&mut self) -> Incoming {
        loop {
            let broken = |reason: String| Incoming::Closed(Closed::Broken(reason));
            let Ok(frame) = tokio::time::timeout(SILENCE, self.0.next()).await else {
                return broken(format!("nothing came for {} seconds", SILENCE.as_secs()));
            };
            match frame {
                Some(Ok(tungstenite::Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(Frame::Message(message)) => return Incoming::Message(message),
                    Ok(Frame::Other(frame)) => return Incoming::Frame(frame),
                    Err(_) => {}
                },
                Some(Ok(tungstenite::Message::Close(Some(close)))) => {
                    return Incoming::Closed(Closed::Code(close.code.into()));
                }
                Some(Ok(tungstenite::Message::Close(None))) | None => return broken("the connection ended".to_owned()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return broken(error.to_string()),
            }
        }
    }

    /// Says goodbye, as far as the other side still listens.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.close(None)).await;
    }
}
