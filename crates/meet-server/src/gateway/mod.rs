//! The live side: the gateway of the Centrifugo protocol, the room WebSocket, the event streams of room and lobby.
//!
//! Handlers here refuse with an HTTP status before anything is upgraded; from then on a reader task owns the
//! connection. What is sent, and when, is decided in [`position`] and [`room`]; [`transport`] only moves bytes.

mod centrifugo;
mod heartbeat;
mod lobby;
mod position;
mod room;
mod transport;

use std::net::IpAddr;

use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use meet_api::{ErrorBody, ErrorCode, Kind, RoomId, User, text::UserName};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    auth::{Member, Who},
    edge::{ClientIp, InRoom, MAX_BODY, Path, Query, Refusal, Socket, StreamCaller, TakesPlace, error_answer, wanted},
    error::Error,
    hub::{Address, Encoding, Scope, Standing},
    limits::{Slot, SlotCaps},
    rooms::RoomAccess,
};

use room::{RoomReader, Since};
use transport::Transport;

/// A small read buffer: most sockets only listen, and the default costs 128 KiB each. Longer frames still fit.
const READ_BUFFER: usize = 1024;
/// Up to here frames are collected into one write; a flush writes what there is. It is allocated as it fills.
const WRITE_BUFFER: usize = 16 * 1024;

/// The live routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(room_socket))
        .routes(routes!(room_events))
        .routes(routes!(lobby_events))
        .merge(centrifugo::routes())
}

/// The bounds of every WebSocket.
fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_BODY)
        .max_frame_size(MAX_BODY)
}

/// A room's WebSocket: its messages as they are stored, and with `since` everything before them too.
#[utoipa::path(
    get, path = "/api/rooms/{id}/ws", operation_id = "room-socket", tag = "Streams",
    security((), ("bearer" = []), ("token" = []), ("cookie" = [])),
    params(
        ("id" = RoomId, Path),
        ("since" = Option<u64>, Query, description = "Send a hello, everything behind this `seq`, and events."),
        ("epoch" = Option<String>, Query, description = "The epoch that `since` belongs to."),
        ("name" = Option<String>, Query, description = "Who a bare key is."),
        ("kind" = Option<Kind>, Query, description = "Whether that is a person or a program."),
        ("exclude" = Option<String>, Query, description = "Leave out this sender."),
        ("mentions" = Option<String>, Query, description = "Only messages of others that mention this name."),
        ("for" = Option<String>, Query, description = "Only messages of others that mention this name, or nobody here."),
        ("exclusive" = Option<bool>, Query, description = "For agents: a later such connection under the name takes over."),
    ),
    responses(
        (status = 101, description = "The socket is open."), Socket, InRoom, TakesPlace,
        (status = 409, description = "A guest has the name that the key gives.", body = ErrorBody),
        (status = 426, body = ErrorBody),
    )
)]
async fn room_socket(
    State(app): State<App>,
    Socket(caller): Socket,
    ClientIp(ip): ClientIp,
    Path(id): Path<RoomId>,
    query: Query,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let access = app.room(caller.as_ref(), id).await?;
    let since = query.number("since")?.map(|seq| query.name("epoch").map(|epoch| Since { seq, epoch })).transpose()?;
    let Ok(upgrade) = upgrade else {
        return Ok(error_answer(ErrorCode::UpgradeRequired, "expected WebSocket upgrade"));
    };
    let reader = reader(&app, caller, access, &query, since, ip, Encoding::Frame).await?;
    Ok(bounded(upgrade).on_upgrade(move |socket| {
        let transport = Transport::web_socket(socket, app.clock().clone());
        app.tasks().clone().spawn(reader.run(app, transport));
        std::future::ready(())
    }))
}

/// A room's event stream: a hello, then messages and events; resumes from `Last-Event-ID` or `since`.
#[utoipa::path(
    get, path = "/api/rooms/{id}/events", operation_id = "room-events", tag = "Streams",
    security((), ("bearer" = []), ("token" = []), ("cookie" = [])),
    params(
        ("id" = RoomId, Path),
        ("since" = Option<u64>, Query, description = "Begin behind this `seq`; at the head when absent."),
        ("epoch" = Option<String>, Query, description = "The epoch that `since` belongs to."),
        ("name" = Option<String>, Query, description = "Who a bare key is."),
        ("kind" = Option<Kind>, Query, description = "Whether that is a person or a program."),
        ("exclude" = Option<String>, Query, description = "Leave out this sender."),
        ("mentions" = Option<String>, Query, description = "Only messages of others that mention this name."),
        ("for" = Option<String>, Query, description = "Only messages of others that mention this name, or nobody here."),
    ),
    responses(
        (status = 200, description = "The open stream.", body = String, content_type = "text/event-stream"),
        StreamCaller, InRoom, TakesPlace,
        (status = 409, description = "A guest has the name that the key gives.", body = ErrorBody),
    )
)]
async fn room_events(
    State(app): State<App>,
    StreamCaller(caller): StreamCaller,
    ClientIp(ip): ClientIp,
    Path(id): Path<RoomId>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Refusal> {
    let access = app.room(caller.as_ref(), id).await?;
    let last_event = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let seq = match last_event {
        Some(seq) => Some(seq),
        None => query.number("since")?,
    };
    let since = seq.map(|seq| query.name("epoch").map(|epoch| Since { seq, epoch })).transpose()?;
    let mut reader = reader(&app, caller, access, &query, since, ip, Encoding::Sse).await?;
    reader.since.get_or_insert(Since { seq: reader.access.room.head_seq, epoch: None });
    let (transport, response) = Transport::sse(app.clock().clone());
    let tasks = app.tasks().clone();
    tasks.spawn(reader.run(app, transport));
    Ok(response)
}

/// Your room list, live: rooms made, changed (at most once a second each) and deleted, how far you have read, and what
/// mentions you.
#[utoipa::path(
    get, path = "/api/lobby/events", operation_id = "lobby-events", tag = "Streams",
    security(("bearer" = []), ("token" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The open stream.", body = String, content_type = "text/event-stream"),
        StreamCaller, TakesPlace,
    )
)]
async fn lobby_events(
    State(app): State<App>,
    StreamCaller(caller): StreamCaller,
    ClientIp(ip): ClientIp,
) -> Result<Response, Refusal> {
    let member = caller.ok_or(Error::MissingKey)?;
    let slot = app.take_slot(Some(&member), member.user(), ip)?;
    let place = (Address::org(member.tenant), Standing::Unseen, false);
    let connection = app.hub().connect(app.clock().uuid(), Some(member.credential()), Scope::One, lobby::OUTBOX_BYTES);
    let mut subscriptions = vec![app.listen(Some(&member), &connection, place).await?];
    if let Some(user) = member.user() {
        let own = (Address::user(member.tenant, user.id), Standing::Unseen, false);
        subscriptions.push(app.listen(Some(&member), &connection, own).await?);
    }
    let (transport, response) = Transport::sse(app.clock().clone());
    let tasks = app.tasks().clone();
    tasks.spawn(lobby::run(member, transport, (connection, subscriptions), slot));
    Ok(response)
}

/// Puts a reader together and has it listen; everything that can be refused is refused here. What is published from
/// before the answer on reaches the reader.
async fn reader(
    app: &App,
    caller: Option<Member>,
    access: RoomAccess,
    query: &Query,
    since: Option<Since>,
    ip: IpAddr,
    encoding: Encoding,
) -> Result<RoomReader, Error> {
    let user = match &caller {
        Some(member) if !access.is_foreign() => named(app, member, query).await?,
        _ => None,
    };
    let filter = app.filter(&access, (caller.as_ref(), user.as_ref()), wanted(query)?).await?;
    let is_exclusive = is_exclusive(query, encoding, user.as_ref())?;
    let slot = app.take_slot(caller.as_ref(), user.as_ref().or(caller.as_ref().and_then(Member::user)), ip)?;
    let standing = user.clone().map_or(Standing::Watching, Standing::Present);
    let place = (access.address(), standing, access.is_foreign());
    let credential = caller.as_ref().map(Member::credential);
    let connection = app.hub().connect(app.clock().uuid(), credential, Scope::One, room::OUTBOX_BYTES);
    let subscription = app.listen(caller.as_ref(), &connection, place).await?;
    // What ended or changed before is noticed here, and from here on by the hub.
    let access = app.room(caller.as_ref(), access.room.id).await?;
    if is_exclusive {
        subscription.hold_alone();
    }
    Ok(RoomReader { member: caller, user, access, since, filter, encoding, subscription, connection, slot })
}

/// Whether the connection is to hold its agent's name in the room alone.
fn is_exclusive(query: &Query, encoding: Encoding, user: Option<&User>) -> Result<bool, Error> {
    match (query.text("exclusive"), user.map(|user| user.kind)) {
        (None | Some("false"), _) => Ok(false),
        (Some(_), _) if encoding == Encoding::Sse => Err(Error::Invalid("exclusive is for WebSockets".into())),
        (Some("true"), Some(Kind::Agent)) => Ok(true),
        (Some("true"), _) => Err(Error::Invalid("exclusive is for agents: give name, and kind=agent".into())),
        (Some(_), _) => Err(Error::Invalid("exclusive must be true or false".into())),
    }
}

/// The user that a connection is shown as: a session's own, or the one that a bare key names.
async fn named(app: &App, member: &Member, query: &Query) -> Result<Option<User>, Error> {
    match (&member.who, query.text("name")) {
        (Who::User(user), _) => Ok(Some(user.clone())),
        (Who::Key, None) => Ok(None),
        (Who::Key, Some(name)) => {
            let kind = match query.text("kind") {
                None => Kind::Human,
                Some(word) => {
                    Kind::from_word(word).ok_or_else(|| Error::Invalid("kind must be human or agent".into()))?
                }
            };
            app.named_user(member, UserName::parse("name", name)?, kind).await.map(Some)
        }
    }
}

impl App {
    /// Takes a place for a socket, stream or waiter.
    pub(crate) fn take_slot(&self, member: Option<&Member>, user: Option<&User>, ip: IpAddr) -> Result<Slot, Error> {
        if self.tasks().is_stopping() {
            return Err(Error::Unavailable("the server is stopping"));
        }
        let (tenant, user) = (member.map(|member| member.tenant), user.map(|user| user.id));
        self.limits().slots.take(tenant, user, ip, self.slot_caps())
    }

    /// How many sockets, streams and waiters there may be.
    fn slot_caps(&self) -> SlotCaps {
        let limits = &self.config().limits;
        SlotCaps {
            user: limits.sockets_per_user,
            tenant: limits.sockets_per_tenant,
            ip: limits.sockets_per_ip,
            server: self.max_sockets(),
        }
    }
}

/// An open stream's answer.
fn stream_answer(body: axum::body::Body) -> Response {
    let headers = [
        (axum::http::header::CONTENT_TYPE, "text/event-stream"),
        (axum::http::header::CACHE_CONTROL, "no-cache, no-store"),
        (axum::http::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (StatusCode::OK, headers, body).into_response()
}
