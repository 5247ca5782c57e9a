//! The two shells: a WebSocket and an event stream. They move bytes, one flush for a whole batch, and decide nothing.

use std::time::Duration;

use axum::{
    body::Body,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, Stream};
use tokio::sync::mpsc;

use crate::{clock::Clock, hub::CloseReason};

use super::{
    heartbeat::{Beat, Heartbeat},
    stream_answer,
};

/// How long a reader that was too slow has to resume and take its close frame.
pub(super) const SLOW_PATIENCE: Duration = Duration::from_secs(5);
/// How long a reader may take nothing at all of what is written to it.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_mins(1);
/// How long any other has to answer it.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// How many batches may wait for a stream's connection.
const STREAM_BATCHES: usize = 1;

/// The other side is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// What the other side sent.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A text frame.
    Text(Utf8Bytes),
    /// A frame of another kind than text.
    NotText,
    /// A frame over the limit, after which the bytes make no sense any more.
    TooLarge,
    /// Only a sign of life, or nothing.
    Quiet,
}

/// One open connection of either kind.
pub(super) struct Transport {
    line: Line,
    heartbeat: Heartbeat,
    clock: Clock,
}

enum Line {
    WebSocket(Box<WebSocket>),
    Sse(mpsc::Sender<Bytes>),
}

impl Transport {
    /// A WebSocket.
    pub(super) fn web_socket(socket: WebSocket, clock: Clock) -> Self {
        let heartbeat = Heartbeat::new(clock.monotonic(), true);
        Self { line: Line::WebSocket(Box::new(socket)), heartbeat, clock }
    }

    /// An event stream, and the answer that carries it.
    pub(super) fn sse(clock: Clock) -> (Self, Response) {
        let (sender, receiver) = mpsc::channel(STREAM_BATCHES);
        let heartbeat = Heartbeat::new(clock.monotonic(), false);
        let response = stream_answer(Body::from_stream(chunks(receiver)));
        (Self { line: Line::Sse(sender), heartbeat, clock }, response)
    }

    /// Sends everything in `batch` with one flush and empties it. Cancelling leaves the connection fit only for
    /// [`Transport::close`].
    pub(super) async fn send_batch(&mut self, batch: &mut Vec<Bytes>) -> Result<(), Gone> {
        if batch.is_empty() {
            return Ok(());
        }
        match &mut self.line {
            Line::WebSocket(socket) => {
                for bytes in batch.drain(..) {
                    // Everything queued is JSON that we wrote, so this never fails.
                    let text = Utf8Bytes::try_from(bytes).map_err(|_| Gone)?;
                    socket.feed(Message::Text(text)).await.map_err(|_| Gone)?;
                }
                socket.flush().await.map_err(|_| Gone)
            }
            Line::Sse(sender) => {
                let mut chunk = BytesMut::with_capacity(batch.iter().map(Bytes::len).sum());
                batch.drain(..).for_each(|bytes| chunk.extend_from_slice(&bytes));
                sender.send(chunk.freeze()).await.map_err(|_| Gone)
            }
        }
    }

    /// Waits for the other side: what it sent, or that a heartbeat was due. May be cancelled.
    pub(super) async fn recv(&mut self) -> Result<Incoming, Gone> {
        let now = self.clock.monotonic();
        let timer = tokio::time::sleep(self.heartbeat.next(now));
        let received = match &mut self.line {
            Line::WebSocket(socket) => tokio::select! {
                received = socket.recv() => Some(received),
                () = timer => None,
            },
            Line::Sse(sender) => tokio::select! {
                () = sender.closed() => return Err(Gone),
                () = timer => None,
            },
        };
        let now = self.clock.monotonic();
        let Some(received) = received else {
            return match self.heartbeat.beat(now) {
                Beat::Ping => self.ping().await.map(|()| Incoming::Quiet),
                Beat::Dead => Err(Gone),
                Beat::Early => Ok(Incoming::Quiet),
            };
        };
        self.heartbeat.seen(now);
        match received {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text)),
            Some(Ok(Message::Binary(_))) => Ok(Incoming::NotText),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Incoming::Quiet),
            Some(Ok(Message::Close(_))) | None => Err(Gone),
            Some(Err(error)) => {
                if is_too_long(&error) {
                    Ok(Incoming::TooLarge)
                } else {
                    Err(Gone)
                }
            }
        }
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        match &mut self.line {
            Line::WebSocket(socket) => socket.send(Message::Ping(Bytes::new())).await.map_err(|_| Gone),
            Line::Sse(sender) => match sender.try_send(Bytes::from_static(b":\n\n")) {
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
                // A batch that waits is a sign of life by itself.
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            },
        }
    }

    /// Ends the connection for a reason; a stream just ends, its client comes back by itself.
    pub(super) async fn close(self, reason: CloseReason) {
        let (code, text) = match reason {
            CloseReason::Shutdown => (1001, "server shutdown"),
            CloseReason::TooSlow => (1013, "too slow"),
            CloseReason::RoomGone => (4040, "room gone"),
            CloseReason::CredentialEnded => (4041, "credential ended"),
            CloseReason::TakenOver => (4409, "taken over"),
            CloseReason::Failed => (1011, "internal error"),
        };
        let patience = if reason == CloseReason::TooSlow { SLOW_PATIENCE } else { CLOSE_PATIENCE };
        self.close_with(code, text, patience).await;
    }

    /// Ends the connection after a frame over the limit.
    pub(super) async fn close_too_large(self) {
        self.close_with(1009, "frame too large", CLOSE_PATIENCE).await;
    }

    async fn close_with(self, code: u16, reason: &'static str, patience: Duration) {
        metrics::counter!("meet_connections_closed_total", "code" => code.to_string()).increment(1);
        let Line::WebSocket(socket) = self.line else { return };
        end_web_socket(*socket, code, reason, patience).await;
    }
}

/// Sends a close frame, and waits for the other side to answer it.
pub(super) async fn end_web_socket(mut socket: WebSocket, code: u16, reason: &'static str, patience: Duration) {
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            // The connection ends well when the other side has answered, or hung up.
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = tokio::time::timeout(patience, farewell).await;
}

/// Whether a socket failed because of a frame over the limit.
pub(super) fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("too long"))
}

/// The body of an answer that is written as it comes.
pub(super) fn chunks(receiver: mpsc::Receiver<Bytes>) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|bytes| (Ok(bytes), receiver))
    })
}
