//! How RealtimeKit's REST API is asked: paths, the envelope around its answers, pages. What is asked is not known here.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::conference::{
    Failure,
    http::{Answer, Service, send},
};

/// What stands in a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How many entries a page has; a page of the largest entries fits what is read of an answer.
const PER_PAGE: usize = 50;
/// How many pages of a list are read.
const MAX_PAGES: usize = 40;
/// The longest id that the API is believed to make.
const MAX_ID: usize = 128;
/// Cloudflare's codes for an address that leads to no account of its.
const NO_ROUTE: [u64; 2] = [7000, 7003];

/// An app's part of the API.
pub(super) struct Api {
    service: Service,
    token: SecretString,
}

/// Why the API did not do what it was asked.
pub(super) struct Refusal {
    /// What that means for the caller.
    pub(super) failure: Failure,
    /// The status, when there was a whole answer.
    pub(super) status: Option<u16>,
    /// The vendor's number for it, if it gave one.
    pub(super) code: Option<u64>,
}

/// What the API puts around every answer, as leniently as its documentation is about it.
#[derive(Default, Deserialize)]
struct Envelope {
    success: Option<bool>,
    data: Option<Value>,
    paging: Option<Value>,
    error: Option<Value>,
    errors: Option<Vec<Value>>,
}

impl Api {
    /// The part of the app that `base` leads to.
    pub(super) fn new(base: String, token: SecretString) -> Result<Self, String> {
        Ok(Self { service: Service::new(base)?, token })
    }

    /// Asks for something that has an answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Refusal> {
        let envelope = self.call(method, path, body).await?;
        envelope.data.and_then(|data| serde_json::from_value(data).ok()).ok_or_else(Refusal::nonsense)
    }

    /// Asks for something to be done.
    pub(super) async fn tell(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(), Refusal> {
        let envelope = self.call(method, path, body).await?;
        if envelope.success == Some(true) { Ok(()) } else { Err(Refusal::nonsense()) }
    }

    /// Reads a list to its end, or what is found of it; `name` is what it is called where it does not stand alone. An
    /// entry may come twice when the list changes meanwhile.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        search: Option<&str>,
        name: &str,
    ) -> Result<Vec<T>, Refusal> {
        let search = search.map(|text| format!("&search={}", utf8_percent_encode(text, PLAIN))).unwrap_or_default();
        let mut entries: Vec<Value> = Vec::new();
        for page in 0..MAX_PAGES {
            // Whether pages are counted from 0 or from 1 is not documented: the first is asked for without a number, and
            // the one of number 1 is the same again or the next.
            let number = if page == 0 { String::new() } else { format!("&page_no={page}") };
            let path = format!("{path}?per_page={PER_PAGE}{search}{number}");
            let Envelope { data, paging, .. } = self.call(Method::GET, &path, None).await?;
            let list: Vec<Value> = match data {
                Some(Value::Array(list)) => list,
                Some(Value::Object(mut named)) => match named.remove(name) {
                    Some(Value::Array(list)) => list,
                    _ => return Err(Refusal::nonsense()),
                },
                _ => return Err(Refusal::nonsense()),
            };
            if page == 1 && list == entries {
                continue;
            }
            let is_short = list.len() < PER_PAGE;
            let is_empty = list.is_empty();
            entries.extend(list);
            let total = paging.and_then(|paging| paging.get("total_count")?.as_u64());
            if is_empty || total.map_or(is_short, |total| entries.len() as u64 >= total) {
                let entries = entries.into_iter().map(serde_json::from_value).collect::<Result<_, _>>();
                return entries.map_err(|_| Refusal::nonsense());
            }
        }
        Err(Refusal::unknown("its list has no end"))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Envelope, Refusal> {
        let mut request = self.service.request(method, path).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = send(request).await.map_err(|reason| Refusal::unknown(&reason.to_string()))?;
        open(&answer)
    }
}

/// Takes an answer for what it is.
fn open(answer: &Answer) -> Result<Envelope, Refusal> {
    if answer.status == StatusCode::NO_CONTENT {
        return Ok(Envelope { success: Some(true), ..Envelope::default() });
    }
    let envelope = answer.json::<Envelope>();
    let code = envelope.as_ref().and_then(Envelope::code);
    let refuse = |failure| Refusal { failure, status: Some(answer.status.as_u16()), code };
    if let Some(failure) = answer.failure(code.map(|code| code.to_string()).as_deref()) {
        // That something is gone is only believed of the API itself: a proxy on the way, or a wrong address, says 404 as
        // well, and a meeting that is gone counts as closed.
        let is_of_the_api = envelope.is_some_and(|envelope| envelope.success == Some(false));
        return Err(refuse(match failure {
            Failure::Gone if !is_of_the_api => Failure::Unknown("status 404, and not the API's".to_owned()),
            Failure::Gone if code.is_some_and(|code| NO_ROUTE.contains(&code)) => {
                Failure::Refused("status 404: there is no such account".to_owned())
            }
            failure => failure,
        }));
    }
    match envelope {
        Some(envelope) if envelope.success != Some(false) => Ok(envelope),
        // A success that says that it is none: whether anything was done is anybody's guess.
        Some(_) => Err(refuse(Failure::Unknown(match code {
            Some(code) => format!("status {}, yet no success, code {code}", answer.status.as_u16()),
            None => format!("status {}, yet no success", answer.status.as_u16()),
        }))),
        None => Err(refuse(Failure::Unknown("its answer makes no sense".to_owned()))),
    }
}

impl Envelope {
    /// The vendor's number for what went wrong. Its words are not kept: they repeat what was sent.
    fn code(&self) -> Option<u64> {
        let errors = self.error.iter().chain(self.errors.iter().flatten());
        let mut codes = errors.filter_map(|error| {
            let code = &error["code"];
            code.as_u64().or_else(|| code.as_str()?.parse().ok())
        });
        codes.next()
    }
}

impl Refusal {
    fn unknown(what: &str) -> Self {
        Self { failure: Failure::Unknown(what.to_owned()), status: None, code: None }
    }

    pub(super) fn nonsense() -> Self {
        Self::unknown("its answer makes no sense")
    }

    /// Whether the address leads to no account.
    pub(super) fn is_no_route(&self) -> bool {
        self.code.is_some_and(|code| NO_ROUTE.contains(&code))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.failure
    }
}

/// Whether something is an id, which may stand in a path as it is.
pub(super) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= MAX_ID && text.bytes().all(plain)
}
