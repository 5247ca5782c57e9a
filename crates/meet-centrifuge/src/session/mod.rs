//! One connection, as a state machine: frames, answers and time go in, frames and questions come out.
//!
//! The owner of a session moves bytes, asks the application what the session [asks](Ask), one thing at a time, and
//! hands it what is published in the channels that it listens to. While a question is open it hands over nothing: what
//! is published meanwhile, or ends a subscription, waits in its queue until the answer is in. Who may do what is the
//! application's to say; that what is said is said in the right order, once and in time is the session's.

mod ask;
mod clockwork;
mod commands;
mod recovery;
mod subscriptions;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Protocol,
    code::{DisconnectCode, UnsubscribeCode},
    codec::Commands,
    message::{ConnectResult, Error, MadeSubscription, Message, Push, Reply, Subscribe, SubscribeResult, Unsubscribe},
};

pub use ask::{Answer, Ask, Connected, History, Position, Subscribed};
use clockwork::{Due, Life};
use commands::Asked;
use subscriptions::{Side, Subscription, Subscriptions};

/// What all sessions of a server have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The server's version.
    pub version: String,
    /// How often it pings; whole seconds.
    pub ping_interval: Duration,
    /// Within what a ping must be answered.
    pub pong_within: Duration,
    /// Within what a new connection must connect.
    pub connect_within: Duration,
    /// How long something that has run out is kept, waiting for a new token.
    pub grace: Duration,
    /// The most channels of a connection.
    pub max_channels: usize,
    /// The longest name of a channel, in bytes.
    pub max_channel_bytes: usize,
    /// The most publications that are read at once.
    pub max_history: u32,
}

impl Default for Settings {
    /// What a Centrifugo has by default.
    fn default() -> Self {
        Self {
            version: String::new(),
            ping_interval: Duration::from_secs(25),
            pong_within: Duration::from_secs(8),
            connect_within: Duration::from_secs(10),
            grace: Duration::from_secs(25),
            max_channels: 128,
            max_channel_bytes: 255,
            max_history: 300,
        }
    }
}

/// How the commands of a connection without an upstream of its own find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulation {
    /// The secret of the connection.
    pub session: String,
    /// The node that has it.
    pub node: String,
}

/// A connection to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// The form in which it speaks.
    pub protocol: Protocol,
    /// Its id, which others see.
    pub client: String,
    /// Its way up, when the transport only leads down.
    pub emulation: Option<Emulation>,
    /// A number from 0 to 1 that spreads the first pings of many connections.
    pub chance: f64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A reply to be written, encoded; one frame holds one or more of them.
    Send(Bytes),
    /// Something to be decided, and then [answered](Session::answer).
    Ask(Ask),
    /// The client listens to this channel no more.
    Left(String),
    /// The connection is over; nothing follows.
    Close(DisconnectCode),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has not connected yet.
    Stranger,
    /// It was told why it may not; nothing that it says counts until it is stale.
    Refused,
    Connected,
    Closed,
}

/// What a client wishes of a subscription.
#[derive(Debug, Default)]
struct Wishes {
    /// Where to go on from, and whether anything less than that is to be refused.
    recovery: Option<(Position, bool)>,
    hears_people: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    opening: Box<Opening>,
    stage: Stage,
    life: Life,
    ends: Option<Duration>,
    subscriptions: Subscriptions,
    reading: VecDeque<Commands>,
    asked: Option<Box<Asked>>,
    out: VecDeque<Output>,
}

impl Session {
    /// A connection that was just opened.
    pub fn new(settings: Arc<Settings>, opening: Opening, now: Duration) -> Self {
        Self {
            life: Life::stranger(&settings, now),
            settings,
            opening: Box::new(opening),
            stage: Stage::Stranger,
            ends: None,
            subscriptions: Subscriptions::default(),
            reading: VecDeque::new(),
            asked: None,
            out: VecDeque::new(),
        }
    }

    /// Takes a frame from the client. Whoever reads a further one before the last [`Ask`] is answered only makes it
    /// wait here.
    pub fn receive(&mut self, frame: Bytes) {
        match self.stage {
            Stage::Refused | Stage::Closed => {}
            // Whoever answers a ping in time is not made to wait for another answer.
            Stage::Connected if frame == self.opening.protocol.ping() => self.pong(),
            Stage::Stranger | Stage::Connected => self.reading.push_back(self.opening.protocol.commands(frame)),
        }
    }

    /// What is to be done next; `None` until something else goes in.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            if self.asked.is_some() {
                return None;
            }
            match self.reading.front_mut()?.next() {
                None => drop(self.reading.pop_front()),
                Some(Ok(command)) => self.command(command),
                Some(Err(_)) => self.disconnect(DisconnectCode::BadRequest),
            }
        }
    }

    /// When [`Session::tick`] has something to do.
    pub fn deadline(&self) -> Duration {
        self.subscriptions.first_end().into_iter().chain(self.ends).fold(self.life.next(), Duration::min)
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        if self.stage == Stage::Closed {
            return;
        }
        if self.asked.is_some() {
            self.life.wait(&self.settings, now);
        }
        match self.life.advance(&self.settings, now) {
            None => {}
            Some(Due::Ping) => self.out.push_back(Output::Send(self.opening.protocol.ping())),
            Some(Due::Stale) => self.disconnect(DisconnectCode::Stale),
            Some(Due::NoPong) => self.disconnect(DisconnectCode::NoPong),
        }
        if self.ends.is_some_and(|end| end <= now) {
            self.disconnect(DisconnectCode::Expired);
        }
        while let Some(channel) = self.subscriptions.ended(now) {
            let channel = channel.to_owned();
            self.end_subscription(&channel, UnsubscribeCode::Expired, DisconnectCode::SubscriptionExpired);
        }
    }

    /// Takes a publication: its offset, 0 where the channel has no history, and the reply that pushes it, encoded in
    /// this session's protocol. One that the client has already is dropped; after a gap the subscription ends, so that
    /// the client recovers.
    pub fn publication(&mut self, channel: &str, offset: u64, encoded: Bytes) {
        let Some(subscription) = self.subscriptions.get_mut(channel) else { return };
        if let Some(position) = &mut subscription.position
            && offset > 0
        {
            if offset <= *position {
                return;
            }
            if offset > *position + 1 {
                let lost = (UnsubscribeCode::InsufficientState, DisconnectCode::InsufficientState);
                return self.end_subscription(channel, lost.0, lost.1);
            }
            *position = offset;
        }
        self.out.push_back(Output::Send(encoded));
    }

    /// The last offset that the client has or is sent, in a channel with a history that it listens to.
    pub fn position(&self, channel: &str) -> Option<u64> {
        self.subscriptions.get(channel)?.position
    }

    /// Takes somebody's coming or going, encoded like a publication; dropped unless the client wanted to hear of it.
    pub fn event(&mut self, channel: &str, encoded: Bytes) {
        if self.subscriptions.get(channel).is_some_and(|subscription| subscription.hears_people) {
            self.out.push_back(Output::Send(encoded));
        }
    }

    /// Says something to this connection alone, JSON; to nobody who is not in.
    pub fn message(&mut self, data: Bytes) {
        if self.stage != Stage::Connected {
            return;
        }
        self.push(Push { message: Some(Message { data }), ..Push::default() });
    }

    /// Has the client listen to a channel without having asked.
    pub fn subscribe(&mut self, channel: &str, subscribed: Subscribed, now: Duration) {
        if self.stage != Stage::Connected || self.subscriptions.get(channel).is_some() {
            return;
        }
        let Ok(result) = self.begin(channel, Side::Server, subscribed, Wishes::default(), now) else { return };
        let SubscribeResult { recoverable, epoch, offset, positioned, data, .. } = result;
        let subscribe = Subscribe { recoverable, epoch, offset, positioned, data };
        self.push(Push { channel: channel.to_owned(), subscribe: Some(subscribe), ..Push::default() });
    }

    /// Has the client listen to a channel no more.
    pub fn unsubscribe(&mut self, channel: &str, code: UnsubscribeCode) {
        if self.subscriptions.remove(channel).is_some() {
            let unsubscribe: Unsubscribe = code.into();
            self.push(Push { channel: channel.to_owned(), unsubscribe: Some(unsubscribe), ..Push::default() });
            self.out.push_back(Output::Left(channel.to_owned()));
        }
    }

    /// Ends the connection; the first reason counts.
    pub fn disconnect(&mut self, code: DisconnectCode) {
        if self.stage != Stage::Closed {
            self.stage = Stage::Closed;
            self.reading.clear();
            self.subscriptions.clear();
            self.asked = None;
            self.out.push_back(Output::Close(code));
        }
    }

    /// Ends a subscription for a reason that lies in it. One that the server made cannot be made again by the client,
    /// so the connection ends.
    fn end_subscription(&mut self, channel: &str, code: UnsubscribeCode, disconnect: DisconnectCode) {
        match self.subscriptions.get(channel).map(|subscription| subscription.side) {
            Some(Side::Client) => self.unsubscribe(channel, code),
            Some(Side::Server) => self.disconnect(disconnect),
            None => {}
        }
    }

    /// Begins a subscription, and gives what the client is told of it.
    fn begin(
        &mut self,
        channel: &str,
        side: Side,
        subscribed: Subscribed,
        wishes: Wishes,
        now: Duration,
    ) -> Result<SubscribeResult, recovery::Unrecoverable> {
        let Subscribed { ttl, data, history } = subscribed;
        let (mut result, mut position) = (SubscribeResult::default(), None);
        if let Some(history) = history {
            let (since, reject) = wishes.recovery.map_or((None, false), |(since, reject)| (Some(since), reject));
            let beginning = recovery::begin(history, since.as_ref(), reject)?;
            (result, position) = (beginning.result, Some(beginning.position));
        }
        let ends = clockwork::ends(&self.settings, ttl, now);
        let subscription = Subscription { side, position, ends, hears_people: wishes.hears_people };
        self.subscriptions.insert(channel, subscription);
        Ok(SubscribeResult { expires: ttl.is_some(), ttl: ttl.unwrap_or(0), data, ..result })
    }

    /// Lets the client in.
    fn connected(&mut self, id: u32, mut since: BTreeMap<String, Position>, connected: Connected, now: Duration) {
        let Connected { ttl, data, subscriptions } = connected;
        let mut subs = Vec::with_capacity(subscriptions.len());
        for (channel, subscribed) in subscriptions {
            let recovery = since.remove(&channel).map(|since| (since, false));
            let wishes = Wishes { recovery, hears_people: false };
            if let Ok(result) = self.begin(&channel, Side::Server, subscribed, wishes, now) {
                subs.push(MadeSubscription { key: channel, value: Some(result) });
            }
        }
        self.stage = Stage::Connected;
        self.life = Life::connected(&self.settings, self.opening.chance, now);
        self.ends = clockwork::ends(&self.settings, ttl, now);
        let emulation = self.opening.emulation.clone();
        let result = ConnectResult {
            client: self.opening.client.clone(),
            version: self.settings.version.clone(),
            expires: ttl.is_some(),
            ttl: ttl.unwrap_or(0),
            data,
            subs,
            ping: u32::try_from(self.settings.ping_interval.as_secs()).unwrap_or(u32::MAX),
            pong: true,
            session: emulation.as_ref().map(|emulation| emulation.session.clone()).unwrap_or_default(),
            node: emulation.map(|emulation| emulation.node).unwrap_or_default(),
            time: 0,
        };
        self.reply(id, |reply| reply.connect = Some(result));
    }

    /// Answers a command.
    fn reply(&mut self, id: u32, fill: impl FnOnce(&mut Reply)) {
        let mut reply = Reply { id, ..Reply::default() };
        fill(&mut reply);
        self.send(&reply);
    }

    /// Refuses a command.
    fn refuse(&mut self, id: u32, error: impl Into<Error>) {
        self.reply(id, |reply| reply.error = Some(error.into()));
    }

    fn push(&mut self, push: Push) {
        self.send(&Reply { push: Some(push), ..Reply::default() });
    }

    fn send(&mut self, reply: &Reply) {
        if self.stage == Stage::Closed {
            return;
        }
        match self.opening.protocol.encode(reply) {
            Ok(encoded) => self.out.push_back(Output::Send(encoded)),
            Err(_) => self.disconnect(DisconnectCode::InappropriateProtocol),
        }
    }
}
