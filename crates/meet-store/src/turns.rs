//! Turns at what only a few may do at once: who comes next waits for a while, and not in any number.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::StoreError;

/// How many wait for a turn at most.
const WAITING: usize = 64;

/// A number of turns, and a place for those who wait for one.
pub(crate) struct Turns {
    free: Semaphore,
    places: Semaphore,
    patience: Duration,
}

impl Turns {
    /// So many may have a turn at once; the next ones wait so long at most.
    pub(crate) const fn new(at_once: usize, patience: Duration) -> Self {
        Self { free: Semaphore::const_new(at_once), places: Semaphore::const_new(WAITING), patience }
    }

    /// Waits for a turn, which ends when it is dropped. `Unavailable` when it does not come in time, and at once when
    /// too many wait already.
    pub(crate) async fn take(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        if let Ok(turn) = self.free.try_acquire() {
            return Ok(turn);
        }
        let _place = self.places.try_acquire().map_err(|_| StoreError::crowded())?;
        let turn = tokio::time::timeout(self.patience, self.free.acquire()).await;
        turn.map_err(|_| StoreError::crowded())?.map_err(|_| StoreError::closed())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    #[tokio::test]
    async fn a_turn_that_does_not_come_is_not_waited_for_without_end() {
        let turns = Turns::new(2, Duration::from_millis(10));
        let held = [turns.take().await.unwrap(), turns.take().await.unwrap()];
        assert!(matches!(turns.take().await, Err(StoreError::Unavailable { .. })));
        drop(held);
        assert!(turns.take().await.is_ok());
    }

    #[tokio::test]
    async fn only_so_many_wait_and_the_others_are_told_at_once() {
        let turns = Turns::new(1, Duration::from_mins(10));
        let held = turns.take().await.unwrap();
        let mut waiting = join_all((0..WAITING).map(|_| turns.take().map(|turn| turn.map(drop))));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(matches!(turns.take().now_or_never(), Some(Err(StoreError::Unavailable { .. }))));
        // Each of them has its turn, one after another.
        drop(held);
        assert!(waiting.await.iter().all(Result::is_ok));
        // Who no longer waits leaves the place to others.
        let _held = turns.take().await.unwrap();
        for _ in 0..=WAITING {
            assert!(turns.take().now_or_never().is_none());
        }
    }
}
