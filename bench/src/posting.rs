//! Posting messages over connections that are kept open.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::task::JoinSet;

use crate::{Outcome, channel::client::Client, http::Http, tally::Tally, target::Target};

/// How many messages may be under way to an audience before the next one is posted: more would only measure how long
/// queues get.
const AHEAD: u64 = 512;
/// How long a poster rests when too many are under way.
const REST: std::time::Duration = std::time::Duration::from_millis(1);

/// What a message says: words, as people use them.
const WORDS: &str = "the build is green again and the notes of this morning are in the shared folder please have a look \
                     before we meet at four because the second part still needs somebody who knows the old import well \
                     and can say whether the dates were ever stored in local time or not";

/// About 200 bytes, different for each number.
pub(crate) fn content(number: u64) -> String {
    let start = usize::try_from(number % 8).unwrap_or(0) * 8;
    let begin = WORDS[start..].find(' ').map_or(0, |space| start + space + 1);
    format!("{number} {}", &WORDS[begin..begin + 193])
}

/// One connection that posts.
pub(crate) enum Poster {
    /// To rooms of our server.
    Http(Http),
    /// To channels, by the Centrifugo protocol.
    Socket(Box<Client>),
}

impl Poster {
    /// Posts one message and waits until it is taken.
    pub(crate) async fn post(&mut self, place: &str, number: u64) -> Outcome<()> {
        match self {
            Self::Http(http) => post(http, place, number).await.map(drop),
            Self::Socket(client) => client.publish(place, body(number)).await,
        }
    }
}

/// Open connections that post.
pub(crate) struct Posters {
    connections: Vec<Poster>,
    posted: u64,
}

/// How far the posters may run ahead of those who listen.
#[derive(Clone)]
pub(crate) struct Pace {
    /// What the listeners have received.
    pub(crate) tally: Arc<Tally>,
    /// How many of them each message reaches.
    pub(crate) subscribers: u64,
}

impl Posters {
    /// Opens so many connections.
    pub(crate) async fn connect(target: &Target, count: usize) -> Outcome<Self> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Poster::Http(Http::connect(target).await?));
        }
        Ok(Self::new(connections))
    }

    /// Takes connections that are open.
    pub(crate) fn new(connections: Vec<Poster>) -> Self {
        Self { connections, posted: 0 }
    }

    /// Takes one of the connections away.
    pub(crate) fn pop(&mut self) -> Option<Poster> {
        self.connections.pop()
    }

    /// Posts `count` messages as fast as they are acknowledged, to the rooms in turn, and waits for the last one.
    pub(crate) async fn post(&mut self, rooms: &Arc<[String]>, count: u32, pace: Option<Pace>) -> Outcome<()> {
        let next = Arc::new(AtomicU64::new(self.posted));
        let end = self.posted + u64::from(count);
        let before = pace.as_ref().map_or(0, |pace| pace.tally.messages());
        let begin = self.posted;
        let mut posting = JoinSet::new();
        for mut poster in self.connections.drain(..) {
            let (next, rooms, pace) = (Arc::clone(&next), Arc::clone(rooms), pace.clone());
            posting.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok::<_, crate::Failure>(poster);
                    }
                    if let Some(pace) = &pace {
                        while number - begin > (pace.tally.messages() - before) / pace.subscribers + AHEAD {
                            pace.tally.check()?;
                            tokio::time::sleep(REST).await;
                        }
                    }
                    let room = &rooms[usize::try_from(number).unwrap_or(0) % rooms.len()];
                    poster.post(room, number).await?;
                }
            });
        }
        self.posted = end;
        while let Some(posted) = posting.join_next().await {
            self.connections.push(posted??);
        }
        Ok(())
    }
}

/// Posts one message and gives its `seq`; the answer is the only thing waited for.
pub(crate) async fn post(http: &mut Http, room: &str, number: u64) -> Outcome<crate::http::Answer> {
    http.call(201, "POST", &format!("/api/rooms/{room}/messages"), &body(number)).await
}

/// The JSON of a message.
fn body(number: u64) -> String {
    format!(r#"{{"sender":"bench","content":"{}"}}"#, content(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_about_two_hundred_bytes() {
        for number in 0..2000 {
            assert!((190..=210).contains(&content(number).len()), "{number}");
        }
    }
}
