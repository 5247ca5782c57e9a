//! Requests to a service that may be slow, cut off or talking nonsense: how long one takes and how much of an answer is
//! read has a bound, and nothing that went wrong is told with an address or a secret. What an answer means is for the
//! provider to say.

use std::{error::Error, time::Duration};

use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};
use serde::de::DeserializeOwned;
use url::Url;

use super::Failure;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request may take, with its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A service, by the base of its addresses.
pub(crate) struct Service {
    http: Client,
    base: String,
}

/// A whole answer.
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// Why there is no whole answer; whether the request was done, nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// There is no way to the service; the words are the system's.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("it took too long")]
    Late,
    /// The connection ended before the answer did.
    #[error("the connection was cut")]
    Cut,
    /// The answer is larger than any that makes sense.
    #[error("its answer is too large")]
    TooLarge,
}

impl Service {
    /// A service whose addresses begin with `base`, which has no slash at its end. Redirects are not followed: a
    /// credential goes where the settings say and nowhere else.
    pub(crate) fn new(base: String) -> Result<Self, String> {
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("meet-ai/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A proxy for the world outside has nothing to do with this machine.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| format!("requests cannot be made: {}", innermost(&error)))?;
        Ok(Self { http, base })
    }

    /// A request to the address that ends with `path`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }
}

/// Makes a request and reads the whole answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, NoAnswer> {
    let mut response = request.send().await.map_err(|error| NoAnswer::of(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| NoAnswer::of(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

impl Answer {
    /// What the answer holds, whatever its status; `None` when it is no such thing.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What the status says, with the service's own code for it; `None` for a success.
    pub(crate) fn failure(&self, code: Option<&str>) -> Option<Failure> {
        let said = || match code {
            Some(code) => format!("status {}, code {code}", self.status.as_u16()),
            None => format!("status {}", self.status.as_u16()),
        };
        match self.status {
            status if status.is_success() => None,
            StatusCode::NOT_FOUND => Some(Failure::Gone),
            StatusCode::TOO_MANY_REQUESTS => Some(Failure::Busy),
            // It did not wait for the request to end, and may have begun with it.
            StatusCode::REQUEST_TIMEOUT => Some(Failure::Unknown(said())),
            status if status.is_client_error() => Some(Failure::Refused(said())),
            _ => Some(Failure::Unknown(said())),
        }
    }
}

impl NoAnswer {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Late
        } else if error.is_connect() {
            // The innermost cause is the system's or the TLS library's and knows no address of ours.
            Self::Unreachable(innermost(error).to_string())
        } else {
            Self::Cut
        }
    }
}

impl From<NoAnswer> for Failure {
    fn from(reason: NoAnswer) -> Self {
        Self::Unknown(reason.to_string())
    }
}

fn is_loopback(base: &str) -> bool {
    let url = Url::parse(base).ok();
    url.as_ref().and_then(Url::host).is_some_and(|host| match host {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(ip) => ip.is_loopback(),
        url::Host::Ipv6(ip) => ip.is_loopback(),
    })
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
