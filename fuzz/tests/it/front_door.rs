//! A whole server, asked by somebody who makes requests up: every answer is one that the contract knows, none is a
//! fault of the server, and it lives on.

use std::{
    io::Write,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{LazyLock, Mutex},
    thread,
    time::Duration,
};

use bolero::{TypeGenerator, check, produce};
use futures_util::{SinkExt, StreamExt};
use meet_api::ErrorBody;
use meet_server::{App, Clock, Config};
use reqwest::{Client, Method, RequestBuilder, Url};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::input::text;

/// A request costs more than a call of a function: fewer of them than elsewhere.
const REQUESTS: usize = 300;
/// How long an answer may take before the server counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// One server for all targets, with a room in it.
struct Door {
    address: SocketAddr,
    key: String,
    room: String,
}

static DOOR: LazyLock<Door> = LazyLock::new(|| {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async move {
            let folder = tempfile::tempdir().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut config =
                Config { listen: address, data_dir: folder.path().to_owned(), welcome: false, ..Config::default() };
            config.limits.min_free_bytes = Some(0);
            let started = App::open(config, Clock::system(), address).await.unwrap();
            let key = started.first.unwrap().key.expose_secret().to_owned();
            sender.send((address, key)).unwrap();
            meet_server::serve(started.app, listener, std::future::pending()).await.unwrap();
        });
    });
    let (address, key) = receiver.recv().unwrap();
    let created = Caller::new().send(|client| {
        let body = json!({"name": "fuzz"}).to_string();
        client.post(format!("http://{address}/api/rooms")).bearer_auth(&key).body(body)
    });
    let room = created.1.unwrap()["id"].as_str().unwrap().to_owned();
    Door { address, key, room }
});

/// Sends requests one after the other, and holds every answer to the contract.
struct Caller {
    runtime: Runtime,
    client: Client,
}

impl Caller {
    /// Wrapped, because a failing input ends in a panic and the next one uses the same connection.
    fn new() -> AssertUnwindSafe<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        AssertUnwindSafe(Self { runtime, client })
    }

    /// The status and the JSON of an answer; `None` when no request could be made of it.
    fn send(&self, request: impl FnOnce(&Client) -> RequestBuilder) -> (u16, Option<Value>) {
        let Ok(request) = request(&self.client).build() else { return (0, None) };
        let told = format!("{} {}", request.method(), request.url());
        self.runtime.block_on(async {
            let answer = self.client.execute(request).await.unwrap_or_else(|error| panic!("{told}: {error}"));
            let status = answer.status().as_u16();
            let body = answer.bytes().await.unwrap();
            assert!(status < 500, "{told}: {status} {body:?}");
            if status >= 400 {
                serde_json::from_slice::<ErrorBody>(&body).unwrap_or_else(|_| panic!("{told}: {status} {body:?}"));
            }
            (status, serde_json::from_slice(&body).ok())
        })
    }
}

/// After everything that was sent, the server answers as before.
fn the_server_lives(caller: &Caller) {
    assert_eq!(caller.send(|client| client.get(format!("http://{}/healthz", DOOR.address))).0, 200);
}

/// A parameter of the lists and streams, and something that it may be set to.
#[derive(Debug, Clone, TypeGenerator)]
struct Parameter {
    #[generator(0..PARAMETERS.len())]
    name: usize,
    value: ParameterValue,
}

#[derive(Debug, Clone, TypeGenerator)]
enum ParameterValue {
    Number(i64),
    Small(i8),
    Text(#[generator(text())] String),
    Id(u128),
}

const PARAMETERS: [&str; 9] =
    ["after", "after_seq", "before_seq", "limit", "epoch", "exclude", "mentions", "q", "unknown"];

impl ParameterValue {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Small(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Id(number) => {
                let hex = format!("{number:032x}");
                format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
            }
        }
    }
}

#[test]
fn any_cursor_and_any_words_are_answered() {
    let caller = Caller::new();
    let parameters = produce::<Vec<Parameter>>().with().len(0..4usize);
    check!().with_iterations(REQUESTS).with_generator(parameters).for_each(|parameters| {
        let pairs: Vec<_> =
            parameters.iter().map(|parameter| (PARAMETERS[parameter.name], parameter.value.text())).collect();
        for list in ["messages", "search"] {
            let url = format!("http://{}/api/rooms/{}/{list}", DOOR.address, DOOR.room);
            let url = Url::parse_with_params(&url, &pairs).unwrap();
            let (status, answer) = caller.send(|client| client.get(url).bearer_auth(&DOOR.key));
            assert!(matches!(status, 200 | 400), "{status}");
            assert_eq!(status == 200, answer.unwrap().is_array());
        }
    });
    the_server_lives(&caller);
}

#[test]
fn any_body_at_any_address_is_answered() {
    const ADDRESSES: [(&str, &str); 10] = [
        ("POST", "/api/rooms"),
        ("POST", "/api/rooms/{room}/messages"),
        ("PATCH", "/api/rooms/{room}"),
        ("POST", "/api/rooms/{room}/invites"),
        ("POST", "/api/session"),
        ("DELETE", "/api/session"),
        ("PUT", "/api/rooms"),
        ("POST", "/api/{anything}"),
        ("POST", "/realtime/connection-token"),
        ("POST", "/emulation"),
    ];
    let caller = Caller::new();
    let fields = (0..ADDRESSES.len(), text(), text(), 0..FIELDS.len(), 0..FIELDS.len(), 0..VALUES.len());
    check!().with_iterations(REQUESTS).with_generator(fields).for_each(|(at, one, other, first, second, value)| {
        let (method, path) = ADDRESSES[*at];
        let path = path.replace("{room}", &DOOR.room).replace("{anything}", one);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let well_formed = format!("{{{}:{},{}:{}}}", FIELDS[*first], json!(one), FIELDS[*second], VALUES[*value]);
        for body in [well_formed, other.clone()] {
            let url = format!("http://{}{path}", DOOR.address);
            caller.send(|client| client.request(method.clone(), url).bearer_auth(&DOOR.key).body(body));
        }
    });
    the_server_lives(&caller);
}

const FIELDS: [&str; 12] = [
    "\"name\"",
    "\"content\"",
    "\"sender\"",
    "\"sender_type\"",
    "\"reply_to\"",
    "\"expires_in\"",
    "\"max_uses\"",
    "\"role\"",
    "\"visibility\"",
    "\"history\"",
    "\"key\"",
    "\"invite\"",
];
const VALUES: [&str; 12] = [
    "null",
    "true",
    "[]",
    "{}",
    "-1",
    "1e999",
    "18446744073709551615",
    "18446744073709551616",
    "\"member\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"x",
];

#[test]
fn any_frame_is_answered_and_none_ends_the_socket() {
    let caller = Caller::new();
    let url = format!("ws://{}/api/rooms/{}/ws?name=fuzz&kind=agent", DOOR.address, DOOR.room);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", DOOR.key).parse().unwrap());
    let (socket, _) = caller.runtime.block_on(tokio_tungstenite::connect_async(request)).unwrap();
    let socket = Mutex::new(socket);
    let frames = (text(), text(), 0..FIELDS.len(), 0..VALUES.len(), produce::<bool>());
    check!().with_iterations(REQUESTS).with_generator(frames).for_each(|(one, other, field, value, is_object)| {
        let object = format!("{{\"content\":{},{}:{}}}", json!(one), FIELDS[*field], VALUES[*value]);
        let frame = if *is_object { object } else { other.clone() };
        let mut socket = socket.lock().unwrap();
        caller.runtime.block_on(async {
            socket.send(Message::text(frame.clone())).await.unwrap();
            socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
            loop {
                let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("an answer");
                let Message::Text(text) = next.unwrap_or_else(|| panic!("closed by {frame}")).unwrap() else {
                    continue;
                };
                let answer: Value = serde_json::from_str(&text).unwrap();
                if answer["type"] == "pong" {
                    break;
                }
                assert!(matches!(answer["type"].as_str(), Some("message" | "ack" | "error" | "presence")), "{answer}");
            }
        });
    });
    the_server_lives(&caller);
}

#[test]
fn a_text_that_is_no_token_of_ours_ends_its_connection() {
    let caller = Caller::new();
    let token = caller.send(|client| client.post(format!("http://{}/realtime/connection-token", DOOR.address)));
    let token = token.1.unwrap()["token"].as_str().unwrap().to_owned();
    let texts = (text(), produce::<u16>(), text(), produce::<bool>());
    check!().with_iterations(REQUESTS).with_generator(texts).for_each(|(text, at, instead, is_near)| {
        let mut near = token.clone();
        let at = usize::from(*at) % token.len();
        near.replace_range(at..=at, instead);
        let text = if *is_near { near } else { text.clone() };
        if text == token {
            return;
        }
        let body = json!({ "id": 1, "connect": { "token": text } }).to_string();
        let url = format!("http://{}/connection/http_stream", DOOR.address);
        let (status, reply) = caller.send(|client| client.post(url).body(body));
        let code = reply.unwrap()["push"]["disconnect"]["code"].as_u64();
        assert!(status == 200 && matches!(code, Some(3500 | 3501)), "{status} {code:?}");
    });
    the_server_lives(&caller);
}

#[test]
fn bytes_that_are_no_request_harm_nobody() {
    let caller = Caller::new();
    check!().with_iterations(REQUESTS).with_type::<(Vec<u8>, bool)>().for_each(|(bytes, with_head)| {
        let mut stream = std::net::TcpStream::connect(DOOR.address).unwrap();
        if *with_head {
            let head = "POST /api/rooms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n";
            // The server may have hung up already: that is an answer, too.
            let _ = stream.write_all(head.as_bytes());
        }
        let _ = stream.write_all(bytes);
    });
    the_server_lives(&caller);
}
