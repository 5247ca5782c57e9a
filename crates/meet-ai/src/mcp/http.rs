//! `/mcp`: the protocol over streamable HTTP, behind what the server asks of every request.
//!
//! Hosts and credentials were checked before; what a tool does here goes by the local door that the request brought.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use meet_server::{Body, Holder, LocalDoor, Mounted};
use rmcp::{
    model::ProtocolVersion,
    transport::{
        StreamableHttpServerConfig, StreamableHttpService,
        common::http_header::{HEADER_MCP_PROTOCOL_VERSION, HEADER_SESSION_ID},
    },
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::{
    Origin, Server,
    attending::Attending,
    sessions::{HOLDER, Sessions},
};

/// What a message of the protocol is.
const JSON: &[u8] = b"application/json";
/// The longest request: as long as every other of the server.
const MAX_BODY: usize = 256 * 1024;
/// How often a silent stream shows that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(25);

/// What answers at `/mcp` until `stopping`; with `manage` its callers may also do what changes who gets into a room.
pub(crate) fn mounted(manage: bool, stopping: CancellationToken) -> Mounted {
    let sessions = Arc::new(Sessions::new());
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_sse_keep_alive(Some(SIGN_OF_LIFE))
        .with_max_request_body_bytes(MAX_BODY)
        .with_cancellation_token(stopping);
    // One for each session, and for each request that has none.
    let server = move || Ok(Server::new(Origin::Visitors(Arc::new(Attending::lingering())), manage));
    let service = StreamableHttpService::new(server, Arc::clone(&sessions), config);
    Mounted::new(service_fn(move |request: Request<Body>| {
        let (service, sessions) = (service.clone(), Arc::clone(&sessions));
        async move {
            let holder = match admit(&sessions, &request) {
                Ok(holder) => holder,
                Err((status, sentence)) => return Ok(refused(status, sentence)),
            };
            let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|given| given.as_bytes().starts_with(JSON));
            let mut answer = HOLDER.scope(holder, service.handle(request)).await;
            // To the SDK what is no message of the protocol is of another type; here it is a request that says nothing.
            if is_json && answer.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
                *answer.status_mut() = StatusCode::BAD_REQUEST;
            }
            Ok::<_, Infallible>(answer.map(Body::new))
        }
    }))
}

/// Whose request it is, or why it is not taken.
fn admit(sessions: &Sessions, request: &Request<Body>) -> Result<Holder, (StatusCode, &'static str)> {
    let no_door = (StatusCode::INTERNAL_SERVER_ERROR, "the request came by no door");
    let holder = request.extensions().get::<LocalDoor>().map(LocalDoor::holder).ok_or(no_door)?;
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    match header(HEADER_SESSION_ID) {
        Some(id) if !sessions.hear(id, holder) => {
            Err((StatusCode::NOT_FOUND, "there is no such session: initialize again"))
        }
        None if sessions.are_full() && opens_session(header(HEADER_MCP_PROTOCOL_VERSION)) => {
            Err((StatusCode::SERVICE_UNAVAILABLE, "the server has too many sessions"))
        }
        _ => Ok(holder),
    }
}

/// Whether a request of this revision without a session can only be one that opens one.
fn opens_session(revision: Option<&str>) -> bool {
    revision.is_none_or(|revision| revision < ProtocolVersion::NO_INITIALIZE.as_str())
}

/// A refusal in plain words, which the server gives its shape.
fn refused(status: StatusCode, sentence: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    response
}
