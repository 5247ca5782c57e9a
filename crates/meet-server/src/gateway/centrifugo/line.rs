//! The way between a client and its session: a WebSocket, or a stream down with commands that come by requests of their
//! own. It moves bytes, one flush for all that waits, and decides nothing.

use axum::{
    body::Body,
    extract::ws::{Message, Utf8Bytes, WebSocket},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use meet_centrifuge::{Protocol, code::DisconnectCode};
use tokio::sync::mpsc;

use crate::emulation::Place;

use super::super::transport::{CLOSE_PATIENCE, Gone, SLOW_PATIENCE, chunks, end_web_socket, is_too_long};

/// How many writes may wait for a stream's connection.
const STREAM_WRITES: usize = 1;
/// What an event stream begins with, so that whatever stands between lets the headers through.
const EVENTS_BEGIN: &[u8] = b"\r\n";

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Replies one after the other: lines of JSON, or Protobuf by length.
    Lines(Protocol),
    /// Events of a `text/event-stream`, in JSON.
    Events,
}

impl Form {
    /// The form of the messages in it.
    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Lines(protocol) => protocol,
            Self::Events => Protocol::Json,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Lines(Protocol::Json) => "application/json",
            Self::Lines(Protocol::Protobuf) => "application/octet-stream",
            Self::Events => "text/event-stream",
        }
    }

    /// One write of several replies.
    fn write(self, replies: &mut Vec<Bytes>) -> Bytes {
        let mut write = BytesMut::with_capacity(replies.iter().map(|reply| reply.len() + 8).sum());
        for reply in replies.drain(..) {
            match self {
                Self::Lines(Protocol::Protobuf) => write.put(reply),
                Self::Lines(Protocol::Json) => {
                    write.put(reply);
                    write.put_u8(b'\n');
                }
                Self::Events => {
                    write.put_slice(b"data: ");
                    write.put(reply);
                    write.put_slice(b"\n\n");
                }
            }
        }
        write.freeze()
    }
}

/// What came from the client.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A frame.
    Frame(Bytes),
    /// A frame over the limit, after which the bytes make no sense any more.
    TooLarge,
}

/// An open connection.
pub(super) enum Line {
    /// Both ways.
    WebSocket {
        /// The socket.
        socket: Box<WebSocket>,
        /// The form of the messages, and so the kind of the frames.
        protocol: Protocol,
    },
    /// Down only.
    Stream {
        /// How it is written.
        form: Form,
        /// The first frame, until it is read.
        first: Option<Bytes>,
        /// To the answer's body.
        down: mpsc::Sender<Bytes>,
        /// From the client's other requests.
        up: Place,
    },
}

impl Line {
    /// A WebSocket.
    pub(super) fn web_socket(socket: WebSocket, protocol: Protocol) -> Self {
        Self::WebSocket { socket: Box::new(socket), protocol }
    }

    /// A stream, and the answer that carries it.
    pub(super) fn stream(form: Form, first: Bytes, up: Place) -> (Self, Response) {
        let (down, receiver) = mpsc::channel(STREAM_WRITES);
        if form == Form::Events {
            // There is place for one, so this cannot fail.
            let _ = down.try_send(Bytes::from_static(EVENTS_BEGIN));
        }
        let headers = [
            (header::CONTENT_TYPE, form.content_type()),
            (header::CACHE_CONTROL, "private, no-cache, no-store, must-revalidate, max-age=0"),
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        let response = (headers, Body::from_stream(chunks(receiver))).into_response();
        (Self::Stream { form, first: Some(first), down, up }, response)
    }

    /// Sends all replies with one flush and empties the list. Cancelling leaves the line fit only for
    /// [`Line::close`].
    pub(super) async fn send(&mut self, replies: &mut Vec<Bytes>) -> Result<(), Gone> {
        match self {
            Self::WebSocket { socket, protocol } => {
                for reply in replies.drain(..) {
                    socket.feed(message(*protocol, reply)?).await.map_err(|_| Gone)?;
                }
                socket.flush().await.map_err(|_| Gone)
            }
            Self::Stream { form, down, .. } => down.send(form.write(replies)).await.map_err(|_| Gone),
        }
    }

    /// Waits for the client. May be cancelled.
    pub(super) async fn recv(&mut self) -> Result<Incoming, Gone> {
        match self {
            Self::WebSocket { socket, .. } => loop {
                match socket.recv().await {
                    Some(Ok(Message::Text(text))) => return Ok(Incoming::Frame(text.into())),
                    Some(Ok(Message::Binary(bytes))) => return Ok(Incoming::Frame(bytes)),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_))) | None => return Err(Gone),
                    Some(Err(error)) => return if is_too_long(&error) { Ok(Incoming::TooLarge) } else { Err(Gone) },
                }
            },
            Self::Stream { first, down, up, .. } => {
                if let Some(frame) = first.take() {
                    return Ok(Incoming::Frame(frame));
                }
                tokio::select! {
                    () = down.closed() => Err(Gone),
                    // The place is ours, so there is always somebody to send.
                    frame = up.recv() => frame.map(Incoming::Frame).ok_or(Gone),
                }
            }
        }
    }

    /// Ends the connection: by a close frame, or where there is none by a push that says the same.
    pub(super) async fn close(self, code: DisconnectCode) {
        metrics::counter!("meet_connections_closed_total", "code" => code.number().to_string()).increment(1);
        let patience = if code == DisconnectCode::Slow { SLOW_PATIENCE } else { CLOSE_PATIENCE };
        match self {
            Self::WebSocket { socket, .. } => {
                end_web_socket(*socket, u16::try_from(code.number()).unwrap_or(u16::MAX), code.text(), patience).await;
            }
            Self::Stream { form, down, .. } => {
                let farewell = form.write(&mut vec![form.protocol().disconnect(code)]);
                // Whoever does not read it is gone anyway.
                let _ = down.send_timeout(farewell, patience).await;
            }
        }
    }

    /// Ends the connection after a frame over the limit.
    pub(super) async fn close_too_large(self) {
        if let Self::WebSocket { socket, .. } = self {
            metrics::counter!("meet_connections_closed_total", "code" => "1009").increment(1);
            end_web_socket(*socket, 1009, "frame too large", CLOSE_PATIENCE).await;
        }
    }
}

fn message(protocol: Protocol, reply: Bytes) -> Result<Message, Gone> {
    Ok(match protocol {
        Protocol::Protobuf => Message::Binary(reply),
        // JSON that we wrote is always text.
        Protocol::Json => Message::Text(Utf8Bytes::try_from(reply).map_err(|_| Gone)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_ends_its_replies_in_its_own_way() {
        let replies = || vec![Bytes::from_static(b"{}"), Bytes::from_static(b"{\"id\":1}")];
        assert_eq!(Form::Lines(Protocol::Json).write(&mut replies()), "{}\n{\"id\":1}\n");
        assert_eq!(Form::Events.write(&mut replies()), "data: {}\n\ndata: {\"id\":1}\n\n");
        let prefixed = vec![Bytes::from_static(&[0]), Bytes::from_static(&[2, 8, 1])];
        assert_eq!(Form::Lines(Protocol::Protobuf).write(&mut prefixed.clone()), [0, 2, 8, 1][..]);
    }
}
