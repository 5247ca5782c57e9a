//! `/api/rooms` and `/api/public/rooms`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use meet_api::{
    ErrorBody, Guard, Reading, Room, RoomDetails, RoomId, RoomPresence,
    request::{CreateRoom, MarkRead, NewLog, UpdateRoom},
};

use crate::{
    app::App,
    edge::{Authenticated, Body, Caller, InRoom, Path, Query, Refusal, created, with_window},
};

use super::{
    page,
    speaker::{As, AsMaybe},
};

/// Your rooms, oldest first.
#[utoipa::path(
    get, path = "/api/rooms", operation_id = "list-rooms", tag = "Rooms", security(("bearer" = []), ("cookie" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000; 200 when absent."),
        ("after" = Option<RoomId>, Query, description = "The last room of the page before."),
        AsMaybe,
    ),
    responses(
        (status = 200, description = "A page of rooms; `Link` names the next one.", body = [Room]), Authenticated,
        (status = 403, description = "A session speaks as itself.", body = ErrorBody),
    )
)]
pub(super) async fn list_rooms(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    AsMaybe(named): AsMaybe,
    query: Query,
) -> Result<Response, Refusal> {
    let limit = query.limit()?;
    let mut rooms = app.list_rooms(&member, query.cursor("after")?, limit).await?;
    if let Some(user) = app.user_if_named(&member, named).await? {
        app.fill_in_readings(&member, &user, &mut rooms).await?;
    }
    Ok(room_page("/api/rooms", rooms, limit))
}

/// Public rooms that the operator owns or has listed, oldest first.
#[utoipa::path(
    get, path = "/api/public/rooms", operation_id = "list-public-rooms", tag = "Rooms",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000; 200 when absent."),
        ("after" = Option<RoomId>, Query, description = "The last room of the page before."),
    ),
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "A page of rooms; `Link` names the next one.", body = [Room]), Caller)
)]
pub(super) async fn list_public_rooms(
    State(app): State<App>,
    Caller(_): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let limit = query.limit()?;
    let rooms = app.list_public_rooms(query.cursor("after")?, limit).await?;
    Ok(room_page("/api/public/rooms", rooms, limit))
}

fn room_page(path: &str, rooms: Vec<Room>, limit: u32) -> Response {
    let next = page::next(&rooms, limit, |room| room.id);
    let mut response = Json(rooms).into_response();
    response.headers_mut().extend(page::link(path, &[("next", next)]));
    response
}

/// Make a room.
#[utoipa::path(
    post, path = "/api/rooms", operation_id = "create-room", tag = "Rooms", request_body = CreateRoom,
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 201, description = "The new room.", body = Room), Authenticated, Body<CreateRoom>,
        (status = 429, description = "The key has made as many rooms as it may in a day.", body = ErrorBody),
    )
)]
pub(super) async fn create_room(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Body(body): Body<CreateRoom>,
) -> Result<Response, Refusal> {
    let (room, window) = app.create_room(&member, body).await?;
    Ok(with_window(window, created(room)))
}

/// A room.
#[utoipa::path(
    get, path = "/api/rooms/{id}", operation_id = "get-room", tag = "Rooms", params(("id" = RoomId, Path), AsMaybe),
    security((), ("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The room, and who is in its call.", body = RoomDetails), Caller, InRoom,
        (status = 403, description = "A session speaks as itself.", body = ErrorBody),
    )
)]
pub(super) async fn get_room(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<RoomId>,
    AsMaybe(named): AsMaybe,
) -> Result<Json<RoomDetails>, Refusal> {
    let access = app.room(caller.as_ref(), id).await?;
    let call = app.call(access.tenant, access.room.id);
    let user = app.reader_of(caller.as_ref(), named, &access).await?;
    let mut room = app.with_online(access.tenant, access.room);
    if let (Some(member), Some(user)) = (&caller, user) {
        app.fill_in_readings(member, &user, std::slice::from_mut(&mut room)).await?;
    }
    Ok(Json(RoomDetails { room, call }))
}

/// Note how far you have read a room.
///
/// It is kept for whenever you come back, and never goes back. A key says by `X-Meet-Name` who has read.
#[utoipa::path(
    put, path = "/api/rooms/{id}/read", operation_id = "mark-read", tag = "Rooms", params(("id" = RoomId, Path), As),
    request_body = MarkRead, security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "How far you have read now.", body = Reading),
        Authenticated, InRoom, Body<MarkRead>,
        (status = 403, description = "The room is another's, or a session speaks as itself.", body = ErrorBody),
        (status = 409, description = "A guest has that name.", body = ErrorBody),
        (status = 429, description = "Too many moves in a minute.", body = ErrorBody),
    )
)]
pub(super) async fn mark_read(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<RoomId>,
    As(named): As,
    Body(body): Body<MarkRead>,
) -> Result<Json<Reading>, Refusal> {
    let access = app.room(Some(&member), id).await?;
    let user = app.user_of(&member, named).await?;
    Ok(Json(app.mark_read(&member, &access, &user, body.seq).await?))
}

/// Tell the room what you are doing: a line for those who are there now, kept nowhere.
#[utoipa::path(
    post, path = "/api/rooms/{id}/log", operation_id = "log", tag = "Rooms", params(("id" = RoomId, Path), As),
    request_body = NewLog, security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "Those who are there were told."), Authenticated, InRoom, Body<NewLog>,
        (status = 403, description = "The room is read-only for the caller, or a session speaks as itself.", body = ErrorBody),
        (status = 409, description = "A guest has that name.", body = ErrorBody),
        (status = 429, description = "Too many lines in a minute.", body = ErrorBody),
    )
)]
pub(super) async fn log(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<RoomId>,
    As(named): As,
    Body(body): Body<NewLog>,
) -> Result<StatusCode, Refusal> {
    let room = app.room(Some(&member), id).await?.writer()?;
    let user = app.user_of(&member, named).await?;
    app.log(&member, &room, &user, &body)?;
    Ok(StatusCode::NO_CONTENT)
}

/// How much agents may still say in a room before a person speaks.
#[utoipa::path(
    get, path = "/api/rooms/{id}/guard", operation_id = "get-guard", tag = "Rooms",
    params(("id" = RoomId, Path), AsMaybe), security((), ("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The rules, and what is left.", body = Guard), Caller, InRoom,
        (status = 403, description = "A session speaks as itself.", body = ErrorBody),
    )
)]
pub(super) async fn get_guard(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<RoomId>,
    AsMaybe(named): AsMaybe,
) -> Result<Json<Guard>, Refusal> {
    let access = app.room(caller.as_ref(), id).await?;
    let user = app.reader_of(caller.as_ref(), named, &access).await?;
    Ok(Json(app.guard(&access, user.as_ref()).await?))
}

/// Change a room.
#[utoipa::path(
    patch, path = "/api/rooms/{id}", operation_id = "update-room", tag = "Rooms", params(("id" = RoomId, Path)),
    request_body = UpdateRoom, security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The room as it is now.", body = Room), Authenticated, InRoom, Body<UpdateRoom>,
    )
)]
pub(super) async fn update_room(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<RoomId>,
    Body(body): Body<UpdateRoom>,
) -> Result<Json<Room>, Refusal> {
    let room = app.room(Some(&member), id).await?;
    Ok(Json(app.update_room(&member, room, body).await?))
}

/// Delete a room with everything in it.
#[utoipa::path(
    delete, path = "/api/rooms/{id}", operation_id = "delete-room", tag = "Rooms", params(("id" = RoomId, Path)),
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "The room is gone for everyone."), Authenticated, InRoom)
)]
pub(super) async fn delete_room(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Path(id): Path<RoomId>,
) -> Result<StatusCode, Refusal> {
    let room = app.room(Some(&member), id).await?.owner()?;
    app.delete_room(&room).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is in a room now.
#[utoipa::path(
    get, path = "/api/rooms/{id}/presence", operation_id = "get-presence", tag = "Rooms",
    params(("id" = RoomId, Path)), security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "Who is seen in the room.", body = RoomPresence), Caller, InRoom)
)]
pub(super) async fn get_presence(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<RoomId>,
) -> Result<Json<RoomPresence>, Refusal> {
    let access = app.room(caller.as_ref(), id).await?;
    Ok(Json(app.room_presence(&access)))
}
