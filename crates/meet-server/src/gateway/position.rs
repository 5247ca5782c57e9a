//! Where a reader stands in a room's log, and what that makes of the next publication. Pure.
//!
//! The store is the truth and the hub a hint: a publication that does not follow on what was sent last means that
//! the reader must look into the store first.

/// How many left-out messages a filtered reader is told of at the latest.
const MAX_SKIPPED: u32 = 500;
/// How far behind a reader may be and still be caught up message by message.
pub(super) const MAX_BEHIND: u64 = 10_000;

/// A reader's place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The last `seq` that was sent or left out, or that lies before what the reader wants.
    at: u64,
    skipped: u32,
}

/// What to do with a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the next one.
    Take,
    /// It was sent already.
    Drop,
    /// Something is missing before it: read from the store.
    Fill,
}

/// How a reader with a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Greet it, then send everything behind its cursor.
    Hello,
    /// Its cursor is void or too far behind: it goes on from the head and loads the rest itself.
    Resync,
}

impl Position {
    /// A reader that has or does not want anything up to `seq`.
    pub(super) fn after(seq: u64) -> Self {
        Self { at: seq, skipped: 0 }
    }

    /// How a reader that has everything up to `since` begins, with the head it meets.
    pub(super) fn start(since: u64, is_same_epoch: bool, head: u64) -> Start {
        if !is_same_epoch || since > head || head - since > MAX_BEHIND { Start::Resync } else { Start::Hello }
    }

    /// The last `seq` that was sent or left out.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// What to do with the publication at `seq`.
    pub(super) fn step(&self, seq: u64) -> Step {
        match seq.checked_sub(self.at) {
            None | Some(0) => Step::Drop,
            Some(1) => Step::Take,
            Some(_) => Step::Fill,
        }
    }

    /// Notes that `seq` was sent, or left out by the filter.
    pub(super) fn advance(&mut self, seq: u64, was_sent: bool) {
        self.at = seq;
        self.skipped = if was_sent { 0 } else { self.skipped + 1 };
    }

    /// The `seq` to tell a filtered reader: after enough left-out ones, or when `is_due` any.
    pub(super) fn report(&mut self, is_due: bool) -> Option<u64> {
        if self.skipped >= MAX_SKIPPED || (is_due && self.skipped > 0) {
            self.skipped = 0;
            return Some(self.at);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_takes_the_next_drops_the_old_and_fills_a_gap() {
        let position = Position::after(5);
        assert_eq!([5, 6, 7].map(|seq| position.step(seq)), [Step::Drop, Step::Take, Step::Fill]);
    }

    #[test]
    fn a_cursor_of_another_epoch_above_the_head_or_too_far_behind_is_void() {
        assert_eq!(Position::start(5, true, 10), Start::Hello);
        assert_eq!(Position::start(10, true, 10), Start::Hello);
        assert_eq!(Position::start(5, false, 10), Start::Resync);
        assert_eq!(Position::start(11, true, 10), Start::Resync);
        assert_eq!(Position::start(0, true, MAX_BEHIND + 1), Start::Resync);
    }

    #[test]
    fn a_filtered_reader_is_told_where_it_stands() {
        let mut position = Position::after(0);
        for seq in 1..=499 {
            position.advance(seq, false);
            assert_eq!(position.report(false), None);
        }
        position.advance(500, false);
        assert_eq!(position.report(false), Some(500));
        assert_eq!(position.report(true), None);
        position.advance(501, false);
        assert_eq!(position.report(true), Some(501));
    }
}
