//! `/realtime` and the tokens of rooms: what a Centrifugo client asks for before it connects and subscribes.

use axum::{Json, extract::State};
use meet_api::{
    ErrorBody, RoomId,
    request::{ConnectionConfig, NewConnectionToken, RealtimeConfig, RealtimeToken},
};

use crate::{
    app::App,
    edge::{Body, Caller, InRoom, Path, Refusal},
    error::Error,
};

use super::speaker::As;

/// Get a token to connect with.
///
/// For ten minutes it says to the realtime gateway who you are. A session's token is for its user; with an API key
/// `X-Meet-Name` says for whom of its users it is, who is made when new. Without a credential it is for nobody, who reads
/// public rooms.
#[utoipa::path(
    post, path = "/realtime/connection-token", operation_id = "get-connection-token", tag = "Realtime",
    request_body = Option<NewConnectionToken>, security((), ("bearer" = []), ("cookie" = [])),
    params(As),
    responses(
        (status = 200, description = "The token.", body = RealtimeToken), Caller, InRoom, Body<NewConnectionToken>,
        (status = 403, description = "A session speaks as itself, or a cookie came along from the page of another server.", body = ErrorBody),
        (status = 409, description = "A guest has that name.", body = ErrorBody),
        (status = 507, description = "The name is new, and the server's disk is nearly full.", body = ErrorBody),
    )
)]
pub(super) async fn get_connection_token(
    State(app): State<App>,
    Caller(caller): Caller,
    As(named): As,
    Body(body): Body<NewConnectionToken>,
) -> Result<Json<RealtimeToken>, Refusal> {
    let caller = match body.space_id {
        None => caller,
        Some(space) => {
            // What is no id is no room.
            let room = space.parse().map_err(|_| Error::RoomNotFound)?;
            let caller = caller.map(|member| member.within(room));
            app.room(caller.as_ref(), room).await?;
            caller
        }
    };
    Ok(Json(app.connection_token(caller.as_ref(), named).await?))
}

/// Get a token to subscribe to a room with.
///
/// For ten minutes it opens the channel `chat:<room id>` to the user of your connection token; so an API key says the
/// same name here as there.
#[utoipa::path(
    post, path = "/api/rooms/{id}/subscribe-token", operation_id = "get-subscribe-token", tag = "Realtime",
    security((), ("bearer" = []), ("cookie" = [])),
    params(("id" = RoomId, Path), As),
    responses(
        (status = 200, description = "The token.", body = RealtimeToken), Caller, InRoom,
        (status = 403, description = "A session speaks as itself, or a cookie came along from the page of another server.", body = ErrorBody),
        (status = 409, description = "A guest has that name.", body = ErrorBody),
    )
)]
pub(super) async fn get_subscribe_token(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<RoomId>,
    As(named): As,
) -> Result<Json<RealtimeToken>, Refusal> {
    let room = app.room(caller.as_ref(), id).await?;
    Ok(Json(app.subscription_token(caller.as_ref(), named, &room).await?))
}

/// Where realtime clients connect.
#[utoipa::path(
    get, path = "/realtime/config", operation_id = "get-realtime-config", tag = "Realtime",
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "The addresses.", body = RealtimeConfig), Caller)
)]
pub(super) async fn get_realtime_config(State(app): State<App>, Caller(_): Caller) -> Json<RealtimeConfig> {
    let conference = app.conference_config();
    Json(RealtimeConfig { connection: ConnectionConfig { url: app.site().connection_url() }, conference })
}
