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
    /// The same agent holds its name in the room by a newer connection.
    TakenOver,
    /// The server cannot go on with it, for a reason of its own.
    Failed,
}

/// What a queue keeps of what is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// Everything: a reader that does not keep up is ended.
    #[default]
    All,
    /// Everything, but when it is full only what the store does not have: the reader is reading there.
    NotStored,
    /// Nothing: the reader only wants to be woken by a message, and looks into the store.
    Nothing,
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
    keep: Keep,
    /// Whether something that the store has was let go since it was last said what to keep.
    has_lost: bool,
    closed: Option<CloseReason>,
}

impl State {
    /// Queues what is to be kept; whether the reader is to be woken.
    fn take(&mut self, publications: &[Arc<Publication>], limit: usize) -> bool {
        if self.closed.is_some() {
            return false;
        }
        if self.keep == Keep::Nothing {
            return publications.iter().any(|publication| publication.offset().is_some());
        }
        if self.keep == Keep::NotStored && self.bytes > limit {
            self.forget_stored();
        }
        // What was published together came out of one commit: however much it is, it alone ends nobody.
        if self.bytes > limit {
            self.close(CloseReason::TooSlow);
            return true;
        }
        self.bytes += publications.iter().map(cost).sum::<usize>();
        self.queue.extend(publications.iter().map(Arc::clone));
        true
    }

    /// Lets go of what the store has as well.
    fn forget_stored(&mut self) {
        let waited = self.queue.len();
        self.queue.retain(|publication| publication.offset().is_none());
        self.has_lost |= self.queue.len() < waited;
        self.bytes = self.queue.iter().map(cost).sum();
    }

    /// Frees the queue; the first reason stays.
    fn close(&mut self, reason: CloseReason) {
        self.closed.get_or_insert(reason);
        self.queue = VecDeque::new();
        self.bytes = 0;
    }
}

/// What a publication takes of a queue's limit.
fn cost(publication: &Arc<Publication>) -> usize {
    publication.bytes() + ENTRY_BYTES
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

    /// Queues publications in their order and wakes the reader once for all of them. A queue that holds more than its
    /// limit already ends its connection.
    pub(super) fn push(&self, publications: &[Arc<Publication>]) {
        let mut state = lock(&self.state);
        let is_to_wake = state.take(publications, self.limit);
        let is_closed = state.closed.is_some();
        drop(state);
        if is_to_wake {
            self.wake.notify_one();
        }
        if is_closed {
            self.end.notify_one();
        }
    }

    /// Queues a publication that the reader can do without: when half of the place is taken, it is left out, so that what
    /// the reader cannot do without has the other half.
    pub(super) fn hint(&self, publication: &Arc<Publication>) {
        let mut state = lock(&self.state);
        let has_place = state.bytes + cost(publication) <= self.limit / 2 && state.keep != Keep::Nothing;
        let is_to_wake = has_place && state.take(std::slice::from_ref(publication), self.limit);
        drop(state);
        if is_to_wake {
            self.wake.notify_one();
        }
    }

    /// Asks the reader to end the connection; the first reason stays.
    pub fn close(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        state.close(reason);
        drop(state);
        self.wake.notify_one();
        self.end.notify_one();
    }

    /// Says what to keep from here on; whether the queue has let go of something that the store has since it was last
    /// said, so that the reader must look there.
    pub fn keep(&self, keep: Keep) -> bool {
        let mut state = lock(&self.state);
        state.keep = keep;
        let has_lost = std::mem::take(&mut state.has_lost);
        if keep == Keep::Nothing {
            state.forget_stored();
        }
        has_lost
    }

    /// Keeps everything from here on, and lets go of what the store has of what waits: whoever goes on with an empty
    /// queue must look into the store once more.
    pub fn settle(&self) {
        let mut state = lock(&self.state);
        state.keep = Keep::All;
        state.forget_stored();
        state.has_lost = false;
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
    use futures_util::FutureExt;
    use meet_api::{
        Kind, Message, MessageId, MessageTag, PresenceChange, PresenceMember, RoomId, Status, TenantId, Timestamp,
        UserId,
    };
    use uuid::Uuid;

    use super::super::{Address, presence::PresenceEvent};
    use super::*;

    fn arrival() -> Arc<Publication> {
        let member = PresenceMember {
            user: UserId::from_uuid(Uuid::nil()),
            name: "Ann".into(),
            kind: Kind::Human,
            status: Status::Online,
            about: None,
            since: Timestamp::from_millis(0),
        };
        let event = PresenceEvent { change: PresenceChange::Join, member, client: Uuid::nil(), is_of_user: true };
        Arc::new(Publication::presence(Address::org(TenantId::from_uuid(Uuid::nil())), event))
    }

    fn message() -> Arc<Publication> {
        let room = RoomId::from_uuid(Uuid::nil());
        Arc::new(Publication::message(
            Address::chat(TenantId::from_uuid(Uuid::nil()), room),
            Arc::new(Message {
                id: MessageId::from_uuid(Uuid::nil()),
                room_id: room,
                room_id_again: room,
                seq: 1,
                tag: MessageTag::Message,
                user: UserId::from_uuid(Uuid::nil()),
                sender: "Ann".into(),
                sender_type: Kind::Human,
                content: "hi".into(),
                reply_to: None,
                created_at: Timestamp::from_millis(0),
            }),
        ))
    }

    fn waiting(outbox: &Outbox) -> usize {
        let Drained::Publications(publications) = outbox.drain() else { panic!("closed") };
        publications.len()
    }

    #[test]
    fn a_full_queue_ends_its_connection_and_frees_its_memory() {
        let outbox = Outbox::new(1000);
        for _ in 0..100 {
            outbox.push(&[message()]);
        }
        assert!(matches!(outbox.drain(), Drained::Closed(CloseReason::TooSlow)));
        assert_eq!(lock(&outbox.state).queue.len(), 0);
    }

    #[test]
    fn one_large_commit_ends_no_reader_that_had_read_what_came_before() {
        let outbox = Outbox::new(1000);
        for _ in 0..3 {
            outbox.push(&vec![message(); 100]);
            assert_eq!(waiting(&outbox), 100);
        }
    }

    #[test]
    fn a_reader_that_catches_up_loses_only_what_the_store_has() {
        let outbox = Outbox::new(1000);
        outbox.keep(Keep::NotStored);
        outbox.push(&[arrival()]);
        for _ in 0..100 {
            outbox.push(&[message()]);
        }
        let Drained::Publications(publications) = outbox.drain() else { panic!("closed") };
        assert_eq!(publications.iter().filter(|publication| publication.offset().is_none()).count(), 1);
        assert!(publications.len() < 10, "{}", publications.len());
        for _ in 0..100 {
            outbox.push(&[arrival()]);
        }
        assert!(matches!(outbox.drain(), Drained::Closed(CloseReason::TooSlow)));
    }

    #[tokio::test]
    async fn whoever_only_wants_to_be_woken_is_woken_by_messages_alone() {
        let outbox = Outbox::new(0);
        outbox.keep(Keep::Nothing);
        outbox.push(&[arrival()]);
        assert!(outbox.wait().now_or_never().is_none());
        outbox.push(&[message()]);
        assert!(outbox.wait().now_or_never().is_some());
        assert_eq!(waiting(&outbox), 0);
    }
}
