//! Query strings and path segments, read by name with errors that name what is wrong.

use std::{collections::HashMap, str::FromStr};

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use meet_api::id::ParseIdError;

use crate::{
    error::Error,
    history::{DEFAULT_LIMIT, MAX_LIMIT, Wanted},
};

use super::Refusal;

/// The parameters of a query string; of a repeated one the first counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    /// Reads a query string.
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        let mut parameters = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            parameters.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(parameters)
    }

    /// A parameter's text, when it is there.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter's text, when it is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|text| !text.is_empty())
    }

    /// A parameter's text of at most 255 characters without NUL.
    pub(crate) fn name(&self, name: &str) -> Result<Option<String>, Error> {
        match self.text(name) {
            Some(text) if text.contains('\0') || text.chars().nth(255).is_some() => {
                Err(Error::Invalid(format!("{name} must have at most 255 characters and no NUL")))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// A parameter as anything that can be parsed; `what` completes "`name` must be …".
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| Error::Invalid(format!("{name} must be {what}"))),
        }
    }

    /// A parameter that must not be negative.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let number = self.parsed::<u64>(name, "a whole number from 0 on")?;
        match number {
            // Above this the databases' integers end.
            Some(number) if i64::try_from(number).is_err() => Err(Error::UnknownCursor("cursor")),
            number => Ok(number),
        }
    }

    /// The parameter `limit`: how long a page may be.
    pub(crate) fn limit(&self) -> Result<u32, Error> {
        let what = format!("1 to {MAX_LIMIT}");
        match self.parsed::<u32>("limit", &what)?.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            _ => Err(Error::Invalid(format!("limit must be {what}"))),
        }
    }

    /// A parameter that is an id of what a list holds.
    pub(crate) fn cursor<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| Error::UnknownCursor(name)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query()))
    }
}

/// The id in a path; what cannot be one is unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<T>(pub(crate) T);

/// What a path's id names, for the answer when there is none.
pub(crate) trait Named: FromStr<Err = ParseIdError> {
    /// The error for an unknown one.
    fn unknown() -> Error;
}

impl Named for meet_api::RoomId {
    fn unknown() -> Error {
        Error::RoomNotFound
    }
}

impl Named for meet_api::InviteId {
    fn unknown() -> Error {
        Error::NotFound("invite")
    }
}

impl<S: Send + Sync, T: Named> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = <RawPathParams as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let id = params.ok().and_then(|params| params.iter().next().and_then(|(_, value)| value.parse().ok()));
        id.map(Self).ok_or_else(|| T::unknown().into())
    }
}
/// The filter that a reader asks for.
///
/// # Errors
/// [`Error::Invalid`] for text that no name can be.
pub(crate) fn wanted(query: &Query) -> Result<Wanted, Error> {
    Ok(Wanted { exclude: query.name("exclude")?, mentions: query.name("mentions")?, meant_for: query.name("for")? })
}
