//! Making what the provider has and what we know one again: meetings that should be closed are closed, and whoever has no
//! right any more is thrown out.
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
    hub::Address,
};

use super::{AT_A_TIME, EVERY, PAGE, failed, opening_of};

/// How many meetings are closed, and how many people thrown out, in one go: whoever comes after them must not wait for a
/// provider that is slow with all of them.
const AT_ONCE: usize = 40;
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

/// What was done already, and what failed, by our names of meetings and people.
#[derive(Default)]
pub(super) struct Kept {
    /// When each was done.
    done: HashMap<String, Duration>,
    tries: HashMap<String, Pause>,
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

    /// Forgets what is on record no more.
    fn keep_only(&mut self, recorded: &HashSet<&str>) {
        self.done.retain(|what, _| recorded.contains(what.as_str()));
        self.tries.retain(|what, _| recorded.contains(what.as_str()));
    }
}

impl App {
    /// Does all of it again and again. A round that panics is one that failed.
    pub(crate) async fn keep_calls(self) {
        if self.conference().is_err() {
            return;
        }
        if let Err(error) = self.note_unknown_calls().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "who is in the calls is known later");
        }
        loop {
            let app = self.clone();
            match self.tasks().run(async move { app.tend_calls().await }).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "calls are tended later");
                }
                Err(_) => tracing::error!("tending the calls panicked; it goes on"),
            }
            let _ = tokio::time::timeout(EVERY, self.calls().work.notified()).await;
        }
    }

    /// Closes what has ended, throws out who has no right any more, and asks who is in the calls that are due; a few of
    /// each, if there are many.
    ///
    /// # Errors
    /// [`Error::Store`]; what the provider does not do is tried again.
    pub async fn tend_calls(&self) -> Result<(), Error> {
        let conference = self.conference()?;
        self.end_quick_rooms().await?;
        let now = self.steady_now();
        self.store().end_meetings(now).await?;
        self.store().abandon_openings(now.minus(OPENING), now).await?;
        let _alone = self.calls().tending.lock().await;
        let (meetings, seats) = (self.all_closing().await?, self.all_ended().await?);
        let recorded = meetings.iter().map(|meeting| meeting.reference.as_str());
        let recorded = recorded.chain(seats.iter().map(|seat| seat.identity.as_str())).collect();
        self.kept().keep_only(&recorded);
        let (removed, closed, looked) = tokio::join!(
            self.throw_out(conference, seats),
            self.close_meetings(conference, meetings),
            self.look_at_calls(conference),
        );
        removed.and(closed).and(looked)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.calls().kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn all_closing(&self) -> Result<Vec<Meeting>, Error> {
        let mut all: Vec<Meeting> = Vec::new();
        loop {
            let after = all.last().map(|meeting| meeting.reference.clone());
            let page = self.store().closing_meetings(after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            all.extend(page);
            if is_last || all.len() >= MAX_RECORDS {
                return Ok(all);
            }
        }
    }

    async fn all_ended(&self) -> Result<Vec<StoredSeat>, Error> {
        let mut all: Vec<StoredSeat> = Vec::new();
        loop {
            let after = all.last().map(|seat| seat.identity.clone());
            let page = self.store().ended_seats(after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            all.extend(page);
            if is_last || all.len() >= MAX_RECORDS {
                return Ok(all);
            }
        }
    }

    /// Those that are due of what is on record, a few at a time; whether there are more makes the next round come soon.
    fn take_due<T: Clone>(&self, records: &[T], name: impl Fn(&T) -> &str, now: Duration) -> Vec<T> {
        let kept = self.kept();
        let mut due = records.iter().filter(|record| kept.is_due(name(record), now)).cloned();
        let taken = due.by_ref().take(AT_ONCE).collect();
        if due.next().is_some() {
            self.calls().wake();
        }
        taken
    }

    async fn close_meetings(&self, conference: &Conference, meetings: Vec<Meeting>) -> Result<(), Error> {
        let (monotonic, now) = (self.clock().monotonic(), self.steady_now());
        let is_old = |meeting: &Meeting| meeting.closing_at.is_some_and(|since| since.plus(REMEMBERED) <= now);
        let due = self.take_due(&meetings, |meeting| &meeting.reference, monotonic);
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
        let is_settled = |meeting: &&Meeting| self.kept().is_settled(&meeting.reference, monotonic);
        let settled: Vec<_> = meetings.iter().filter(is_settled).take(AT_ONCE).cloned().collect();
        let ending = settled.into_iter().map(|meeting| async move {
            let outcome = self.is_closed_for_good(conference, &meeting).await;
            (meeting, outcome)
        });
        let ended: Vec<_> = stream::iter(ending).buffer_unordered(AT_A_TIME).collect().await;
        for (meeting, outcome) in ended {
            match outcome {
                Ok(true) => {
                    self.store().forget_meeting(&meeting.reference).await?;
                    self.kept().forget(&meeting.reference);
                }
                // Whoever was there may come back for as long as anybody else.
                Ok(false) => self.kept().done(&meeting.reference, monotonic),
                Err(failure) => {
                    failed("closed no meeting", &failure);
                    self.kept().forget(&meeting.reference);
                    self.kept().again(&meeting.reference, monotonic);
                }
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
            tracing::warn!(provider, meeting, "a meeting is left open at a provider that is not in use any more");
            return Ok(());
        }
        let _turn = self.calls().rooms.of(meeting.room).await;
        let now = self.clock().now();
        let ids = match &meeting.meeting {
            Some(id) => vec![MeetingId(id.clone())],
            None => conference.find(&opening_of(meeting), now).await?,
        };
        let unknown = |error: meet_store::StoreError| Failure::Unknown(error.to_string());
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
        self.kept().forget(&meeting.reference);
        self.calls().wake();
    }

    async fn throw_out(&self, conference: &Conference, seats: Vec<StoredSeat>) -> Result<(), Error> {
        let (monotonic, now) = (self.clock().monotonic(), self.steady_now());
        let due = self.take_due(&seats, |seat| &seat.identity, monotonic);
        let removing = due.into_iter().map(|seat| async move {
            let outcome = self.throw_out_of(conference, &seat).await;
            (seat, outcome)
        });
        let removed: Vec<_> = stream::iter(removing).buffer_unordered(AT_A_TIME).collect().await;
        for (seat, outcome) in removed {
            match outcome {
                Ok(()) => {
                    self.hub().left_call(Address::chat(seat.tenant, seat.room), &seat.identity);
                    self.kept().done(&seat.identity, monotonic);
                }
                Err(failure) => {
                    failed("threw nobody out", &failure);
                    self.kept().again(&seat.identity, monotonic);
                }
            }
        }
        let is_void = |seat: &StoredSeat| seat.expires_at.plus(LEEWAY) <= now;
        let is_settled = |seat: &&StoredSeat| is_void(seat) && self.kept().is_settled(&seat.identity, monotonic);
        for seat in seats.iter().filter(is_settled) {
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

    /// Has somebody be thrown out again who came by a token of before; what failed is not tried sooner for it.
    pub(super) fn throw_out_again(&self, identity: &str) {
        self.kept().done.remove(identity);
        self.calls().wake();
    }
}
