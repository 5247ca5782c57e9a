//! From a listener to served connections, and an orderly end: no new connections, sockets told, requests finished,
//! messages stored, database closed.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use crate::{
    app::App,
    hub::CloseReason,
    line::{Line, Lines},
    mount::Mounted,
    router, telemetry,
};

/// How long the first byte and all headers of a request may take.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// How long the orderly end may take before the rest is cut off.
const STOP_PATIENCE: Duration = Duration::from_secs(8);
/// What the kernel may hold for a reader that does not read; without a bound it takes megabytes.
const SEND_BUFFER: usize = 128 * 1024;
/// How long a peer may take nothing of what is sent to it before the system ends the connection, whatever it carries.
#[cfg(target_os = "linux")]
const WRITE_PATIENCE: Duration = Duration::from_secs(90);
/// How much of a request's head is read.
const HEAD_BYTES: usize = 32 * 1024;
/// How long to rest when the system gives no more descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address for metrics cannot be listened on.
    #[error("cannot listen on {address} for metrics; choose another with MEET_AI_METRICS__LISTEN")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Serves until `shutdown` resolves, then ends in order within ten seconds.
///
/// # Errors
/// [`ServeError::Metrics`] when the metrics have an address of their own that cannot be had.
pub async fn serve(app: App, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    serve_with(app, listener, None, shutdown).await
}

/// Like [`serve`], with something that answers at `/mcp`.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    app: App,
    listener: TcpListener,
    mounted: Option<Mounted>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    telemetry::install();
    app.tasks().spawn_until_stop(telemetry::keep_up());
    let connections = TaskTracker::new();
    serve_metrics(&app, &connections).await?;
    let lines = Lines::of_server(&app);
    tokio::select! {
        () = shutdown => {}
        () = accept(&app, &listener, &lines, router::router(app.clone(), mounted), &connections) => {}
    }
    drop(listener);
    app.tasks().stop();
    app.hub().close_all(CloseReason::Shutdown);
    connections.close();
    let end = async {
        connections.wait().await;
        app.close().await;
    };
    if tokio::time::timeout(STOP_PATIENCE, end).await.is_err() {
        tracing::warn!("some connections were cut off");
        app.close_store().await;
    }
    Ok(())
}

/// Takes connections in for as long as it is waited for.
async fn accept(app: &App, listener: &TcpListener, lines: &Lines, router: Router, connections: &TaskTracker) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match Line::admit(app, lines, stream, peer.ip()) {
                Ok(line) => drop(connections.spawn(connection(app.clone(), router.clone(), line, peer))),
                Err(Some(turned_away)) => drop(connections.spawn(turned_away.tell())),
                Err(None) => {}
            },
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Serves one connection, and lets its current request finish when the process stops.
async fn connection(app: App, router: Router, line: Line, peer: SocketAddr) {
    let socket = socket2::SockRef::from(line.stream());
    // What the system refuses here only costs comfort.
    let _ = (line.stream().set_nodelay(true), socket.set_send_buffer_size(SEND_BUFFER));
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(WRITE_PATIENCE));
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        async move {
            // A router is always ready.
            ServiceExt::<Request<Incoming>>::ready(&mut router).await?.call(request).await
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(line), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = app.tasks().stopping() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// Shows the metrics on an address of their own, when one is configured.
async fn serve_metrics(app: &App, connections: &TaskTracker) -> Result<(), ServeError> {
    let Some(address) = app.config().metrics.listen else { return Ok(()) };
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Metrics { address, source })?;
    let (accepting, connections) = (app.clone(), connections.clone());
    let router = router::metrics(app.clone(), address.ip());
    let lines = Lines::of_metrics();
    app.tasks().spawn_until_stop(async move { accept(&accepting, &listener, &lines, router, &connections).await });
    Ok(())
}
