//! Many subscribers of the room socket in one process: each frame is counted and its `seq` checked, nothing is kept.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    Outcome, clock,
    frames::{self, Frame, SeqReader},
    target::Target,
};

/// How many sockets are opened at the same time.
const OPENING: usize = 128;
/// How many sockets share a source address: a port is free for each only up to some 28 000.
const PER_ADDRESS: usize = 4000;
/// How long everyone may take to receive everything.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a waiter looks.
const LOOK: Duration = Duration::from_millis(2);

thread_local! {
    /// All sockets of a thread read into the same bytes, so that an idle one holds none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

/// How the subscribers come in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// The query of the socket's address, with its `?`.
    pub(crate) query: String,
    /// The last `seq` that they have.
    pub(crate) since: Option<u64>,
    /// The second byte of their source addresses, `127.<n>.0.x`.
    pub(crate) net: u8,
}

/// What all subscribers have received, together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    messages: AtomicU64,
    gaps: AtomicU64,
    duplicates: AtomicU64,
    ended: AtomicU64,
    goal: AtomicU64,
    reached: AtomicU64,
    receipts: Mutex<Option<Receipts>>,
}

/// When the last of so many subscribers got each message.
#[derive(Debug, Default)]
struct Receipts {
    size: usize,
    seen: HashMap<u64, usize>,
    complete: HashMap<u64, Instant>,
}

impl Tally {
    /// Deliveries.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Messages that a subscriber missed, and those that it got twice.
    pub(crate) fn faults(&self) -> (u64, u64) {
        (self.gaps.load(Ordering::Relaxed), self.duplicates.load(Ordering::Relaxed))
    }

    /// From now on, counts the subscribers that have come to this `seq`.
    pub(crate) fn set_goal(&self, seq: u64) {
        self.reached.store(0, Ordering::Relaxed);
        self.goal.store(seq, Ordering::Relaxed);
    }

    /// Notes for each message when the last of `size` subscribers got it.
    pub(crate) fn note_receipts(&self, size: usize) {
        *self.receipts() = Some(Receipts { size, ..Receipts::default() });
    }

    /// When the last subscriber got a message, if everyone has.
    pub(crate) fn complete(&self, seq: u64) -> Option<Instant> {
        self.receipts().as_ref()?.complete.get(&seq).copied()
    }

    /// Waits until everyone together got so many messages.
    pub(crate) async fn wait_for_messages(&self, messages: u64) -> Outcome<()> {
        self.wait(|| self.messages() >= messages).await
    }

    /// Waits until so many subscribers have come to the goal.
    pub(crate) async fn wait_for_goal(&self, subscribers: usize) -> Outcome<()> {
        self.wait(|| self.reached.load(Ordering::Relaxed) >= subscribers as u64).await
    }

    async fn wait(&self, is_done: impl Fn() -> bool) -> Outcome<()> {
        let begin = clock::now();
        while !is_done() {
            self.check()?;
            if begin.elapsed() > PATIENCE {
                let (gaps, _) = self.faults();
                return Err(format!("waited in vain: {} deliveries, {gaps} missed", self.messages()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// An error once the server has ended a connection.
    pub(crate) fn check(&self) -> Outcome<()> {
        match self.ended.load(Ordering::Relaxed) {
            0 => Ok(()),
            ended => Err(format!("the server ended {ended} of the connections").into()),
        }
    }

    fn receipts(&self) -> std::sync::MutexGuard<'_, Option<Receipts>> {
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Subscribers that are connected; dropping it hangs up.
pub(crate) struct Audience {
    /// What they have received.
    pub(crate) tally: Arc<Tally>,
    readers: JoinSet<()>,
}

impl Audience {
    /// Connects one subscriber to each of the rooms.
    pub(crate) async fn gather<'r>(
        target: &Target,
        rooms: impl IntoIterator<Item = &'r str>,
        entry: &Entry,
    ) -> Outcome<Self> {
        Self::with_tally(target, rooms, entry, Arc::default()).await
    }

    /// The same, counting into a tally that is there already.
    pub(crate) async fn with_tally<'r>(
        target: &Target,
        rooms: impl IntoIterator<Item = &'r str>,
        entry: &Entry,
        tally: Arc<Tally>,
    ) -> Outcome<Self> {
        let opening = rooms.into_iter().enumerate().map(|(place, room)| open(target, room, entry, place));
        let mut opened = stream::iter(opening).buffer_unordered(OPENING);
        let mut readers = JoinSet::new();
        while let Some((stream, rest)) = opened.try_next().await? {
            let reader =
                Reader { seq: SeqReader::default(), last: entry.since, carry: Vec::new(), tally: Arc::clone(&tally) };
            readers.spawn(read(stream, rest, reader));
        }
        drop(opened);
        Ok(Self { tally, readers })
    }

    /// How many there are.
    pub(crate) fn size(&self) -> usize {
        self.readers.len()
    }

    /// Hangs up, and waits until the sockets are closed here.
    pub(crate) async fn leave(mut self) {
        self.readers.shutdown().await;
    }
}

/// Opens a socket; also gives what came right behind the answer.
async fn open(target: &Target, room: &str, entry: &Entry, place: usize) -> Outcome<(TcpStream, Vec<u8>)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    let host = u8::try_from(place / PER_ADDRESS % 200).unwrap_or(0) + 2;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, entry.net, 0, host), 0)))?;
    let mut stream = socket.connect(target.address).await?;
    let request = format!(
        "GET /api/rooms/{room}/ws{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bWVldC1haSBiZW5jaG1hcms=\r\n\r\n",
        entry.query, target.address, target.key
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            if !answer.starts_with(b"HTTP/1.1 101") {
                return Err(format!("no socket: {}", String::from_utf8_lossy(&answer)).into());
            }
            return Ok((stream, answer.split_off(end + 4)));
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("no socket: the server hung up".into());
        }
    }
}

/// What came of one read.
enum Took {
    Nothing,
    Pong(Vec<u8>),
    End,
}

/// One subscriber: where it stands in its room.
struct Reader {
    seq: SeqReader,
    last: Option<u64>,
    carry: Vec<u8>,
    tally: Arc<Tally>,
}

/// Reads until the connection ends.
async fn read(mut stream: TcpStream, rest: Vec<u8>, mut reader: Reader) {
    let mut took = reader.take(&rest);
    drop(rest);
    loop {
        match took {
            Took::Nothing => {}
            Took::Pong(frame) if stream.write_all(&frame).await.is_ok() => {}
            Took::Pong(_) | Took::End => break,
        }
        let reading = poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut space = ReadBuf::new(buffer);
                match Pin::new(&mut stream).poll_read(context, &mut space) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(())) if !space.filled().is_empty() => Poll::Ready(reader.take(space.filled())),
                    Poll::Ready(_) => Poll::Ready(Took::End),
                }
            })
        });
        took = reading.await;
    }
    reader.tally.ended.fetch_add(1, Ordering::Relaxed);
}

impl Reader {
    /// Takes all complete frames and keeps the rest for later.
    fn take(&mut self, fresh: &[u8]) -> Took {
        if self.carry.is_empty() {
            let (took, used) = self.frames(fresh);
            self.carry.extend_from_slice(&fresh[used..]);
            return took;
        }
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.extend_from_slice(fresh);
        let (took, used) = self.frames(&bytes);
        bytes.drain(..used);
        if !bytes.is_empty() {
            self.carry = bytes;
        }
        took
    }

    fn frames(&mut self, bytes: &[u8]) -> (Took, usize) {
        let (mut used, mut messages, mut took) = (0, 0, Took::Nothing);
        while let Some((frame, length)) = frames::first(&bytes[used..]) {
            used += length;
            match frame {
                Frame::Text(text) => {
                    if let Some(seq) = self.seq.seq(text) {
                        messages += 1;
                        self.note(seq);
                    }
                }
                Frame::Ping(payload) => took = Took::Pong(frames::pong(payload)),
                Frame::Close(_) => took = Took::End,
                Frame::Other => {}
            }
        }
        self.tally.messages.fetch_add(messages, Ordering::Relaxed);
        (took, used)
    }

    fn note(&mut self, seq: u64) {
        let next = self.last.map_or(seq, |last| last + 1);
        if seq < next {
            self.tally.duplicates.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.tally.gaps.fetch_add(seq - next, Ordering::Relaxed);
        let goal = self.tally.goal.load(Ordering::Relaxed);
        if seq >= goal && self.last.is_none_or(|last| last < goal) {
            self.tally.reached.fetch_add(1, Ordering::Relaxed);
        }
        self.last = Some(seq);
        if let Some(receipts) = self.tally.receipts().as_mut() {
            let seen = receipts.seen.entry(seq).or_default();
            *seen += 1;
            if *seen == receipts.size {
                receipts.complete.insert(seq, clock::now());
            }
        }
    }
}
