//! Ten agents and a person in one room for 10 000 messages, agents being killed and started again all the while: nobody
//! hears itself, no mention is missed or answered twice, and agents are stopped when they should be and only then.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use meet_api::{Kind, Message};
use serde_json::json;
use tokio::{sync::Notify, task::JoinHandle};

use crate::support::{Caller, Dice, Server, soon};

const AGENTS: usize = 10;
const MESSAGES: u64 = 10_000;
const BUDGET: u64 = 40;
const SHARE: u64 = 8;

/// What all incarnations of all agents saw and did.
#[derive(Default)]
struct Record {
    /// Each message that an agent was sent on account of its name, and how it was handled.
    heard: Mutex<BTreeSet<(usize, u64)>>,
    echoes: Mutex<Vec<Message>>,
    /// Messages that one incarnation was sent twice.
    doubles: Mutex<Vec<(usize, u64)>>,
    /// Each refusal: who, the code, and the messages between which it came.
    refusals: Mutex<Vec<(usize, String, u64, u64)>>,
    lifted: Notify,
    is_over: AtomicBool,
}

/// One life of an agent: everything that it knows is what the server keeps for its name.
struct Agent {
    number: usize,
    caller: Caller,
    room: String,
    record: Arc<Record>,
    dice: Dice,
}

fn name(number: usize) -> String {
    format!("agent-{number}")
}

impl Agent {
    async fn live(mut self) {
        let path = format!("/api/rooms/{}", self.room);
        let here = self.caller.get(&path).await.expect(200);
        let own = name(self.number);
        let mut cursor = here["read_seq"].as_u64().unwrap();
        let mut seen = HashSet::new();
        loop {
            let query = format!("?after_seq={cursor}&for={own}&wait=20&limit=20");
            for message in self.caller.messages(&self.room, &query).await {
                if message.sender == own {
                    self.record.echoes.lock().unwrap().push(message.clone());
                }
                if !seen.insert(message.seq) {
                    self.record.doubles.lock().unwrap().push((self.number, message.seq));
                }
                if message.content.contains('@') && !self.record.is_over.load(Ordering::SeqCst) {
                    self.answer(&message).await;
                }
                self.record.heard.lock().unwrap().insert((self.number, message.seq));
                cursor = message.seq;
                self.caller.call("PUT", &format!("{path}/read"), &json!({ "seq": cursor })).await.expect(200);
            }
        }
    }

    /// Answers a message once, however often it is tried, and hands on to another agent.
    async fn answer(&mut self, asked: &Message) {
        let next = (self.number + 1 + self.dice.below(AGENTS - 1)) % AGENTS;
        let body = json!({
            "sender": name(self.number), "sender_type": "agent", "reply_to": asked.id,
            "content": format!("@{} what do you make of {}?", name(next), asked.seq),
        });
        let once = self.caller.clone().with_header("idempotency-key", &format!("answer {}", asked.seq));
        loop {
            let lifted = self.record.lifted.notified();
            let before = head(&self.caller, &self.room).await;
            let answer = once.post_json(&format!("/api/rooms/{}/messages", self.room), body.clone()).await;
            match answer.status {
                201 => return,
                409 if answer.json()["code"] == "idempotency_conflict" => return,
                _ => {}
            }
            let code = answer.refusal(409);
            let after = head(&self.caller, &self.room).await;
            self.record.refusals.lock().unwrap().push((self.number, code, before, after));
            if self.record.is_over.load(Ordering::SeqCst) {
                return;
            }
            // Whoever waits for a person looks whether one has spoken meanwhile.
            tokio::select! {
                () = lifted => {}
                () = person_spoke(&self.caller, &self.room, after) => {}
            }
        }
    }
}

async fn head(caller: &Caller, room: &str) -> u64 {
    caller.get(&format!("/api/rooms/{room}")).await.expect(200)["head_seq"].as_u64().unwrap()
}

async fn person_spoke(caller: &Caller, room: &str, mut after: u64) {
    loop {
        for message in caller.messages(room, &format!("?after_seq={after}&wait=20")).await {
            if message.sender_type == Kind::Human {
                return;
            }
            after = message.seq;
        }
    }
}

/// The person: begins, and says a word whenever agents were stopped; gives how often that was.
async fn preside(owner: Caller, room: String, record: Arc<Record>) -> usize {
    let mut stream = owner.stream(&format!("/api/rooms/{room}/events?since=0&name=Ann")).await;
    let (mut dice, mut trips) = (Dice(7), 0);
    owner.say(&room, "Ann", "@agent-0 and @agent-5, begin!").await;
    let mut stopped_in = u64::MAX;
    let mut last_person = 1;
    loop {
        let event = stream.next().await.expect("the stream goes on");
        let seq = event.data["seq"].as_u64().unwrap_or_default();
        if seq >= MESSAGES {
            record.is_over.store(true, Ordering::SeqCst);
            record.lifted.notify_waiters();
            return trips;
        }
        if event.data["sender_type"] == "human" {
            last_person = seq;
            record.lifted.notify_waiters();
        }
        if event.name == "guard" && event.data["event"] == "tripped" && stopped_in != last_person {
            trips += 1;
            stopped_in = last_person;
            let text = format!("Go on, @{} and all.", name(dice.below(AGENTS)));
            owner.say(&room, "Ann", &text).await;
        }
    }
}

/// Whether an agent had to be stopped somewhere between two moments.
fn was_due(log: &[Message], number: usize, code: &str, before: u64, after: u64) -> bool {
    (before..=after).any(|head| {
        let said: Vec<_> = log.iter().take(usize::try_from(head).unwrap()).rev().collect();
        let streak: Vec<_> = said.iter().take_while(|message| message.sender_type == Kind::Agent).collect();
        match code {
            "agent_budget_spent" => streak.len() as u64 == BUDGET,
            _ => streak.iter().filter(|message| message.sender == name(number)).count() as u64 == SHARE,
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_agents_and_a_person_talk_without_chaos() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("workshop").await;
    let rules = json!({ "agent_budget": BUDGET, "agent_share": SHARE });
    owner.patch(&format!("/api/rooms/{room}"), rules).await.expect(200);
    let record = Arc::new(Record::default());
    let caller = |number| owner.clone().with_header("x-meet-name", &name(number)).with_header("x-meet-kind", "agent");
    let start = |number: usize, life: u64| -> JoinHandle<()> {
        let dice = Dice(life * 100 + number as u64);
        let (room, record) = (room.clone(), Arc::clone(&record));
        tokio::task::spawn(Agent { number, caller: caller(number), room, record, dice }.live())
    };
    // Everybody is known before anybody is mentioned.
    for number in 0..AGENTS {
        caller(number).call("PUT", &format!("/api/rooms/{room}/read"), &json!({ "seq": 0 })).await.expect(200);
    }
    let mut agents: Vec<_> = (0..AGENTS).map(|number| start(number, 0)).collect();
    let presiding = tokio::task::spawn(preside(owner.clone(), room.clone(), Arc::clone(&record)));
    let mut dice = Dice(42);
    let mut lives = 0;
    let mut next = 100;
    while !record.is_over.load(Ordering::SeqCst) {
        // Every hundred messages or so one of them is killed, wherever it is, and started again.
        let reached = soon("the talk to go on", reach(&owner, &room, next)).await;
        let number = dice.below(AGENTS);
        agents[number].abort();
        lives += 1;
        agents[number] = start(number, lives);
        next = (reached + 100).min(MESSAGES);
    }
    let trips = soon("the person to be done", presiding).await.unwrap();
    let log = owner.log(&room).await;
    let mentioned: BTreeSet<(usize, u64)> = log
        .iter()
        .flat_map(|message| {
            let to = (0..AGENTS).filter(|number| message.content.contains(&format!("@{} ", name(*number))));
            to.map(|number| (number, message.seq)).collect::<Vec<_>>()
        })
        .collect();
    let all_heard = async {
        while !mentioned.is_subset(&record.heard.lock().unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    soon("every mention to be heard", all_heard).await;
    agents.iter().for_each(JoinHandle::abort);
    check(&log, &record, trips);
}

/// Waits until the room has so many messages; how many it has then.
async fn reach(owner: &Caller, room: &str, seq: u64) -> u64 {
    loop {
        let head = head(owner, room).await;
        if head >= seq {
            return head;
        }
        owner.messages(room, &format!("?after_seq={head}&wait=20&limit=1")).await;
    }
}

fn check(log: &[Message], record: &Record, trips: usize) {
    assert!(log.len() as u64 >= MESSAGES);
    assert!(log.iter().map(|message| message.seq).eq(1..=log.len() as u64));
    assert_eq!(*record.echoes.lock().unwrap(), [], "nobody hears itself");
    assert_eq!(*record.doubles.lock().unwrap(), [], "nothing is sent twice");
    let mut answers: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut streak: Vec<&str> = Vec::new();
    for message in log {
        if message.sender_type == Kind::Human {
            streak.clear();
            continue;
        }
        streak.push(&message.sender);
        assert!(streak.len() as u64 <= BUDGET, "message {} is over the budget", message.seq);
        let own = streak.iter().filter(|sender| **sender == message.sender).count() as u64;
        assert!(own <= SHARE, "message {} is over its sender's share", message.seq);
        *answers.entry((message.sender.clone(), format!("{:?}", message.reply_to))).or_default() += 1;
    }
    assert!(answers.values().all(|times| *times == 1), "nobody answers twice");
    let refusals = record.refusals.lock().unwrap();
    assert!(trips > 50 && refusals.len() >= trips, "{trips} trips, {} refusals", refusals.len());
    for (number, code, before, after) in refusals.iter() {
        assert!(was_due(log, *number, code, *before, *after), "{code} for {number} between {before} and {after}");
    }
}
