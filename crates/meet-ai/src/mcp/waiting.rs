//! Waiting for messages: a long poll that tells how it goes on, and can be asked again without missing anything.

use std::time::Duration;

use meet_api::RoomId;
use rmcp::{
    RoleServer,
    model::{CallToolResult, JsonObject, ProgressNotificationParam},
    service::RequestContext,
};
use serde::Deserialize;

use super::{
    calls::{self, Trouble},
    turn::Turn,
};
use crate::client::{History, Page};

/// How long is waited when nothing is said, and at most: below the minute after which clients give up.
const MOST: u64 = 50;
/// How often a waiting client hears that it still waits.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How many messages end a wait at once.
const LIMIT: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    room: String,
    after: Option<u64>,
    only: Option<Only>,
    exclude: Option<String>,
    wait: Option<u64>,
}

/// Which messages are waited for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Only {
    /// Those that mention the caller.
    Mentions,
    /// Those, and those that mention nobody.
    ForMe,
}

pub(super) async fn wait(
    turn: &Turn,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, Trouble> {
    let asked: Waiting = calls::read(arguments)?;
    let seconds = asked.wait.unwrap_or(MOST);
    if !(1..=MOST).contains(&seconds) {
        return Err(Trouble::Arguments(format!("wait must be 1 to {MOST} seconds")));
    }
    let room = calls::room(turn, &asked.room).await?;
    turn.enter(room);
    let after = match asked.after {
        Some(after) => after,
        None => turn.client.room(room).await?.head_seq,
    };
    let name = || Some(turn.name.clone());
    let history = History {
        after_seq: Some(after),
        exclude: asked.exclude,
        mentions: asked.only.as_ref().and_then(|only| matches!(only, Only::Mentions).then(name)?),
        to: asked.only.as_ref().and_then(|only| matches!(only, Only::ForMe).then(name)?),
        limit: Some(LIMIT),
        ..History::default()
    };
    let polling = poll(turn, room, history, Duration::from_secs(seconds));
    tokio::pin!(polling);
    let started = turn.clock.monotonic();
    tell(context, 0.0, seconds).await;
    loop {
        tokio::select! {
            biased;
            polled = &mut polling => {
                let (page, end) = polled?;
                return Ok(calls::messages(turn, room, &page.messages, Some(end), false));
            }
            () = tokio::time::sleep(TELL_EVERY) => {
                let waited = turn.clock.monotonic().saturating_sub(started);
                tell(context, waited.as_secs_f64(), seconds).await;
            }
        }
    }
}

/// Polls until others said something, or the time is over. Gives back the place behind all that was looked at.
async fn poll(turn: &Turn, room: RoomId, mut history: History, patience: Duration) -> Result<(Page, u64), Trouble> {
    let until = turn.clock.monotonic() + patience;
    loop {
        let left = until.saturating_sub(turn.clock.monotonic());
        // Rounded up, so that the last part of a second is no circle of empty polls.
        history.wait = Some(left.as_secs() + u64::from(left.subsec_nanos() > 0));
        let page = turn.client.messages(room, &history).await?;
        let last = page.messages.last().map(|message| message.seq);
        // A page that is the last one was looked for up to the head, whatever the filter left out of it.
        let end = page.next.or(page.head_seq).max(last).or(history.after_seq).unwrap_or_default();
        let others = page.messages.iter().any(|message| !turn.is_own(message));
        if others || left.is_zero() {
            return Ok((page, end));
        }
        history.after_seq = Some(end);
    }
}

/// Tells a client that asked for it how long it has waited.
async fn tell(context: &RequestContext<RoleServer>, waited: f64, seconds: u64) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let total = f64::from(u32::try_from(seconds).unwrap_or(u32::MAX));
    let progress = ProgressNotificationParam::new(token, waited.min(total)).with_total(total);
    // A client that is gone is told nothing.
    let _ = context.peer.notify_progress(progress).await;
}
