//! What was lately said in a room, as a resource.

use meet_api::RoomId;
use rmcp::{
    ErrorData,
    model::{
        ListResourceTemplatesResult, ListResourcesResult, ReadResourceResponse, ReadResourceResult, Resource,
        ResourceContents, ResourceTemplate,
    },
};

use super::{calls, turn::Turn, turn::refused};
use crate::client::History;

/// How many messages a room's log shows.
const LOG: usize = 50;
/// How many rooms are listed.
const MAX_LISTED: usize = 200;
const PREFIX: &str = "meet-ai://rooms/";
const SUFFIX: &str = "/log";

pub(super) async fn list(turn: &Turn) -> Result<ListResourcesResult, ErrorData> {
    let rooms = turn.client.rooms().await.map_err(|error| refused(&error))?;
    let resource = |room: meet_api::Room| {
        // Others chose the room's name; list_rooms tells it as data.
        let name = format!("log of room {}", room.id);
        Resource::new(format!("{PREFIX}{}{SUFFIX}", room.id), name).with_mime_type("text/plain")
    };
    Ok(ListResourcesResult::with_all_items(rooms.into_iter().take(MAX_LISTED).map(resource).collect()))
}

pub(super) fn templates() -> ListResourceTemplatesResult {
    let template = ResourceTemplate::new(format!("{PREFIX}{{id}}{SUFFIX}"), "room-log")
        .with_description("What was lately said in a room")
        .with_mime_type("text/plain");
    ListResourceTemplatesResult::with_all_items(vec![template])
}

pub(super) async fn read(turn: &Turn, uri: &str) -> Result<ReadResourceResponse, ErrorData> {
    let none = || ErrorData::resource_not_found("there is no such resource", None);
    let room = uri.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)).ok_or_else(none)?;
    let room: RoomId = room.parse().map_err(|_| none())?;
    let history = History { before_seq: Some(u64::MAX >> 1), limit: Some(LOG), ..History::default() };
    let page = turn.client.messages(room, &history).await.map_err(|error| refused(&error))?;
    let text = calls::log_text(turn, room, &page.messages);
    let contents = ResourceContents::text(text, uri).with_mime_type("text/plain");
    Ok(ReadResourceResult::new(vec![contents]).into())
}
