//! What many subscribers receive, counted together: deliveries, gaps, duplicates, and when the last of them got each
//! message. Nothing of a message is kept but its number.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Outcome, clock};

/// How long everyone may take to receive everything.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a waiter looks.
const LOOK: Duration = Duration::from_millis(2);

/// What all subscribers have received, together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    messages: AtomicU64,
    gaps: AtomicU64,
    duplicates: AtomicU64,
    ended: AtomicU64,
    code: AtomicU32,
    goal: AtomicU64,
    reached: AtomicU64,
    receipts: Mutex<Option<Receipts>>,
}

/// When the last of so many subscribers got each message.
#[derive(Debug, Default)]
struct Receipts {
    size: usize,
    seen: HashMap<u64, usize>,
    complete: HashMap<u64, Instant>,
}

impl Tally {
    /// Deliveries.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Messages that a subscriber missed, and those that it got twice.
    pub(crate) fn faults(&self) -> (u64, u64) {
        (self.gaps.load(Ordering::Relaxed), self.duplicates.load(Ordering::Relaxed))
    }

    /// From now on, counts the subscribers that have come to this `seq`.
    pub(crate) fn set_goal(&self, seq: u64) {
        self.reached.store(0, Ordering::Relaxed);
        self.goal.store(seq, Ordering::Relaxed);
    }

    /// Notes for each message when the last of `size` subscribers got it.
    pub(crate) fn note_receipts(&self, size: usize) {
        *self.receipts() = Some(Receipts { size, ..Receipts::default() });
    }

    /// When the last subscriber got a message, if everyone has.
    pub(crate) fn complete(&self, seq: u64) -> Option<Instant> {
        self.receipts().as_ref()?.complete.get(&seq).copied()
    }

    /// Counts so many deliveries at once.
    pub(crate) fn add_messages(&self, messages: u64) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
    }

    /// Counts a connection that the server ended, with the code that it gave.
    pub(crate) fn note_end(&self, code: Option<u16>) {
        self.code.store(code.map_or(0, u32::from), Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until everyone together got so many messages.
    pub(crate) async fn wait_for_messages(&self, messages: u64) -> Outcome<()> {
        self.wait(|| self.messages() >= messages).await
    }

    /// Waits until so many messages were received once, or are known to be missed.
    pub(crate) async fn wait_for_account(&self, messages: u64) -> Outcome<()> {
        self.wait(|| {
            let (gaps, duplicates) = self.faults();
            self.messages() + gaps >= messages + duplicates
        })
        .await
    }

    /// Waits until so many subscribers have come to the goal.
    pub(crate) async fn wait_for_goal(&self, subscribers: usize) -> Outcome<()> {
        self.wait(|| self.reached.load(Ordering::Relaxed) >= subscribers as u64).await
    }

    async fn wait(&self, is_done: impl Fn() -> bool) -> Outcome<()> {
        let begin = clock::now();
        while !is_done() {
            self.check()?;
            if begin.elapsed() > PATIENCE {
                let (gaps, _) = self.faults();
                return Err(format!("waited in vain: {} deliveries, {gaps} missed", self.messages()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// An error once the server has ended a connection.
    pub(crate) fn check(&self) -> Outcome<()> {
        match (self.ended.load(Ordering::Relaxed), self.code.load(Ordering::Relaxed)) {
            (0, _) => Ok(()),
            (ended, 0) => Err(format!("the server ended {ended} of the connections").into()),
            (ended, code) => Err(format!("the server ended {ended} of the connections, the last with {code}").into()),
        }
    }

    fn receipts(&self) -> MutexGuard<'_, Option<Receipts>> {
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one subscriber stands: the last `seq` that it has, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position(pub(crate) Option<u64>);

impl Position {
    /// Goes on to a message that was received; what lies between is missed.
    pub(crate) fn receive(&mut self, seq: u64, tally: &Tally) {
        if !self.advance(seq, 1, tally) {
            return;
        }
        if let Some(receipts) = tally.receipts().as_mut() {
            let seen = receipts.seen.entry(seq).or_default();
            *seen += 1;
            if *seen == receipts.size {
                receipts.complete.insert(seq, clock::now());
            }
        }
    }

    /// Goes on to where the server says that it is, without the messages on the way.
    pub(crate) fn skip_to(&mut self, seq: u64, tally: &Tally) {
        if self.0.is_none_or(|last| seq > last) {
            self.advance(seq, 0, tally);
        }
    }

    /// Counts what is missed below the `received` last ones; false for what it had before.
    fn advance(&mut self, seq: u64, received: u64, tally: &Tally) -> bool {
        let next = self.0.map_or(seq + 1 - received, |last| last + 1);
        if seq + 1 < next + received {
            tally.duplicates.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        tally.gaps.fetch_add(seq + 1 - received - next, Ordering::Relaxed);
        let goal = tally.goal.load(Ordering::Relaxed);
        if seq >= goal && self.0.is_none_or(|last| last < goal) {
            tally.reached.fetch_add(1, Ordering::Relaxed);
        }
        self.0 = Some(seq);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(last: Option<u64>, seqs: &[u64]) -> (Tally, Position) {
        let (tally, mut position) = (Tally::default(), Position(last));
        for seq in seqs {
            position.receive(*seq, &tally);
        }
        (tally, position)
    }

    #[test]
    fn what_is_left_out_is_a_gap_and_what_comes_again_a_duplicate() {
        assert_eq!(received(Some(4), &[5, 6, 7]).0.faults(), (0, 0));
        assert_eq!(received(Some(4), &[6, 9]).0.faults(), (3, 0));
        let (tally, position) = received(Some(4), &[5, 5, 3, 6]);
        assert_eq!((tally.faults(), position.0), ((0, 2), Some(6)));
    }

    #[test]
    fn the_first_message_begins_wherever_it_stands() {
        let (tally, position) = received(None, &[41, 42]);
        assert_eq!((tally.faults(), position.0), ((0, 0), Some(42)));
    }

    #[test]
    fn a_server_that_skips_leaves_a_gap() {
        let (tally, mut position) = received(Some(10), &[]);
        position.skip_to(10, &tally);
        assert_eq!(tally.faults(), (0, 0));
        position.skip_to(510, &tally);
        position.receive(511, &tally);
        assert_eq!((tally.faults(), position.0), ((500, 0), Some(511)));
        let (tally, mut position) = received(None, &[]);
        position.skip_to(7, &tally);
        assert_eq!((tally.faults(), position.0), ((0, 0), Some(7)));
    }

    #[test]
    fn the_goal_counts_each_subscriber_once() {
        let tally = Tally::default();
        tally.set_goal(3);
        let mut position = Position(Some(1));
        for seq in [2, 3, 4, 4] {
            position.receive(seq, &tally);
        }
        assert_eq!(tally.reached.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_message_is_complete_once_everyone_has_it() {
        let tally = Tally::default();
        tally.note_receipts(2);
        let (mut first, mut second) = (Position(Some(0)), Position(Some(0)));
        first.receive(1, &tally);
        assert_eq!(tally.complete(1), None);
        second.receive(1, &tally);
        assert!(tally.complete(1).is_some());
    }
}
