//! Calls: tokens for them, with and without a room of one's own, and what the conference's provider tells.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt, stream};
use meet_api::{
    ErrorBody,
    request::{CallToken, NewCallToken, NewConferenceToken, RealtimeToken},
};

use crate::{
    app::App,
    auth::Member,
    conference::{Attendance, Signal},
    edge::{
        Authenticated, Body, ClientIp, Lenient, NoCredential, Page, RawBody, Refusal, TakesPlace, bearer, page_of,
        session_cookie, with_window,
    },
    error::{Error, Window},
    limits::Slot,
    quick_rooms::Visitor,
};

use super::speaker::As;

/// Get a token for a room's call.
///
/// Until it ends it opens the call to you, with what your role and the room allow: the microphone in audio rooms, camera
/// and screen as well in screenshare rooms, listening only for spectators. `GET /realtime/config` says where to bring it.
#[utoipa::path(
    post, path = "/realtime/conference-token", operation_id = "get-conference-token", tag = "Realtime",
    request_body = NewConferenceToken, security(("bearer" = []), ("cookie" = [])),
    params(As),
    responses(
        (status = 200, description = "The token.", body = RealtimeToken), Authenticated, Body<NewConferenceToken>,
        (status = 403, description = "Your role may not join this call, or a cookie came along from the page of another server.", body = ErrorBody),
        (status = 404, description = "For this caller there is no such room.", body = ErrorBody),
        (status = 409, description = "A guest has that name.", body = ErrorBody),
        (status = 410, description = "The room's time is over.", body = ErrorBody),
        (status = 429, description = "Too many tokens in a minute.", body = ErrorBody),
        (status = 502, description = "The conference's provider failed.", body = ErrorBody),
        (status = 503, description = "This server carries no calls.", body = ErrorBody),
        (status = 507, description = "The name is new, and the server's disk is nearly full.", body = ErrorBody),
    )
)]
pub(super) async fn get_conference_token(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    As(named): As,
    Body(body): Body<NewConferenceToken>,
) -> Result<Json<RealtimeToken>, Refusal> {
    let space = body.space_id.ok_or_else(|| Error::Invalid("spaceId is required".into()))?;
    // What is no id is no room.
    let room = space.parse().map_err(|_| Error::RoomNotFound)?;
    let member = member.within(room);
    let access = app.room(Some(&member), room).await?;
    Ok(Json(app.conference_token(&member, named, &access).await?))
}

/// Whoever asks for a way into a room without an owner: from a page that may, and not too often.
pub(super) struct FromPage {
    page: Page,
    window: Option<Window>,
    member: Option<Member>,
    ip: ClientIp,
}

impl FromRequestParts<App> for FromPage {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let page = page_of(&parts.headers, app).ok_or_else(|| Refusal::worded(Error::BadOrigin, "Forbidden"))?;
        let ip = ClientIp::from_request_parts(parts, app).await?;
        let window = app.count_call_token(ip.0).map_err(|error| Refusal::worded(error, "Too many requests"))?;
        let Lenient(member) = Lenient::from_request_parts(parts, app).await?;
        Ok(Self { page, window, member, ip })
    }
}

/// Get into a call by its name.
///
/// The first who says a name makes the room, which lasts two hours and has a chat of its own. No key and no account is
/// needed, but the request must come from a page of this server or of an allowed origin.
#[utoipa::path(
    post, path = "/api/token", operation_id = "get-call-token", tag = "Calls", request_body = NewCallToken,
    security((), ("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The way in; a browser without a session gets one in its cookie.", body = CallToken),
        Lenient, Body<NewCallToken>,
        (status = 403, description = "The page may not call this server, or Turnstile does not vouch for the visitor.", body = ErrorBody),
        (status = 410, description = "The room of that name has ended; the next caller makes a new one.", body = ErrorBody),
        (status = 429, description = "Too many requests from this address, or the call or the server is full.", body = ErrorBody),
        (status = 502, description = "The conference's provider failed.", body = ErrorBody),
        (status = 503, description = "This server carries no calls.", body = ErrorBody),
        (status = 507, description = "The server's disk is nearly full.", body = ErrorBody),
    )
)]
pub(super) async fn get_call_token(
    State(app): State<App>,
    FromPage { page, window, member, ip: ClientIp(ip) }: FromPage,
    Body(body): Body<NewCallToken>,
) -> Result<Response, Refusal> {
    let visitor = Visitor { ip, hostname: page.hostname, is_own_page: page.is_own, member };
    let let_in = app.call_token(&visitor, body).await?;
    let mut response = with_window(window, Json(let_in.token));
    if let Some(session) = let_in.session {
        response.headers_mut().append(header::SET_COOKIE, session_cookie(&app, &session)?);
    }
    Ok(response)
}

/// What the conference's provider tells: who came, who left.
///
/// Only the provider that this server is configured for can sign such an event.
#[utoipa::path(
    post, path = "/internal/conference/events", operation_id = "hear-conference", tag = "Calls",
    request_body(content = Object, content_type = "application/webhook+json"),
    responses(
        (status = 204, description = "The event was taken."), RawBody,
        (status = 403, description = "The provider did not sign it, or not lately.", body = ErrorBody),
        (status = 404, description = "This server's conferences tell nothing by requests.", body = ErrorBody),
        (status = 409, description = "The event was told before.", body = ErrorBody),
        (status = 502, description = "What events are verified with could not be fetched.", body = ErrorBody),
    )
)]
pub(super) async fn hear_conference(
    State(app): State<App>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<StatusCode, Refusal> {
    let signature = headers.get(app.signature_header()?).and_then(|value| value.to_str().ok());
    app.hear(signature, &body.bytes).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Be in a call that carries no sound and no picture.
///
/// Only where the operator chose such calls, for tests and demos. The bearer is a token for a call; it is in it for as long
/// as the stream is open, and is told by it when it is muted or removed.
#[utoipa::path(
    post, path = "/api/demo-call", operation_id = "attend-demo-call", tag = "Calls",
    responses(
        (status = 200, description = "The open stream.", body = String, content_type = "text/event-stream"),
        NoCredential, TakesPlace,
        (status = 401, description = "The token opens no call, or not any more.", body = ErrorBody),
        (status = 404, description = "This server has no such calls.", body = ErrorBody),
    )
)]
pub(super) async fn attend_demo_call(
    State(app): State<App>,
    ClientIp(ip): ClientIp,
    _: NoCredential,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let (slot, attendance) = app.attend_demo_call(ip, token)?;
    let events = stream::unfold((app, Some((slot, attendance)), false), |(app, present, has_begun)| async move {
        let (slot, mut attendance) = present?;
        if !has_begun {
            return Some((demo_event("joined"), (app, Some((slot, attendance)), true)));
        }
        let signal = tokio::select! {
            signal = attendance.signal() => signal,
            () = app.tasks().stopping() => None,
        };
        Some(match signal {
            Some(Signal::Muted) => (demo_event("muted"), (app, Some((slot, attendance)), true)),
            Some(Signal::Removed) | None => (demo_event("removed"), (app, None, true)),
        })
    });
    Ok(Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::default()).into_response())
}

fn demo_event(name: &str) -> Event {
    Event::default().event(name).data("{}")
}

impl App {
    /// A place in a call that carries nothing.
    fn attend_demo_call(&self, ip: std::net::IpAddr, token: Option<&str>) -> Result<(Slot, Attendance), Error> {
        let fake = self.demo_calls().ok_or(Error::NotFound("call"))?;
        let slot = self.take_slot(None, None, ip)?;
        let attendance = fake.attend(token.ok_or(Error::MissingKey)?, self.clock().uuid(), self.clock().now());
        Ok((slot, attendance.ok_or(Error::InvalidKey)?))
    }
}
