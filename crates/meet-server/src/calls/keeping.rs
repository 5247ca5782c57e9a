//! Making what the provider has and what we know one again: meetings that should be closed are closed, and whoever has no
//! right any more is thrown out.
//!
//! All of it is taken from the records, so it goes on after a restart where it was, and may be done twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use meet_store::{Meeting, StoreError, StoredSeat};
use tokio::sync::Notify;

use crate::{
    app::App,
    conference::{Conference, Failure, MeetingId, Seat},
    config::Provider,
    error::Error,
    hub::Address,
};

use super::{AT_A_TIME, EVERY, PAGE, opening_of};

/// For how long one go takes on more: what has ended meanwhile must not wait for all of what had ended before.
const BUDGET: Duration = Duration::from_secs(10);
/// How many records are looked through in one go.
const MAX_RECORDS: usize = 20_000;
/// For how long a closed meeting and a lost seat are on record: longer than the ten minutes of a token, for which LiveKit
/// lets the bearer come back, and opens the meeting again for it; and an answer that was lost may have opened a meeting
/// after we looked.
const REMEMBERED: Duration = Duration::from_mins(12);
/// How long an opening may take until it is one of which nobody knows how it went.
const OPENING: Duration = Duration::from_mins(2);
/// How far the provider's clock may be from ours.
const LEEWAY: Duration = Duration::from_mins(2);
/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// What was done already, and what failed, by our names of meetings or people.
#[derive(Default)]
pub(super) struct Kept {
    /// When each was done.
    done: HashMap<String, Duration>,
    tries: HashMap<String, Pause>,
    /// What must be done again, though it may be under way.
    undone: HashSet<String>,
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

    /// Begins with something: what undoes it from here on counts.
    fn begin(&mut self, what: &str) {
        self.undone.remove(what);
    }

    fn done(&mut self, what: &str, now: Duration) {
        self.tries.remove(what);
        if !self.undone.remove(what) {
            self.done.insert(what.to_owned(), now);
        }
    }

    /// Notes that something was undone, so that it is to be done again; what failed is not tried sooner for it.
    fn undo(&mut self, what: &str) {
        self.done.remove(what);
        self.undone.insert(what.to_owned());
    }

    /// Whether something was undone since it was begun.
    fn is_undone(&self, what: &str) -> bool {
        self.undone.contains(what)
    }

    /// Whether it was done so long ago that nothing of before can undo it.
    fn is_settled(&self, what: &str, now: Duration) -> bool {
        self.done.get(what).is_some_and(|at| *at + REMEMBERED <= now)
    }

    fn again(&mut self, what: &str, now: Duration) {
        let length = self.tries.get(what).map_or(EVERY, |pause| (pause.length * 2).min(MAX_PAUSE));
        self.done.remove(what);
        self.tries.insert(what.to_owned(), Pause { until: now + length, length });
    }

    /// Forgets what is on record no more.
    fn keep_only(&mut self, recorded: &HashSet<&str>) {
        self.done.retain(|what, _| recorded.contains(what.as_str()));
        self.tries.retain(|what, _| recorded.contains(what.as_str()));
        self.undone.retain(|what| recorded.contains(what.as_str()));
    }
}

/// One of the things that are done again and again: closing meetings, or throwing people out.
#[derive(Default)]
pub(super) struct Part {
    kept: Mutex<Kept>,
    /// Held for one go: two at once would do everything twice.
    alone: tokio::sync::Mutex<()>,
    pub(super) work: Notify,
}

impl Part {
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Does all of it again and again, each for itself, so that a provider that is slow with one delays no other.
    pub(crate) async fn keep_calls(self) {
        if self.conference().is_err() {
            return;
        }
        if let Err(error) = self.note_unknown_calls().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "who is in the calls is known later");
        }
        let (closings, removals) = (&self.calls().closings.work, &self.calls().removals.work);
        tokio::join!(
            self.repeat(Some(closings), |app| async move { app.tend_meetings().await }),
            self.repeat(Some(removals), |app| async move { app.tend_seats().await }),
            self.repeat(None, |app| async move { app.tend_looks().await }),
        );
    }

    /// Does something every few seconds, and when there is work. A go that panics is one that failed.
    async fn repeat<F>(&self, work: Option<&Notify>, tend: impl Fn(Self) -> F)
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        loop {
            match self.tasks().run(tend(self.clone())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "calls are tended later");
                }
                Err(_) => tracing::error!("tending the calls panicked; it goes on"),
            }
            let resting = async {
                match work {
                    Some(work) => work.notified().await,
                    None => std::future::pending().await,
                }
            };
            let _ = tokio::time::timeout(EVERY, resting).await;
        }
    }

    /// Ends the rooms without an owner whose time is over, as [`App::sweep`] does; closes what has ended, throws out who has
    /// no right any more, and asks who is in the calls that are due; of many, some.
    ///
    /// # Errors
    /// [`Error::Store`]; what the provider does not do is tried again.
    pub async fn tend_calls(&self) -> Result<(), Error> {
        self.end_quick_rooms().await?;
        let (removed, closed, looked) = tokio::join!(self.tend_seats(), self.tend_meetings(), self.tend_looks());
        removed.and(closed).and(looked)
    }

    async fn tend_meetings(&self) -> Result<(), Error> {
        let (conference, part) = (self.conference()?, &self.calls().closings);
        let now = self.steady_now();
        self.store().end_meetings(now).await?;
        self.store().abandon_openings(now.minus(OPENING), now).await?;
        let _alone = part.alone.lock().await;
        let page = |after| self.store().closing_meetings(after, PAGE);
        let meetings = all(page, |meeting: &Meeting| &meeting.reference).await?;
        part.kept().keep_only(&meetings.iter().map(|meeting| meeting.reference.as_str()).collect());
        self.close_meetings(conference, &meetings).await;
        self.forget_meetings(conference, &meetings).await
    }

    async fn tend_seats(&self) -> Result<(), Error> {
        let (conference, part) = (self.conference()?, &self.calls().removals);
        let _alone = part.alone.lock().await;
        let page = |after| self.store().ended_seats(after, PAGE);
        let seats = all(page, |seat: &StoredSeat| &seat.identity).await?;
        part.kept().keep_only(&seats.iter().map(|seat| seat.identity.as_str()).collect());
        self.throw_out(conference, &seats).await;
        let (monotonic, now) = (self.clock().monotonic(), self.steady_now());
        let is_void = |seat: &StoredSeat| seat.expires_at.plus(LEEWAY) <= now;
        let is_settled = |seat: &&StoredSeat| is_void(seat) && part.kept().is_settled(&seat.identity, monotonic);
        for seat in seats.iter().filter(is_settled) {
            self.store().forget_seat(&seat.identity).await?;
        }
        Ok(())
    }

    async fn tend_looks(&self) -> Result<(), Error> {
        self.look_at_calls(self.conference()?).await
    }

    /// Does something about each record that is due, a few at a time and for as long as one go takes on more; the next
    /// goes on where it stopped.
    async fn work_off<T, F>(&self, part: &Part, records: &[T], name: fn(&T) -> &str, act: impl Fn(T) -> F)
    where
        T: Clone,
        F: Future<Output = ()>,
    {
        let begin = self.clock().monotonic();
        let due: Vec<T> = {
            let kept = part.kept();
            records.iter().filter(|record| kept.is_due(name(record), begin)).cloned().collect()
        };
        let is_over = || self.clock().monotonic() >= begin + BUDGET;
        let acting = stream::iter(due).map(|record| async {
            if is_over() {
                part.work.notify_one();
                return;
            }
            part.kept().begin(name(&record));
            act(record).await;
        });
        acting.buffer_unordered(AT_A_TIME).collect::<()>().await;
    }

    async fn close_meetings(&self, conference: &Conference, meetings: &[Meeting]) {
        let part = &self.calls().closings;
        let now = self.steady_now();
        let close = |meeting: Meeting| async move {
            let outcome = self.close_meeting(conference, &meeting).await;
            let monotonic = self.clock().monotonic();
            let is_old = meeting.closing_at.is_some_and(|since| since.plus(REMEMBERED) <= now);
            match outcome {
                // What was not found may still appear: it is looked for until its record is old.
                Ok(()) if meeting.meeting.is_some() || is_old => part.kept().done(&meeting.reference, monotonic),
                Ok(()) => part.kept().again(&meeting.reference, monotonic),
                Err(failure) => {
                    self.provider_failed("closed no meeting", &failure);
                    part.kept().again(&meeting.reference, monotonic);
                }
            }
        };
        self.work_off(part, meetings, |meeting| &meeting.reference, close).await;
    }

    /// Forgets meetings that were closed long ago and are closed.
    async fn forget_meetings(&self, conference: &Conference, meetings: &[Meeting]) -> Result<(), Error> {
        let part = &self.calls().closings;
        let begin = self.clock().monotonic();
        let settled = meetings.iter().filter(|meeting| part.kept().is_settled(&meeting.reference, begin));
        for meeting in settled {
            part.kept().begin(&meeting.reference);
            let outcome = self.is_closed_for_good(conference, meeting).await;
            let monotonic = self.clock().monotonic();
            match outcome {
                // Somebody came while nobody was found.
                Ok(true) if part.kept().is_undone(&meeting.reference) => {}
                Ok(true) => self.store().forget_meeting(&meeting.reference).await?,
                // Whoever was there may come back for as long as anybody else.
                Ok(false) => part.kept().done(&meeting.reference, monotonic),
                Err(failure) => {
                    self.provider_failed("closed no meeting", &failure);
                    part.kept().again(&meeting.reference, monotonic);
                }
            }
            if monotonic >= begin + BUDGET {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Closes a meeting for the last time, when no token of before opens it any more: whoever came by one may have come
    /// without an event that told of it, and has got a newer token there. Whether nobody was found.
    async fn is_closed_for_good(&self, conference: &Conference, meeting: &Meeting) -> Result<bool, Failure> {
        let Some(id) = meeting.meeting.clone().filter(|_| conference.opens_by_tokens()) else { return Ok(true) };
        if meeting.provider != conference.name() {
            return Ok(true);
        }
        let there = conference.attendees(&MeetingId(id), self.clock().now()).await?;
        self.close_meeting(conference, meeting).await?;
        Ok(there.is_empty())
    }

    /// Closes the meeting of a record, or those that an opening whose answer was lost may have left behind.
    async fn close_meeting(&self, conference: &Conference, meeting: &Meeting) -> Result<(), Failure> {
        if meeting.provider != conference.name() {
            let Meeting { provider, meeting, .. } = meeting;
            if provider != Provider::Fake.as_str() {
                tracing::warn!(provider, meeting, "a meeting is left open at a provider that is not in use any more");
            }
            return Ok(());
        }
        let _turn = self.calls().rooms.of(meeting.room).await;
        let now = self.clock().now();
        let ids = match &meeting.meeting {
            Some(id) => vec![MeetingId(id.clone())],
            None => conference.find(&opening_of(meeting), now).await?,
        };
        let unknown = |error: StoreError| Failure::Unknown(error.to_string());
        let of_now = self.store().open_meeting_of(meeting.room).await.map_err(unknown)?;
        for id in ids {
            // Where the provider knows meetings by their room, the room may have another one by now.
            if of_now.as_ref().is_none_or(|of_now| of_now.meeting.as_ref() != Some(&id.0)) {
                conference.close(&id, now).await?;
            }
        }
        if of_now.is_none() {
            self.hub().end_call(Address::chat(meeting.tenant, meeting.room));
        }
        Ok(())
    }

    /// Has a closed meeting that somebody came into be closed again.
    pub(super) fn close_again(&self, meeting: &Meeting) {
        self.calls().closings.kept().undo(&meeting.reference);
        self.calls().closings.work.notify_one();
    }

    async fn throw_out(&self, conference: &Conference, seats: &[StoredSeat]) {
        let part = &self.calls().removals;
        let remove = |seat: StoredSeat| async move {
            let outcome = self.throw_out_of(conference, &seat).await;
            let monotonic = self.clock().monotonic();
            match outcome {
                Ok(()) => {
                    self.hub().left_call(Address::chat(seat.tenant, seat.room), &seat.identity);
                    part.kept().done(&seat.identity, monotonic);
                }
                Err(failure) => {
                    self.provider_failed("threw nobody out", &failure);
                    part.kept().again(&seat.identity, monotonic);
                }
            }
        };
        self.work_off(part, seats, |seat| &seat.identity, remove).await;
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
        self.calls().removals.kept().undo(identity);
        self.calls().removals.work.notify_one();
    }
}

/// All records of a list that comes in pages, each from behind a name of the one before.
async fn all<T, F>(page: impl Fn(Option<String>) -> F, name: fn(&T) -> &str) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<Vec<T>, StoreError>>,
{
    let mut all: Vec<T> = Vec::new();
    loop {
        let found = page(all.last().map(|last| name(last).to_owned())).await?;
        let is_last = found.len() < PAGE as usize;
        all.extend(found);
        if is_last || all.len() >= MAX_RECORDS {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_while_it_is_under_way_is_done_again() {
        let (mut kept, at) = (Kept::default(), Duration::from_secs);
        kept.begin("room");
        kept.undo("room");
        assert!(kept.is_undone("room"));
        kept.done("room", at(1));
        assert!(kept.is_due("room", at(1)));
        kept.begin("room");
        kept.done("room", at(2));
        assert!(!kept.is_due("room", at(2)) && kept.is_settled("room", at(2) + REMEMBERED));
        kept.undo("room");
        assert!(kept.is_due("room", at(3)));
    }

    #[test]
    fn what_fails_is_tried_at_growing_intervals() {
        let (mut kept, mut now) = (Kept::default(), Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            kept.again("room", now);
            let begin = now;
            while !kept.is_due("room", now) {
                now += Duration::from_secs(1);
            }
            pauses.push(now.saturating_sub(begin).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        kept.keep_only(&HashSet::new());
        assert_eq!((kept.tries.len(), kept.done.len(), kept.undone.len()), (0, 0, 0));
    }
}
