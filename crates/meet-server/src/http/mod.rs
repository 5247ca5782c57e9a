//! The HTTP API: thin handlers over the operations. No handler decides anything; sockets and streams are the gateway's.

mod calls;
mod keys;
mod messages;
mod operations;
mod page;
mod presence;
mod realtime;
mod rooms;
mod session;
mod speaker;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(crate) use operations::metrics as metrics_by_token;

/// The routes of the API.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(keys::create_key, keys::get_key, keys::delete_key))
        .routes(routes!(keys::rotate_key))
        .routes(routes!(rooms::list_rooms, rooms::create_room))
        .routes(routes!(rooms::get_room, rooms::update_room, rooms::delete_room))
        .routes(routes!(rooms::get_presence))
        .routes(routes!(rooms::mark_read))
        .routes(routes!(rooms::log))
        .routes(routes!(rooms::get_guard))
        .routes(routes!(rooms::list_public_rooms))
        .routes(routes!(messages::list_messages, messages::send_message))
        .routes(routes!(messages::search_messages))
        .routes(routes!(session::sign_in, session::get_session, session::sign_out))
        .routes(routes!(session::create_invite, session::list_invites))
        .routes(routes!(session::revoke_invite))
        .routes(routes!(realtime::get_connection_token))
        .routes(routes!(realtime::get_subscribe_token))
        .routes(routes!(realtime::get_realtime_config))
        .routes(routes!(calls::get_conference_token))
        .routes(routes!(calls::get_call_token))
        .routes(routes!(calls::hear_conference))
        .routes(routes!(calls::attend_demo_call))
        .routes(routes!(presence::set_status))
        .routes(routes!(presence::list_statuses))
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
}
