//! `/api/session` and invites.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use meet_api::{
    ErrorBody, Invite, InviteId, RoomId,
    request::{CreateInvite, NewInvite, SessionInfo, SignIn},
};
use secrecy::ExposeSecret;

use crate::{
    app::App,
    edge::{
        Authenticated, Body, ClientIp, InRoom, Lenient, NoCredential, Path, Query, Refusal, created, dead_cookie,
        has_foreign_origin, session_cookie,
    },
    error::Error,
    people,
};

use super::page;

/// Sign in by a key, an invite or an owner link.
#[utoipa::path(
    post, path = "/api/session", operation_id = "sign-in", tag = "Sessions", request_body = SignIn,
    responses(
        (status = 201, description = "Signed in; the session is in the cookie, and for callers without an Origin in `token`.", body = SessionInfo),
        NoCredential, Body<SignIn>,
        (status = 401, description = "There is no such key.", body = ErrorBody),
        (status = 403, description = "The request comes from the page of another server.", body = ErrorBody),
        (status = 409, description = "Somebody has that name.", body = ErrorBody),
        (status = 410, description = "The invite is used up, revoked or past its time, or there never was one.", body = ErrorBody),
        (status = 429, description = "Too many tries from this address; `Retry-After` says when to come back.", body = ErrorBody),
    )
)]
pub(super) async fn sign_in(
    State(app): State<App>,
    _: NoCredential,
    ClientIp(ip): ClientIp,
    headers: HeaderMap,
    Body(body): Body<SignIn>,
) -> Result<Response, Refusal> {
    if has_foreign_origin(&headers, &app) {
        return Err(Error::BadOrigin.into());
    }
    let signed_in = app.sign_in(ip, body).await?;
    let mut info = signed_in.info;
    if !headers.contains_key(header::ORIGIN) {
        info.token = Some(signed_in.token.expose_secret().to_owned());
    }
    let mut response = created(info);
    response.headers_mut().append(header::SET_COOKIE, session_cookie(&app, &signed_in.token)?);
    Ok(response)
}

/// Who you are.
#[utoipa::path(
    get, path = "/api/session", operation_id = "get-session", tag = "Sessions",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "Who the credential speaks for.", body = SessionInfo), Authenticated)
)]
pub(super) async fn get_session(Authenticated(member): Authenticated) -> Json<SessionInfo> {
    Json(people::session_info(&member))
}

/// Sign out.
#[utoipa::path(
    delete, path = "/api/session", operation_id = "sign-out", tag = "Sessions",
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "Signed out, and the cookie is cleared."), Lenient)
)]
pub(super) async fn sign_out(State(app): State<App>, Lenient(member): Lenient) -> Result<Response, Refusal> {
    if let Some(member) = member {
        app.sign_out(&member).await?;
    }
    let cookie: HeaderValue = dead_cookie(&app);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Make an invite to a room.
#[utoipa::path(
    post, path = "/api/rooms/{id}/invites", operation_id = "create-invite", tag = "Sessions",
    params(("id" = RoomId, Path)), request_body = CreateInvite, security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 201, description = "The invite; its token is shown this once.", body = NewInvite),
        Authenticated, InRoom, Body<CreateInvite>,
    )
)]
pub(super) async fn create_invite(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<RoomId>,
    Body(body): Body<CreateInvite>,
) -> Result<Response, Refusal> {
    let room = app.room(Some(&member), id).await?.owner()?;
    Ok(created(app.create_invite(&member, &room, body).await?))
}

/// A room's invites, oldest first.
#[utoipa::path(
    get, path = "/api/rooms/{id}/invites", operation_id = "list-invites", tag = "Sessions",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = RoomId, Path),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 200 when absent."),
        ("after" = Option<InviteId>, Query, description = "The last invite of the page before."),
    ),
    responses(
        (status = 200, description = "A page of invites; `Link` names the next one.", body = [Invite]),
        Authenticated, InRoom, (status = 403, description = "Only an owner may do this.", body = ErrorBody),
    )
)]
pub(super) async fn list_invites(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<RoomId>,
    query: Query,
) -> Result<Response, Refusal> {
    let room = app.room(Some(&member), id).await?.owner()?;
    let limit = query.limit()?;
    let invites = app.list_invites(&room, query.cursor("after")?, limit).await?;
    let next = page::next(&invites, limit, |invite| invite.id);
    let mut response = Json(invites).into_response();
    response.headers_mut().extend(page::link(&format!("/api/rooms/{id}/invites"), &[("next", next)]));
    Ok(response)
}

/// Revoke an invite; the sessions that it gave end with it.
#[utoipa::path(
    delete, path = "/api/invites/{id}", operation_id = "revoke-invite", tag = "Sessions",
    params(("id" = InviteId, Path)), security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "Nobody gets in by it, and whoever did is out."), Authenticated, Path<InviteId>,
    )
)]
pub(super) async fn revoke_invite(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<InviteId>,
) -> Result<StatusCode, Refusal> {
    app.revoke_invite(&member, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
