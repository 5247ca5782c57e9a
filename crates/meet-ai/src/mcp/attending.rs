//! Being seen in the rooms that an agent uses: one quiet connection to each, for as long as its program runs.
//!
//! What comes by it is not read; the tools read from the store.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use meet_api::{RoomId, text::fold};
use meet_server::Clock;
use tokio::task::JoinSet;

use crate::client::{
    Client,
    retry::{Backoff, chance},
    socket::{Closed, Incoming, SocketQuery},
};

/// In how many rooms an agent is seen at once.
const MAX_ROOMS: usize = 32;

/// The rooms that an agent is in.
#[derive(Default)]
pub(super) struct Attending(Mutex<Rooms>);

#[derive(Default)]
struct Rooms {
    known: HashSet<RoomId>,
    connections: JoinSet<()>,
}

impl Attending {
    /// Comes into a room, if it is not there already.
    pub(super) fn enter(&self, client: &Client, room: RoomId) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are done with.
        while rooms.connections.try_join_next().is_some() {}
        if rooms.known.len() < MAX_ROOMS && rooms.known.insert(room) {
            rooms.connections.spawn(attend(client.clone(), room));
        }
    }
}

/// Stays in a room until it is told that there is nothing to stay for.
async fn attend(client: Client, room: RoomId) {
    let clock = Clock::system();
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        match stay(&client, room, &mut backoff).await {
            Ok(Closed::Code(4040 | 4041 | 4409)) => return,
            Err(error) if !error.is_passing() => return,
            Ok(_) | Err(_) => tokio::time::sleep(backoff.next(chance(&clock))).await,
        }
    }
}

async fn stay(client: &Client, room: RoomId, backoff: &mut Backoff) -> Result<Closed, crate::client::ClientError> {
    let since = client.room(room).await?.head_seq;
    // What does not mention it need not even be sent.
    let mentions = client.speaker().map(|speaker| fold(&speaker.name));
    let mut socket = client.open_socket(room, &SocketQuery { since, mentions, ..SocketQuery::default() }).await?;
    backoff.reset();
    loop {
        if let Incoming::Closed(closed) = socket.next().await {
            return Ok(closed);
        }
    }
}
