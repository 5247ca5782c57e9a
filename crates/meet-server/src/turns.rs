//! One at a time for each key: a lock per room or name, which is there only while somebody holds it or waits.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex as Blocking, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// The locks that are held or waited for.
pub(crate) struct Turns<K: Eq + Hash>(Blocking<HashMap<K, Arc<Mutex<()>>>>);

/// A key's turn, until it is dropped.
pub(crate) struct Turn<'a, K: Eq + Hash> {
    turns: &'a Turns<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self(Blocking::default())
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits for the turn of a key.
    pub(crate) async fn of(&self, key: K) -> Turn<'_, K> {
        let lock = Arc::clone(self.table().entry(key.clone()).or_default());
        // Made before it waits: whoever gives up waiting must not leave the lock behind.
        let mut turn = Turn { turns: self, key, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// The turn of a key, unless somebody has it.
    pub(crate) fn try_of(&self, key: K) -> Option<Turn<'_, K>> {
        let lock = Arc::clone(self.table().entry(key.clone()).or_default());
        let mut turn = Turn { turns: self, key, guard: None };
        turn.guard = Some(lock.try_lock_owned().ok()?);
        Some(turn)
    }
}

impl<K: Eq + Hash> Turns<K> {
    fn table(&self) -> MutexGuard<'_, HashMap<K, Arc<Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        let mut table = self.turns.table();
        drop(self.guard.take());
        // Everybody else holds one of their own, which they got from the table.
        if table.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            table.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_gone_with_the_last_who_wants_it() {
        let turns = Turns::default();
        let first = turns.of("room").await;
        let other = turns.of("another").await;
        let mut second = Box::pin(turns.of("room"));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let second = second.await;
        assert_eq!(turns.table().len(), 2);
        let mut third = Box::pin(turns.of("room"));
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(third);
        assert!(turns.try_of("room").is_none() && turns.try_of("a third").is_some());
        drop((second, other));
        assert_eq!(turns.table().len(), 0);
    }
}
