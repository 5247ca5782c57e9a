//! Health, readiness, metrics and the OpenAPI document.

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use meet_api::{ErrorBody, ErrorCode};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use crate::{
    app::App,
    edge::{Refusal, error_answer},
    error::Error,
    telemetry,
};

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "Operations",
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain"))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the server can serve: its database answers, messages are taken, and it is not stopping.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "Operations",
    responses(
        (status = 200, description = "It can serve.", body = String, content_type = "text/plain"),
        (status = 503, description = "It stops, or its database does not answer, or it can store no messages.", body = ErrorBody),
    )
)]
pub(super) async fn readyz(State(app): State<App>) -> Result<&'static str, Refusal> {
    if app.tasks().is_stopping() {
        return Err(Error::Unavailable("the server is stopping").into());
    }
    if !app.is_appending() {
        return Err(Error::Unavailable("the server can store no messages any more").into());
    }
    app.store().ping().await.map_err(Error::from)?;
    Ok("ready\n")
}

/// Metrics in the Prometheus text format, for the bearer of the configured token.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "Operations", security(("bearer" = [])),
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (status = 401, description = "This is not the token.", body = ErrorBody),
        (status = 404, description = "No metrics here.", body = ErrorBody),
    )
)]
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let Some(token) = &app.config().metrics.token else {
        return error_answer(ErrorCode::NotFound, "there is nothing at this address");
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let shown = shown.strip_prefix("Bearer ").unwrap_or_default();
    if bool::from(shown.as_bytes().ct_eq(token.expose_secret().as_bytes())) {
        telemetry::render(&app).into_response()
    } else {
        error_answer(ErrorCode::InvalidKey, "Invalid metrics token")
    }
}

#[cfg(test)]
mod tests {
    use crate::{Clock, Config};

    use super::*;

    #[tokio::test]
    async fn a_server_that_can_store_no_messages_is_not_ready() {
        let root = tempfile::tempdir().unwrap();
        let config = Config { data_dir: root.path().join("data"), ..Config::default() };
        let bound = config.listen;
        let app = App::open(config, Clock::system(), bound).await.unwrap().app;
        assert!(readyz(State(app.clone())).await.is_ok());
        app.stop_appending().await;
        assert_eq!(readyz(State(app.clone())).await.into_response().status(), 503);
        app.close().await;
    }
}
