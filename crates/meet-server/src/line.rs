//! The connections that the server holds open: how many there may be, and a stream that keeps its place until it is
//! closed. What a connection carries is none of its business.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use meet_api::{ErrorBody, ErrorCode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    app::App,
    error::Error,
    limits::{Slot, SlotCaps},
};

/// How long a refused caller is asked to stay away, in seconds.
const RETRY_SECONDS: u64 = 2;

/// An open connection. It holds its place as long as its descriptor: also as a socket, when the request is long over.
pub(crate) struct Line {
    stream: TcpStream,
    _slot: Slot,
}

impl Line {
    /// Takes a connection in; one too many is told so, and closed.
    pub(crate) fn admit(app: &App, stream: TcpStream, peer: IpAddr) -> Option<Self> {
        match app.take_line(peer) {
            Ok(slot) => Some(Self { stream, _slot: slot }),
            Err(refusal) => {
                metrics::counter!("meet_connections_refused_total").increment(1);
                // Nothing was sent yet, so this fits the kernel's buffer; a caller who is gone needs no answer.
                let _ = stream.try_write(answer(&refusal).as_bytes());
                None
            }
        }
    }

    /// The connection itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl App {
    /// Takes a place for a connection. A trusted proxy speaks for many, so only the server's own bound holds for it.
    fn take_line(&self, peer: IpAddr) -> Result<Slot, Error> {
        let config = self.config();
        let ip = if config.is_trusted_proxy(peer) { 0 } else { config.limits.max_connections_per_ip() };
        let caps = SlotCaps { user: 0, tenant: 0, ip, server: self.max_connections() };
        self.limits().lines.take(None, None, peer, caps)
    }
}

/// What somebody is told before a request was read.
fn answer(refusal: &Error) -> String {
    let status = match refusal.code() {
        ErrorCode::RateLimited => "429 Too Many Requests",
        _ => "503 Service Unavailable",
    };
    let body = ErrorBody { error: refusal.to_string(), code: refusal.code() };
    let body = serde_json::to_string(&body).unwrap_or_default();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: {RETRY_SECONDS}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
