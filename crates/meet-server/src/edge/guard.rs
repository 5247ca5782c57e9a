//! What stands around every route: the Host check against DNS rebinding, headers that keep browsers
//! careful, and a count of requests without anyone's name in it.

use std::time::Duration;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use meet_api::ErrorCode;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;

use super::answer::error_answer;

/// What scripts of listed origins may read of an answer besides its body.
const EXPOSED: [&str; 8] = [
    "link",
    "mcp-session-id",
    "x-head-seq",
    "x-epoch",
    "retry-after",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
];

/// What scripts of listed origins may send besides a body.
const TAKEN: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("x-meet-kind"),
    HeaderName::from_static("x-meet-name"),
];

/// Refuses requests that name a server that this is not; probes are taken under any name.
pub(crate) async fn check_host(State(app): State<App>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    if hosts.next().is_some() {
        // Whatever stands in front may have looked at the other one.
        return error_answer(ErrorCode::InvalidRequest, "the request must have one Host header");
    }
    if app.site().hosts.accepts(host) {
        return next.run(request).await;
    }
    let shown: String = host.chars().filter(|c| !c.is_control()).take(255).collect();
    let sentence = format!(
        "this server does not answer to the host {shown:?}: set MEET_AI_PUBLIC_URL to the address that people use"
    );
    error_answer(ErrorCode::ForeignHost, &sentence)
}

/// Lets a change go to its end when its caller hangs up: what is stored must also end the connections and reach the
/// lobbies that it concerns.
pub(crate) async fn finish_changes(State(app): State<App>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let answer = app.tasks().run(next.run(request)).await;
    answer.unwrap_or_else(|_| error_answer(ErrorCode::Unavailable, "the server failed at this request"))
}

/// Headers that every answer carries.
pub(crate) async fn secure_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(HeaderName::from_static("cross-origin-opener-policy"))
        .or_insert(HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A method by its name; those that we do not speak are one, because a caller can invent any number of them.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Counts and logs requests by route and status; a route is its pattern, never the ids or the query in it.
pub(crate) async fn count_requests(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = path.unwrap_or_else(|| "none".to_owned());
    let method = known_method(request.method());
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    tracing::debug!(http.method = method, http.route = route, http.status = status, "answered a request");
    metrics::counter!("meet_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    response
}

/// Lets pages of the listed origins read answers; without credentials, since cookies stay with this server.
pub(crate) fn cross_origin(app: &App) -> CorsLayer {
    let app = app.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            origin.to_str().is_ok_and(|origin| app.config().origin_listed(origin))
        }))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers(TAKEN)
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(Duration::from_mins(10))
}
