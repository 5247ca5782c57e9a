//! `/api/keys`.

use axum::extract::State;
use axum::{Json, http::StatusCode, response::Response};
use meet_api::{
    ErrorBody,
    request::{KeyInfo, NewKey},
};

use crate::{
    app::App,
    edge::{Authenticated, ClientIp, NoCredential, Refusal, created, with_window},
};

/// Make an API key, and with it a tenant of your own.
#[utoipa::path(
    post, path = "/api/keys", operation_id = "create-key", tag = "Keys",
    responses(
        (status = 201, description = "The key, shown this once.", body = NewKey), NoCredential,
        (status = 403, description = "Sign-up is closed.", body = ErrorBody),
        (status = 429, description = "Too many keys from this address.", body = ErrorBody),
    )
)]
pub(super) async fn create_key(
    State(app): State<App>,
    _: NoCredential,
    ClientIp(ip): ClientIp,
) -> Result<Response, Refusal> {
    let (key, window) = app.create_key(ip).await?;
    Ok(with_window(window, created(key)))
}

/// What is kept of your key.
#[utoipa::path(
    get, path = "/api/keys", operation_id = "get-key", tag = "Keys", security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "What is kept of it; never the key.", body = KeyInfo), Authenticated,
        (status = 403, description = "Only an owner may do this.", body = ErrorBody),
    )
)]
pub(super) async fn get_key(
    State(app): State<App>,
    Authenticated(member): Authenticated,
) -> Result<Json<KeyInfo>, Refusal> {
    Ok(Json(app.key_info(&member).await?))
}

/// Replace your key; the old one, its sessions, invites and connections end at once.
#[utoipa::path(
    post, path = "/api/keys/rotate", operation_id = "rotate-key", tag = "Keys", security(("bearer" = [])),
    responses(
        (status = 201, description = "The new key, shown this once.", body = NewKey), Authenticated,
        (status = 403, description = "This needs the key itself, not a session.", body = ErrorBody),
    )
)]
pub(super) async fn rotate_key(
    State(app): State<App>,
    Authenticated(member): Authenticated,
) -> Result<Response, Refusal> {
    Ok(created(app.rotate_key(&member).await?))
}

/// Delete your tenant with everything in it.
#[utoipa::path(
    delete, path = "/api/keys", operation_id = "delete-key", tag = "Keys", security(("bearer" = [])),
    responses(
        (status = 204, description = "The key and all that was its own are gone."), Authenticated,
        (status = 403, description = "This needs the key itself, not a session.", body = ErrorBody),
    )
)]
pub(super) async fn delete_key(
    State(app): State<App>,
    Authenticated(member): Authenticated,
) -> Result<StatusCode, Refusal> {
    app.delete_key(&member).await?;
    Ok(StatusCode::NO_CONTENT)
}
