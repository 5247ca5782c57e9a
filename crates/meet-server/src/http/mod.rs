//! The HTTP API: thin handlers over the operations, and the OpenAPI document that is made from them.
//!
//! No handler decides anything; sockets and streams are the gateway's.

mod keys;
mod messages;
mod operations;
mod page;
mod rooms;
mod session;

use std::sync::OnceLock;

use axum::{http::StatusCode, response::Response};
use meet_api::ErrorCode;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        PathItem, RefOr,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, edge::error_answer, gateway};

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
        .routes(routes!(keys::create_key, keys::get_key, keys::delete_key))
        .routes(routes!(keys::rotate_key))
        .routes(routes!(rooms::list_rooms, rooms::create_room))
        .routes(routes!(rooms::get_room, rooms::update_room, rooms::delete_room))
        .routes(routes!(rooms::get_presence))
        .routes(routes!(rooms::list_public_rooms))
        .routes(routes!(messages::list_messages, messages::send_message))
        .routes(routes!(messages::search_messages))
        .routes(routes!(session::sign_in, session::get_session, session::sign_out))
        .routes(routes!(session::create_invite, session::list_invites))
        .routes(routes!(session::revoke_invite))
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
        .merge(gateway::routes())
}

/// The routes of the API.
pub(crate) fn routes() -> axum::Router<App> {
    api().split_for_parts().0
}

/// The OpenAPI document, as it is served and committed.
pub fn openapi_json() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut document = api().split_for_parts().1;
        document.paths.paths.values_mut().for_each(describe_answers);
        let mut text = document.to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    })
}

/// Gives every answer the description that OpenAPI asks for: where there is none of its own, what its status means.
fn describe_answers(item: &mut PathItem) {
    let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    for operation in operations.into_iter().flatten() {
        for (status, answer) in &mut operation.responses.responses {
            if let RefOr::T(answer) = answer
                && answer.description.is_empty()
            {
                let status = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
                answer.description = status.and_then(|status| status.canonical_reason()).unwrap_or("Answer").into();
            }
        }
    }
}

/// The answer to an address that is none.
pub(crate) async fn not_found() -> Response {
    error_answer(ErrorCode::NotFound, "there is nothing at this address")
}

/// The answer to a method that an address does not take.
pub(crate) async fn method_not_allowed() -> Response {
    error_answer(ErrorCode::MethodNotAllowed, "this address does not take this method")
}
