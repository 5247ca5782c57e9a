//! Errors and rate-limit windows as HTTP answers: the one place that maps [`Error`] to statuses.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use meet_api::{ErrorBody, ErrorCode};
use serde::Serialize;

use crate::error::{Error, Window};

/// How long a caller is asked to stay away when the server cannot tell.
const RETRY_SECONDS: u64 = 2;

/// A refused request: the error, and the dead cookie that is cleared with it.
#[derive(Debug)]
pub(crate) struct Refusal {
    error: Error,
    sentence: Option<&'static str>,
    clear_cookie: Option<HeaderValue>,
}

impl Refusal {
    /// A refusal in the words that the clients of one operation know.
    pub(crate) fn worded(error: Error, sentence: &'static str) -> Self {
        Self { sentence: Some(sentence), ..error.into() }
    }

    /// A refusal that also takes the dead session cookie away.
    pub(crate) fn clearing(error: Error, cookie: HeaderValue) -> Self {
        Self { clear_cookie: Some(cookie), ..error.into() }
    }
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self { error: error.into(), sentence: None, clear_cookie: None }
    }
}

/// The HTTP status of a code.
fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::MissingKey | ErrorCode::InvalidKey => StatusCode::UNAUTHORIZED,
        ErrorCode::InvalidRequest | ErrorCode::UnknownCursor => StatusCode::BAD_REQUEST,
        ErrorCode::ReadOnly | ErrorCode::Forbidden | ErrorCode::BadOrigin | ErrorCode::SignupClosed => {
            StatusCode::FORBIDDEN
        }
        ErrorCode::NotFound | ErrorCode::RoomNotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::IdempotencyConflict
        | ErrorCode::NameTaken
        | ErrorCode::RoomFull
        | ErrorCode::AgentsPaused
        | ErrorCode::AgentBudgetSpent
        | ErrorCode::AgentShareSpent => StatusCode::CONFLICT,
        ErrorCode::Expired => StatusCode::GONE,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
        ErrorCode::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::QuotaExceeded | ErrorCode::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::ProviderFailed => StatusCode::BAD_GATEWAY,
        ErrorCode::ConferenceUnavailable | ErrorCode::Unavailable | ErrorCode::Unknown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// An answer in the one shape of errors.
pub(crate) fn error_answer(code: ErrorCode, sentence: &str) -> Response {
    let body = ErrorBody { error: sentence.to_owned(), code };
    let mut response = (status(code), Json(body)).into_response();
    if matches!(code, ErrorCode::Unavailable | ErrorCode::ConferenceUnavailable | ErrorCode::RateLimited) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_SECONDS.into());
    }
    if code == ErrorCode::UpgradeRequired {
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

/// The answer to an address that is none.
pub(crate) async fn not_found() -> Response {
    error_answer(ErrorCode::NotFound, "there is nothing at this address")
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Error::Store(source) = &self.error {
            tracing::error!(error = source as &dyn std::error::Error, "the store failed");
        }
        let sentence = self.sentence.map_or_else(|| self.error.to_string(), str::to_owned);
        let mut response = error_answer(self.error.code(), &sentence);
        let headers = response.headers_mut();
        match self.error {
            Error::RateLimited(window) => {
                insert_window(headers, window);
                headers.insert(header::RETRY_AFTER, seconds(window).into());
            }
            Error::MissingKey | Error::InvalidKey => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        if let Some(cookie) = self.clear_cookie {
            headers.append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// Whole seconds until a window starts anew, rounded up so that whoever waits them out is let in.
fn seconds(window: Window) -> u64 {
    u64::try_from(window.reset.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

fn insert_window(headers: &mut HeaderMap, window: Window) {
    headers.insert(HeaderName::from_static("ratelimit-limit"), window.limit.into());
    headers.insert(HeaderName::from_static("ratelimit-remaining"), window.remaining.into());
    headers.insert(HeaderName::from_static("ratelimit-reset"), seconds(window).into());
}

/// Tells the caller of its window.
pub(crate) fn with_window(window: Option<Window>, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Some(window) = window {
        insert_window(response.headers_mut(), window);
    }
    response
}

/// 201 with the new thing.
pub(crate) fn created(body: impl Serialize) -> Response {
    (StatusCode::CREATED, Json(body)).into_response()
}
