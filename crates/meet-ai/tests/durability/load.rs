//! The load: writers that remember what was acknowledged, readers that keep a log, and the judge of
//! both.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    caller::{Caller, Socket},
    chance::Chance,
    server::soon,
};

/// A message as its writer wants it.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    room: String,
    content: String,
    key: String,
}

/// A message that the server said it stored.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) post: Post,
    pub(crate) id: String,
    pub(crate) seq: u64,
}

/// What a writer lets others know, so that they can choose a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Sending,
    Acknowledged,
}

/// Somebody who posts one message after the other and remembers what became of each.
pub(crate) struct Writer {
    name: String,
    rooms: Vec<String>,
    chance: Chance,
    written: u64,
    /// Sent, and not answered.
    open: Option<Post>,
    pub(crate) acknowledged: Vec<Acknowledged>,
}

impl Writer {
    /// As many writers as are wanted, each writing into all of the rooms.
    pub(crate) fn several(count: u64, rooms: &[String], chance: &mut Chance) -> Vec<Self> {
        let writer = |number: u64| Self {
            name: format!("writer{number}"),
            rooms: rooms.to_vec(),
            chance: chance.split(),
            written: 0,
            open: None,
            acknowledged: Vec::new(),
        };
        (0..count).map(writer).collect()
    }

    fn next_post(&mut self) -> Post {
        self.written += 1;
        let filling = *self.chance.one_of(&["", "a few words", "words, ein Wort, 一些话, and 🙂 in between"]);
        let content = format!("{}x{} {filling}", self.name, self.written);
        Post { room: self.chance.one_of(&self.rooms).clone(), key: format!("key {}", self.written), content }
    }

    /// Writes until the server is gone or stops. What had no answer the time before is sent again, or
    /// given up.
    pub(crate) async fn write(mut self, caller: Caller, moments: UnboundedSender<Moment>) -> Self {
        let open = self.open.take().filter(|_| self.chance.below(4) > 0);
        let mut post = open.unwrap_or_else(|| self.next_post());
        loop {
            // Whoever counts may have had enough.
            let _ = moments.send(Moment::Sending);
            if !self.send(&caller, &post).await {
                self.open = Some(post);
                return self;
            }
            let _ = moments.send(Moment::Acknowledged);
            post = self.next_post();
        }
    }

    /// The same writer under a name that others with its number do not have.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = format!("{name}{}", self.name);
        self
    }

    /// Writes so many messages to a server that stays.
    pub(crate) async fn write_some(mut self, caller: &Caller, count: u64) -> Self {
        for _ in 0..count {
            let post = self.next_post();
            assert!(self.send(caller, &post).await, "the server answers");
        }
        self
    }

    /// Its last message is found by its words.
    pub(crate) async fn is_found(&self, caller: &Caller) {
        let Some(Acknowledged { post, id, .. }) = self.acknowledged.last() else { return };
        let word = post.content.split(' ').next().unwrap();
        let hits = caller.get(&format!("/api/rooms/{}/search?q={word}", post.room)).await.unwrap().expect(200);
        assert!(hits.as_array().unwrap().iter().any(|hit| hit["id"] == **id), "{word} is not found: {hits}");
    }

    /// Sends a message; `false` when there was no answer, or the server was stopping.
    async fn send(&mut self, caller: &Caller, post: &Post) -> bool {
        let Ok(answer) = caller.say(&post.room, &self.name, &post.content, &post.key).await else { return false };
        if answer.status == 503 {
            return false;
        }
        let message = answer.expect(201);
        let (id, seq) = (message["id"].as_str().unwrap().to_owned(), message["seq"].as_u64().unwrap());
        assert_eq!(message["content"], *post.content);
        self.acknowledged.push(Acknowledged { post: post.clone(), id, seq });
        true
    }

    /// Sends what is open, and once more what was acknowledged last: that must give the same message.
    pub(crate) async fn settle(&mut self, caller: &Caller) {
        if let Some(post) = self.open.take() {
            assert!(self.send(caller, &post).await, "the server answers");
        }
        let Some(last) = self.acknowledged.last().cloned() else { return };
        assert!(self.send(caller, &last.post).await, "the server answers");
        let again = self.acknowledged.pop().unwrap();
        assert_eq!((again.id, again.seq), (last.id, last.seq), "a repeat is the same message");
    }
}

/// Somebody who follows a room from its first message on, over as many sockets as it takes.
pub(crate) struct Reader {
    pub(crate) room: String,
    epoch: Option<String>,
    pub(crate) log: Vec<Value>,
    /// How the last socket ended.
    pub(crate) closed: Option<u16>,
}

impl Reader {
    pub(crate) fn of(room: &str) -> Self {
        Self { room: room.to_owned(), epoch: None, log: Vec::new(), closed: None }
    }

    fn last(&self) -> u64 {
        self.log.len() as u64
    }

    /// Reads until the socket ends.
    pub(crate) async fn read(mut self, caller: Caller) -> Self {
        let Ok(mut socket) = caller.listen(&self.room, self.last(), self.epoch.as_deref()).await else { return self };
        loop {
            if let Err(code) = self.take(&mut socket).await {
                self.closed = code;
                return self;
            }
        }
    }

    /// Reads until it has `head` messages.
    pub(crate) async fn read_until(&mut self, caller: &Caller, head: u64) {
        let mut socket = caller.listen(&self.room, self.last(), self.epoch.as_deref()).await.expect("a socket");
        while self.last() < head {
            soon("a message", self.take(&mut socket)).await.expect("the socket stays");
        }
    }

    /// Takes the next frame into the log.
    async fn take(&mut self, socket: &mut Socket) -> Result<(), Option<u16>> {
        let frame = socket.next().await?;
        match frame["type"].as_str().unwrap() {
            "hello" => {
                assert!(frame["head_seq"].as_u64().unwrap() >= self.last(), "the head went back: {frame}");
                let epoch = frame["epoch"].as_str().unwrap();
                assert_eq!(self.epoch.get_or_insert_with(|| epoch.to_owned()), epoch, "a new epoch");
            }
            "message" => {
                assert_eq!(frame["seq"].as_u64(), Some(self.last() + 1), "a gap or a repeat: {frame}");
                self.log.push(frame);
            }
            "resync" => panic!("a resync after nothing was lost: {frame}"),
            _ => {}
        }
        Ok(())
    }
}

/// Holds a room's history against what its writers know: gapless, nothing twice, nothing lost.
pub(crate) fn judge(room: &str, history: &[Value], head: u64, writers: &[Writer]) {
    let seqs: Vec<_> = history.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=head).collect::<Vec<_>>(), "the seqs of the room have gaps or repeats");
    let ids: HashSet<_> = history.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), history.len(), "an id stands twice");
    let mut places = HashMap::new();
    for message in history {
        let content = message["content"].as_str().unwrap();
        assert!(places.insert(content, message).is_none(), "stored twice: {content}");
    }
    for Acknowledged { post, id, seq } in writers.iter().flat_map(|writer| &writer.acknowledged) {
        if post.room == room {
            let stored = places.get(&*post.content).unwrap_or_else(|| panic!("acknowledged and lost: {post:?}"));
            assert_eq!((stored["id"].as_str(), stored["seq"].as_u64()), (Some(&**id), Some(*seq)), "{post:?}");
        }
    }
}

/// Settles what is open, and then holds everything that can be read against what the writers know.
pub(crate) async fn judge_all(caller: &Caller, writers: &mut [Writer], readers: &mut [Reader]) {
    for writer in &mut *writers {
        writer.settle(caller).await;
    }
    for reader in readers {
        let (history, head, epoch) = caller.history(&reader.room).await;
        judge(&reader.room, &history, head, writers);
        let room = caller.get(&format!("/api/rooms/{}", reader.room)).await.unwrap().expect(200);
        assert_eq!((room["head_seq"].as_u64(), room["epoch"].as_str()), (Some(head), Some(&*epoch)));
        reader.read_until(caller, head).await;
        assert!(reader.log == history, "a socket's reader has another log than the room");
    }
    for writer in &*writers {
        writer.is_found(caller).await;
    }
}
