//! What a listener tells the server beside hearing: what its agent is doing, and how far it has read.
//!
//! Neither holds the listener up: only the newest of each is told, and what cannot be told is said once on standard
//! error.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use meet_api::RoomId;
use serde_json::json;
use tokio::sync::watch;

use crate::{
    args::Activity,
    client::{Client, ClientError},
    commands::presence,
    output,
};

/// How long the end of a listener may wait until its place is kept.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a place stands at least before the next is kept: servers take a number of them in a minute.
const BETWEEN_PLACES: Duration = Duration::from_secs(1);

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
        }
    }

    /// The agent does this from now on.
    pub(super) fn does(&self, doing: Activity) {
        self.doing.send_replace(Some(doing));
    }

    /// The server is there, anew perhaps: it hears again what the agent is doing.
    pub(super) fn is_connected(&self) {
        self.doing.send_modify(|doing| *doing = doing.or(Some(Activity::Listening)));
    }

    /// Everything up to this message is done with.
    pub(super) fn has_read(&self, seq: u64) {
        if self.keeps_place {
            self.place.send_if_modified(|place| std::mem::replace(place, seq.max(*place)) < seq);
        }
    }

    /// Tells what is new, for as long as it is polled.
    pub(super) async fn keep_telling(&self) {
        let (mut doing, mut place) = (self.doing.subscribe(), self.place.subscribe());
        // Neither ends: both senders are here.
        let doings = async {
            while doing.changed().await.is_ok() {
                let now = *doing.borrow_and_update();
                self.tell_doing(now).await;
            }
        };
        let places = async {
            while place.changed().await.is_ok() {
                let now = *place.borrow_and_update();
                self.keep_place(now).await;
                tokio::time::sleep(BETWEEN_PLACES).await;
            }
        };
        tokio::join!(doings, places);
    }

    /// Keeps the place once more, if it moved since.
    pub(super) async fn finish(&self) {
        let place = *self.place.borrow();
        if place > self.kept.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout(FAREWELL, self.keep_place(place)).await;
        }
    }

    async fn tell_doing(&self, doing: Option<Activity>) {
        let Some(traits) = &self.about else { return };
        let about = presence::about(doing, None, traits.model.clone(), traits.role.clone());
        let Some(about) = about else { return };
        if let Err(error) = self.client.set_about(about).await {
            self.complain("status_failed", &error);
        }
    }

    async fn keep_place(&self, seq: u64) {
        match self.client.mark_read(self.room, seq).await {
            Ok(_) => self.kept.store(seq, Ordering::Relaxed),
            Err(error) => self.complain("read_failed", &error),
        }
    }

    /// An error that may pass is not worth a word: the connection tells of it.
    fn complain(&self, event: &str, error: &ClientError) {
        if !error.is_passing() && !self.has_complained.swap(true, Ordering::Relaxed) {
            output::event(&json!({ "event": event, "reason": error.to_string() }));
        }
    }
}
