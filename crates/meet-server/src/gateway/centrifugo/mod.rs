//! The gateway for clients of the Centrifugo protocol: one connection for rooms, presence, status and the lobby.
//!
//! The protocol itself is `meet-centrifuge`'s. Here are its shells: [`mod@line`] moves bytes over a WebSocket or a stream,
//! [`client`] turns the wheel of one connection, [`answers`] asks the application what its client may have. Who a client
//! is says its connection token alone: no route here reads a cookie.

mod answers;
mod catch_up;
mod client;
mod line;

use std::net::IpAddr;

use axum::{
    body::Bytes,
    extract::{
        FromRequestParts, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use meet_api::{ErrorBody, ErrorCode};
use meet_centrifuge::{Protocol, message::EmulationRequest};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    edge::{ClientIp, Query, RawBody, Refusal, TakesPlace, error_answer, has_foreign_origin},
    error::Error,
};

use super::bounded;

use client::Client;
use line::{Form, Line};

/// The subprotocol by which a client asks for Protobuf.
const PROTOBUF: &str = "centrifuge-protobuf";
/// The subprotocol by which a client asks for JSON, as it gets without one.
const JSON: &str = "centrifuge-json";

/// The routes of the protocol.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(socket))
        .routes(routes!(http_stream))
        .routes(routes!(sse, sse_by_post))
        .routes(routes!(emulation))
}

/// Whoever connects from a page of ours or a listed one, or from no page at all. There is no cookie that a foreign page
/// could use; the rule keeps it from spending its visitors' places.
struct Connecting {
    ip: IpAddr,
    query: Query,
}

impl FromRequestParts<App> for Connecting {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        if has_foreign_origin(&parts.headers, app) {
            return Err(Error::BadOrigin.into());
        }
        let ClientIp(ip) = ClientIp::from_request_parts(parts, app).await?;
        Ok(Self { ip, query: Query::parse(parts.uri.query()) })
    }
}

/// A WebSocket of the Centrifugo protocol, in JSON, or in Protobuf when asked for by subprotocol or `format`.
#[utoipa::path(
    get, path = "/connection/websocket", operation_id = "connection-websocket", tag = "Realtime", security(()),
    params(("format" = Option<String>, Query, description = "`protobuf`, or JSON when absent.")),
    responses(
        (status = 101, description = "The socket is open."), TakesPlace,
        (status = 403, description = "The page is of another server.", body = ErrorBody),
        (status = 426, body = ErrorBody),
    )
)]
async fn socket(
    State(app): State<App>,
    connecting: Connecting,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let Ok(upgrade) = upgrade else {
        return Ok(error_answer(ErrorCode::UpgradeRequired, "expected WebSocket upgrade"));
    };
    let slot = app.take_slot(None, None, connecting.ip)?;
    let protocol = protocol_of(&headers, &connecting.query);
    Ok(bounded(upgrade.protocols([PROTOBUF, JSON])).on_upgrade(move |socket| {
        let line = Line::web_socket(socket, protocol);
        app.tasks().clone().spawn(Client::new(app, line, protocol, None, slot).run());
        std::future::ready(())
    }))
}

/// The form of the protocol that a WebSocket speaks.
fn protocol_of(headers: &HeaderMap, query: &Query) -> Protocol {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let by_subprotocol = offered.flat_map(|value| value.split(',')).any(|name| name.trim() == PROTOBUF);
    let is_asked = |name| query.given(name).is_some_and(|format| format == "protobuf");
    if by_subprotocol || is_asked("format") || is_asked("cf_protocol") { Protocol::Protobuf } else { Protocol::Json }
}

/// A stream of the Centrifugo protocol: the body is the first frame, commands follow by `/emulation`.
#[utoipa::path(
    post, path = "/connection/http_stream", operation_id = "connection-http-stream", tag = "Realtime", security(()),
    request_body(content = Object, description = "The first frame, in JSON; Protobuf as `application/octet-stream`."),
    responses(
        (status = 200, description = "The open stream.", body = String), RawBody, TakesPlace,
        (status = 403, description = "The page is of another server.", body = ErrorBody),
    )
)]
async fn http_stream(
    State(app): State<App>,
    connecting: Connecting,
    headers: HeaderMap,
    RawBody { bytes: frame, .. }: RawBody,
) -> Result<Response, Refusal> {
    let protocol = if is_octets(&headers) { Protocol::Protobuf } else { Protocol::Json };
    stream(&app, &connecting, frame, Form::Lines(protocol))
}

/// An event stream of the Centrifugo protocol, in JSON: `cf_connect` is the first frame, commands follow by `/emulation`.
#[utoipa::path(
    get, path = "/connection/sse", operation_id = "connection-sse", tag = "Realtime", security(()),
    params(("cf_connect" = String, Query, description = "The first frame.")),
    responses(
        (status = 200, description = "The open stream.", body = String, content_type = "text/event-stream"), TakesPlace,
        (status = 403, description = "The page is of another server.", body = ErrorBody),
    )
)]
async fn sse(State(app): State<App>, connecting: Connecting) -> Result<Response, Refusal> {
    let frame = connecting.query.text("cf_connect").unwrap_or_default().to_owned();
    stream(&app, &connecting, frame.into(), Form::Events)
}

/// The same with the first frame as the body.
#[utoipa::path(
    post, path = "/connection/sse", operation_id = "connection-sse-by-post", tag = "Realtime", security(()),
    request_body(content = Object, description = "The first frame."),
    responses(
        (status = 200, description = "The open stream.", body = String, content_type = "text/event-stream"),
        RawBody, TakesPlace,
        (status = 403, description = "The page is of another server.", body = ErrorBody),
    )
)]
async fn sse_by_post(
    State(app): State<App>,
    connecting: Connecting,
    RawBody { bytes: frame, .. }: RawBody,
) -> Result<Response, Refusal> {
    stream(&app, &connecting, frame, Form::Events)
}

/// Opens a stream whose client has said `first`.
fn stream(app: &App, connecting: &Connecting, first: Bytes, form: Form) -> Result<Response, Refusal> {
    if first.is_empty() {
        return Err(Error::Invalid("the first frame is missing: connect by it".into()).into());
    }
    let slot = app.take_slot(None, None, connecting.ip)?;
    let place = app.emulated().open(app.clock());
    let emulation = place.emulation();
    let (line, response) = Line::stream(form, first, place);
    let client = Client::new(app.clone(), line, form.protocol(), Some(emulation), slot);
    app.tasks().spawn(client.run());
    Ok(response)
}

/// A command of a client whose connection is a stream.
#[utoipa::path(
    post, path = "/emulation", operation_id = "emulation", tag = "Realtime", security(()),
    request_body(content = Object, description = "`{session, node, data}`; Protobuf as `application/octet-stream`."),
    responses(
        (status = 204, description = "The connection has the command."), RawBody,
        (status = 403, description = "The page is of another server.", body = ErrorBody),
        (status = 404, description = "There is no such connection, or not any more.", body = ErrorBody),
    )
)]
async fn emulation(
    State(app): State<App>,
    _connecting: Connecting,
    headers: HeaderMap,
    RawBody { bytes, share }: RawBody,
) -> Result<Response, Refusal> {
    let protocol = if is_octets(&headers) { Protocol::Protobuf } else { Protocol::Json };
    let request: EmulationRequest = protocol
        .emulated(bytes)
        .map_err(|error| Error::Invalid(format!("the body is no command of an emulated connection: {error}")))?;
    app.emulated().deliver(&request.node, &request.session, request.data, share).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn is_octets(headers: &HeaderMap) -> bool {
    let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| essence(value) == "application/octet-stream")
}
