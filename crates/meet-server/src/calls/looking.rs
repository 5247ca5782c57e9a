//! Asking the provider who is in which call: after a start, and now and then for those in which somebody may be, so that
//! what was not told is known all the same.

use std::{
    collections::{HashMap, HashSet},
    sync::PoisonError,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use meet_store::Meeting;

use crate::{
    app::App,
    conference::{Conference, MeetingId},
    error::Error,
    hub::{Address, Channel},
};

use super::{AT_A_TIME, EVERY, PAGE};

/// How often the provider is asked who is in a call.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many calls are looked at in one go, every five seconds at most. A look is a few requests, and RealtimeKit takes 250
/// in ten seconds: there must be room for those who want to come in.
const LOOKS: usize = 10;
/// How often those who were let into a meeting long ago are forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// For how long somebody who is not there keeps its seat after its token has ended: it may only be off the line.
const SEAT_KEPT: Duration = Duration::from_hours(24);

/// When each room's provider was asked last who is there.
#[derive(Default)]
pub(super) struct Looks {
    rooms: HashMap<Address, Looked>,
    /// Rooms of which nothing is known since the start.
    unknown: Vec<Address>,
    last: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Looked {
    at: Duration,
    forgot: Option<Duration>,
}

impl Looks {
    /// The rooms that are to be looked at now: some of which nothing is known, and of those in whose calls somebody may be
    /// the ones that have waited longest.
    fn take_due(&mut self, interesting: HashSet<Address>, now: Duration) -> Vec<Address> {
        if self.last.is_some_and(|last| now < last + EVERY) {
            return Vec::new();
        }
        self.last = Some(now);
        self.rooms.retain(|room, _| interesting.contains(room));
        let unknown = |looks: &mut Self, most: usize| {
            let rest = looks.unknown.len().saturating_sub(most);
            looks.unknown.split_off(rest)
        };
        let mut taken = unknown(self, LOOKS / 2);
        let since = |room: &Address| self.rooms.get(room).map(|looked| looked.at);
        let mut due: Vec<_> = interesting
            .into_iter()
            .map(|room| (since(&room), room))
            .filter(|(looked, _)| looked.is_none_or(|at| at + LOOK_EVERY <= now))
            .collect();
        due.sort_by_key(|(looked, _)| *looked);
        let due = due.into_iter().map(|(_, room)| room).filter(|room| !taken.contains(room));
        let due: Vec<_> = due.take(LOOKS - taken.len()).collect();
        taken.extend(due);
        let free = LOOKS - taken.len();
        taken.extend(unknown(self, free));
        for room in &taken {
            self.rooms.entry(*room).or_insert(Looked { at: now, forgot: None }).at = now;
        }
        taken
    }

    /// Whether it is known who is in a room's call, as far as anybody told.
    pub(super) fn knows(&self, room: Address) -> bool {
        !self.unknown.contains(&room)
    }

    /// Whether it is time to forget who was let into a room's call long ago; it is not, until the next time.
    fn take_forgetting(&mut self, room: Address, now: Duration) -> bool {
        let Some(looked) = self.rooms.get_mut(&room) else { return false };
        let is_due = looked.forgot.is_none_or(|at| at + FORGET_EVERY <= now);
        if is_due {
            looked.forgot = Some(now);
        }
        is_due
    }
}

impl App {
    /// Notes every meeting that is open: after a start nobody knows who is there.
    pub(super) async fn note_unknown_calls(&self) -> Result<(), Error> {
        let provider = self.conference()?.name();
        let mut after = None;
        loop {
            let page = self.store().open_meetings(provider, after.take(), PAGE).await?;
            let rooms = page.iter().map(|meeting| Address::chat(meeting.tenant, meeting.room));
            self.calls().looks.lock().unwrap_or_else(PoisonError::into_inner).unknown.extend(rooms);
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after = Some(last.reference.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Asks who is in the calls that somebody is in, or may be on the way to, if that was not asked just now.
    pub(super) async fn look_at_calls(&self, conference: &Conference) -> Result<(), Error> {
        let monotonic = self.clock().monotonic();
        let interesting = self.calls().activity.interesting(monotonic);
        let rooms: HashSet<Address> = interesting.into_iter().chain(self.hub().calls()).collect();
        let due = self.calls().looks.lock().unwrap_or_else(PoisonError::into_inner).take_due(rooms, monotonic);
        let looking = due.into_iter().map(|address| async move {
            let Channel::Chat(room) = address.channel else { return Ok(()) };
            match self.store().open_meeting_of(room).await? {
                Some(meeting) => self.look_at(conference, &meeting).await,
                None => {
                    // Somebody who came while it ended.
                    self.hub().end_call(address);
                    Ok(())
                }
            }
        });
        let looked: Vec<_> = stream::iter(looking).buffer_unordered(AT_A_TIME).collect().await;
        looked.into_iter().collect()
    }

    /// Asks the provider who is in a meeting.
    pub(super) async fn look_at(&self, conference: &Conference, meeting: &Meeting) -> Result<(), Error> {
        let Some(id) = &meeting.meeting else { return Ok(()) };
        let address = Address::chat(meeting.tenant, meeting.room);
        let heard = self.calls().activity.last_heard(address);
        let before = self.hub().call_identities(address);
        let now = self.clock().now();
        let attendees = match conference.attendees(&MeetingId(id.clone()), now).await {
            Ok(attendees) => attendees,
            Err(failure) => {
                self.provider_failed("did not say who is there", &failure);
                return Ok(());
            }
        };
        if self.calls().activity.last_heard(address) != heard {
            // The answer may be older than what was heard meanwhile.
            return Ok(());
        }
        for identity in before.iter().filter(|who| attendees.iter().all(|attendee| attendee.identity != **who)) {
            self.hub().left_call(address, identity);
        }
        for attendee in attendees.into_iter().filter(|attendee| !before.contains(&attendee.identity)) {
            self.came(meeting, attendee, now).await?;
        }
        let monotonic = self.clock().monotonic();
        if self.calls().looks.lock().unwrap_or_else(PoisonError::into_inner).take_forgetting(address, monotonic) {
            self.forget_seats(meeting, address).await?;
        }
        Ok(())
    }

    /// Forgets who was let into a meeting long ago and is not there. Whoever lost its right is remembered by others.
    async fn forget_seats(&self, meeting: &Meeting, address: Address) -> Result<(), Error> {
        let end = self.steady_now().minus(SEAT_KEPT);
        let there = self.hub().call_identities(address);
        let mut after: Option<String> = None;
        loop {
            let seats = self.store().seats_of_meeting(&meeting.reference, after.take(), PAGE).await?;
            let is_old = |seat: &&meet_store::StoredSeat| seat.expires_at < end && !seat.has_ended;
            for seat in seats.iter().filter(is_old).filter(|seat| !there.contains(&seat.identity)) {
                self.store().forget_expired_seat(&seat.identity, end).await?;
            }
            match seats.last() {
                Some(last) if seats.len() >= PAGE as usize => after = Some(last.identity.clone()),
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{RoomId, TenantId};
    use uuid::Uuid;

    use super::*;

    fn room(n: u128) -> Address {
        Address::chat(TenantId::from_uuid(Uuid::from_u128(1)), RoomId::from_uuid(Uuid::from_u128(n)))
    }

    #[test]
    fn those_that_waited_longest_are_looked_at_first_and_a_few_at_a_time() {
        let mut looks = Looks::default();
        let at = Duration::from_secs;
        let all: HashSet<_> = (0..15).map(room).collect();
        let first = looks.take_due(all.clone(), at(0));
        assert_eq!(first.len(), LOOKS);
        assert_eq!(looks.take_due(all.clone(), at(4)), [], "not more often than this");
        let second = looks.take_due(all.clone(), at(5));
        assert!(second.len() == 5 && second.iter().all(|room| !first.contains(room)));
        assert!(looks.take_due(all.clone(), at(10)).iter().all(|room| first.contains(room)));
        assert!(looks.take_forgetting(room(0), at(10)) && !looks.take_forgetting(room(0), at(11)));
    }

    #[test]
    fn every_room_of_which_nothing_is_known_is_looked_at_however_many_are_due_again() {
        let mut looks = Looks { unknown: (0..300).map(room).collect(), ..Looks::default() };
        let (mut seen, mut now) = (HashSet::new(), Duration::ZERO);
        assert!(!looks.knows(room(7)));
        for _ in 0..300 * 2 / LOOKS {
            // Whoever was looked at once has people in it, and is due again.
            seen.extend(looks.take_due(seen.clone(), now));
            now += EVERY;
        }
        assert_eq!(seen.len(), 300);
        assert!(looks.knows(room(7)));
    }
}
