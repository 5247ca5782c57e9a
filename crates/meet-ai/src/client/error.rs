//! What can go wrong between a client and a server, and what it means for a command.

use std::{error::Error, io, time::Duration};

use meet_api::{ErrorBody, ErrorCode};
use reqwest::{
    StatusCode,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
};

use crate::{
    connection::Connection,
    failure::{Failure, key_wanted, room_wanted},
    invocation,
    server_url::{self, ServerUrl},
};

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("{}", body.error)]
    Refused {
        /// Who was asked, with which key.
        asked: String,
        /// The status.
        status: StatusCode,
        /// The server's sentence and code.
        body: ErrorBody,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer points elsewhere, and a key does not follow.
    #[error("{url} sends its callers on to {to}: if that is the server that you mean, set MEET_AI_URL to it")]
    Redirected {
        /// Who was asked.
        url: String,
        /// Where it points.
        to: String,
    },
    /// Something answers that does not speak our protocol.
    #[error("what answers at {url} is not meet-ai (status {})", status.as_u16())]
    NotOurs {
        /// Who was asked.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// Nothing answers, or not to the end.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What the system said.
        reason: String,
        /// What usually helps.
        hint: Option<String>,
    },
}

impl ClientError {
    /// No answer came.
    pub(super) fn unreachable(connection: &Connection, source: reqwest::Error) -> Self {
        let source = source.without_url();
        if source.is_timeout() {
            return Self::late(connection);
        }
        let (cause, url) = (innermost(&source), &connection.url);
        let is_refused =
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        let mut reason = cause.to_string();
        let mut hint = None;
        if let Some(plain) = url.plain().filter(|_| is_no_tls(&reason)) {
            reason = format!("no TLS is spoken there: try {plain}");
        } else if is_refused {
            hint = Some(nobody_listens(url));
        }
        Self::Unreachable { url: connection.server(), reason, hint }
    }

    /// No answer came in time.
    pub(super) fn late(connection: &Connection) -> Self {
        Self::Unreachable { url: connection.server(), reason: "it did not answer in time".to_owned(), hint: None }
    }

    /// An answer came that is not one of ours.
    pub(super) fn not_ours(connection: &Connection, status: StatusCode) -> Self {
        Self::NotOurs { url: connection.server(), status }
    }

    /// Reads an answer that is not a success.
    pub(super) fn from_answer(connection: &Connection, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        if status.is_redirection() {
            let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("another address");
            return Self::Redirected { url: connection.server(), to: to.to_owned() };
        }
        match serde_json::from_slice(body) {
            Ok(body) => Self::Refused { asked: asked(connection), status, body, retry_after: retry_after(headers) },
            Err(_) => Self::not_ours(connection, status),
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Redirected { .. } => false,
            Self::Refused { status, .. } | Self::NotOurs { status, .. } => {
                matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
            }
        }
    }

    /// The server's code, where it said no.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { body, .. } => Some(body.code),
            _ => None,
        }
    }

    /// When the server wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused { body, asked, retry_after, .. } => {
                let again = retry_after.map(|wait| format!("; again in {}", in_words(wait))).unwrap_or_default();
                let failure = Self::refused(format!("{error}{again}")).with_code(body.code);
                match body.code {
                    ErrorCode::InvalidKey => failure.with_hint(format!("{asked}: check MEET_AI_KEY and MEET_AI_URL")),
                    ErrorCode::MissingKey => failure.with_hint(format!("{asked}: {}", key_wanted())),
                    ErrorCode::RoomNotFound => failure.with_hint(format!("{asked}: {}", room_wanted())),
                    _ => failure,
                }
            }
            ClientError::Redirected { .. } => Self::refused(&error),
            ClientError::Unreachable { hint: Some(hint), .. } => Self::unreachable(&error).with_hint(hint.clone()),
            ClientError::NotOurs { .. } | ClientError::Unreachable { .. } => Self::unreachable(&error),
        }
    }
}

/// Who was asked, with which key: what decides over both may stand in a file that nobody thinks of.
pub(crate) fn asked(connection: &Connection) -> String {
    let server = connection.server();
    match &connection.key {
        Some((_, source)) => format!("the key from {} went to {server}", source.as_str()),
        None => format!("no key was found for {server}"),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A time to wait, as people say it: in two units at most, and never too short.
fn in_words(wait: Duration) -> String {
    let seconds = wait.as_secs();
    if seconds < 60 {
        return format!("{seconds} s");
    }
    let minutes = seconds.div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// What to do where no program listens.
fn nobody_listens(url: &ServerUrl) -> String {
    match url.loopback_address() {
        Some(_) if url.to_string() == server_url::DEFAULT => {
            format!("nothing listens there: start a server with `{}`", invocation::command(&["serve"]))
        }
        Some(address) => {
            let serve = invocation::command(&["serve", "--listen", &address]);
            format!("nothing listens there: start a server with `{serve}`, or name another with --url")
        }
        None => "nothing listens there: check MEET_AI_URL, and that the server runs".to_owned(),
    }
}

/// Whether rustls read something that is no TLS; it has no other word for it.
fn is_no_tls(reason: &str) -> bool {
    reason.contains("InvalidContentType")
}

/// The last cause: what the system said, without the layers around it.
fn innermost(error: &reqwest::Error) -> &(dyn Error + 'static) {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_words_and_never_too_short() {
        let told = [0, 42, 60, 61, 3600, 3601, 85_259, 86_400].map(|wait| in_words(Duration::from_secs(wait)));
        assert_eq!(told, ["0 s", "42 s", "1 min", "2 min", "1 h", "1 h 1 min", "23 h 41 min", "24 h"]);
    }
}
