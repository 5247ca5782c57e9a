//! Many subscribers of the room socket in one process: each frame is counted and its `seq` checked, nothing is kept.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    Outcome,
    frames::{Frame, SeqReader},
    socket::{self, Source},
    tally::{Position, Tally},
    target::Target,
};

/// How many sockets are opened at the same time.
const OPENING: usize = 128;

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
            readers.spawn(read(stream, rest, entry.since, Arc::clone(&tally)));
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
    let head = format!(
        "GET /api/rooms/{room}/ws{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n",
        entry.query, target.address, target.key
    );
    socket::open(target.address, Source { net: entry.net, place }, &head).await
}

/// One subscriber: reads until the connection ends.
async fn read(mut stream: TcpStream, rest: Vec<u8>, since: Option<u64>, tally: Arc<Tally>) {
    let (mut reader, mut position) = (SeqReader::default(), Position(since));
    let take = |frame: Frame<'_>, _: &mut Vec<u8>| {
        let Frame::Text(text) = frame else { return };
        if let Some(seq) = reader.seq(text) {
            tally.add_messages(1);
            position.receive(seq, &tally);
        }
    };
    let code = socket::read(&mut stream, rest, take).await;
    tally.note_end(code);
}
