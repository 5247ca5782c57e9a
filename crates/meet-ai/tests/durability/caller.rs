//! Somebody who calls a server that may vanish at any moment, over HTTP and over a socket.

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message as Frame, client::IntoClientRequest as _, handshake::client::generate_key},
};

use crate::server::soon;

/// A key and a server.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    url: String,
    key: String,
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head_seq: Option<u64>,
    pub(crate) epoch: Option<String>,
    pub(crate) body: Value,
}

/// The server, or the way to it, is gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<reqwest::Error> for Gone {
    fn from(_: reqwest::Error) -> Self {
        Self
    }
}

impl Answer {
    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Caller {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, url: url.to_owned(), key: key.to_owned() }
    }

    /// Sends a request and reads the whole answer.
    async fn call(&self, request: reqwest::RequestBuilder) -> Result<Answer, Gone> {
        let answer = request.bearer_auth(&self.key).send().await?;
        let status = answer.status().as_u16();
        let header = |name| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
        let (head_seq, epoch) = (header("x-head-seq").map(|head| head.parse().unwrap()), header("x-epoch"));
        let body = answer.bytes().await?;
        Ok(Answer { status, head_seq, epoch, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Gone> {
        self.call(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer, Gone> {
        self.call(self.http.delete(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Gone> {
        self.call(self.http.post(format!("{}{path}", self.url)).json(body)).await
    }

    /// Posts a message under an idempotency key.
    pub(crate) async fn say(&self, room: &str, sender: &str, content: &str, key: &str) -> Result<Answer, Gone> {
        let body = json!({ "sender": sender, "content": content });
        let post = self.http.post(format!("{}/api/rooms/{room}/messages", self.url)).json(&body);
        self.call(post.header("idempotency-key", key)).await
    }

    /// Makes a room and gives its id.
    pub(crate) async fn new_room(&self, name: &str) -> String {
        let room = self.post("/api/rooms", &json!({ "name": name })).await.unwrap().expect(201);
        room["id"].as_str().unwrap().to_owned()
    }

    /// All that was said in a room, in pages, and its head and epoch.
    pub(crate) async fn history(&self, room: &str) -> (Vec<Value>, u64, String) {
        let mut messages: Vec<Value> = Vec::new();
        loop {
            let path = format!("/api/rooms/{room}/messages?after_seq={}&limit=1000", messages.len());
            let answer = self.get(&path).await.unwrap();
            let (head, epoch) = (answer.head_seq.unwrap(), answer.epoch.clone().unwrap());
            let Value::Array(page) = answer.expect(200) else { panic!("no page") };
            if page.is_empty() {
                return (messages, head, epoch);
            }
            messages.extend(page);
        }
    }

    /// Opens a room's socket behind `since`.
    pub(crate) async fn listen(&self, room: &str, since: u64, epoch: Option<&str>) -> Result<Socket, Gone> {
        let epoch = epoch.map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
        let url = format!("{}/api/rooms/{room}/ws?since={since}{epoch}", self.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.key).parse().unwrap());
        match soon("an upgrade", Box::pin(connect_async(request))).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(refusal)) if refusal.status() != 503 => {
                panic!("refused: {}", refusal.status())
            }
            Err(_) => Err(Gone),
        }
    }
}

/// A line with the smallest buffer, on which a room's socket is opened behind `since` and then nothing is read.
pub(crate) struct Stuck(TcpStream);

impl Stuck {
    /// Opens it, and reads nothing but the answer's head.
    pub(crate) async fn open(caller: &Caller, room: &str, since: u64) -> Self {
        let address = caller.url.strip_prefix("http://").unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut line = socket.connect(address.parse().unwrap()).await.unwrap();
        let request = format!(
            "GET /api/rooms/{room}/ws?since={since} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: {}\r\n\r\n",
            caller.key,
            generate_key(),
        );
        line.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("an upgrade", line.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self(line)
    }

    /// Waits until something lies there that is not read.
    pub(crate) async fn is_written_to(&self) {
        soon("something to read", self.0.readable()).await.unwrap();
    }
}

/// An open socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// The next frame of JSON, or the code with which the socket was closed: none when it just broke.
    pub(crate) async fn next(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match soon("a frame", self.0.next()).await {
                Some(Ok(Frame::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Frame::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }
}
