//! JSON bodies: bounded each and all together, read whole within a time, wrong types named by their field.

use std::time::Duration;

use axum::{
    RequestExt,
    body::Bytes,
    extract::{FromRequest, Request},
    http::header,
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::{app::App, error::Error, limits::Share};

use super::{ClientIp, Refusal, caller::UsedCookie};

/// The longest body: a message of legal length fits however its JSON is escaped.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// How much of a longer one is read and thrown away, so that its sender gets the answer and not a reset.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a body holds without counting against the budget: no more than its connection holds anyway, and enough for most
/// messages, so that these get through however much others send.
const FREE: usize = 4 * 1024;

/// A JSON body of any content type, or of `application/json` when a cookie is the credential. None at all is `{}`.
#[derive(Debug, Clone)]
pub(crate) struct Body<T>(pub(crate) T);

/// A body, whatever it is.
pub(crate) struct RawBody {
    /// What came.
    pub(crate) bytes: Bytes,
    /// What it holds of the budget, for as long as it is kept.
    pub(crate) share: Share,
}

impl FromRequest<App> for RawBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let Whole { body, share } = whole(request, app).await?;
        Ok(Self { bytes: body.into(), share })
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let by_cookie = request.extensions().get::<UsedCookie>().is_some();
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = content_type.is_some_and(is_json);
        let Whole { body, share: _held } = whole(request, app).await?;
        if by_cookie && !is_json && !body.is_empty() {
            return Err(Error::UnsupportedMediaType.into());
        }
        Ok(Self(parse(&body)?))
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let is_json = || serde_json::from_slice::<serde_json::Value>(body).is_ok();
    // A list would be read as a struct's fields in their order.
    if body.trim_ascii().first() == Some(&b'[') && is_json() {
        return Err(Error::Invalid("the body must be a JSON object".into()));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "the body".to_owned() } else { path };
        // The parser stops at the first thing that does not fit, whatever comes behind it.
        if is_json() {
            Error::Invalid(format!("{field} is not what it should be: {}", error.inner()))
        } else {
            Error::Invalid(format!("the body is not valid JSON: {}", error.inner()))
        }
    })?;
    json.end().map_err(|error| Error::Invalid(format!("the body is not valid JSON: {error}")))?;
    Ok(value)
}

/// A body that has arrived; it holds its share until it is taken apart.
struct Whole {
    body: Vec<u8>,
    share: Share,
}

/// Reads a body whole within its time.
async fn whole(mut request: Request, app: &App) -> Result<Whole, Refusal> {
    let ClientIp(ip) = request.extract_parts_with_state(app).await?;
    let share = app.limits().bodies.share(ip);
    let read = tokio::time::timeout(PATIENCE, read(request, share)).await;
    Ok(read.map_err(|_| Error::Invalid("the body did not arrive in time".into()))??)
}

async fn read(request: Request, share: Share) -> Result<Whole, Error> {
    let mut stream = request.into_body().into_data_stream();
    let mut length = 0_usize;
    let mut kept = Ok(Whole { body: Vec::new(), share });
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Error::Invalid("the body ended early".into()))?;
        length += chunk.len();
        if length > MAX_DISCARDED {
            break;
        }
        // What is refused is read on, so that its sender gets the answer; nothing of it is kept.
        kept = kept.and_then(|whole| whole.with(&chunk));
    }
    kept
}

impl Whole {
    /// The body with one more chunk; room for it is taken from the budget first.
    fn with(mut self, chunk: &[u8]) -> Result<Self, Error> {
        let length = self.body.len() + chunk.len();
        if length > MAX_BODY {
            return Err(Error::TooLarge(format!("the body must have at most {MAX_BODY} bytes")));
        }
        if length > self.body.capacity() {
            let room = length.next_power_of_two().clamp(FREE, MAX_BODY);
            self.share.grow(room.saturating_sub(FREE) - self.body.capacity().saturating_sub(FREE))?;
            self.body.reserve_exact(room - self.body.len());
        }
        self.body.extend_from_slice(chunk);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use meet_api::request::{CreateRoom, SendMessage};

    use crate::limits::{BODIES_BYTES_PER_NETWORK, Bodies};

    use super::*;

    #[test]
    fn a_body_takes_from_the_budget_what_it_holds_and_short_ones_take_nothing() {
        let bodies = Bodies::default();
        let whole = || Whole { body: Vec::new(), share: bodies.share(IpAddr::from([10, 0, 0, 1])) };
        let full: Vec<_> = (0..BODIES_BYTES_PER_NETWORK / MAX_BODY)
            .map(|_| (0..MAX_BODY / 1024).try_fold(whole(), |whole, _| whole.with(&[b'x'; 1024])).unwrap())
            .collect();
        assert!(full.iter().all(|whole| whole.body.capacity() == MAX_BODY));
        let short = whole().with(&[b'x'; FREE]).unwrap();
        // Each full one left its free part.
        let more: Vec<_> = full.iter().map(|_| whole().with(&[b'x'; 2 * FREE]).unwrap()).collect();
        assert!(matches!(whole().with(&[b'x'; 2 * FREE]), Err(Error::Unavailable(_))));
        assert!(whole().with(&[b'x'; FREE]).is_ok(), "a short one gets through");
        assert!(matches!(short.with(&vec![b'x'; MAX_BODY]), Err(Error::TooLarge(_))));
        drop((full, more));
        assert!(whole().with(&[b'x'; 2 * FREE]).is_ok());
    }

    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        parse::<T>(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_type_is_named_by_its_field() {
        assert!(refused::<CreateRoom>(r#"{"name": 5}"#).starts_with("name is not what it should be"));
        assert!(refused::<CreateRoom>(r#"{"name": "x", "media": "film"}"#).starts_with("media is not"));
        assert!(refused::<CreateRoom>(r#"{"name": "x", "media": 7}"#).starts_with("media is not"));
        assert!(refused::<CreateRoom>(r#"["x"]"#).contains("object"));
        assert!(refused::<SendMessage>("[1").starts_with("the body is not valid JSON"));
        assert!(refused::<SendMessage>(r#"{"content": "\ud800"}"#).contains("JSON"));
        assert!(refused::<SendMessage>("{} x").contains("JSON"));
    }

    #[test]
    fn no_body_is_an_empty_object_and_unknown_fields_are_ignored() {
        assert_eq!(parse::<CreateRoom>(b"").unwrap(), CreateRoom::default());
        assert_eq!(parse::<CreateRoom>(br#"{"colour": "red"}"#).unwrap(), CreateRoom::default());
    }
}
