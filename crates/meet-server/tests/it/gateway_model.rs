//! Random clients of the gateway against the simplest reference there is: the room's own log. Whatever happens to a
//! client, it holds a beginning of the log at every moment, without a gap or a repeat, and all of it in the end.
//!
//! `MEET_AI_SEED=n` repeats the run that failed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{StreamExt, future::join_all, stream};
use meet_api::MessageId;
use meet_centrifuge::{
    Protocol,
    code::DisconnectCode,
    message::{
        Command, HistoryRequest, Publication, PublishRequest, StreamPosition, SubscribeRequest, UnsubscribeRequest,
    },
};
use serde_json::json;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::support::{
    Caller, Dice, Ended, Server, Setup, Wire, chat, connection_token, databases, message, narrow_line, soak, soon,
    subscribe_token,
};

const NAMES: [&str; 4] = ["Ann", "Bob", "Carl", "Dora"];
/// How many runs there are at a time.
const AT_ONCE: usize = 8;
/// How much is said while a reader stalls: more than waits for it in its queue and on the line.
const LONG: usize = 30_000;

/// How often what happened, over all runs.
#[derive(Debug, Default)]
struct Tally {
    recovered: AtomicUsize,
    lost: AtomicUsize,
    thrown_out: AtomicUsize,
    repeated: AtomicUsize,
}

fn count(what: &AtomicUsize) {
    what.fetch_add(1, Ordering::Relaxed);
}

/// One run's room and what was said in it.
struct World {
    server: Arc<Server>,
    owner: Caller,
    room: String,
    dice: Dice,
    tally: Arc<Tally>,
    said: usize,
    /// What the server said that it has, by content.
    acknowledged: Vec<String>,
    /// Whether a reader is to stall once.
    may_stall: bool,
    /// Whether clients may have been too slow.
    has_stalled: bool,
}

impl World {
    fn content(&mut self) -> String {
        self.said += 1;
        format!("{} {}", self.room, self.said)
    }

    async fn post(&mut self, count: usize, padding: usize) {
        let contents: Vec<_> = (0..count).map(|_| self.content() + &"x".repeat(padding)).collect();
        join_all(contents.iter().map(|content| self.owner.say(&self.room, "Eve", content))).await;
        self.acknowledged.extend(contents);
    }

    /// Has others talk while something else happens; to be awaited after that.
    fn talk(&mut self) -> JoinHandle<()> {
        let contents: Vec<_> = (0..self.dice.below(12)).map(|_| self.content()).collect();
        self.acknowledged.extend_from_slice(&contents);
        let (owner, room) = (self.owner.clone(), self.room.clone());
        tokio::task::spawn(async move {
            for content in contents {
                owner.say(&room, "Eve", &content).await;
            }
        })
    }

    /// Twice more than fits into a queue, while nobody reads.
    async fn stall(&mut self) {
        self.has_stalled = true;
        for _ in 0..4 {
            self.post(20, LONG).await;
        }
    }
}

/// A client that remembers what it holds, over all of its connections.
struct Client {
    caller: Caller,
    token: String,
    ticket: String,
    wire: Option<Wire>,
    is_listening: bool,
    epoch: String,
    /// The ids of the messages 1, 2, 3….
    held: Vec<MessageId>,
    /// What it said without hearing what became of it.
    unconfirmed: Option<String>,
}

impl Client {
    async fn new(world: &World, name: &str) -> Self {
        let caller = world.owner.clone().with_header("x-meet-name", name);
        let (token, ticket) = tokio::join!(connection_token(&caller), subscribe_token(&caller, &world.room));
        Self {
            caller,
            token,
            ticket,
            wire: None,
            is_listening: false,
            epoch: String::new(),
            held: Vec::new(),
            unconfirmed: None,
        }
    }

    fn channel(world: &World) -> String {
        format!("chat:{}", world.room)
    }

    fn position(&self) -> u64 {
        self.held.len() as u64
    }

    fn take(&mut self, publication: &Publication) {
        let said = message(publication);
        assert_eq!(publication.offset, self.position() + 1, "a gap, a repeat or another order");
        assert_eq!(said.seq, publication.offset);
        self.held.push(said.id);
    }

    /// Takes what was pushed so far.
    fn hear(&mut self, world: &World) {
        let pushes: Vec<_> = self.wire.iter_mut().flat_map(Wire::pushed).collect();
        for push in pushes.into_iter().filter(|push| push.channel == Self::channel(world)) {
            assert!(
                push.unsubscribe.is_none() && self.is_listening,
                "{push:?} to one who listens: {}",
                self.is_listening
            );
            self.take(&push.r#pub.expect("a publication"));
        }
    }

    /// Asks for something, and takes what came before the answer; nothing when the connection turns out to be over.
    async fn ask(&mut self, world: &World, command: Command) -> Option<meet_centrifuge::message::Reply> {
        let answer = self.wire.as_mut()?.try_ask(command).await;
        self.hear(world);
        match answer {
            Ok(reply) => {
                assert_eq!(reply.error, None);
                Some(reply)
            }
            Err(Ended(code)) => {
                let slow = u16::try_from(DisconnectCode::Slow.number()).unwrap();
                assert!(world.has_stalled && code.is_none_or(|code| code == slow), "ended with {code:?}");
                count(&world.tally.thrown_out);
                self.cut();
                None
            }
        }
    }

    fn cut(&mut self) {
        self.wire = None;
        self.is_listening = false;
    }

    async fn connect(&mut self, world: &mut World, is_narrow: bool) {
        let protocol = [Protocol::Json, Protocol::Protobuf][world.dice.below(2)];
        let address = world.server.address;
        let line = if is_narrow { narrow_line(address).await } else { TcpStream::connect(address).await.unwrap() };
        let mut wire = Wire::over(line, protocol).await;
        wire.enter(&self.token).await;
        self.wire = Some(wire);
    }

    /// Listens, in one of the ways in which clients come back, and catches up.
    async fn listen(&mut self, world: &mut World) -> Option<()> {
        let way = world.dice.below(8);
        let mut request = chat(&world.room, &self.ticket);
        if way > 0 {
            let epoch = if way == 1 { "_".to_owned() } else { self.epoch.clone() };
            request = SubscribeRequest { recover: true, offset: self.position(), epoch, ..request };
        }
        let command = Command { subscribe: Some(request), ..Command::default() };
        let begun = self.ask(world, command).await?.subscribe.unwrap();
        (self.is_listening, self.epoch) = (true, begun.epoch);
        if way > 1 {
            assert!(begun.recovered && begun.offset == self.position(), "nothing was lost");
            count(&world.tally.recovered);
            for publication in &begun.publications {
                self.take(publication);
            }
            return Some(());
        }
        // From here on it hears what follows; what lies between it loads.
        assert!(!begun.recovered && begun.publications.is_empty());
        count(&world.tally.lost);
        while self.position() < begun.offset {
            let left = begun.offset - self.position();
            let limit = i32::try_from(left.min(1 + world.dice.below(50) as u64)).unwrap();
            let since = Some(StreamPosition { offset: self.position(), epoch: self.epoch.clone() });
            let history = HistoryRequest { channel: Self::channel(world), limit, since, reverse: false };
            let command = Command { history: Some(history), ..Command::default() };
            // What is pushed meanwhile comes later than what is read.
            let reply = self.wire.as_mut()?.try_ask(command).await.ok();
            let Some(reply) = reply else {
                assert!(world.has_stalled);
                self.cut();
                return None;
            };
            let read = reply.history.expect("a history").publications;
            assert!(!read.is_empty());
            for publication in &read {
                self.take(publication);
            }
        }
        self.hear(world);
        Some(())
    }

    /// Is there and listens.
    async fn come_back(&mut self, world: &mut World, is_narrow: bool) -> Option<()> {
        if self.wire.is_none() {
            self.connect(world, is_narrow).await;
        }
        if !self.is_listening {
            self.listen(world).await?;
        }
        self.confirm(world).await
    }

    /// Says again what may have been lost; it is there once.
    async fn confirm(&mut self, world: &mut World) -> Option<()> {
        let Some(content) = self.unconfirmed.clone() else { return Some(()) };
        count(&world.tally.repeated);
        self.ask(world, publish(world, &content)).await?.publish.unwrap();
        world.acknowledged.extend(self.unconfirmed.take());
        Some(())
    }

    async fn say(&mut self, world: &mut World, is_heard: bool) -> Option<()> {
        let content = world.content();
        self.unconfirmed = Some(content.clone());
        let command = publish(world, &content);
        if !is_heard {
            self.wire.as_mut()?.say(command).await;
            self.cut();
            return None;
        }
        self.ask(world, command).await?.publish.unwrap();
        world.acknowledged.extend(self.unconfirmed.take());
        Some(())
    }

    async fn act(&mut self, world: &mut World) -> Option<()> {
        match world.dice.below(16) {
            0..=2 => {
                let talking = world.talk();
                let is_back = self.come_back(world, false).await;
                talking.await.unwrap();
                is_back?;
            }
            3..=5 if self.wire.is_some() => self.say(world, true).await?,
            6 if self.wire.is_some() => self.say(world, false).await?,
            7 | 8 => self.cut(),
            9 if self.is_listening => {
                let unsubscribe = Some(UnsubscribeRequest { channel: Self::channel(world) });
                self.ask(world, Command { unsubscribe, ..Command::default() }).await?;
                self.is_listening = false;
            }
            10 => {
                let unheard = 1 + world.dice.below(5);
                world.server.store_unheard(&self.caller, &world.room, "Zoe", unheard).await;
                world.said += unheard;
            }
            11 => {
                let many = 1 + world.dice.below(8);
                world.post(many, 0).await;
            }
            12 if world.may_stall && !world.has_stalled => {
                self.cut();
                self.come_back(world, true).await?;
                world.stall().await;
                self.read(world).await?;
            }
            13 | 14 if self.wire.is_some() => self.read(world).await?,
            _ => world.post(1, 0).await,
        }
        Some(())
    }

    /// Takes everything that came so far.
    async fn read(&mut self, world: &World) -> Option<()> {
        let history = Some(HistoryRequest { channel: Self::channel(world), ..HistoryRequest::default() });
        self.ask(world, Command { history, ..Command::default() }).await.map(drop)
    }

    /// Comes back and waits until it has as much as there is.
    async fn catch_up(&mut self, world: &mut World) {
        self.cut();
        while self.come_back(world, false).await.is_none() {}
    }

    async fn hold(&mut self, world: &World, head: u64) {
        while self.position() < head {
            self.hear(world);
            if self.position() < head {
                let publication = self.wire.as_mut().unwrap().publication().await;
                self.take(&publication);
            }
        }
    }
}

/// The command that says this, under a key by which a repeat is known.
fn publish(world: &World, content: &str) -> Command {
    let data = json!({ "content": content, "client_id": content }).to_string().into();
    let publish = PublishRequest { channel: Client::channel(world), data, ..Default::default() };
    Command { publish: Some(publish), ..Command::default() }
}

async fn run(server: Arc<Server>, owner: Caller, tally: Arc<Tally>, seed: u64) {
    let room = owner.room(&format!("run {seed}")).await;
    let mut dice = Dice(seed);
    let may_stall = dice.below(20) == 0;
    let (said, acknowledged, has_stalled) = (0, Vec::new(), false);
    let mut world = World { server, owner, room, dice, tally, said, acknowledged, may_stall, has_stalled };
    let mut clients = Vec::new();
    for name in &NAMES[..2 + world.dice.below(3)] {
        clients.push(Client::new(&world, name).await);
    }
    for _ in 0..10 + world.dice.below(16) {
        let which = world.dice.below(clients.len());
        clients[which].act(&mut world).await;
    }
    for client in &mut clients {
        client.catch_up(&mut world).await;
    }
    let log = world.owner.log(&world.room).await;
    assert_eq!(log.len(), world.said, "what was said and what is there");
    let mut times = HashMap::<_, usize>::new();
    for message in &log {
        *times.entry(message.content.as_str()).or_default() += 1;
    }
    for content in &world.acknowledged {
        assert_eq!(times.get(content.as_str()), Some(&1), "{content:.40}");
    }
    let ids: Vec<_> = log.iter().map(|message| message.id).collect();
    for client in &mut clients {
        soon("the rest of the log", client.hold(&world, log.len() as u64)).await;
        assert_eq!(client.held, ids);
    }
}

async fn run_all(server: Server, seeds: Vec<u64>) -> Arc<Tally> {
    let (server, tally) = (Arc::new(server), Arc::new(Tally::default()));
    let owner = server.operator();
    let mut runs = stream::iter(seeds)
        .map(|seed| {
            let (server, owner, tally) = (Arc::clone(&server), owner.clone(), Arc::clone(&tally));
            async move { (seed, tokio::task::spawn(run(server, owner, tally, seed)).await) }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((seed, ended)) = runs.next().await {
        assert!(ended.is_ok(), "MEET_AI_SEED={seed} repeats what failed");
    }
    drop(runs);
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_clients_each_ends_with_exactly_the_log() {
    let given: Option<u64> = std::env::var("MEET_AI_SEED").ok().map(|seed| seed.parse().unwrap());
    for (place, database) in databases().await.into_iter().enumerate() {
        let setup = Setup::on(database).with(|config| {
            config.limits.sockets_per_user = 0;
            config.limits.sockets_per_ip = 0;
            config.limits.sockets_per_tenant = 0;
            config.limits.bytes_per_tenant = 0;
        });
        // What differs between the databases is below what is tried here.
        let runs = (300 >> (3 * place)) * soak(10) as u64;
        let seeds = given.map_or_else(|| (0..runs).collect(), |seed| vec![seed]);
        let tally = run_all(setup.start().await, seeds).await;
        let often = |what: &AtomicUsize| given.is_some() || place > 0 || what.load(Ordering::Relaxed) >= 3;
        for what in [&tally.recovered, &tally.lost, &tally.repeated, &tally.thrown_out] {
            assert!(often(what), "the runs are too tame: {tally:?}");
        }
        println!("{tally:?}");
    }
}
