//! Ending what time ends: connections whose session or room is past its time, and rows that nothing needs any more.
//! What somebody ends is ended there and then, by whoever ends it.

use std::{collections::HashSet, time::Duration};

use meet_api::{RoomId, TenantId, Timestamp};
use tokio::sync::Mutex;

use crate::{
    app::App,
    clock::{Clock, Steady},
    error::Error,
    hub::{Address, CloseReason},
};

/// How often to look.
const EVERY: Duration = Duration::from_secs(5);
/// How much of the time before the last look is looked at again: a room may be written later than the time in it.
const OVERLAP: Duration = Duration::from_mins(1);
/// How many rooms are asked for at a time.
const PAGE: u32 = 500;
/// How long the purger rests when nothing was marked.
const PURGE_EVERY: Duration = Duration::from_mins(1);
/// How long it rests between two slices, so that messages come first.
const PURGE_PAUSE: Duration = Duration::from_millis(5);

/// What was noticed by the last look.
pub(crate) struct Sweeper {
    noticed: Mutex<Noticed>,
    steady: Steady,
}

struct Noticed {
    until: Timestamp,
    /// The latest `until` so far: a clock that was set back comes by there again.
    furthest: Timestamp,
    /// The rooms whose end was noticed and may be seen again.
    rooms: HashSet<RoomId>,
}

impl Sweeper {
    /// Begins now: nobody is connected yet who would have to be told of an earlier end.
    pub(crate) fn new(clock: &Clock) -> Self {
        let now = clock.now();
        let noticed = Noticed { until: now, furthest: now, rooms: HashSet::new() };
        Self { noticed: Mutex::new(noticed), steady: Steady::new(clock) }
    }
}

impl App {
    /// The time for what ends for good: the wall time, unless that has just jumped.
    pub(crate) fn steady_now(&self) -> Timestamp {
        self.sweeper().steady.now(self.clock())
    }

    /// Ends the connections of sessions and rooms whose time is over, and tells the lobbies of the rooms, once. A jump
    /// of the wall clock ends nothing until it has proved to be no mistake.
    ///
    /// # Errors
    /// [`Error::Store`]; the next look then covers this one's time too.
    pub async fn sweep(&self) -> Result<(), Error> {
        let mut noticed = self.sweeper().noticed.lock().await;
        let now = self.steady_now();
        self.hub().end_expired(now);
        if now < noticed.until {
            let again = self.rooms_that_end(now.minus(OVERLAP), noticed.until).await?;
            noticed.rooms.extend(again.into_iter().map(|(_, room)| room));
        }
        let ended = self.rooms_that_end(noticed.until.min(now).minus(OVERLAP), now).await?;
        for (tenant, room) in &ended {
            if noticed.rooms.contains(room) {
                // It may have had visitors again while the clock was set back.
                self.hub().close_channel(Address::chat(*tenant, *room), CloseReason::RoomGone, false);
            } else {
                self.close_room(*tenant, *room).await;
            }
        }
        if now >= noticed.furthest {
            noticed.furthest = now;
            noticed.rooms.clear();
        }
        noticed.rooms.extend(ended.into_iter().map(|(_, room)| room));
        noticed.until = now;
        drop(noticed);
        self.end_quick_rooms().await
    }

    /// The rooms whose time is over behind `from` and not behind `until`.
    async fn rooms_that_end(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(TenantId, RoomId)>, Error> {
        let mut rooms = Vec::new();
        loop {
            let after = rooms.last().map(|(_, room)| *room);
            let page = self.store().expired_rooms(from, until, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            rooms.extend(page);
            if is_last {
                return Ok(rooms);
            }
        }
    }

    /// Looks every few seconds.
    pub(crate) async fn keep_sweeping(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.sweep().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "what time ends is ended later");
            }
        }
    }

    /// Removes a slice of what was deleted or is past its time; `true` when there may be more. As with [`App::sweep`],
    /// a jump of the wall clock makes nothing past its time.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn purge(&self) -> Result<bool, Error> {
        Ok(self.store().purge_slice(self.steady_now()).await?)
    }

    /// Purges in slices, at once when something was marked.
    pub(crate) async fn keep_purging(self) {
        loop {
            match self.purge().await {
                Ok(true) => tokio::time::sleep(PURGE_PAUSE).await,
                Ok(false) => {
                    let _ = tokio::time::timeout(PURGE_EVERY, self.marked()).await;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "purging goes on later");
                    tokio::time::sleep(PURGE_EVERY).await;
                }
            }
        }
    }
}
