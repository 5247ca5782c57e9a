//! What the conference's provider tells by itself: who came, who left, what ended.
//!
//! An event is a hint, as a publication is in the hub: [`keeping`](super::keeping) asks the provider now and then, so one
//! that is lost is made up for. An event that was told before changes nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use meet_api::{ChosenStatus, Timestamp, User};
use meet_store::Meeting;

use crate::{
    app::App,
    conference::{Attendee, Happening, MeetingId, NotHeard},
    error::Error,
    hub::{Address, Attending, Person},
    limits::{Bucket, Subject},
};

/// For how long an event is remembered: longer than it may be old.
const REMEMBERED: Duration = Duration::from_mins(15);
/// The most events that are remembered.
const MAX_TOLD: usize = 100_000;
/// How many events that are not believed are worth a line in a minute.
const MAX_FORGERIES: u64 = 10;
/// The longest id of an event; the protocols use far shorter ones.
const MAX_ID: usize = 255;

/// The events that were told, so that one that is told again changes nothing.
#[derive(Default)]
pub(super) struct Told(Mutex<HashMap<String, Duration>>);

impl Told {
    /// Notes an event.
    ///
    /// # Errors
    /// [`Error::EventRepeated`] when it was told before, [`Error::Unavailable`] when there are too many.
    fn note(&self, id: &str, now: Duration) -> Result<(), Error> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(id).is_some_and(|until| now < *until) {
            return Err(Error::EventRepeated);
        }
        if told.len() >= MAX_TOLD {
            told.retain(|_, until| now < *until);
        }
        if id.len() > MAX_ID || told.len() >= MAX_TOLD {
            return Err(Error::Unavailable("the conference's provider tells too much"));
        }
        told.insert(id.to_owned(), now + REMEMBERED);
        Ok(())
    }

    /// Forgets an event that came to nothing, so that it can be told again.
    fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl App {
    /// The header in which the provider signs what it tells.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it tells nothing by requests.
    pub(crate) fn signature_header(&self) -> Result<&'static str, Error> {
        let conference = self.conference().map_err(|_| Error::NotFound("webhook"))?;
        conference.signature_header().ok_or(Error::NotFound("webhook"))
    }

    /// Takes an event of the provider.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for one that the provider did not sign, or not lately, [`Error::EventRepeated`].
    pub async fn hear(&self, signature: Option<&str>, body: &[u8]) -> Result<(), Error> {
        let monotonic = self.clock().monotonic();
        let heard = self.conference()?.hear(signature, body, self.clock().now()).await.map_err(|reason| {
            // Anybody can send what is not believed, so only a few of them are worth a line.
            if self.limits().windows.take(Bucket::Forgeries, Subject::Crowd, MAX_FORGERIES, monotonic).is_ok() {
                tracing::warn!(error = &reason as &dyn std::error::Error, "an event was not believed");
            }
            match reason {
                NotHeard::Forged(_) => {
                    Error::Forbidden("the event is not one that the conference's provider signed now")
                }
                NotHeard::Malformed => Error::Invalid("the event is malformed".into()),
                NotHeard::NotExpected => Error::NotFound("webhook"),
                NotHeard::NoKey(_) => Error::ProviderFailed,
            }
        })?;
        if heard.happening == Happening::Other {
            // Clients can bring these about as they like, so they take no place.
            return Ok(());
        }
        self.calls().told.note(&heard.id, monotonic)?;
        let done = self.happened(&heard.meeting, heard.happening, heard.at).await;
        if done.is_err() {
            self.calls().told.forget(&heard.id);
        }
        done
    }

    /// Takes what happened in a meeting; of one that is none of ours, nothing.
    pub(crate) async fn happened(&self, meeting: &MeetingId, happening: Happening, at: Timestamp) -> Result<(), Error> {
        let provider = self.conference()?.name();
        let Some(found) = self.store().meeting_by_name(provider, &meeting.0).await? else { return Ok(()) };
        if found.closing_at.is_some() {
            if matches!(happening, Happening::Came(_)) {
                // By a token of before; where a provider opens a meeting for whoever comes, it is open again.
                self.close_again(&found);
            }
            return Ok(());
        }
        let address = Address::chat(found.tenant, found.room);
        self.calls().activity.heard(address);
        match happening {
            Happening::Came(attendee) => self.came(&found, attendee, at).await?,
            Happening::Left { identity } => self.hub().left_call(address, &identity),
            // An end may be told late, when there are people again.
            Happening::Ended => self.look_at(self.conference()?, &found).await?,
            Happening::Other => {}
        }
        Ok(())
    }

    /// Notes that somebody is in a meeting, unless what it was let in by has ended.
    pub(super) async fn came(&self, meeting: &Meeting, attendee: Attendee, at: Timestamp) -> Result<(), Error> {
        let Attendee { identity, name, kind, since } = attendee;
        let address = Address::chat(meeting.tenant, meeting.room);
        let since = since.unwrap_or(at);
        let seat = self.store().seat(&identity).await?.filter(|seat| seat.reference == meeting.reference);
        let Some(seat) = seat else {
            let attending = Attending { user: None, name, kind, since, is_visible: true };
            self.hub().came_to_call(address, &identity, &attending);
            return Ok(());
        };
        if seat.has_ended {
            self.throw_out_again(&identity);
            return Ok(());
        }
        let user = User { id: seat.user.id, name: seat.user.name, kind: seat.user.kind };
        let person = Person { tenant: meeting.tenant, user: user.id };
        let _turn = self.hub().turn_of(person).await;
        let is_visible = match self.appearance(person).await {
            Ok(chosen) => chosen.status != ChosenStatus::Invisible,
            // The user is gone, and who it was in the call is not.
            Err(Error::InvalidKey) => true,
            // It is told again, or asked for.
            Err(error) => return Err(error),
        };
        self.hub().came_to_call(address, &identity, &Attending::user(&user, since, is_visible));
        Ok(())
    }

    /// Hears what happens in calls that carry nothing, for as long as the process runs.
    pub(crate) async fn keep_hearing(self) {
        let Some(mut happenings) = self.demo_calls().and_then(crate::conference::Fake::happenings) else { return };
        while let Some((meeting, happening)) = happenings.recv().await {
            if let Err(error) = self.happened(&meeting, happening, self.clock().now()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "a call is known as it is with the next look");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_once_until_it_is_too_old_to_be_believed() {
        let told = Told::default();
        let at = Duration::from_secs;
        told.note("EV_1", at(5)).unwrap();
        assert!(matches!(told.note("EV_1", at(6)), Err(Error::EventRepeated)));
        told.forget("EV_1");
        told.note("EV_1", at(7)).unwrap();
        told.note("EV_1", at(7) + REMEMBERED).unwrap();
        assert!(told.note(&"x".repeat(MAX_ID + 1), at(8)).is_err());
    }

    #[test]
    fn the_table_of_events_stays_bounded() {
        let told = Told::default();
        for n in 0..MAX_TOLD {
            told.note(&n.to_string(), Duration::ZERO).unwrap();
        }
        assert!(matches!(told.note("more", Duration::ZERO), Err(Error::Unavailable(_))));
        told.note("more", REMEMBERED).unwrap();
    }
}
