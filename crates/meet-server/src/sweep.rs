//! Ending what time ends: connections whose session or room is past its time. What somebody ends is ended there and
//! then, by whoever ends it.

use std::{collections::HashSet, time::Duration};

use meet_api::{RoomId, Timestamp};
use tokio::sync::Mutex;

use crate::{app::App, error::Error};

/// How often to look.
const EVERY: Duration = Duration::from_secs(5);
/// How much of the time before the last look is looked at again: a room may be written later than the time in it.
const OVERLAP: Duration = Duration::from_mins(1);
/// How many rooms are asked for at a time.
const PAGE: u32 = 500;

/// What was noticed by the last look.
pub(crate) struct Sweeper(Mutex<Noticed>);

struct Noticed {
    until: Timestamp,
    rooms: HashSet<RoomId>,
}

impl Sweeper {
    /// Begins at `now`: nobody is connected yet who would have to be told of an earlier end.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Noticed { until: now, rooms: HashSet::new() }))
    }
}

impl App {
    /// Ends the connections of sessions and rooms whose time is over, and tells the lobbies of the rooms, once.
    ///
    /// # Errors
    /// [`Error::Store`]; the next look then covers this one's time too.
    pub async fn sweep(&self) -> Result<(), Error> {
        let mut noticed = self.sweeper().0.lock().await;
        let now = self.clock().now();
        self.hub().end_expired(now);
        let from = noticed.until.min(now).minus(OVERLAP);
        let (mut rooms, mut after) = (HashSet::new(), None);
        loop {
            let page = self.store().expired_rooms(from, now, after, PAGE).await?;
            for (tenant, room) in &page {
                if rooms.insert(*room) && !noticed.rooms.contains(room) {
                    self.close_room(*tenant, *room);
                }
            }
            after = page.last().map(|(_, room)| *room);
            if page.len() < PAGE as usize {
                break;
            }
        }
        *noticed = Noticed { until: now, rooms };
        Ok(())
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
}
