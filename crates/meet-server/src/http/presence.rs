//! `/presence`: as what users are seen.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::request::Parts,
};
use meet_api::{
    ErrorBody, UserId, UserStatus,
    request::{OwnStatus, SetStatus},
};

use crate::{
    app::App,
    edge::{Authenticated, Body, Refusal},
    error::Error,
};

use super::speaker::As;

/// The most users that can be asked about at once.
const MAX_USERS: usize = 100;

/// The users whom the caller asks about, in its order.
pub(super) struct Asked(Vec<UserId>);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let users = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "user");
        let users = users.take(MAX_USERS + 1).map(|(_, id)| id.parse()).collect::<Result<Vec<_>, _>>();
        let users = users.map_err(|_| Error::Invalid("user must be the id of a user".into()))?;
        if !(1..=MAX_USERS).contains(&users.len()) {
            return Err(Error::Invalid(format!("user must be given 1 to {MAX_USERS} times")).into());
        }
        Ok(Self(users))
    }
}

/// Choose as what you are seen, and say what you are doing.
///
/// It holds for all of your connections and is kept until you choose again. Who is `invisible` looks to everybody else
/// as if it were not here.
#[utoipa::path(
    put, path = "/presence/status", operation_id = "set-status", tag = "Realtime", request_body = SetStatus,
    security(("bearer" = []), ("cookie" = [])),
    params(As),
    responses(
        (status = 200, description = "What you chose.", body = OwnStatus), Authenticated, Body<SetStatus>,
        (status = 403, description = "A session speaks as itself, or a cookie came along from the page of another server.", body = ErrorBody),
        (status = 409, description = "A guest has that name.", body = ErrorBody),
        (status = 507, description = "The server's disk is nearly full.", body = ErrorBody),
    )
)]
pub(super) async fn set_status(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    As(named): As,
    Body(body): Body<SetStatus>,
) -> Result<Json<OwnStatus>, Refusal> {
    let user = app.user_of(&member, named).await?;
    let chosen = app.set_appearance(&member, user.id, body).await?;
    Ok(Json(OwnStatus { user: user.id, status: chosen.status, about: chosen.said() }))
}

/// See as what users are seen now.
///
/// Whoever is not here, is not known, or shares no room with you as a guest is `offline` alike.
#[utoipa::path(
    get, path = "/presence", operation_id = "list-statuses", tag = "Realtime",
    security(("bearer" = []), ("cookie" = [])),
    params(("user" = Vec<UserId>, Query, description = "A user's id; 1 to 100 of them.")),
    responses((status = 200, description = "In the order in which you asked.", body = [UserStatus]), Authenticated)
)]
pub(super) async fn list_statuses(
    State(app): State<App>,
    Authenticated(member): Authenticated,
    Asked(users): Asked,
) -> Result<Json<Vec<UserStatus>>, Refusal> {
    Ok(Json(app.statuses(&member, &users).await?))
}
