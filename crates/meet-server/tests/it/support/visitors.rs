//! More ways to come in: as a browser with its cookie, as raw bytes, and as everybody at once.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Answer, Caller, Socket, Stream, soon};

/// Everything that a caller can hold open on a room.
pub(crate) struct Held {
    /// The room's WebSocket.
    pub(crate) socket: Socket,
    /// The room's event stream.
    pub(crate) events: Stream,
    /// The lobby's event stream.
    pub(crate) lobby: Stream,
    /// A long poll.
    pub(crate) poll: tokio::task::JoinHandle<Answer>,
}

impl Caller {
    /// Somebody at the same server without a credential.
    pub(crate) fn stranger(&self) -> Self {
        Self::new(self.address())
    }

    /// The same server's own Origin.
    pub(crate) fn own_origin(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Signs in by the caller's own key as a browser does, and gives the cookie as `name=value`.
    pub(crate) async fn cookie(&self, name: &str) -> String {
        let browser = self.stranger().with_header("origin", &self.own_origin());
        let answer = browser.post_json("/api/session", json!({ "key": self.token(), "name": name })).await;
        let session = answer.expect(201);
        assert_eq!(session["token"], Value::Null, "a browser's session stands in its cookie only");
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// A browser that is signed in by the caller's own key: it sends its cookie and its own Origin.
    pub(crate) async fn browser(&self, name: &str) -> Self {
        let cookie = self.cookie(name).await;
        self.stranger().with_header("cookie", &cookie).with_header("origin", &self.own_origin())
    }

    /// A request of any method, with a JSON body unless that is null.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
        self.send(if body.is_null() { request } else { request.json(body) }).await
    }

    /// Opens everything that can be open on a room, and returns when all of it is registered.
    pub(crate) async fn hold(&self, app: &meet_server::App, room: &str) -> Held {
        let before = app.hub().connections();
        let socket = self.socket(room, "").await;
        let events = self.stream(&format!("/api/rooms/{room}/events")).await;
        let lobby = self.stream("/api/lobby/events").await;
        let (caller, path) = (self.clone(), format!("/api/rooms/{room}/messages?wait=60"));
        let poll = tokio::task::spawn(async move { caller.get(&path).await });
        eventually("all connections", || app.hub().connections() >= before + 4).await;
        Held { socket, events, lobby, poll }
    }

    /// Asserts that the caller's credential opens nothing any more, by header and by URL.
    pub(crate) async fn expect_shut_out(&self, room: &str) {
        let room_path = format!("/api/rooms/{room}");
        for path in ["/api/session", "/api/rooms", &room_path, &format!("{room_path}/messages?wait=60")] {
            assert_eq!(self.get(path).await.refusal(401), "invalid_key", "{path}");
        }
        let body = json!({ "content": "still here", "sender": "ghost" });
        assert_eq!(self.post_json(&format!("{room_path}/messages"), body).await.refusal(401), "invalid_key");
        assert_eq!(self.try_socket(room, "").await.err(), Some(401));
        for path in [format!("{room_path}/events"), "/api/lobby/events".to_owned()] {
            assert_eq!(self.stream(&path).await.status, 401, "{path}");
            let by_url = format!("{path}?token={}", self.token());
            assert_eq!(self.stranger().stream(&by_url).await.status, 401, "{by_url}");
        }
        let by_url = format!("?token={}", self.token());
        assert_eq!(self.stranger().try_socket(room, &by_url).await.err(), Some(401));
    }
}

impl Held {
    /// Asserts that all of it ends because the credential did.
    pub(crate) async fn expect_credential_ended(mut self) {
        assert_eq!(self.socket.end().await.0, Some(4041));
        while self.events.next().await.is_some() {}
        while self.lobby.next().await.is_some() {}
        let answer = soon("the long poll", self.poll).await.unwrap();
        assert_eq!(answer.refusal(401), "invalid_key");
    }
}

impl Answer {
    /// Headers and body as one text, for looking for what must not be in it.
    pub(crate) fn whole(&self) -> String {
        format!("{:?}\n{}", self.headers, String::from_utf8_lossy(&self.body))
    }

    /// The address that the `Link` header gives for a relation.
    pub(crate) fn link(&self, relation: &str) -> Option<String> {
        let ending = format!("; rel=\"{relation}\"");
        let links = self.header("link").split(", ").map(str::to_owned).collect::<Vec<_>>();
        let link = links.iter().find_map(|link| link.strip_suffix(&ending))?;
        Some(link.trim_matches(['<', '>']).to_owned())
    }
}

/// Sends bytes as they are and reads what comes until the server hangs up.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes while something is still on its way resets the line; what it said before counts.
    let _ = soon("the server to hang up", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until something holds that other tasks bring about.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The same for what has to be asked for.
pub(crate) async fn eventually_ok<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    soon(what, async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The operations of the OpenAPI document: method, path, operation id.
pub(crate) fn operations() -> Vec<(String, String, String)> {
    let document: Value = serde_json::from_str(meet_server::openapi_json()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            operations.push((method.to_uppercase(), path.clone(), id));
        }
    }
    operations
}
