//! `/api/rooms/{id}/messages` and `/api/rooms/{id}/search`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use meet_api::{ErrorBody, Message, MessageId, RoomId, request::SendMessage, text::ClientId};

use crate::{
    app::App,
    auth::Member,
    edge::{
        Authenticated, Body, Caller, ClientIp, InRoom, Path, Query, Refusal, TakesPlace, created, wanted, with_window,
    },
    error::Error,
    history::{Filter, From, HistoryPage, HistoryQuery, MAX_WAIT},
};

use super::page;

/// A room's messages, ascending; with `wait`, as soon as there are any.
#[utoipa::path(
    get, path = "/api/rooms/{id}/messages", operation_id = "list-messages", tag = "Messages",
    security((), ("bearer" = []), ("cookie" = [])),
    params(
        ("id" = RoomId, Path),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 200 when absent."),
        ("after" = Option<MessageId>, Query, description = "Only what stands behind this message."),
        ("after_seq" = Option<u64>, Query, description = "Only what stands behind this `seq`."),
        ("before_seq" = Option<u64>, Query, description = "The last `limit` messages before this `seq`."),
        ("exclude" = Option<String>, Query, description = "Leave out this sender."),
        ("mentions" = Option<String>, Query, description = "Only messages of others that mention this name."),
        ("for" = Option<String>, Query, description = "Only messages of others that mention this name, or nobody here."),
        ("wait" = Option<u64>, Query, description = "Seconds to wait for the first message, at most 60; without a cursor from the head."),
        ("epoch" = Option<String>, Query, description = "The epoch that the cursor belongs to."),
    ),
    responses(
        (status = 200, description = "The messages, ascending; none when `wait` was in vain.", body = [Message], headers(
            ("X-Head-Seq" = u64, description = "The room's newest message."),
            ("X-Epoch" = String, description = "The room's epoch."),
            ("Link" = String, description = "The next and the previous page."),
        )),
        Caller, InRoom, TakesPlace,
    )
)]
pub(super) async fn list_messages(
    State(app): State<App>,
    Caller(caller): Caller,
    ClientIp(ip): ClientIp,
    Path(id): Path<RoomId>,
    query: Query,
) -> Result<Response, Refusal> {
    let access = app.room(caller.as_ref(), id).await?;
    let user = caller.as_ref().and_then(Member::user);
    let filter = app.filter(&access, (caller.as_ref(), user), wanted(&query)?).await?;
    let asked = history_query(filter, &query)?;
    let _slot = if asked.wait.is_zero() { None } else { Some(app.take_slot(caller.as_ref(), user, ip)?) };
    let found = app.history(caller.as_ref(), &access, &asked).await?;
    Ok(history_answer(id, &query, asked.limit, found))
}

fn history_query(filter: Filter, query: &Query) -> Result<HistoryQuery, Error> {
    let cursors = [
        query.cursor::<MessageId>("after")?.map(From::After),
        query.number("after_seq")?.map(From::AfterSeq),
        query.number("before_seq")?.map(From::BeforeSeq),
    ];
    let mut given = cursors.into_iter().flatten();
    let from = given.next();
    if given.next().is_some() {
        return Err(Error::Invalid("give only one of after, after_seq and before_seq".into()));
    }
    let what = format!("0 to {MAX_WAIT} seconds");
    let wait = query.parsed::<u64>("wait", &what)?.unwrap_or(0);
    if wait > MAX_WAIT {
        return Err(Error::Invalid(format!("wait must be {what}")));
    }
    Ok(HistoryQuery {
        from,
        limit: query.limit()?,
        filter,
        epoch: query.name("epoch")?,
        wait: Duration::from_secs(wait),
    })
}

fn history_answer(id: RoomId, query: &Query, limit: u32, found: HistoryPage) -> Response {
    let mut kept = url::form_urlencoded::Serializer::new(String::new());
    kept.append_pair("limit", &limit.to_string());
    for name in ["exclude", "mentions", "for", "epoch"] {
        if let Some(value) = query.text(name) {
            kept.append_pair(name, value);
        }
    }
    let kept = kept.finish();
    let relations = [
        ("next", found.next.map(|seq| format!("after_seq={seq}&{kept}"))),
        ("prev", found.previous.map(|seq| format!("before_seq={seq}&{kept}"))),
    ];
    let mut response = Json(found.messages).into_response();
    let headers = response.headers_mut();
    headers.extend(page::link(&format!("/api/rooms/{id}/messages"), &relations));
    headers.insert(HeaderName::from_static("x-head-seq"), found.head_seq.into());
    if let Ok(epoch) = HeaderValue::from_str(&found.epoch) {
        headers.insert(HeaderName::from_static("x-epoch"), epoch);
    }
    response
}

/// Say something. With an `Idempotency-Key`, a repeat answers with the message that is already there.
#[utoipa::path(
    post, path = "/api/rooms/{id}/messages", operation_id = "send-message", tag = "Messages",
    params(
        ("id" = RoomId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of the message, kept for 24 hours."),
    ),
    request_body = SendMessage, security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 201, description = "The message as it is stored.", body = Message),
        Authenticated, InRoom, Body<SendMessage>,
        (status = 403, description = "The room is read-only for the caller, or the sender is not its own to name.", body = ErrorBody),
        (status = 409, description = "The room is full, its agents may say no more, a guest has the sender's name, or the key was used for another message.", body = ErrorBody),
        (status = 429, description = "Too many messages in a minute; `Retry-After` says when to come back.", body = ErrorBody),
    )
)]
pub(super) async fn send_message(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<RoomId>,
    headers: HeaderMap,
    Body(body): Body<SendMessage>,
) -> Result<Response, Refusal> {
    let client_id = idempotency_key(&headers)?;
    let room = app.room(Some(&member), id).await?.writer()?;
    let sent = app.send_message(&member, &room, body, client_id).await?;
    Ok(with_window(sent.window, created(&*sent.message)))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<ClientId>, Error> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text =
        std::str::from_utf8(value.as_bytes()).map_err(|_| Error::Invalid("Idempotency-Key must be UTF-8".into()))?;
    Ok(Some(ClientId::parse("Idempotency-Key", text)?))
}

/// Messages that hold all the words, the last one as a beginning; newest first.
#[utoipa::path(
    get, path = "/api/rooms/{id}/search", operation_id = "search-messages", tag = "Messages",
    security((), ("bearer" = []), ("cookie" = [])),
    params(
        ("id" = RoomId, Path),
        ("q" = String, Query, description = "Words; no operators."),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 200 when absent."),
        ("before_seq" = Option<u64>, Query, description = "Only messages before this `seq`."),
    ),
    responses((status = 200, description = "What was found, newest first.", body = [Message]), Caller, InRoom)
)]
pub(super) async fn search_messages(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<RoomId>,
    query: Query,
) -> Result<Json<Vec<Message>>, Refusal> {
    let access = app.room(caller.as_ref(), id).await?;
    let words = query.text("q").unwrap_or_default();
    Ok(Json(app.search(&access, words, query.number("before_seq")?, query.limit()?).await?))
}
