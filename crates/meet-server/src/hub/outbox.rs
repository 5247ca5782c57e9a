//! A connection's queue of publications: bounded in bytes, shared bytes, one wake-up for all that waits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use super::{Publication, lock};

/// What a queued publication costs besides its bytes, which it shares with every other queue.
const ENTRY_BYTES: usize = 64;

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The server stops.
    Shutdown,
    /// The reader does not keep up.
    TooSlow,
    /// The room was deleted, expired, or is no longer public.
    RoomGone,
    /// The key, session or invite behind the connection ended.
    CredentialEnded,
}

/// A bounded queue with one reader.
pub struct Outbox {
    limit: usize,
    state: Mutex<State>,
    wake: Notify,
    end: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Publication>>,
    bytes: usize,
    lossy: bool,
    closed: Option<CloseReason>,
}

/// What a reader finds in its queue.
pub enum Drained {
    /// Everything that waited, possibly nothing.
    Publications(VecDeque<Arc<Publication>>),
    /// The connection is to end.
    Closed(CloseReason),
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), wake: Notify::new(), end: Notify::new() }
    }

    /// Queues publications in their order and wakes the reader once for all of them.
    pub(super) fn push(&self, publications: &[Arc<Publication>]) {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return;
        }
        for publication in publications {
            let bytes = publication.bytes() + ENTRY_BYTES;
            if state.bytes + bytes <= self.limit {
                state.bytes += bytes;
                state.queue.push_back(Arc::clone(publication));
                continue;
            }
            state.queue.clear();
            state.bytes = 0;
            if !state.lossy {
                state.closed = Some(CloseReason::TooSlow);
                self.end.notify_one();
                break;
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Asks the reader to end the connection; the first reason stays.
    pub fn close(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        state.closed.get_or_insert(reason);
        state.queue = VecDeque::new();
        state.bytes = 0;
        drop(state);
        self.wake.notify_one();
        self.end.notify_one();
    }

    /// While a reader catches up from the store, a full queue is emptied instead of ending the connection: what it
    /// held will be read from the store as well. After `false` the reader must look into the store once more.
    pub fn set_lossy(&self, lossy: bool) {
        lock(&self.state).lossy = lossy;
    }

    /// Takes everything that waits.
    pub fn drain(&self) -> Drained {
        let mut state = lock(&self.state);
        match state.closed {
            Some(reason) => Drained::Closed(reason),
            None => {
                state.bytes = 0;
                Drained::Publications(std::mem::take(&mut state.queue))
            }
        }
    }

    /// How much waits.
    pub fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    /// Why the connection is to end, if it is.
    pub fn closed(&self) -> Option<CloseReason> {
        lock(&self.state).closed
    }

    /// Waits until something was pushed or the connection is to end; may also wake for nothing.
    pub async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Waits until the connection is to end.
    pub async fn wait_closed(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.closed() {
                return reason;
            }
            self.end.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{PresenceChange, PresenceMember, Status, Timestamp, UserId};
    use uuid::Uuid;

    use super::super::{Channel, presence::PresenceEvent};
    use super::*;

    fn publication() -> Arc<Publication> {
        let member = PresenceMember {
            user: UserId::from_uuid(Uuid::nil()),
            name: "Ann".into(),
            kind: meet_api::Kind::Human,
            status: Status::Online,
            since: Timestamp::from_millis(0),
        };
        Arc::new(Publication::presence(Channel::Org, PresenceEvent { change: PresenceChange::Join, member }))
    }

    #[test]
    fn a_full_queue_ends_its_connection_and_frees_its_memory() {
        let outbox = Outbox::new(1000);
        for _ in 0..100 {
            outbox.push(&[publication()]);
        }
        assert!(matches!(outbox.drain(), Drained::Closed(CloseReason::TooSlow)));
        assert_eq!(lock(&outbox.state).queue.len(), 0);
    }

    #[test]
    fn a_reader_that_catches_up_from_the_store_is_not_ended() {
        let outbox = Outbox::new(1000);
        outbox.set_lossy(true);
        for _ in 0..100 {
            outbox.push(&[publication()]);
        }
        assert!(matches!(outbox.drain(), Drained::Publications(_)));
    }
}
