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
    limits::{Slot, SlotCaps, Slots},
};

/// How long a refused caller is asked to stay away, in seconds.
const RETRY_SECONDS: u64 = 2;
/// How many callers are told at a time that there is no place for them.
const MAX_FAREWELLS: usize = 32;
/// How long that may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many of the server's places only this machine itself may take, so that whoever looks after a full server gets in.
const KEPT_FOR_LOOPBACK: usize = 16;
/// How many connections a listener of the metrics takes, however full the server is.
const METRICS_LINES: usize = 16;

/// The places of one listener's connections.
pub(crate) struct Lines {
    slots: Slots,
    server: usize,
    ip: usize,
    kept: usize,
}

impl Lines {
    /// Those of the server.
    pub(crate) fn of_server(app: &App) -> Self {
        let server = app.max_connections();
        Self {
            slots: app.limits().lines.clone(),
            server,
            ip: app.config().limits.max_connections_per_ip(server),
            kept: KEPT_FOR_LOOPBACK.min(server / 2),
        }
    }

    /// Those of the metrics on an address of their own.
    pub(crate) fn of_metrics() -> Self {
        Self { slots: Slots::default(), server: METRICS_LINES, ip: 0, kept: 0 }
    }

    /// Takes a place. A trusted proxy speaks for many, so only the listener's own bound holds for it.
    fn take(&self, is_proxy: bool, peer: IpAddr) -> Result<Slot, Error> {
        let server = if peer.to_canonical().is_loopback() { self.server } else { self.server - self.kept };
        let ip = if is_proxy { 0 } else { self.ip };
        self.slots.take(None, None, peer, SlotCaps { user: 0, tenant: 0, ip, server })
    }
}

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
    pub(crate) fn admit(app: &App, lines: &Lines, stream: TcpStream, peer: IpAddr) -> Result<Self, Option<TurnedAway>> {
        let refusal = match lines.take(app.config().is_trusted_proxy(peer), peer) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_places_of_a_full_server_are_this_machines_own() {
        let lines = Lines { slots: Slots::default(), server: 40, ip: 0, kept: 16 };
        let (stranger, own) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([127, 0, 0, 1]));
        let strangers: Vec<_> = std::iter::from_fn(|| lines.take(false, stranger).ok()).collect();
        assert_eq!(strangers.len(), 24);
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        let own: Vec<_> = [own, mapped, own].into_iter().map_while(|peer| lines.take(false, peer).ok()).collect();
        assert_eq!(own.len(), 3);
    }
}
