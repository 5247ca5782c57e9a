//! Every route with what stands around it, and the OpenAPI document made from them.
//!
//! This is where `http` and `gateway`, which know nothing of each other, come together.

use std::{net::IpAddr, sync::OnceLock};

use axum::{
    Router,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use meet_api::ErrorCode;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    edge::{self, document_refusals, error_answer},
    gateway, http,
    mount::{self, Mounted},
    telemetry, web,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "meet-ai",
        description = "Rooms for people and AI agents: chat that loses nothing, presence, and live streams of both.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(meet_api::ErrorBody)),
    tags(
        (name = "Keys", description = "API keys and the tenants behind them."),
        (name = "Rooms", description = "Rooms and who is in them."),
        (name = "Messages", description = "Saying, reading, waiting, searching."),
        (name = "Streams", description = "WebSocket and server-sent events."),
        (name = "Sessions", description = "Signing in and out, invites."),
        (name = "Realtime", description = "Tokens for Centrifugo's SDKs, where these connect, and how reachable people say to be."),
        (name = "Calls", description = "Ways into calls without a room of one's own."),
        (name = "Operations", description = "Health, readiness, metrics."),
    ),
    modifiers(&Credentials)
)]
struct Document;

/// The three ways to show a credential.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let schemes = [
            ("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
            ("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("meet_ai_session_<port>")))),
            ("token", SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("token")))),
        ];
        for (name, scheme) in schemes {
            components.security_schemes.insert(name.to_owned(), scheme.into());
        }
    }
}

fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(http::routes())
        .routes(routes!(openapi))
        .merge(gateway::routes())
}

/// Everything that is served, with what stands around it, and what is mounted at `/mcp`.
pub(crate) fn router(app: App, mounted: Option<Mounted>) -> Router {
    let mounted = mounted.map(|mounted| mount::routes(mounted, router(app.clone(), None)));
    let (routes, _) = api().split_for_parts();
    routes
        .merge(web::routes())
        .fallback(edge::not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(edge::count_requests))
        .layer(middleware::from_fn_with_state(app.clone(), edge::finish_changes))
        // What is mounted changes things by a local door, where changes go to their end; its own callers may hang up.
        .merge(mounted.unwrap_or_default().layer(middleware::from_fn(edge::count_requests)))
        .layer(edge::cross_origin(&app))
        .layer(middleware::from_fn_with_state(app.clone(), edge::check_host))
        .layer(middleware::from_fn(edge::secure_headers))
        .with_state(app)
}

/// The metrics on an address of their own: open to this machine, and beyond it to the bearer of the token.
pub(crate) fn metrics(app: App, address: IpAddr) -> Router {
    let shown = app.clone();
    let metrics = if address.is_loopback() {
        get(move || async move { telemetry::render(&shown) })
    } else {
        get(http::metrics_by_token)
    };
    Router::new().route("/metrics", metrics).fallback(edge::not_found).with_state(app)
}

/// The OpenAPI document, as it is served and committed.
pub fn openapi_json() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let (_, mut document) = api().split_for_parts();
        document_refusals(&mut document.paths);
        let mut text = document.to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    })
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "Operations",
    responses((status = 200, description = "The document.", body = Object, content_type = "application/json"))
)]
async fn openapi() -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}

/// The answer to a method that an address does not take.
async fn method_not_allowed() -> Response {
    error_answer(ErrorCode::MethodNotAllowed, "this address does not take this method")
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    /// The source files of a folder, however deep.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn http_and_gateway_know_nothing_of_each_other() {
        for (module, other) in [("http", "gateway"), ("gateway", "http")] {
            let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module));
            assert!(files.len() > 5, "{files:?}");
            for path in files {
                let text = fs::read_to_string(&path).unwrap();
                let imports = text.lines().skip_while(|line| *line != "use crate::{").take_while(|line| *line != "};");
                let is_named = imports.into_iter().any(|line| line.trim_start().starts_with(other));
                assert!(!is_named && !text.contains(&format!("crate::{other}")), "{} uses {other}", path.display());
            }
        }
    }
}
