//! What happened lately in the calls of rooms, in memory: who was let in and may be on its way, and whether anything was
//! heard since somebody looked. Lost at a restart, after which those who had a token and had not come are not counted.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::hub::Address;

/// For how long somebody with a token counts as being on its way: as long as our own tokens let it in. Those of a provider
/// may hold for longer, and a place cannot wait for that long.
const ON_ITS_WAY: Duration = Duration::from_mins(10);
/// For how long a room in which nobody is seen is looked at after its last token.
const INTERESTING: Duration = Duration::from_hours(1);
/// The most that are on record for a room into which any number may come.
const MAX_LET_IN: usize = 1000;

/// What happened lately, by room.
#[derive(Default)]
pub(crate) struct Activity {
    rooms: Mutex<HashMap<Address, Lately>>,
    /// How often something was heard of any room.
    heard: AtomicU64,
}

#[derive(Default)]
struct Lately {
    /// Who was let in, and when, the oldest first.
    let_in: Vec<(String, Duration)>,
    /// The number of what was heard last.
    heard: u64,
}

impl Activity {
    fn rooms(&self) -> MutexGuard<'_, HashMap<Address, Lately>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody gets a token, unless there are as many as there may be: those who are `there`, and those on
    /// their way; 0 is any number.
    pub(crate) fn let_in(&self, room: Address, identity: &str, there: &[String], most: u64, now: Duration) -> bool {
        let mut rooms = self.rooms();
        let lately = rooms.entry(room).or_default();
        lately.let_in.retain(|(_, at)| now < *at + INTERESTING);
        let coming =
            |(who, at): &&(String, Duration)| who != identity && now < *at + ON_ITS_WAY && !there.contains(who);
        let coming = lately.let_in.iter().filter(coming).count();
        if most > 0 && (there.len() + coming) as u64 >= most {
            return false;
        }
        lately.let_in.retain(|(who, _)| who != identity);
        if most == 0 && lately.let_in.len() >= MAX_LET_IN {
            lately.let_in.remove(0);
        }
        lately.let_in.push((identity.to_owned(), now));
        true
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self, room: Address, identity: &str) {
        if let Some(lately) = self.rooms().get_mut(&room) {
            lately.let_in.retain(|(who, _)| who != identity);
        }
    }

    /// Notes that something was heard of a room.
    pub(crate) fn heard(&self, room: Address) {
        let number = self.heard.fetch_add(1, Ordering::Relaxed) + 1;
        self.rooms().entry(room).or_default().heard = number;
    }

    /// The number of what was heard last of a room: another one whenever something was.
    pub(crate) fn last_heard(&self, room: Address) -> u64 {
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
    fn those_on_their_way_count_until_they_are_there_or_cannot_come() {
        let (activity, room, now) = (Activity::default(), room(), Duration::from_secs(5));
        let in_call = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(activity.let_in(room, "a", &[], 2, now) && activity.let_in(room, "b", &[], 2, now));
        assert!(!activity.let_in(room, "c", &[], 2, now));
        assert!(activity.let_in(room, "b", &[], 2, now), "who is on its way has its place");
        assert!(!activity.let_in(room, "c", &in_call(&["a"]), 2, now), "who is there is counted once");
        activity.give_back(room, "b");
        assert!(activity.let_in(room, "c", &in_call(&["a"]), 2, now));
        let later = now + ON_ITS_WAY;
        assert!(activity.let_in(room, "d", &in_call(&["a"]), 2, later), "the others cannot come any more");
        assert!(activity.let_in(room, "e", &in_call(&["a"]), 0, later), "0 is any number");
    }

    #[test]
    fn of_many_at_once_no_more_get_in_than_may() {
        let (activity, room) = (Activity::default(), room());
        let got_in: usize = std::thread::scope(|scope| {
            let (activity, room) = (&activity, room);
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let enter = move |n: &u32| activity.let_in(room, &format!("{thread}.{n}"), &[], 10, Duration::ZERO);
                    scope.spawn(move || (0..100).filter(enter).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(got_in, 10);
    }

    #[test]
    fn a_room_that_nobody_enters_is_forgotten() {
        let (activity, room) = (Activity::default(), room());
        assert!(activity.let_in(room, "a", &[], 0, Duration::ZERO));
        activity.heard(room);
        assert_eq!(activity.interesting(Duration::from_secs(1)), [room]);
        assert_eq!(activity.interesting(INTERESTING), []);
        assert_eq!(activity.last_heard(room), 0);
    }
}
