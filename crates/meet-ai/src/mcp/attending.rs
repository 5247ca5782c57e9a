//! Being seen in the rooms that an agent uses, by a quiet connection to each.
//!
//! An agent's own program keeps them for as long as it runs. At `/mcp` nobody knows when an agent has gone, so there they
//! end some time after its last request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use meet_api::RoomId;
use meet_server::Clock;
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

use crate::client::{
    Client,
    retry::{Backoff, chance},
    socket::Closed,
};

/// In how many rooms an agent is seen at once.
const MAX_ROOMS: usize = 32;
/// How long an agent at `/mcp` is seen after its last request.
const LINGER: Duration = Duration::from_mins(3);

/// The rooms that an agent is in.
pub(crate) struct Attending {
    linger: Option<Duration>,
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Rooms {
    known: HashMap<RoomId, (AbortHandle, Arc<Notify>)>,
    /// They end with the agent.
    connections: JoinSet<()>,
}

impl Attending {
    /// For as long as it is kept.
    pub(super) fn lasting() -> Self {
        Self { linger: None, rooms: Mutex::default() }
    }

    /// For some time after the last request.
    pub(super) fn lingering() -> Self {
        Self { linger: Some(LINGER), ..Self::lasting() }
    }

    /// Comes into a room, or stays on there.
    pub(super) fn enter(&self, client: &Client, room: RoomId) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        while rooms.connections.try_join_next().is_some() {}
        rooms.known.retain(|_, (connection, _)| !connection.is_finished());
        if let Some((_, again)) = rooms.known.get(&room) {
            again.notify_one();
        } else if rooms.known.len() < MAX_ROOMS {
            let again = Arc::new(Notify::new());
            let attending = attend(client.clone(), room, Arc::clone(&again), self.linger);
            let connection = rooms.connections.spawn(attending);
            rooms.known.insert(room, (connection, again));
        }
    }
}

async fn attend(client: Client, room: RoomId, again: Arc<Notify>, linger: Option<Duration>) {
    let staying = stay(&client, room);
    tokio::pin!(staying);
    loop {
        tokio::select! {
            () = &mut staying => return,
            () = again.notified() => {}
            () = tokio::time::sleep(linger.unwrap_or(Duration::MAX)), if linger.is_some() => return,
        }
    }
}

/// Stays in a room until it is told that there is nothing to stay for.
async fn stay(client: &Client, room: RoomId) {
    let clock = Clock::system();
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        match client.stay(room).await {
            Ok(mut stay) => {
                backoff.reset();
                if let Some(Closed::Code(4040 | 4041 | 4409)) = stay.over().await {
                    return;
                }
            }
            Err(error) if !error.is_passing() => return,
            Err(_) => {}
        }
        tokio::time::sleep(backoff.next(chance(&clock))).await;
    }
}
