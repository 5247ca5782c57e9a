//! Many subscribers of one channel in one process: a task each, what they receive is counted and nothing is kept.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use meet_centrifuge::{
    Protocol,
    message::{Command, Reply, SubscribeRequest},
};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

use super::{
    client::{self, Client, Door},
    replies::{self, Seen},
    token::Pass,
};
use crate::{
    Outcome,
    frames::Frame,
    socket::{self, Source},
    tally::{Position, Tally},
};

/// How many connections are opened, or wait for the reply to their subscription, at the same time.
const OPENING: usize = 128;

/// A place in a channel's history.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The offset.
    pub(crate) offset: u64,
    /// The epoch in which it counts.
    pub(crate) epoch: String,
}

/// What a crowd listens to, and how.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    /// The channel.
    pub(crate) channel: Arc<str>,
    /// Where they come back from; `None` for those who come for the first time.
    pub(crate) since: Option<Head>,
    /// Whether they want to hear who else comes.
    pub(crate) hears_joins: bool,
}

impl Interest {
    /// In what is published from now on.
    pub(crate) fn live(channel: &str) -> Self {
        Self { channel: channel.into(), since: None, hears_joins: false }
    }

    /// The request that says so.
    pub(crate) fn request(&self, token: &str) -> SubscribeRequest {
        let since = self.since.as_ref();
        SubscribeRequest {
            channel: self.channel.to_string(),
            token: token.to_owned(),
            recover: since.is_some(),
            offset: since.map_or(0, |head| head.offset),
            epoch: since.map_or_else(String::new, |head| head.epoch.clone()),
            join_leave: self.hears_joins,
            ..SubscribeRequest::default()
        }
    }
}

/// What a crowd counts besides its messages.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    joins: AtomicU64,
    unrecovered: AtomicU64,
}

impl Counts {
    /// How often somebody heard that somebody came.
    pub(crate) fn joins(&self) -> u64 {
        self.joins.load(Ordering::Relaxed)
    }

    /// How many came back and were told that what they missed is lost.
    pub(crate) fn unrecovered(&self) -> u64 {
        self.unrecovered.load(Ordering::Relaxed)
    }
}

/// Subscribers; dropping it hangs up.
pub(crate) struct Crowd {
    /// What they have received.
    pub(crate) tally: Arc<Tally>,
    /// What else there is to count.
    pub(crate) counts: Arc<Counts>,
    readers: JoinSet<()>,
}

/// Opens so many connections, which do not subscribe yet; the passes are shown in turn.
pub(crate) async fn connect(door: &Door, passes: &[Pass], size: usize, net: u8) -> Outcome<Vec<(Client, Pass)>> {
    connecting(door, passes, size, net).try_collect().await
}

fn connecting<'c>(
    door: &'c Door,
    passes: &'c [Pass],
    size: usize,
    net: u8,
) -> impl stream::Stream<Item = Outcome<(Client, Pass)>> + 'c {
    let opening = passes.iter().cycle().take(size).enumerate().map(move |(place, pass)| async move {
        let client = Client::connect(door, &pass.connection, Source { net, place }).await?;
        Ok((client, pass.clone()))
    });
    stream::iter(opening).buffer_unordered(OPENING)
}

impl Crowd {
    /// Opens so many connections, each of which subscribes as soon as it is let in, and waits until all have.
    pub(crate) async fn gather(
        door: &Door,
        interest: &Interest,
        passes: &[Pass],
        size: usize,
        net: u8,
    ) -> Outcome<Self> {
        Self::with_tally(connecting(door, passes, size, net), interest, Arc::default(), OPENING).await
    }

    /// The same, counting into a tally that is there already.
    pub(crate) async fn come_back(
        door: &Door,
        interest: &Interest,
        passes: &[Pass],
        (size, net): (usize, u8),
        tally: &Arc<Tally>,
    ) -> Outcome<Self> {
        Self::with_tally(connecting(door, passes, size, net), interest, Arc::clone(tally), OPENING).await
    }

    /// Subscribes with connections that are open, all at once, and waits until all are in.
    pub(crate) async fn subscribe(clients: Vec<(Client, Pass)>, interest: &Interest) -> Outcome<Self> {
        let size = clients.len();
        Self::with_tally(stream::iter(clients.into_iter().map(Ok)), interest, Arc::default(), size).await
    }

    async fn with_tally(
        clients: impl stream::Stream<Item = Outcome<(Client, Pass)>>,
        interest: &Interest,
        tally: Arc<Tally>,
        most_waiting: usize,
    ) -> Outcome<Self> {
        let mut crowd = Self { tally, counts: Arc::default(), readers: JoinSet::new() };
        let (entered, mut entries) = mpsc::unbounded_channel();
        let mut clients = std::pin::pin!(clients);
        let mut waiting = 0_usize;
        while let Some((mut client, pass)) = clients.try_next().await? {
            let request = interest.request(&pass.subscription);
            client.send(Command { subscribe: Some(request), ..Command::default() }).await?;
            let (stream, rest, protocol) = client.into_parts();
            let subscriber = Subscriber {
                channel: Arc::clone(&interest.channel),
                protocol,
                position: Position(interest.since.as_ref().map(|head| head.offset)),
                entered: Some(entered.clone()),
                tally: Arc::clone(&crowd.tally),
                counts: Arc::clone(&crowd.counts),
            };
            crowd.readers.spawn(subscriber.listen(stream, rest));
            waiting += 1;
            if waiting >= most_waiting {
                next_entry(&mut entries).await?;
                waiting -= 1;
            }
        }
        for _ in 0..waiting {
            next_entry(&mut entries).await?;
        }
        Ok(crowd)
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

/// Waits until one more is subscribed.
async fn next_entry(entries: &mut mpsc::UnboundedReceiver<Outcome<()>>) -> Outcome<()> {
    let entry = tokio::time::timeout(client::PATIENCE, entries.recv()).await?;
    entry.ok_or("a connection ended before it was subscribed")?
}

/// One of the crowd.
struct Subscriber {
    channel: Arc<str>,
    protocol: Protocol,
    position: Position,
    /// Where it says, once, whether it is in.
    entered: Option<mpsc::UnboundedSender<Outcome<()>>>,
    tally: Arc<Tally>,
    counts: Arc<Counts>,
}

impl Subscriber {
    /// Reads until the connection ends.
    async fn listen(mut self, mut stream: TcpStream, rest: Vec<u8>) {
        let code = socket::read(&mut stream, rest, |frame, answers| self.take(&frame, answers)).await;
        let code_or_none = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
        self.enter(Err(format!("the server ended the connection with {code_or_none}").into()));
        self.tally.note_end(code);
    }

    fn take(&mut self, frame: &Frame<'_>, answers: &mut Vec<u8>) {
        let (Frame::Text(payload) | Frame::Binary(payload)) = *frame else { return };
        let channel = Arc::clone(&self.channel);
        let read = replies::each(self.protocol, &channel, payload, |seen| match seen {
            Seen::Publication(offset) => self.receive(offset),
            Seen::Join => {
                self.counts.joins.fetch_add(1, Ordering::Relaxed);
            }
            Seen::Unsubscribe(code) => self.tally.note_end(u16::try_from(code).ok()),
            Seen::Ping => answers.extend_from_slice(&client::pong(self.protocol)),
            Seen::Reply(reply) => {
                let entered = self.begin(*reply);
                self.enter(entered);
            }
            Seen::Other => {}
        });
        if let Err(error) = read {
            self.enter(Err(error));
            self.tally.note_end(None);
        }
    }

    fn receive(&mut self, offset: u64) {
        self.tally.add_messages(1);
        self.position.receive(offset, &self.tally);
    }

    /// Takes the reply to the subscription, with what was missed.
    fn begin(&mut self, reply: Reply) -> Outcome<()> {
        let result = client::checked(reply)?.subscribe.ok_or("a reply without a subscription")?;
        result.publications.iter().for_each(|publication| self.receive(publication.offset));
        if !result.recovered {
            self.position.skip_to(result.offset, &self.tally);
            self.counts.unrecovered.fetch_add(u64::from(result.was_recovering), Ordering::Relaxed);
        }
        Ok(())
    }

    fn enter(&mut self, outcome: Outcome<()>) {
        if let Some(entered) = self.entered.take() {
            // Nobody listens any more once another connection has failed.
            let _ = entered.send(outcome);
        }
    }
}
