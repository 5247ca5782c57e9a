//! From a listener to served connections, and an orderly end: no new connections, sockets told, requests finished,
//! messages stored, database closed.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo, middleware};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use crate::{app::App, edge, http, hub::CloseReason, telemetry, web};

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
    telemetry::install();
    app.tasks().spawn_until_stop(telemetry::keep_up());
    serve_metrics(&app).await?;
    let connections = TaskTracker::new();
    let router = router(app.clone());
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(app.clone(), router.clone(), stream, peer));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
        }
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

/// Everything that is served, with what stands around it.
fn router(app: App) -> Router {
    http::routes()
        .merge(web::routes())
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .layer(middleware::from_fn(edge::count_requests))
        .layer(middleware::from_fn_with_state(app.clone(), edge::finish_changes))
        .layer(edge::cross_origin(&app))
        .layer(middleware::from_fn_with_state(app.clone(), edge::check_host))
        .layer(middleware::from_fn(edge::secure_headers))
        .with_state(app)
}

/// Serves one connection, and lets its current request finish when the process stops.
async fn connection(app: App, router: Router, stream: TcpStream, peer: SocketAddr) {
    let socket = socket2::SockRef::from(&stream);
    // What the system refuses here only costs comfort.
    let _ = (stream.set_nodelay(true), socket.set_send_buffer_size(SEND_BUFFER));
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
        .serve_connection(TokioIo::new(stream), service)
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
async fn serve_metrics(app: &App) -> Result<(), ServeError> {
    let Some(address) = app.config().metrics.listen else { return Ok(()) };
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Metrics { address, source })?;
    let shown = app.clone();
    let router = Router::new()
        .route("/metrics", axum::routing::get(move || async move { telemetry::render(&shown) }))
        .fallback(http::not_found);
    app.tasks().spawn_until_stop(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the metrics are no longer shown");
        }
    });
    Ok(())
}
