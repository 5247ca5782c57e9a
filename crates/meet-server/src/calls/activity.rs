//! What happened lately in the calls of rooms, in memory: who was let in and may be on its way, and whether anything was
//! heard since somebody looked. Lost at a restart, which makes the next look come sooner and nothing else.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::hub::Address;

/// For how long somebody with a token counts as being on its way.
const ON_ITS_WAY: Duration = Duration::from_mins(2);
/// For how long a room in which nobody is seen is looked at after its last token.
const INTERESTING: Duration = Duration::from_mins(15);
/// The most that are on record for a room.
const MAX_LET_IN: usize = 1000;

/// What happened lately, by room.
#[derive(Default)]
pub(crate) struct Activity(Mutex<HashMap<Address, Lately>>);

#[derive(Default)]
struct Lately {
    /// Who was let in, and when, the oldest first.
    let_in: Vec<(String, Duration)>,
    /// How often something was heard.
    heard: u64,
}

impl Activity {
    fn rooms(&self) -> MutexGuard<'_, HashMap<Address, Lately>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody got a token.
    pub(crate) fn let_in(&self, room: Address, identity: &str, now: Duration) {
        let mut rooms = self.rooms();
        let lately = rooms.entry(room).or_default();
        if lately.let_in.len() >= MAX_LET_IN {
            lately.let_in.remove(0);
        }
        lately.let_in.push((identity.to_owned(), now));
    }

    /// Keeps a place for somebody who is about to get a token, when there are fewer than `most` in the call, who are
    /// `there`, and on their way; 0 is any number.
    pub(crate) fn reserve(&self, room: Address, identity: &str, there: &[String], most: u64, now: Duration) -> bool {
        let mut rooms = self.rooms();
        let lately = rooms.entry(room).or_default();
        let coming = |(who, at): &&(String, Duration)| now < *at + ON_ITS_WAY && !there.contains(who);
        let coming = lately.let_in.iter().filter(coming).count();
        if most > 0 && (there.len() + coming) as u64 >= most {
            return false;
        }
        drop(rooms);
        self.let_in(room, identity, now);
        true
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self, room: Address, identity: &str) {
        if let Some(lately) = self.rooms().get_mut(&room) {
            lately.let_in.retain(|(who, _)| who != identity);
        }
    }

    /// Puts the identity that the provider got in the place of the one that was reserved.
    pub(crate) fn rename(&self, room: Address, reserved: &str, identity: &str) {
        let mut rooms = self.rooms();
        let place = rooms.get_mut(&room).and_then(|lately| lately.let_in.iter_mut().find(|(who, _)| who == reserved));
        if let Some((who, _)) = place {
            identity.clone_into(who);
        }
    }

    /// Notes that something was heard of a room.
    pub(crate) fn heard(&self, room: Address) {
        self.rooms().entry(room).or_default().heard += 1;
    }

    /// How often something was heard of a room.
    pub(crate) fn times_heard(&self, room: Address) -> u64 {
        self.rooms().get(&room).map_or(0, |lately| lately.heard)
    }

    /// The rooms in whose calls somebody may be, by what was let in; the others are forgotten.
    pub(crate) fn interesting(&self, now: Duration) -> Vec<Address> {
        let mut rooms = self.rooms();
        rooms.retain(|_, lately| {
            lately.let_in.retain(|(_, at)| now < *at + INTERESTING);
            !lately.let_in.is_empty()
        });
        rooms.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{RoomId, TenantId};
    use uuid::Uuid;

    use super::*;

    fn room() -> Address {
        let id = Uuid::from_u128(1);
        Address::chat(TenantId::from_uuid(id), RoomId::from_uuid(id))
    }

    #[test]
    fn those_on_their_way_count_until_they_are_there_or_have_not_come() {
        let (activity, room) = (Activity::default(), room());
        let now = Duration::from_secs(5);
        assert!(activity.reserve(room, "a", &[], 2, now) && activity.reserve(room, "b", &[], 2, now));
        assert!(!activity.reserve(room, "c", &[], 2, now));
        assert!(!activity.reserve(room, "c", &["a".to_owned()], 2, now), "who is there is counted once");
        activity.give_back(room, "b");
        assert!(activity.reserve(room, "c", &["a".to_owned()], 2, now));
        let later = now + ON_ITS_WAY;
        assert!(activity.reserve(room, "d", &["a".to_owned()], 2, later), "the others never came");
        assert!(activity.reserve(room, "e", &["a".to_owned()], 0, later), "0 is any number");
    }

    #[test]
    fn a_room_that_nobody_enters_is_forgotten() {
        let (activity, room) = (Activity::default(), room());
        activity.let_in(room, "a", Duration::ZERO);
        activity.heard(room);
        assert_eq!(activity.interesting(Duration::from_secs(1)), [room]);
        assert_eq!(activity.interesting(INTERESTING), []);
        assert_eq!(activity.times_heard(room), 0);
    }
}
