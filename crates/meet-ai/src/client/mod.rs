//! The HTTP API as typed methods: what the commands and every later client of ours speak.
//!
//! It holds one server and one credential, which goes into a header, never into a URL and never over
//! a redirect. It decides nothing about output, and retries only what [`retry`] says.

mod calls;
mod door;
mod error;
mod lobby;
pub mod people;
pub mod retry;
pub mod socket;
mod stay;

use std::time::Duration;

use meet_api::{
    Message, Room, RoomId,
    request::{CreateRoom, NewKey, SendMessage, SessionInfo},
};
use meet_server::LocalDoor;
use reqwest::{
    Method, Request, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LINK},
    redirect,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};

use door::Door;
pub use error::ClientError;
pub(crate) use error::asked;
pub use lobby::{LobbyEvents, Told};

use crate::{
    args::ClientArgs,
    connection::{Connection, Source},
    failure::Failure,
    server_url::ServerUrl,
};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may be silent, before its first byte and between any two parts of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read: the fullest page fits well, all of it escaped.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// The most that one page of a list may have.
const PAGE: usize = 1000;

/// A server's API in one caller's hands; a clone shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    door: Door,
    connection: Connection,
    speaker: Option<people::Speaker>,
}

/// Which part of a room's history.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// After the message with this id.
    pub after: Option<String>,
    /// After the message with this number.
    pub after_seq: Option<u64>,
    /// The last ones before this number.
    pub before_seq: Option<u64>,
    /// Without this sender's.
    pub exclude: Option<String>,
    /// Only those that mention this name.
    pub mentions: Option<String>,
    /// Only those that mention this name, or nobody who is known in the room.
    pub to: Option<String>,
    /// How many seconds to wait for something.
    pub wait: Option<u64>,
    /// At most so many messages; the most that there may be when nothing is said.
    pub limit: Option<usize>,
}

/// A page of a room's history.
#[derive(Debug)]
pub struct Page {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// The place from which the next page goes on; a page may be empty and not be the last, when a
    /// filter left out all of it.
    pub next: Option<u64>,
    /// The newest message of the room, when the page was read.
    pub head_seq: Option<u64>,
}

/// A server or key that cannot be used, in a sentence that names the place that it was found in.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl Client {
    /// A client of the server and with the key that the surroundings name: `MEET_AI_URL` and `MEET_AI_KEY` in the
    /// environment, the same names in `./.env`, config.toml, and at last the server of this machine.
    ///
    /// # Errors
    /// [`SettingError`] when what is named is no address or no key.
    pub fn from_surroundings() -> Result<Self, SettingError> {
        let told = |failure: &Failure| SettingError(failure.sentence().to_owned());
        let connection = Connection::resolve(&ClientArgs::default()).map_err(|failure| told(&failure))?;
        Self::new(&connection).map_err(|error| told(&error.into()))
    }

    /// A client of this server with this key.
    pub(crate) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("meet-ai/", env!("CARGO_PKG_VERSION")));
        if connection.url.is_loopback() {
            // A proxy for the world outside has nothing to do with this machine.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|source| ClientError::unreachable(connection, source))?;
        Ok(Self { door: Door::Network(http), connection: connection.clone(), speaker: None })
    }

    /// A client of the server in whose process it is, with the credential that the door has.
    pub(crate) fn inside(door: LocalDoor, key: SecretString) -> Self {
        let (url, url_source) = (ServerUrl::of_this_machine(), Source::Default);
        let connection = Connection { url, url_source, key: Some((key, Source::Flag)) };
        Self { door: Door::Local(door), connection, speaker: None }
    }

    /// Which server this is, and with which credential.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether there is a credential at all.
    pub fn has_key(&self) -> bool {
        self.connection.key.is_some()
    }

    /// Whether the credential is a session's, which always speaks as its own user.
    pub fn is_session(&self) -> bool {
        self.connection.key.as_ref().is_some_and(|(key, _)| key.expose_secret().starts_with("mas_"))
    }

    /// The address of an endpoint.
    fn endpoint(&self, segments: &[&str]) -> Url {
        self.connection.url.endpoint(segments)
    }

    /// Whether the server is ready to serve.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.send(Request::new(Method::GET, self.endpoint(&["readyz"]))).await.map(drop)
    }

    /// Makes an API key; no credential goes along.
    pub async fn create_key(&self) -> Result<NewKey, ClientError> {
        self.read(self.send(Request::new(Method::POST, self.endpoint(&["api", "keys"]))).await?).await
    }

    /// Who the credential is.
    pub async fn session(&self) -> Result<SessionInfo, ClientError> {
        self.get(self.endpoint(&["api", "session"])).await
    }

    /// All rooms of the caller, oldest first.
    pub async fn rooms(&self) -> Result<Vec<Room>, ClientError> {
        self.all_pages(self.endpoint(&["api", "rooms"])).await
    }

    /// All public rooms that the server lists.
    pub async fn public_rooms(&self) -> Result<Vec<Room>, ClientError> {
        self.all_pages(self.endpoint(&["api", "public", "rooms"])).await
    }

    /// One room.
    pub async fn room(&self, room: RoomId) -> Result<Room, ClientError> {
        self.get(self.endpoint(&["api", "rooms", &room.to_string()])).await
    }

    /// Makes a room.
    pub async fn create_room(&self, body: &CreateRoom) -> Result<Room, ClientError> {
        self.change(Method::POST, self.endpoint(&["api", "rooms"]), body).await
    }

    /// Stores a message. The same idempotency key stores it once, however often it is sent.
    pub async fn send_message(
        &self,
        room: RoomId,
        body: &SendMessage,
        idempotency_key: &str,
    ) -> Result<Message, ClientError> {
        let url = self.endpoint(&["api", "rooms", &room.to_string(), "messages"]);
        let mut request = with_json(self.request(Method::POST, url), body);
        if let Ok(key) = HeaderValue::from_str(idempotency_key) {
            request.headers_mut().insert("idempotency-key", key);
        }
        self.read(self.send(request).await?).await
    }

    /// A page of a room's history, the fullest there is.
    pub async fn messages(&self, room: RoomId, history: &History) -> Result<Page, ClientError> {
        let mut url = self.endpoint(&["api", "rooms", &room.to_string(), "messages"]);
        url.query_pairs_mut().extend_pairs(history.pairs());
        let patience = ANSWER_TIMEOUT + Duration::from_secs(history.wait.unwrap_or(0));
        let response = self.send_within(patience, self.request(Method::GET, url)).await?;
        let next = next_query(response.headers()).as_deref().and_then(after_seq);
        // A place that does not move would be asked for for ever.
        let next = next.filter(|next| history.after_seq.is_none_or(|after| after < *next));
        let head_seq = response.headers().get("x-head-seq").and_then(|seq| seq.to_str().ok()?.parse().ok());
        Ok(Page { messages: self.read(response).await?, next, head_seq })
    }

    /// Follows a list to its end. Only the query of a next page is taken from the answer: where the
    /// credential goes is not for an answer to say.
    async fn all_pages<T: DeserializeOwned>(&self, list: Url) -> Result<Vec<T>, ClientError> {
        let mut url = list.clone();
        url.query_pairs_mut().append_pair("limit", &PAGE.to_string());
        let mut items = Vec::new();
        loop {
            let response = self.send(self.request(Method::GET, url.clone())).await?;
            let next = next_query(response.headers());
            let page: Vec<T> = self.read(response).await?;
            items.extend(page);
            match next {
                // A page that names itself would be asked for for ever.
                Some(query) if url.query() != Some(&query) => url.set_query(Some(&query)),
                _ => return Ok(items),
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, ClientError> {
        self.read(self.send(self.request(Method::GET, url)).await?).await
    }

    /// Asks for a change that this body describes.
    async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(self.send(with_json(self.request(method, url), body)).await?).await
    }

    /// A request with the credential, and with the speaker where the credential does not say who that is.
    fn request(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url);
        let key = self.connection.key.as_ref();
        let bearer = key.map(|(key, _)| format!("Bearer {}", key.expose_secret()));
        if let Some(mut bearer) = bearer.and_then(|bearer| HeaderValue::try_from(bearer).ok()) {
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        if let Some(speaker) = &self.speaker {
            speaker.introduce(request.headers_mut());
        }
        request
    }

    /// Sends; whatever is not a success is an error.
    async fn send(&self, request: Request) -> Result<Response, ClientError> {
        self.send_within(ANSWER_TIMEOUT, request).await
    }

    async fn send_within(&self, patience: Duration, request: Request) -> Result<Response, ClientError> {
        let response = self.wait_for(patience, self.door.send(request)).await?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response).await?;
        Err(ClientError::from_answer(&self.connection, status, &headers, &body))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let status = response.status();
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|_| ClientError::not_ours(&self.connection, status))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        loop {
            match self.wait_for(ANSWER_TIMEOUT, response.chunk()).await? {
                Some(chunk) if body.len() + chunk.len() <= MAX_ANSWER => body.extend_from_slice(&chunk),
                Some(_) => return Err(ClientError::not_ours(&self.connection, response.status())),
                None => return Ok(body),
            }
        }
    }

    /// Waits for the next sign of the server. An answer of many parts may take as long as its parts
    /// keep coming.
    async fn wait_for<T>(
        &self,
        patience: Duration,
        sign: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, ClientError> {
        let came = tokio::time::timeout(patience, sign).await.map_err(|_| ClientError::late(&self.connection))?;
        came.map_err(|source| ClientError::unreachable(&self.connection, source))
    }
}

impl History {
    /// What is left of the part behind this place.
    #[must_use]
    pub fn behind(&self, seq: u64) -> Self {
        Self { after: None, after_seq: Some(seq), wait: None, ..self.clone() }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let pairs = [
            ("limit", Some(self.limit.unwrap_or(PAGE).to_string())),
            ("after", self.after.clone()),
            ("after_seq", number(self.after_seq)),
            ("before_seq", number(self.before_seq)),
            ("exclude", self.exclude.clone()),
            ("mentions", self.mentions.clone()),
            ("for", self.to.clone()),
            ("wait", number(self.wait)),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// The request with this body.
fn with_json(mut request: Request, body: &impl Serialize) -> Request {
    // What is sent is made of texts and numbers, of which JSON can be made.
    let body = serde_json::to_vec(body).unwrap_or_default();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Some(body.into());
    request
}

/// The query of the next page, from `Link: <…?query>; rel="next"`.
fn next_query(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let mut parts = links.flat_map(|value| value.split(", "));
    let next = parts.find(|part| part.ends_with("rel=\"next\"") || part.contains("rel=\"next\";"))?;
    let (address, _) = next.split_once('<')?.1.split_once('>')?;
    Some(address.split_once('?')?.1.to_owned())
}

/// The number that a query says to go on behind.
fn after_seq(query: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix("after_seq="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;
    use crate::{connection::Source, server_url::ServerUrl};

    fn next(link: &'static str) -> Option<String> {
        next_query(&HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        // Time, which is not real here, only passes where it is told to while something blocks.
        let (done, working) = std::sync::mpsc::channel::<()>();
        let _clock_is_held = tokio::task::spawn_blocking(move || working.recv());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = ServerUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let client = Client::new(&Connection { url, url_source: Source::Default, key: None }).unwrap();
        let silent = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            tokio::time::advance(ANSWER_TIMEOUT * 2).await;
            stream
        };
        let (answer, _stream) = tokio::join!(client.rooms(), silent);
        let error = answer.unwrap_err().to_string();
        assert!(error.ends_with("it did not answer in time"), "{error}");
        drop(done);
    }

    #[test]
    fn of_a_link_only_the_query_counts() {
        assert_eq!(next("</api/rooms?after=x&limit=5>; rel=\"next\"").as_deref(), Some("after=x&limit=5"));
        assert_eq!(next("<http://evil.example/?a=1>; rel=\"next\"").as_deref(), Some("a=1"));
        assert_eq!(next("</x?b=1>; rel=\"prev\", </x?a=1>; rel=\"next\"").as_deref(), Some("a=1"));
        assert_eq!(next("</x?b=1>; rel=\"prev\""), None);
        assert_eq!(after_seq("limit=5&after_seq=12&exclude=after_seq%3D3"), Some(12));
        assert_eq!(after_seq("limit=5"), None);
    }
}
