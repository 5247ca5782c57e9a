//! `/mcp`: who comes in there, how many and until when. What answers is mounted by the binary.
//!
//! It knows nothing of MCP. What is mounted asks this server by the [`LocalDoor`] that comes with each request: the
//! HTTP API as the very caller, so that rights, limits, addresses and errors are those of everybody, without a socket.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

pub use axum::body::Body;
use axum::{
    Json, Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, FromRequest as _, State},
    http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts},
    response::IntoResponse as _,
    routing::any,
};
use futures_util::StreamExt as _;
use meet_api::{ErrorBody, ErrorCode, SessionId, TenantId};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use crate::{
    app::App,
    auth::Member,
    edge::{Bearer, ClientIp, RawBody, Refusal},
    error::Error,
    hub::{CloseReason, Connection, Scope},
    limits::Slot,
};

/// The address of what is mounted.
const PATH: &str = "/mcp";
/// The longest answer that the local door gives: the fullest page of history fits well, all of it escaped.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// How long an open stream may still answer when its credential has ended: by then what was asked is refused, and
/// whoever is told so does not wait on.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How much of a plain refusal is passed on.
const MAX_SENTENCE: usize = 4 * 1024;
/// Nothing is published to a mounted stream; it is only told when it has to end.
const OUTBOX_BYTES: usize = 1024;

/// What answers at `/mcp`. Its requests carry a [`LocalDoor`] and a [`Lease`] among their extensions.
pub type Mounted = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// This server's API in the hands of one caller, without a socket between.
#[derive(Clone)]
pub struct LocalDoor {
    router: Router,
    peer: SocketAddr,
    carried: Vec<(HeaderName, HeaderValue)>,
    holder: Holder,
}

/// Whose credential came with a request: what one of them opened is not for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    tenant: TenantId,
    generation: u64,
    session: Option<SessionId>,
}

impl Holder {
    fn of(member: &Member) -> Self {
        Self { tenant: member.home, generation: member.generation, session: member.session }
    }

    /// The tenant of the credential, whose others share what it may take.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }
}

/// Tells of the credential that came with a request whether it has ended since, also after the request.
#[derive(Clone)]
pub struct Lease(Arc<Connection>);

impl Lease {
    /// Whether it has ended, or the server stops.
    pub fn has_ended(&self) -> bool {
        self.0.outbox().closed().is_some()
    }
}

impl LocalDoor {
    fn new(app: &App, router: Router, peer: SocketAddr, member: &Member, parts: &Parts) -> Self {
        let proxy = app.config().client_ip_header.as_deref().and_then(|name| name.parse().ok());
        let names = [Some(header::HOST), Some(header::AUTHORIZATION), proxy];
        let mut carried = Vec::new();
        for name in names.into_iter().flatten() {
            carried.extend(parts.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
        }
        Self { router, peer, carried, holder: Holder::of(member) }
    }

    /// Whose credential it asks with.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// Asks the API. The caller's credential, Host and address come with the request by themselves, and its answer is
    /// read whole: for streams there is [`LocalDoor::open`].
    pub async fn ask(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = self.open(request).await.into_parts();
        let body = to_bytes(body, MAX_ANSWER).await.unwrap_or_default();
        Response::from_parts(parts, body)
    }

    /// Asks the API, as [`LocalDoor::ask`] does, for an answer that comes by and by.
    pub async fn open(&self, request: Request<Bytes>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        for (name, _) in &self.carried {
            parts.headers.remove(name);
        }
        for (name, value) in &self.carried {
            parts.headers.append(name, value.clone());
        }
        parts.extensions.insert(ConnectInfo(self.peer));
        let asked = self.router.clone().oneshot(Request::from_parts(parts, Body::from(body))).await;
        asked.unwrap_or_else(|never| match never {})
    }
}

/// The place that a request holds while it is answered, and what tells that it has to end.
struct Stay {
    connection: Arc<Connection>,
    _slot: Slot,
}

impl Stay {
    async fn begin(app: &App, member: &Member, ip: IpAddr) -> Result<Self, Error> {
        let slot = app.take_slot(Some(member), member.user(), ip)?;
        let connection = app.hub().connect(app.clock().uuid(), Some(member.credential()), Scope::One, OUTBOX_BYTES);
        // What ended before is noticed here, and from here on by the hub.
        app.confirm(Some(member)).await?;
        Ok(Self { connection: Arc::new(connection), _slot: slot })
    }

    fn lease(&self) -> Lease {
        Lease(Arc::clone(&self.connection))
    }

    /// Resolves when the credential has ended, or the server stops.
    fn ended(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        let outbox = Arc::clone(self.connection.outbox());
        async move { outbox.wait_closed().await }
    }
}

/// The route of what is mounted; `api` is what its local doors lead to.
pub(crate) fn routes(mounted: Mounted, api: Router) -> Router<App> {
    let handler = move |State(app): State<App>,
                        Bearer(member): Bearer,
                        ClientIp(ip): ClientIp,
                        ConnectInfo(peer): ConnectInfo<SocketAddr>,
                        request: Request<Body>| {
        let (mounted, api) = (mounted.clone(), api.clone());
        async move {
            let stay = Stay::begin(&app, &member, ip).await?;
            let (parts, body) = request.into_parts();
            let door = LocalDoor::new(&app, api, peer, &member, &parts);
            let RawBody { bytes, share: _held } =
                RawBody::from_request(Request::from_parts(parts.clone(), body), &app).await?;
            let mut request = Request::from_parts(parts, Body::from(bytes));
            request.extensions_mut().insert(door);
            request.extensions_mut().insert(stay.lease());
            answer(mounted, request, stay).await
        }
    };
    Router::new().route(PATH, any(handler))
}

async fn answer(mounted: Mounted, request: Request<Body>, stay: Stay) -> Result<Response<Body>, Refusal> {
    let response = tokio::select! {
        response = mounted.oneshot(request) => response.unwrap_or_else(|never| match never {}),
        reason = stay.ended() => return Err(match reason {
            CloseReason::Shutdown => Error::Unavailable("the server is stopping").into(),
            _ => Error::InvalidKey.into(),
        }),
    };
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is = |wanted: &str| content_type.is_some_and(|given| given.starts_with(wanted));
    if is("text/event-stream") {
        return Ok(response.map(|body| open(body, stay)));
    }
    if response.status().is_success() || is("application/json") {
        return Ok(response);
    }
    Ok(in_our_shape(response).await)
}

/// A stream that keeps its place until it ends, and ends when it has to.
fn open(body: Body, stay: Stay) -> Body {
    let reason = stay.ended();
    let ended = async move {
        if reason.await == CloseReason::CredentialEnded {
            tokio::time::sleep(LAST_WORD).await;
        }
    };
    let held = body.into_data_stream().map(move |chunk| {
        let _held = &stay;
        chunk
    });
    Body::from_stream(held.take_until(ended))
}

/// A refusal in plain words as every other refusal of this server looks.
async fn in_our_shape(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let sentence = to_bytes(body, MAX_SENTENCE).await.unwrap_or_default();
    let code = match parts.status {
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
        status if status.is_server_error() => ErrorCode::Unavailable,
        _ => ErrorCode::InvalidRequest,
    };
    let body = ErrorBody { error: String::from_utf8_lossy(&sentence).into_owned(), code };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    (parts.status, parts.headers, Json(body)).into_response()
}
