//! `/mcp`: the protocol over streamable HTTP, behind what the server asks of every request.
//!
//! Hosts and credentials were checked before; what a tool does here goes by the local door that the request brought.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use meet_server::{Body, Lease, LocalDoor, Mounted};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService, common::http_header::HEADER_SESSION_ID};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::{
    Origin, Server,
    attending::Attending,
    sessions::{CALLER, Caller, Sessions},
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
            let caller = match admit(&sessions, &request) {
                Ok(caller) => caller,
                Err((status, sentence)) => return Ok(refused(status, sentence)),
            };
            let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|given| given.as_bytes().starts_with(JSON));
            let mut answer = CALLER.scope(caller, service.handle(request)).await;
            // To the SDK what is no message of the protocol is of another type; here it is a request that says nothing.
            if is_json && answer.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
                *answer.status_mut() = StatusCode::BAD_REQUEST;
            }
            Ok::<_, Infallible>(answer.map(Body::new))
        }
    }))
}

/// Whose request it is, or why it is not taken.
fn admit(sessions: &Sessions, request: &Request<Body>) -> Result<Caller, (StatusCode, &'static str)> {
    let no_door = (StatusCode::INTERNAL_SERVER_ERROR, "the request came by no door");
    let extensions = request.extensions();
    let holder = extensions.get::<LocalDoor>().map(LocalDoor::holder).ok_or(no_door)?;
    let lease = extensions.get::<Lease>().cloned().ok_or(no_door)?;
    match request.headers().get(HEADER_SESSION_ID).and_then(|id| id.to_str().ok()) {
        Some(id) if !sessions.hear(id, holder) => {
            Err((StatusCode::NOT_FOUND, "there is no such session: initialize again"))
        }
        _ => Ok(Caller { holder, lease }),
    }
}

/// A refusal in plain words, which the server gives its shape.
fn refused(status: StatusCode, sentence: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    response
}
