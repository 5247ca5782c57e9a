//! A caller over HTTP: one credential, one client, answers taken apart.

use std::net::SocketAddr;

use meet_api::Message;
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

use super::{Socket, Stream, document, soon};

/// Somebody who calls the server.
#[derive(Clone)]
pub(crate) struct Caller {
    address: SocketAddr,
    client: Client,
    token: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body's bytes.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as JSON, of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The stable code of an error with this status.
    #[track_caller]
    pub(crate) fn refusal(&self, status: u16) -> String {
        let body = self.expect(status);
        assert!(body["error"].is_string(), "no sentence in {body}");
        body["code"].as_str().expect("a code").to_owned()
    }

    /// A header's text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Caller {
    pub(super) fn new(address: SocketAddr) -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { address, client, token: None, headers: Vec::new() }
    }

    /// The same caller with a key or session token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The same caller, sending one more header with everything.
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The key or session token.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().expect("a caller with a credential")
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request with the caller's credential and headers, for tests that need more than a body.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request
    }

    /// Sends a request and takes the answer apart.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = soon("an answer", self.client.execute(request)).await.unwrap();
        document::check(&method, &path, response.status().as_u16());
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: soon("a body", response.bytes()).await.unwrap().to_vec() }
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a body as it is.
    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request(Method::POST, path).body(body)).await
    }

    /// POST with a JSON body.
    pub(crate) async fn post_json(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// PATCH with a JSON body.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Makes a room and gives its id.
    pub(crate) async fn room(&self, name: &str) -> String {
        self.room_as(json!({ "name": name })).await
    }

    /// Makes a room as the body says and gives its id.
    pub(crate) async fn room_as(&self, body: Value) -> String {
        self.post_json("/api/rooms", body).await.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// Says something and gives the message.
    pub(crate) async fn say(&self, room: &str, sender: &str, content: &str) -> Message {
        let body = json!({ "sender": sender, "content": content });
        let answer = self.post_json(&format!("/api/rooms/{room}/messages"), body).await;
        serde_json::from_value(answer.expect(201)).unwrap()
    }

    /// A page of messages; `query` begins with `?` or is empty.
    pub(crate) async fn messages(&self, room: &str, query: &str) -> Vec<Message> {
        let answer = self.get(&format!("/api/rooms/{room}/messages{query}")).await;
        serde_json::from_value(answer.expect(200)).unwrap()
    }

    /// Signs in by an invite and gives the guest, who speaks as a session.
    pub(crate) async fn invite(&self, room: &str, role: &str, name: &str) -> Self {
        self.come_in(room, role, name, None).await
    }

    /// The same as a guest of this kind, who may write.
    pub(crate) async fn guest(&self, room: &str, name: &str, kind: &str) -> Self {
        self.come_in(room, "member", name, Some(kind)).await
    }

    async fn come_in(&self, room: &str, role: &str, name: &str, kind: Option<&str>) -> Self {
        let invite = self.post_json(&format!("/api/rooms/{room}/invites"), json!({ "role": role })).await.expect(201);
        self.sign_in(json!({ "invite": invite["token"], "name": name, "kind": kind })).await
    }

    /// Signs in by the caller's own key under a name.
    pub(crate) async fn session(&self, name: &str) -> Self {
        self.sign_in(json!({ "key": self.token(), "name": name })).await
    }

    async fn sign_in(&self, body: Value) -> Self {
        let stranger = Self::new(self.address);
        let session = stranger.post_json("/api/session", body).await.expect(201);
        stranger.with_token(session["token"].as_str().unwrap())
    }

    /// Opens the room's WebSocket; `query` begins with `?` or is empty.
    pub(crate) async fn socket(&self, room: &str, query: &str) -> Socket {
        self.try_socket(room, query).await.unwrap_or_else(|status| panic!("refused with {status}"))
    }

    /// Opens a WebSocket that does not show the caller's key or session token, or gives the status that refuses it.
    pub(crate) async fn bare_socket(&self, path: &str) -> Result<Socket, u16> {
        Socket::open(self.address, path, None, &self.headers).await
    }

    /// Opens the room's WebSocket, or gives the status that refuses it.
    pub(crate) async fn try_socket(&self, room: &str, query: &str) -> Result<Socket, u16> {
        let path = format!("/api/rooms/{room}/ws{query}");
        Socket::open(self.address, &path, self.token.as_deref(), &self.headers).await
    }

    /// Opens an event stream.
    pub(crate) async fn stream(&self, path: &str) -> Stream {
        Stream::open("GET", self.request(Method::GET, path)).await
    }
}
