//! Making what the provider has and what we know one again: meetings that should be closed are closed, whoever has no
//! right any more is thrown out, and who is there is asked.
//!
//! All of it is taken from the records, so it goes on after a restart where it was, and may be done twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use meet_store::{Meeting, StoredSeat};

use crate::{
    app::App,
    conference::{Conference, Failure, MeetingId, Seat},
    error::Error,
    hub::{Address, Channel},
};

use super::{failed, opening_of};

/// How often to look for what has ended.
const EVERY: Duration = Duration::from_secs(5);
/// How often the provider is asked who is in a call.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many calls are looked at in one go, every five seconds at most: a provider that counts requests (RealtimeKit
/// takes 250 in ten seconds) must have room for those who want to come in.
const LOOKS: usize = 10;
/// How many requests to the provider are under way at a time.
const AT_A_TIME: usize = 4;
/// How many records are taken at a time.
const PAGE: u32 = 200;
/// How many are looked through in one go.
const MAX_AT_ONCE: usize = 20_000;
/// For how long a closed meeting and a lost seat are on record: longer than the ten minutes of a token, for which LiveKit
/// lets the bearer come back, and opens the meeting again for it; and an answer that was lost may have opened a meeting
/// after we looked.
const REMEMBERED: Duration = Duration::from_mins(12);
/// How often those who were let in long ago are forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// For how long somebody who is not there keeps its seat after its token has ended.
const SEAT_KEPT: Duration = Duration::from_hours(24);
/// How far the provider's clock may be from ours.
const LEEWAY: Duration = Duration::from_mins(2);
/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// What was done already, and what failed, by our names of meetings and people.
#[derive(Default)]
pub(super) struct Kept {
    /// When each was done.
    done: HashMap<String, Duration>,
    tries: HashMap<String, Pause>,
    /// When those who were let in long ago were forgotten.
    forgot: Option<Duration>,
}

/// When to try again what failed.
#[derive(Clone, Copy)]
struct Pause {
    until: Duration,
    length: Duration,
}

impl Kept {
    fn is_due(&self, what: &str, now: Duration) -> bool {
        !self.done.contains_key(what) && self.tries.get(what).is_none_or(|pause| pause.until <= now)
    }

    fn done(&mut self, what: &str, now: Duration) {
        self.tries.remove(what);
        self.done.insert(what.to_owned(), now);
    }

    /// Whether it was done so long ago that nothing of before can undo it.
    fn is_settled(&self, what: &str, now: Duration) -> bool {
        self.done.get(what).is_some_and(|at| *at + REMEMBERED <= now)
    }

    fn again(&mut self, what: &str, now: Duration) {
        let length = self.tries.get(what).map_or(EVERY, |pause| (pause.length * 2).min(MAX_PAUSE));
        self.tries.insert(what.to_owned(), Pause { until: now + length, length });
    }

    fn forget(&mut self, what: &str) {
        self.done.remove(what);
        self.tries.remove(what);
    }
}

/// When each room's provider was asked last who is there.
#[derive(Default)]
pub(super) struct Looks {
    rooms: HashMap<Address, Duration>,
    last: Option<Duration>,
}

impl Looks {
    /// The rooms that are to be looked at now, of those in whose calls somebody may be: those that have waited longest.
    fn take_due(&mut self, interesting: HashSet<Address>, now: Duration) -> Vec<Address> {
        if self.last.is_some_and(|last| now < last + EVERY) {
            return Vec::new();
        }
        self.last = Some(now);
        self.rooms.retain(|room, _| interesting.contains(room));
        let since = |room: &Address| self.rooms.get(room).copied();
        let mut due: Vec<_> = interesting
            .into_iter()
            .map(|room| (since(&room), room))
            .filter(|(looked, _)| looked.is_none_or(|at| at + LOOK_EVERY <= now))
            .collect();
        due.sort_by_key(|(looked, _)| *looked);
        due.truncate(LOOKS);
        let due: Vec<_> = due.into_iter().map(|(_, room)| room).collect();
        self.rooms.extend(due.iter().map(|room| (*room, now)));
        due
    }
}

impl App {
    /// Does all of it again and again.
    pub(crate) async fn keep_calls(self) {
        if self.conference().is_err() {
            return;
        }
        if let Err(error) = self.look_at_all_calls().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "who is in the calls is known later");
        }
        loop {
            if let Err(error) = self.tend_calls().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "calls are tended later");
            }
            let _ = tokio::time::timeout(EVERY, self.calls().work.notified()).await;
        }
    }

    /// Closes what has ended, throws out who has no right any more, and asks who is in the calls that are due.
    ///
    /// # Errors
    /// [`Error::Store`]; what the provider does not do is tried again.
    pub async fn tend_calls(&self) -> Result<(), Error> {
        let conference = self.conference()?;
        self.end_quick_rooms().await?;
        self.store().end_meetings(self.steady_now()).await?;
        let _alone = self.calls().tending.lock().await;
        self.close_meetings(conference).await?;
        self.throw_out(conference).await?;
        self.look_at_calls(conference).await?;
        self.forget_seats().await
    }

    /// Forgets who was let in long ago and is not there, now and then.
    async fn forget_seats(&self) -> Result<(), Error> {
        let monotonic = self.clock().monotonic();
        if self.kept().forgot.is_some_and(|at| monotonic < at + FORGET_EVERY) {
            return Ok(());
        }
        self.kept().forgot = Some(monotonic);
        let end = self.clock().now().minus(SEAT_KEPT);
        let mut after: Option<String> = None;
        loop {
            let seats = self.store().expired_seats(end, after.as_deref(), PAGE).await?;
            for seat in seats.iter().filter(|seat| !seat.has_ended) {
                let there = self.hub().call_identities(Address::chat(seat.tenant, seat.room));
                if !there.contains(&seat.identity) {
                    self.store().forget_seat(&seat.identity).await?;
                }
            }
            match seats.last() {
                Some(last) if seats.len() >= PAGE as usize => after = Some(last.identity.clone()),
                _ => return Ok(()),
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.calls().kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn close_meetings(&self, conference: &Conference) -> Result<(), Error> {
        let (monotonic, now) = (self.clock().monotonic(), self.steady_now());
        let mut meetings = self.all_closing().await?;
        let is_old = |meeting: &Meeting| meeting.closing_at.is_some_and(|since| since.plus(REMEMBERED) <= now);
        let due: Vec<_> = {
            let kept = self.kept();
            meetings.iter().filter(|meeting| kept.is_due(&meeting.reference, monotonic)).cloned().collect()
        };
        let closing = due.into_iter().map(|meeting| async move {
            let outcome = self.close_meeting(conference, &meeting).await;
            (meeting, outcome)
        });
        let closed: Vec<_> = stream::iter(closing).buffer_unordered(AT_A_TIME).collect().await;
        for (meeting, outcome) in closed {
            match outcome {
                // What was not found may still appear: it is looked for until its record is old.
                Ok(()) if meeting.meeting.is_some() || is_old(&meeting) => {
                    self.kept().done(&meeting.reference, monotonic);
                }
                Ok(()) => self.kept().again(&meeting.reference, monotonic),
                Err(failure) => {
                    failed("closed no meeting", &failure);
                    self.kept().again(&meeting.reference, monotonic);
                }
            }
        }
        meetings.retain(|meeting| self.kept().is_settled(&meeting.reference, monotonic));
        for meeting in meetings {
            self.kept().forget(&meeting.reference);
            match self.close_for_good(conference, &meeting).await {
                Ok(()) => self.store().forget_meeting(&meeting.reference).await?,
                Err(failure) => {
                    failed("closed no meeting", &failure);
                    self.kept().again(&meeting.reference, monotonic);
                }
            }
        }
        Ok(())
    }

    /// Closes a meeting for the last time, when no token of before opens it any more: whoever came by one may have come
    /// without an event that told of it.
    async fn close_for_good(&self, conference: &Conference, meeting: &Meeting) -> Result<(), Failure> {
        if conference.opens_by_tokens() { self.close_meeting(conference, meeting).await } else { Ok(()) }
    }

    async fn all_closing(&self) -> Result<Vec<Meeting>, Error> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map(|meeting: &Meeting| meeting.reference.clone());
            let page = self.store().closing_meetings(after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            all.extend(page);
            if is_last || all.len() >= MAX_AT_ONCE {
                return Ok(all);
            }
        }
    }

    async fn all_ended(&self) -> Result<Vec<StoredSeat>, Error> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map(|seat: &StoredSeat| seat.identity.clone());
            let page = self.store().ended_seats(after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            all.extend(page);
            if is_last || all.len() >= MAX_AT_ONCE {
                return Ok(all);
            }
        }
    }

    /// Closes the meeting of a record, or those that an opening whose answer was lost may have left behind.
    async fn close_meeting(&self, conference: &Conference, meeting: &Meeting) -> Result<(), Failure> {
        if meeting.provider != conference.name() {
            // Nobody can be asked any more.
            return Ok(());
        }
        let _turn = self.calls().rooms.of(meeting.room).await;
        let now = self.clock().now();
        let ids = match &meeting.meeting {
            Some(id) => vec![MeetingId(id.clone())],
            None => conference.find(&opening_of(meeting), now).await?,
        };
        for id in ids {
            // Where the provider knows meetings by their room, the room may have another one by now.
            let of_now = self.store().meeting_by_name(conference.name(), &id.0).await;
            let of_now = of_now.map_err(|error| Failure::Unknown(error.to_string()))?;
            if of_now.is_some_and(|of_now| of_now.closing_at.is_none()) {
                continue;
            }
            conference.close(&id, now).await?;
        }
        self.hub().end_call(Address::chat(meeting.tenant, meeting.room));
        Ok(())
    }

    /// Has a closed meeting that somebody came into be closed again.
    pub(super) fn close_again(&self, meeting: &Meeting) {
        self.kept().forget(&meeting.reference);
        self.calls().wake();
    }

    async fn throw_out(&self, conference: &Conference) -> Result<(), Error> {
        let (monotonic, now) = (self.clock().monotonic(), self.clock().now());
        let mut seats = self.all_ended().await?;
        let due: Vec<_> = {
            let kept = self.kept();
            seats.iter().filter(|seat| kept.is_due(&seat.identity, monotonic)).cloned().collect()
        };
        let removing = due.into_iter().map(|seat| async move {
            let outcome = self.throw_out_of(conference, &seat).await;
            (seat, outcome)
        });
        let removed: Vec<_> = stream::iter(removing).buffer_unordered(AT_A_TIME).collect().await;
        for (seat, outcome) in removed {
            self.hub().left_call(Address::chat(seat.tenant, seat.room), &seat.identity);
            match outcome {
                Ok(()) => self.kept().done(&seat.identity, monotonic),
                Err(failure) => {
                    failed("threw nobody out", &failure);
                    self.kept().again(&seat.identity, monotonic);
                }
            }
        }
        let is_void = |seat: &StoredSeat| seat.expires_at.plus(LEEWAY) <= now;
        seats.retain(|seat| is_void(seat) && self.kept().is_settled(&seat.identity, monotonic));
        for seat in seats {
            self.store().forget_seat(&seat.identity).await?;
            self.kept().forget(&seat.identity);
        }
        Ok(())
    }

    async fn throw_out_of(&self, conference: &Conference, seat: &StoredSeat) -> Result<(), Failure> {
        let Some(meeting) = &seat.meeting else { return Ok(()) };
        if seat.provider != conference.name() {
            return Ok(());
        }
        let at = Seat { identity: seat.identity.clone(), known_as: seat.known_as.clone() };
        conference.remove(&MeetingId(meeting.clone()), &at, self.clock().now()).await
    }

    /// Has somebody be thrown out again who came by a token of before.
    pub(super) fn throw_out_again(&self, identity: &str) {
        self.kept().forget(identity);
        self.calls().wake();
    }

    /// Asks who is in every meeting that is open: after a start nobody knows.
    async fn look_at_all_calls(&self) -> Result<(), Error> {
        let conference = self.conference()?;
        let mut after = None;
        loop {
            let page = self.store().open_meetings(conference.name(), after.take(), PAGE).await?;
            let looking = page.iter().cloned().map(|meeting| async move { self.look_at(conference, &meeting).await });
            let looked: Vec<_> = stream::iter(looking).buffer_unordered(AT_A_TIME).collect().await;
            looked.into_iter().collect::<Result<(), Error>>()?;
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after = Some(last.reference.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Asks who is in the calls that somebody is in, or may be on the way to, if that was not asked just now.
    async fn look_at_calls(&self, conference: &Conference) -> Result<(), Error> {
        let monotonic = self.clock().monotonic();
        let interesting = self.calls().activity.interesting(monotonic);
        let rooms: HashSet<Address> = interesting.into_iter().chain(self.hub().calls()).collect();
        let due = self.calls().looks.lock().unwrap_or_else(PoisonError::into_inner).take_due(rooms, monotonic);
        let looking = due.into_iter().map(|address| async move {
            let Channel::Chat(room) = address.channel else { return Ok(()) };
            match self.store().open_meeting_of(room).await? {
                Some(meeting) => self.look_at(conference, &meeting).await,
                None => Ok(()),
            }
        });
        let looked: Vec<_> = stream::iter(looking).buffer_unordered(AT_A_TIME).collect().await;
        looked.into_iter().collect()
    }

    /// Asks the provider who is in a meeting.
    pub(super) async fn look_at(&self, conference: &Conference, meeting: &Meeting) -> Result<(), Error> {
        let Some(id) = &meeting.meeting else { return Ok(()) };
        let address = Address::chat(meeting.tenant, meeting.room);
        let heard = self.calls().activity.times_heard(address);
        let before = self.hub().call_identities(address);
        let now = self.clock().now();
        let attendees = match conference.attendees(&MeetingId(id.clone()), now).await {
            Ok(attendees) => attendees,
            Err(failure) => {
                failed("did not say who is there", &failure);
                return Ok(());
            }
        };
        if self.calls().activity.times_heard(address) != heard {
            // The answer may be older than what was heard meanwhile.
            return Ok(());
        }
        for identity in before.iter().filter(|who| attendees.iter().all(|attendee| attendee.identity != **who)) {
            self.hub().left_call(address, identity);
        }
        for attendee in attendees.into_iter().filter(|attendee| !before.contains(&attendee.identity)) {
            self.came(meeting, attendee, now).await?;
        }
        Ok(())
    }
}
