//! Being seen in the rooms that an agent uses, by a quiet connection to each.
//!
//! An agent's own program keeps them for as long as it runs. At `/mcp` nobody knows when an agent has gone, so there they
//! end some time after its last request.

use std::{
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
    people::Speaker,
    retry::{Backoff, chance},
    socket::Closed,
};

/// In how many rooms an agent is seen at once: those that it used last.
const MAX_ROOMS: usize = 32;
/// In how many at `/mcp`, where all sessions of a host share the connections that its address may have.
const MAX_ROOMS_OF_VISITOR: usize = 8;
/// How long an agent at `/mcp` is seen after its last request.
const LINGER: Duration = Duration::from_mins(3);

/// The rooms that an agent is in.
pub(crate) struct Attending {
    linger: Option<Duration>,
    max: usize,
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Rooms {
    /// The one that was used last stands last.
    seats: Vec<Seat>,
    /// They end with the agent.
    connections: JoinSet<()>,
}

/// A room that an agent is seen in until this is dropped.
struct Seat {
    room: RoomId,
    /// As whom.
    speaker: Option<Speaker>,
    connection: AbortHandle,
    again: Arc<Notify>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Attending {
    /// For as long as it is kept.
    pub(super) fn lasting() -> Self {
        Self { linger: None, max: MAX_ROOMS, rooms: Mutex::default() }
    }

    /// For some time after the last request.
    pub(super) fn lingering() -> Self {
        Self { linger: Some(LINGER), max: MAX_ROOMS_OF_VISITOR, rooms: Mutex::default() }
    }

    /// Comes into a room, or stays on there. An agent that took another name leaves where it was under the former.
    pub(super) fn enter(&self, client: &Client, room: RoomId) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let Rooms { seats, connections } = &mut *rooms;
        while connections.try_join_next().is_some() {}
        seats.retain(|seat| !seat.connection.is_finished() && seat.speaker.as_ref() == client.speaker());
        if let Some(place) = seats.iter().position(|seat| seat.room == room) {
            seats[place..].rotate_left(1);
        } else {
            let surplus = (seats.len() + 1).saturating_sub(self.max);
            seats.drain(..surplus);
            let again = Arc::new(Notify::new());
            let connection = connections.spawn(attend(client.clone(), room, Arc::clone(&again), self.linger));
            seats.push(Seat { room, speaker: client.speaker().cloned(), connection, again });
        }
        if let Some(seat) = seats.last() {
            seat.again.notify_one();
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
