//! The one way into a room: takes what waits, stores it in one transaction, publishes in the order
//! of commits, then answers.
//!
//! A caller only waits here: dropping its future drops its answer, never a message.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt;
use meet_api::{Message, RoomId, TenantId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{
    AppendOutcome, NewMessage, Stop, StoppedAt, Store, StoreError,
    batch::{Entry, write_batch},
    conn::Conn,
    value::params,
    words::words,
};

/// How many messages may wait before callers wait.
pub const QUEUE_MESSAGES: usize = 4096;
/// How many bytes of messages may wait before callers wait.
pub const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// How many messages share a transaction at most.
const BATCH: usize = 500;
/// How often an unknown outcome is asked for before it is given up.
const LOOKS: u32 = 10;

/// A message that is stored and wants to be published.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Whose room it is.
    pub tenant: TenantId,
    /// The message.
    pub message: Arc<Message>,
    /// Whom it mentions besides its writer.
    pub mentions: Vec<UserId>,
}

/// An agent that was stopped.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// Whose room it is.
    pub tenant: TenantId,
    /// The room.
    pub room: RoomId,
    /// The agent.
    pub user: UserId,
    /// Its name.
    pub sender: String,
    /// By which rule.
    pub stop: Stop,
    /// How the room's agents stood.
    pub at: StoppedAt,
    /// How many messages of the same commit were stored before.
    pub after: usize,
}

/// What came of one commit.
#[derive(Debug, Default)]
pub struct Committed {
    /// What was stored, in order.
    pub stored: Vec<Appended>,
    /// Who was stopped, in order.
    pub stopped: Vec<Stopped>,
}

/// A message that waits, and whoever waits for it.
struct Waiting {
    entry: Entry,
    caller: oneshot::Sender<Result<AppendOutcome, StoreError>>,
    /// Its share of the queue, given back when it is answered.
    share: OwnedSemaphorePermit,
}

/// The door to the appender; cheap to clone. Its task ends when every clone is dropped.
#[derive(Clone)]
pub struct Appender {
    queue: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
}

impl Appender {
    /// Makes an appender and its task, which the caller runs and owns.
    ///
    /// `on_commit` gets what was stored and who was stopped, in the order of commits, before anyone is answered. The
    /// task ends when every `Appender` is dropped and the queue is drained.
    pub fn start(
        store: Store,
        on_commit: impl FnMut(&Committed) + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(QUEUE_MESSAGES);
        let bytes = Arc::new(Semaphore::new(QUEUE_BYTES));
        (Self { queue, bytes }, run(store, waiting, on_commit))
    }

    /// Stores a message. `Unavailable` when the task has ended.
    pub async fn append(&self, message: NewMessage) -> Result<AppendOutcome, StoreError> {
        let words = words(message.content.as_str());
        let size = message.content.as_str().len() + words.len() * size_of::<String>();
        let size = u32::try_from(size.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(size).await.map_err(|_| StoreError::closed())?;
        let (caller, answer) = oneshot::channel();
        let waiting = Waiting { entry: Entry { message, words }, caller, share: bytes };
        self.queue.send(waiting).await.map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }
}

impl Appender {
    /// Waits until everything that was handed in is stored, published and answered; what comes later is
    /// `Unavailable`.
    pub async fn drain(&self) {
        // Every waiting message holds its share of these until it is answered.
        if let Ok(all) = self.bytes.acquire_many(u32::try_from(QUEUE_BYTES).unwrap_or(u32::MAX)).await {
            self.bytes.close();
            drop(all);
        }
    }
}

/// The appender's task.
async fn run(store: Store, mut queue: mpsc::Receiver<Waiting>, mut on_commit: impl FnMut(&Committed) + Send) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        let mut entries = Vec::with_capacity(waiting.len());
        let mut callers = Vec::with_capacity(waiting.len());
        for Waiting { entry, caller, share } in waiting.drain(..) {
            entries.push(entry);
            callers.push((caller, share));
        }
        let entries: Arc<[Entry]> = entries.into();
        let mut outcomes = match write(&store, &entries, 0..entries.len()).await {
            Ok(written) => publish(&entries, written, &mut on_commit).into_iter().map(Ok).collect(),
            Err(error) if entries.len() > 1 && is_about_a_message(&error) => {
                one_by_one(&store, &entries, &mut on_commit).await
            }
            Err(error) => vec![Err(error); entries.len()],
        };
        for ((caller, _), outcome) in callers.into_iter().zip(outcomes.drain(..)) {
            // A caller that no longer waits has its message all the same.
            let _ = caller.send(outcome);
        }
    }
}

/// Whether an error may be due to one message of the batch and spare the others.
fn is_about_a_message(error: &StoreError) -> bool {
    matches!(error, StoreError::Internal { .. } | StoreError::Unreadable { .. })
}

/// Stores each entry in a transaction of its own, after the batch as a whole was refused.
async fn one_by_one(
    store: &Store,
    entries: &Arc<[Entry]>,
    on_commit: &mut (impl FnMut(&Committed) + Send),
) -> Vec<Result<AppendOutcome, StoreError>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    for place in 0..entries.len() {
        let written = write(store, entries, place..place + 1).await;
        if let Err(error) = &written {
            tracing::error!(error = error as &dyn std::error::Error, "a message could not be stored");
        }
        let one = written.map(|written| publish(&entries[place..=place], written, on_commit));
        outcomes
            .push(one.and_then(|mut one| one.pop().ok_or_else(|| StoreError::internal("a message got no outcome"))));
    }
    outcomes
}

/// Hands what came of a commit to `on_commit`, and gives the outcomes back.
fn publish(
    entries: &[Entry],
    outcomes: Vec<AppendOutcome>,
    on_commit: &mut impl FnMut(&Committed),
) -> Vec<AppendOutcome> {
    let mut committed = Committed::default();
    for (Entry { message: new, .. }, outcome) in entries.iter().zip(&outcomes) {
        match outcome {
            AppendOutcome::Stored(message) => committed.stored.push(Appended {
                tenant: new.tenant,
                message: Arc::clone(message),
                mentions: new.mentions.clone(),
            }),
            AppendOutcome::Stopped(stop, at) => committed.stopped.push(Stopped {
                tenant: new.tenant,
                room: new.room,
                user: new.user,
                sender: new.sender.as_str().to_owned(),
                stop: *stop,
                at: **at,
                after: committed.stored.len(),
            }),
            _ => {}
        }
    }
    if !committed.stored.is_empty() || !committed.stopped.is_empty() {
        on_commit(&committed);
    }
    outcomes
}

/// Stores a part of the entries in one transaction, and finds out what became of it.
async fn write(
    store: &Store,
    entries: &Arc<[Entry]>,
    part: std::ops::Range<usize>,
) -> Result<Vec<AppendOutcome>, StoreError> {
    // What the operation decided outlives a commit that gives no answer.
    let decided = Arc::new(std::sync::Mutex::new(None));
    let input = (Arc::clone(entries), part, Arc::clone(&decided));
    let result = store
        .write(input, |conn, (entries, part, decided)| {
            async move {
                let written = write_batch(conn, &entries[part.clone()]).await?;
                *decided.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(written);
                Ok(())
            }
            .boxed()
        })
        .await;
    let decided = decided.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    match (result, decided) {
        (Ok(()), Some(written)) => Ok(written),
        (Ok(()), None) => Err(StoreError::internal("a batch was stored without a decision")),
        (Err(StoreError::OutcomeUnknown { source }), Some(written)) => {
            if was_stored(store, &written).await? {
                Ok(written)
            } else {
                Err(StoreError::Unavailable { source })
            }
        }
        (Err(error), _) => Err(error),
    }
}

/// Reads back whether a batch was stored: all of it was or nothing, and a part may have been purged since.
async fn was_stored(store: &Store, outcomes: &[AppendOutcome]) -> Result<bool, StoreError> {
    let stored = outcomes.iter().filter_map(|outcome| match outcome {
        AppendOutcome::Stored(message) => Some(Arc::clone(message)),
        _ => None,
    });
    let stored: Arc<[_]> = stored.collect();
    if stored.is_empty() {
        return Ok(true);
    }
    let mut looks = 0;
    loop {
        looks += 1;
        let look = store.write(Arc::clone(&stored), |conn, stored| are_there(conn, stored).boxed()).await;
        match look {
            Err(error) if looks < LOOKS => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "whether messages are stored is not known yet"
                );
                tokio::time::sleep(Duration::from_millis(100 << looks.min(5))).await;
            }
            result => return result,
        }
    }
}

/// Whether any of the messages of a batch is stored, after whoever still commits it.
async fn are_there(conn: &mut Conn<'_>, messages: &[Arc<Message>]) -> Result<bool, StoreError> {
    if !conn.is_sqlite() {
        // A batch holds all of its rooms until it ends, so that one of them is enough to wait for.
        let room = messages.first().map(|message| message.room_id);
        conn.one("SELECT id FROM rooms WHERE id = $1 FOR NO KEY UPDATE", &params![room], |_| Ok(())).await?;
    }
    let ids: Vec<_> = messages.iter().map(|message| params![message.id]).collect();
    let found = conn.one_of_many("SELECT id FROM messages WHERE id = $1", &ids, |_| Ok(())).await?;
    Ok(found.iter().any(Option::is_some))
}
