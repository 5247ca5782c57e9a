//! A room's WebSocket as a caller holds it.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use meet_api::Message;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Error, client::IntoClientRequest, protocol::CloseFrame},
};

use super::{document, soon};

/// An open socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// How a socket ended: the close code, or nothing when the line was just cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended(pub(crate) Option<u16>);

impl Socket {
    pub(super) async fn open(
        address: SocketAddr,
        path: &str,
        token: Option<&str>,
        headers: &[(&'static str, String)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match soon("an upgrade", Box::pin(connect_async(request))).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => {
                let status = response.status().as_u16();
                document::check("GET", path, status);
                Err(status)
            }
            Err(error) => panic!("no upgrade: {error}"),
        }
    }

    /// Opens a socket over a line that is there already.
    pub(super) async fn open_over(line: TcpStream, address: SocketAddr, path: &str, token: &str) -> Self {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let upgrade = tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(line));
        Self(soon("an upgrade", Box::pin(upgrade)).await.unwrap().0)
    }

    /// The next text frame, or how the socket ended.
    pub(crate) async fn next(&mut self) -> Result<Value, Ended> {
        soon("a frame", async {
            loop {
                match self.0.next().await {
                    Some(Ok(tungstenite::Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(tungstenite::Message::Close(frame))) => {
                        return Err(Ended(frame.map(|CloseFrame { code, .. }| code.into())));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(Ended(None)),
                }
            }
        })
        .await
    }

    /// The next frame, which must be of this type.
    #[track_caller]
    pub(crate) fn expect<'s>(&'s mut self, tag: &'s str) -> impl Future<Output = Value> + 's {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.next().await.unwrap_or_else(|ended| panic!("{ended:?} instead of {tag} at {caller}"));
            assert_eq!(frame["type"], tag, "at {caller}: {frame}");
            frame
        }
    }

    /// The next message; other frames are passed over.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            let frame = self.next().await.unwrap();
            if frame["type"] == "message" {
                return serde_json::from_value(frame).unwrap();
            }
        }
    }

    /// Reads until the socket ends, and gives its close code.
    pub(crate) async fn end(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.next().await {
                return ended;
            }
        }
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, frame: impl ToString) {
        self.0.send(tungstenite::Message::text(frame.to_string())).await.unwrap();
    }

    /// Sends a frame that may be too long to be taken whole, and reads meanwhile how the socket ends.
    pub(crate) async fn send_and_end(self, frame: tungstenite::Message) -> Ended {
        let (mut sink, mut stream) = self.0.split();
        let sending = async {
            let _ = sink.send(frame).await;
            std::future::pending::<()>().await;
        };
        let ending = async {
            loop {
                match soon("a frame", stream.next()).await {
                    Some(Ok(tungstenite::Message::Close(frame))) => {
                        return Ended(frame.map(|CloseFrame { code, .. }| code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Ended(None),
                }
            }
        };
        tokio::select! {
            () = sending => unreachable!("it is never done"),
            ended = ending => ended,
        }
    }

    /// Sends a frame of any kind; the line may be cut.
    pub(crate) async fn send_raw(&mut self, frame: tungstenite::Message) -> Result<(), Error> {
        self.0.send(frame).await
    }
}
