//! What a listener tells the server beside hearing: what its agent is doing, and how far it has read.
//!
//! Neither holds the listener up: only the newest of each is told, and what cannot be told is said once on standard
//! error.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use meet_api::RoomId;
use meet_server::Clock;
use serde_json::json;
use tokio::sync::watch;

use crate::{
    args::Activity,
    client::{
        Client, ClientError,
        retry::{Backoff, chance},
    },
    commands::presence,
    output,
};

/// How long the end of a listener may wait until its place is kept.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long what was told stands at least before the next: servers take a number of each in a minute.
const BETWEEN: Duration = Duration::from_secs(1);

/// The longest that something untold waits for a server that does not name a time.
const MOST_BETWEEN: Duration = Duration::from_secs(30);

/// What is told by which listener.
pub(super) struct Telling {
    client: Client,
    room: RoomId,
    /// What an agent is, beside what it is doing; `None` for whoever is no agent, or not one that is known.
    about: Option<Traits>,
    keeps_place: bool,
    doing: watch::Sender<Option<Activity>>,
    place: watch::Sender<u64>,
    kept: AtomicU64,
    has_complained: AtomicBool,
    clock: Clock,
}

/// What an agent says of itself all the time.
pub(super) struct Traits {
    /// The model that it runs on.
    pub(super) model: Option<String>,
    /// What it is here for.
    pub(super) role: Option<String>,
}

impl Telling {
    /// For a listener in this room, at this place when it keeps one.
    pub(super) fn new(client: Client, room: RoomId, about: Option<Traits>, place: Option<u64>) -> Self {
        let at = place.unwrap_or_default();
        Self {
            client,
            room,
            about,
            keeps_place: place.is_some(),
            doing: watch::Sender::new(None),
            place: watch::Sender::new(at),
            kept: AtomicU64::new(at),
            has_complained: AtomicBool::new(false),
            clock: Clock::system(),
        }
    }

    /// The agent does this from now on.
    pub(super) fn does(&self, doing: Activity) {
        self.doing.send_replace(Some(doing));
    }

    /// The server is there. Whoever connects anew and does nothing leaves what the agent says of itself meanwhile.
    pub(super) fn is_connected(&self) {
        self.doing
            .send_if_modified(|doing| doing.replace(doing.unwrap_or(Activity::Listening)) != Some(Activity::Listening));
    }

    /// The room's numbers begin anew, as after a restore.
    pub(super) fn begins_anew(&self) {
        self.kept.store(0, Ordering::Relaxed);
        self.place.send_replace(0);
    }

    /// Everything up to this message is done with.
    pub(super) fn has_read(&self, seq: u64) {
        if self.keeps_place {
            self.place.send_if_modified(|place| std::mem::replace(place, seq.max(*place)) < seq);
        }
    }

    /// Tells what is new, for as long as it is polled.
    pub(super) async fn keep_telling(&self) {
        // Neither ends: both senders are here.
        tokio::join!(
            self.tell("status_failed", self.doing.subscribe(), async |doing| self.tell_doing(doing).await),
            self.tell("read_failed", self.place.subscribe(), async |place| self.keep_place(place).await),
        );
    }

    /// Tells the newest of something, until it is told or cannot be.
    async fn tell<T: Copy>(
        &self,
        failed: &str,
        mut newest: watch::Receiver<T>,
        tell: impl AsyncFn(T) -> Result<(), ClientError>,
    ) {
        let mut backoff = Backoff::new(BETWEEN, MOST_BETWEEN);
        while newest.changed().await.is_ok() {
            backoff.reset();
            loop {
                let now = *newest.borrow_and_update();
                match tell(now).await {
                    Ok(()) => break,
                    // An error that may pass is not worth a word: the connection tells of it.
                    Err(error) if error.is_passing() => {
                        let wait = backoff.next(chance(&self.clock)).max(error.retry_after().unwrap_or_default());
                        tokio::time::sleep(wait).await;
                    }
                    Err(error) => {
                        self.complain(failed, &error);
                        break;
                    }
                }
            }
            tokio::time::sleep(BETWEEN).await;
        }
    }

    /// Keeps the place once more, if it moved since.
    pub(super) async fn finish(&self) {
        let place = *self.place.borrow();
        if place > self.kept.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout(FAREWELL, self.keep_place(place)).await;
        }
    }

    async fn tell_doing(&self, doing: Option<Activity>) -> Result<(), ClientError> {
        let Some(traits) = &self.about else { return Ok(()) };
        match presence::about(doing, None, traits.model.clone(), traits.role.clone()) {
            Some(about) => self.client.set_about(about).await.map(drop),
            None => Ok(()),
        }
    }

    async fn keep_place(&self, seq: u64) -> Result<(), ClientError> {
        if seq > 0 {
            self.client.mark_read(self.room, seq).await?;
            self.kept.store(seq, Ordering::Relaxed);
        }
        Ok(())
    }

    fn complain(&self, event: &str, error: &ClientError) {
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            output::event(&json!({ "event": event, "reason": error.to_string() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use meet_api::{ErrorBody, ErrorCode};
    use reqwest::StatusCode;

    use super::*;
    use crate::{
        connection::{Connection, Source},
        server_url::ServerUrl,
    };

    fn telling() -> Telling {
        let (url, url_source) = (ServerUrl::of_this_machine(), Source::Default);
        let client = Client::new(&Connection { url, url_source, key: None }).unwrap();
        Telling::new(client, "01900000-0000-7000-8000-000000000002".parse().unwrap(), None, Some(7))
    }

    /// As a server refuses what it takes after so many seconds.
    fn refused(seconds: u64) -> ClientError {
        ClientError::Refused {
            asked: String::new(),
            status: StatusCode::TOO_MANY_REQUESTS,
            body: ErrorBody { error: String::new(), code: ErrorCode::RateLimited },
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_busy_server_does_not_take_is_told_when_it_does_as_it_is_then() {
        let (telling, told) = (telling(), RefCell::new(Vec::new()));
        let tell = async |place: u64| {
            told.borrow_mut().push(place);
            if place == 8 { Err(refused(42)) } else { Ok(()) }
        };
        let says = async {
            telling.has_read(8);
            tokio::time::sleep(Duration::from_secs(5)).await;
            telling.has_read(9);
            telling.has_read(10);
            tokio::time::sleep(Duration::from_secs(36)).await;
            told.borrow_mut().push(0);
            tokio::time::sleep(Duration::from_mins(5)).await;
        };
        tokio::select! {
            () = telling.tell("read_failed", telling.place.subscribe(), tell) => {}
            () = says => {}
        }
        assert_eq!(told.into_inner(), [8, 0, 10], "after the time that the server named, and no sooner");
    }

    #[tokio::test]
    async fn a_place_begins_anew_with_its_room() {
        let telling = telling();
        telling.has_read(5);
        assert_eq!(*telling.place.borrow(), 7);
        telling.begins_anew();
        telling.has_read(5);
        assert_eq!(*telling.place.borrow(), 5);
    }

    #[tokio::test]
    async fn only_a_first_connection_says_that_the_agent_listens() {
        let telling = telling();
        let mut doing = telling.doing.subscribe();
        telling.is_connected();
        assert!(doing.has_changed().unwrap() && *doing.borrow_and_update() == Some(Activity::Listening));
        telling.is_connected();
        assert!(!doing.has_changed().unwrap());
        telling.does(Activity::Working);
        doing.mark_unchanged();
        telling.is_connected();
        assert!(doing.has_changed().unwrap() && *doing.borrow() == Some(Activity::Working));
    }
}
