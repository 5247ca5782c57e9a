//! Calls without sound and picture, in memory: complete but for the media, for tests and demos. Whoever holds an
//! [`Attendance`] is in the meeting.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meet_api::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Attendee, Failure, Grant, Happening, Joining, MeetingId, Opening, Seat};

/// How long a token opens its meeting.
const TOKEN_LIFE: Duration = Duration::from_mins(10);
/// How many tokens of one meeting are remembered; beyond that the oldest is void.
const MAX_TOKENS: usize = 10_000;
/// How many events wait to be heard; one that finds no place is made up for by the next look at who is there.
const MAX_EVENTS: usize = 1024;
/// How many signals wait for one who is there; there are three kinds.
const MAX_SIGNALS: usize = 16;

/// What happens in the meetings, as it happens.
pub(crate) type Happenings = mpsc::Receiver<(MeetingId, Happening)>;

/// The meetings; a clone is the same ones.
#[derive(Clone)]
pub struct Fake {
    url: String,
    meetings: Arc<Mutex<HashMap<MeetingId, Meeting>>>,
    happens: mpsc::Sender<(MeetingId, Happening)>,
    happenings: Arc<Mutex<Option<Happenings>>>,
}

struct Meeting {
    reference: String,
    tokens: BTreeMap<Timestamp, HashMap<String, Joining>>,
    attendees: BTreeMap<String, Present>,
}

struct Present {
    attendee: Attendee,
    signals: mpsc::Sender<Signal>,
    /// Tells it from an earlier one of the same identity.
    number: Uuid,
}

/// What the meeting tells somebody who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Its microphone is off now.
    Muted,
    /// It is out.
    Removed,
}

/// Being in a meeting, until it is dropped.
pub(crate) struct Attendance {
    fake: Fake,
    meeting: MeetingId,
    identity: String,
    number: Uuid,
    signals: mpsc::Receiver<Signal>,
}

impl Fake {
    pub(super) fn new(public_url: &str) -> Self {
        let (happens, happenings) = mpsc::channel(MAX_EVENTS);
        Self {
            url: format!("{public_url}/api/demo-call"),
            meetings: Arc::default(),
            happens,
            happenings: Arc::new(Mutex::new(Some(happenings))),
        }
    }

    /// Where clients are in a meeting: an event stream of this very server.
    pub(super) fn client_url(&self) -> String {
        self.url.clone()
    }

    /// What happens in the meetings; for the first who asks.
    pub(crate) fn happenings(&self) -> Option<Happenings> {
        self.happenings.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The meetings that are open.
    pub fn meetings(&self) -> Vec<MeetingId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MeetingId, Meeting>> {
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, meeting: &MeetingId, happening: Happening) {
        let _ = self.happens.try_send((meeting.clone(), happening));
    }

    pub(super) fn open(&self, opening: &Opening) -> MeetingId {
        let id = MeetingId(format!("demo-{}", opening.reference));
        let new =
            || Meeting { reference: opening.reference.clone(), tokens: BTreeMap::new(), attendees: BTreeMap::new() };
        self.lock().entry(id.clone()).or_insert_with(new);
        id
    }

    pub(super) fn find(&self, opening: &Opening) -> Vec<MeetingId> {
        let meetings = self.lock();
        let of_opening = meetings.iter().filter(|(_, meeting)| meeting.reference == opening.reference);
        of_opening.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn join(&self, joining: &Joining, now: Timestamp) -> Result<Grant, Failure> {
        let mut meetings = self.lock();
        let meeting = meetings.get_mut(&joining.meeting).ok_or(Failure::Gone)?;
        let expires_at = now.plus(TOKEN_LIFE);
        meeting.tokens = meeting.tokens.split_off(&now);
        while meeting.tokens.values().map(HashMap::len).sum::<usize>() >= MAX_TOKENS {
            meeting.tokens.pop_first();
        }
        // The identity is a secret until its bearer is in the meeting, and is in no second one.
        let token = format!("demo.{}.{}", joining.meeting.0, joining.identity);
        meeting.tokens.entry(expires_at).or_default().insert(token.clone(), joining.clone());
        Ok(Grant { token: token.into(), expires_at, known_as: None })
    }

    /// Comes into a meeting by a token; `None` for one that opens none, or not any more. `number` is made for this stay.
    pub(crate) fn attend(&self, token: &str, number: Uuid, now: Timestamp) -> Option<Attendance> {
        let mut meetings = self.lock();
        let joining = meetings.values().find_map(|meeting| {
            let valid = meeting.tokens.range(now..).filter(|(end, _)| **end > now);
            valid.into_iter().find_map(|(_, tokens)| tokens.get(token)).cloned()
        })?;
        let Joining { meeting: id, identity, name, kind, .. } = joining;
        let (signals, receiver) = mpsc::channel(MAX_SIGNALS);
        let attendee = Attendee { identity: identity.clone(), name, kind, since: Some(now) };
        let present = Present { attendee: attendee.clone(), signals, number };
        let before = meetings.get_mut(&id)?.attendees.insert(identity.clone(), present);
        drop(meetings);
        if let Some(before) = before {
            let _ = before.signals.try_send(Signal::Removed);
        }
        self.tell(&id, Happening::Came(attendee));
        Some(Attendance { fake: self.clone(), meeting: id, identity, number, signals: receiver })
    }

    pub(super) fn close(&self, meeting: &MeetingId) -> Result<(), Failure> {
        let closed = self.lock().remove(meeting).ok_or(Failure::Gone)?;
        for present in closed.attendees.values() {
            let _ = present.signals.try_send(Signal::Removed);
        }
        self.tell(meeting, Happening::Ended);
        Ok(())
    }

    pub(super) fn remove(&self, meeting: &MeetingId, seat: &Seat) -> Result<(), Failure> {
        let mut meetings = self.lock();
        let meeting = meetings.get_mut(meeting).ok_or(Failure::Gone)?;
        for tokens in meeting.tokens.values_mut() {
            tokens.retain(|_, joining| joining.identity != seat.identity);
        }
        let present = meeting.attendees.get(&seat.identity).ok_or(Failure::Gone)?;
        let _ = present.signals.try_send(Signal::Removed);
        Ok(())
    }

    pub(super) fn mute(&self, meeting: &MeetingId, seat: &Seat) -> Result<(), Failure> {
        let meetings = self.lock();
        let present = meetings.get(meeting).and_then(|meeting| meeting.attendees.get(&seat.identity));
        let _ = present.ok_or(Failure::Gone)?.signals.try_send(Signal::Muted);
        Ok(())
    }

    pub(super) fn attendees(&self, meeting: &MeetingId) -> Vec<Attendee> {
        let meetings = self.lock();
        let present = meetings.get(meeting).into_iter().flat_map(|meeting| meeting.attendees.values());
        present.map(|present| present.attendee.clone()).collect()
    }
}

impl Attendance {
    /// The next signal; `None` when the meeting is over.
    pub(crate) async fn signal(&mut self) -> Option<Signal> {
        self.signals.recv().await
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut meetings = self.fake.lock();
        let Some(meeting) = meetings.get_mut(&self.meeting) else { return };
        if meeting.attendees.get(&self.identity).is_some_and(|present| present.number == self.number) {
            meeting.attendees.remove(&self.identity);
            drop(meetings);
            self.fake.tell(&self.meeting, Happening::Left { identity: self.identity.clone() });
        }
    }
}
