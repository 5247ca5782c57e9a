//! The connections that the server holds open: how many there may be, and a stream that keeps its place until it is
//! closed. What a connection carries is none of its business.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use meet_api::{ErrorBody, ErrorCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};

use crate::{
    app::App,
    error::Error,
    limits::{Slot, SlotCaps},
};

/// How long a refused caller is asked to stay away, in seconds.
const RETRY_SECONDS: u64 = 2;
/// How many callers are told at a time that there is no place for them.
const MAX_FAREWELLS: usize = 32;
/// How long that may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// An open connection. It holds its place as long as its descriptor: also as a socket, when the request is long over.
pub(crate) struct Line {
    stream: TcpStream,
    _slot: Slot,
}

/// A connection that is one too many.
pub(crate) struct TurnedAway {
    stream: TcpStream,
    refusal: Error,
    _slot: Slot,
}

impl Line {
    /// Takes a connection in. One too many is to be told so; when too many are being told, it is just closed.
    pub(crate) fn admit(app: &App, stream: TcpStream, peer: IpAddr) -> Result<Self, Option<TurnedAway>> {
        let refusal = match app.take_line(peer) {
            Ok(slot) => return Ok(Self { stream, _slot: slot }),
            Err(refusal) => refusal,
        };
        metrics::counter!("meet_connections_refused_total").increment(1);
        let caps = SlotCaps { user: 0, tenant: 0, ip: 0, server: MAX_FAREWELLS };
        let slot = app.limits().farewells.take(None, None, peer, caps).map_err(|_| None)?;
        Err(Some(TurnedAway { stream, refusal, _slot: slot }))
    }

    /// The connection itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl TurnedAway {
    /// Says why, and hangs up when the other side has or its time is over: a line that is closed with something unread
    /// is reset, and the answer lost.
    pub(crate) async fn tell(mut self) {
        let farewell = async {
            self.stream.write_all(answer(&self.refusal).as_bytes()).await?;
            self.stream.shutdown().await?;
            let mut unread = [0; 1024];
            while self.stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        // Whoever is gone needs no answer.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
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
