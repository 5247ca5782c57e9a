//! The live side in bulk: readers of every kind, messages that nobody is told of, lines that are cut or never read.

use std::net::SocketAddr;

use futures_util::future::join_all;
use meet_api::{Kind, Message, MessageId, TenantId, UserId, text::Content, text::UserName};
use meet_store::{AppendOutcome, Appender, Caps, Ensured, NewMessage, NewUser};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{Answer, Caller, Event, Server, Socket, Stream, Wire, soon};

/// How much more a test does when `MEET_AI_SOAK` is set.
pub(crate) fn soak(times: usize) -> usize {
    let is_long = std::env::var("MEET_AI_SOAK").is_ok_and(|value| value == "1");
    if is_long {
        println!("the long variant: {times} times as much");
    }
    if is_long { times } else { 1 }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Whatever hands out a room's messages one by one.
pub(crate) enum Reader {
    /// A room's WebSocket.
    Socket(Box<Socket>),
    /// A room's event stream.
    Stream(Stream),
    /// A connection of the gateway that listens to the room.
    Wire(Box<Wire>),
}

impl From<Wire> for Reader {
    fn from(wire: Wire) -> Self {
        Self::Wire(Box::new(wire))
    }
}

impl From<Socket> for Reader {
    fn from(socket: Socket) -> Self {
        Self::Socket(Box::new(socket))
    }
}

impl From<Stream> for Reader {
    fn from(stream: Stream) -> Self {
        Self::Stream(stream)
    }
}

impl Reader {
    /// A socket and a stream of the same room, both from `since` on.
    pub(crate) async fn both(caller: &Caller, room: &str, since: u64) -> [Self; 2] {
        let socket = caller.socket(room, &format!("?since={since}")).await;
        let stream = caller.stream(&format!("/api/rooms/{room}/events?since={since}")).await;
        assert_eq!(stream.status, 200);
        [socket.into(), stream.into()]
    }

    /// The next frame's or event's type and data.
    pub(crate) async fn next(&mut self) -> Event {
        match self {
            Self::Socket(socket) => {
                let data = socket.next().await.unwrap();
                Event { id: None, name: data["type"].as_str().unwrap().to_owned(), data }
            }
            Self::Stream(stream) => stream.next().await.expect("the stream goes on"),
            Self::Wire(wire) => {
                let data = serde_json::from_slice(&wire.publication().await.data).unwrap();
                Event { id: None, name: "message".to_owned(), data }
            }
        }
    }

    /// The next frame or event, which must be of this type.
    pub(crate) async fn expect(&mut self, name: &str) -> serde_json::Value {
        let event = self.next().await;
        assert_eq!(event.name, name, "{}", event.data);
        event.data
    }

    /// The next message; what else comes is passed over.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            let event = self.next().await;
            if event.name == "message" {
                return serde_json::from_value(event.data).unwrap();
            }
        }
    }

    /// Messages until the one at `seq`.
    pub(crate) async fn until(&mut self, seq: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.last().is_none_or(|last: &Message| last.seq < seq) {
            messages.push(self.message().await);
        }
        messages
    }

    /// Reads on in a task, so that it never falls behind.
    pub(crate) fn read_until(mut self, seq: u64) -> tokio::task::JoinHandle<Vec<Message>> {
        tokio::task::spawn(async move { self.until(seq).await })
    }
}

impl Caller {
    /// The caller's tenant.
    pub(crate) async fn tenant(&self) -> TenantId {
        let session = self.get("/api/session").await.expect(200);
        session["org"].as_str().unwrap().parse().unwrap()
    }

    /// All messages of a room, by pages.
    pub(crate) async fn log(&self, room: &str) -> Vec<Message> {
        let mut log: Vec<Message> = Vec::new();
        loop {
            let after = log.last().map_or(0, |message| message.seq);
            let page = self.messages(room, &format!("?limit=1000&after_seq={after}")).await;
            if page.is_empty() {
                assert!(log.iter().map(|message| message.seq).eq(1..=after), "seq has gaps");
                return log;
            }
            log.extend(page);
        }
    }

    /// The answer to a WebSocket that is refused before the upgrade.
    pub(crate) async fn refused_socket(&self, room: &str, query: &str) -> Answer {
        let path = format!("/api/rooms/{room}/ws{query}");
        let request = self.request(Method::GET, &path).header("connection", "upgrade").header("upgrade", "websocket");
        let request = request.header("sec-websocket-version", "13");
        self.send(request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")).await
    }

    /// A socket over a line whose reader takes little at a time.
    pub(crate) async fn narrow_socket(&self, room: &str, query: &str) -> Socket {
        let path = format!("/api/rooms/{room}/ws{query}");
        Socket::open_over(narrow_line(self.address()).await, self.address(), &path, self.token()).await
    }

    /// A room's event stream over a line that nobody reads.
    pub(crate) async fn unread_stream(&self, room: &str) -> TcpStream {
        let mut line = narrow_line(self.address()).await;
        let head = self.head("GET", &format!("/api/rooms/{room}/events?since=0"), "");
        line.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        line
    }

    /// The head of a raw request without the empty line at its end.
    pub(crate) fn head(&self, method: &str, path: &str, more: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{more}",
            self.address(),
            self.token()
        )
    }
}

/// A connection with the smallest receive buffer that the system gives.
pub(crate) async fn narrow_line(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Reads raw bytes until they hold `text`.
pub(crate) async fn read_to(line: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    soon(text, async {
        loop {
            let mut byte = [0];
            assert_eq!(line.read(&mut byte).await.unwrap(), 1, "{}", String::from_utf8_lossy(&read));
            read.push(byte[0]);
            if read.ends_with(text.as_bytes()) {
                break;
            }
        }
    })
    .await;
    String::from_utf8(read).unwrap()
}

impl Server {
    /// Stores messages as another process on the same database would: the hub never hears of them.
    pub(crate) async fn store_unheard(&self, owner: &Caller, room: &str, sender: &str, count: usize) {
        let (tenant, store) = (owner.tenant().await, self.app.store());
        let name = UserName::parse("sender", sender).unwrap();
        let new = NewUser { id: UserId::from_uuid(self.clock.uuid()), name: name.clone(), kind: Kind::Agent };
        let user = match store.ensure_user(tenant, new, self.clock.now()).await.unwrap() {
            Ensured::User(user) => user,
            Ensured::NameTaken => panic!("{sender} is taken"),
        };
        let (appender, task) = Appender::start(store.clone(), |_| {});
        let appending = tokio::task::spawn(task);
        let message = |n| NewMessage {
            id: MessageId::from_uuid(self.clock.uuid()),
            tenant,
            room: room.parse().unwrap(),
            user: user.id,
            sender: name.clone(),
            sender_type: Kind::Human,
            content: Content::parse(format!("unheard {n}"), 32_768).unwrap(),
            reply_to: None,
            idempotency: None,
            created_at: self.clock.now(),
            judged_at: self.clock.now(),
            caps: Caps::default(),
            mentions: Vec::new(),
        };
        let stored = join_all((0..count).map(|n| appender.append(message(n)))).await;
        assert!(stored.into_iter().all(|outcome| matches!(outcome, Ok(AppendOutcome::Stored(_)))));
        drop(appender);
        appending.await.unwrap();
    }

    /// The value of a metric, by its name with labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let shown = self.stranger().with_token("metrics-token").get("/metrics").await;
        assert_eq!(shown.status, 200, "the server shows metrics by that token");
        let text = String::from_utf8(shown.body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}
