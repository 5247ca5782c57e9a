//! New mentions, pushed into a session of Claude Code: its channels take `notifications/claude/channel` from a server on
//! standard input and output that declared the capability, where the person switched it on (`--channels`, or
//! `--dangerously-load-development-channels` for a server that is on no list). Elsewhere they are dropped unseen.
//!
//! The lobby's stream says that a room moved; what mentions the agent is then read from the store, so that nothing is
//! missed and nothing comes twice.

use std::{collections::HashMap, time::Duration};

use meet_api::{Message, RoomId};
use meet_server::Clock;
use rmcp::{
    RoleServer,
    model::{CustomNotification, ServerNotification},
    service::Peer,
};
use serde_json::json;

use super::{
    quote::{Quoted, entry},
    turn::{Own, Turn},
};
use crate::client::{
    ClientError, History, Told,
    retry::{Backoff, chance},
};

/// What Claude Code calls itself.
const CLIENT: &str = "claude-code";
const METHOD: &str = "notifications/claude/channel";
/// How many mentions of a room are read at a time.
const LIMIT: usize = 20;

/// Pushes what mentions the agent for as long as it is waited for; for clients without channels it does nothing.
pub(crate) async fn push_mentions(own: &Own, peer: &Peer<RoleServer>) {
    let client_name = peer.peer_info().map(|info| info.client_info.name.clone()).unwrap_or_default();
    if !client_name.starts_with(CLIENT) {
        return std::future::pending().await;
    }
    let clock = Clock::system();
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let mut places = HashMap::new();
    loop {
        let followed = follow(own, &client_name, peer, &mut places, &mut backoff).await;
        if followed.is_err_and(|error| !error.is_passing()) {
            // A credential that has ended pushes nothing any more; the tools say why.
            return std::future::pending().await;
        }
        tokio::time::sleep(backoff.next(chance(&clock))).await;
    }
}

/// Follows the lobby until its stream ends. `places` is how far each room was read.
async fn follow(
    own: &Own,
    client_name: &str,
    peer: &Peer<RoleServer>,
    places: &mut HashMap<RoomId, u64>,
    backoff: &mut Backoff,
) -> Result<(), ClientError> {
    let turn = Turn::unasked(own, client_name).await?;
    let is_first = places.is_empty();
    let mut events = turn.client.lobby().await?;
    for room in turn.client.rooms().await? {
        if is_first {
            places.insert(room.id, room.head_seq);
        } else {
            catch_up(&turn, peer, places, (room.id, room.head_seq)).await?;
        }
    }
    backoff.reset();
    while let Some(told) = events.next().await {
        let moved = match told {
            Told::Room(room) => (room.id, room.head_seq),
            Told::Mention(message) => (message.room_id, message.seq),
            Told::Other => continue,
        };
        catch_up(&turn, peer, places, moved).await?;
    }
    Ok(())
}

/// Reads on in a room that moved up to `head`. One that was not known is new, and all of it is news.
async fn catch_up(
    turn: &Turn,
    peer: &Peer<RoleServer>,
    places: &mut HashMap<RoomId, u64>,
    (room, head): (RoomId, u64),
) -> Result<(), ClientError> {
    let mut place = places.get(&room).copied().unwrap_or(0);
    if place > head {
        // What was told in between is read already; after a restore the numbers begin anew, and so does this place.
        place = place.min(turn.client.room(room).await?.head_seq);
    }
    while place < head {
        let mentions = Some(turn.name.clone());
        let history = History { after_seq: Some(place), mentions, limit: Some(LIMIT), ..History::default() };
        let page = turn.client.messages(room, &history).await?;
        for message in page.messages.iter().filter(|message| !turn.is_own(message)) {
            push(turn, peer, message).await;
        }
        place = page.next.or(page.head_seq).unwrap_or(head).max(place + 1);
    }
    places.insert(room, place);
    Ok(())
}

async fn push(turn: &Turn, peer: &Peer<RoleServer>, message: &Message) {
    let mut quoted = Quoted::new();
    quoted.take(&entry(message, false));
    let room = message.room_id.to_string();
    let content = quoted.into_text(&json!({ "room": room, "cursor": message.seq }), &turn.clock);
    // Its keys may be made of letters, digits and underscores only.
    let meta = json!({
        "room": room,
        "seq": message.seq.to_string(),
        "user": message.user.to_string(),
        "kind": message.sender_type.as_str(),
    });
    let notification = CustomNotification::new(METHOD, Some(json!({ "content": content, "meta": meta })));
    // A client that is gone is told nothing.
    let _ = peer.send_notification(ServerNotification::CustomNotification(notification)).await;
}
