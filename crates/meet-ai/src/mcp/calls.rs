//! What each tool does: reads its arguments, asks the API, and answers in data.

use std::time::Duration;

use meet_api::{
    About, Doing, Message, Role, RoomId, Visibility,
    request::{CreateInvite, CreateRoom, SendMessage, UpdateRoom},
};
use rmcp::{
    RoleServer,
    model::{CallToolResult, ContentBlock, JsonObject},
    service::RequestContext,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    quote::{Quoted, entry},
    turn::Turn,
    waiting,
};
use crate::{
    client::{ClientError, History, retry::Backoff},
    commands::rooms::{Pick, pick},
    output::escape,
};

/// How many messages an answer has when nothing is said.
const LIMIT: usize = 50;
/// How many it may have.
const MAX_LIMIT: usize = 200;
/// How often a message is sent again that got no answer.
const RESENDS: u32 = 4;
/// The longest pause before that which a caller is left waiting for.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why a tool has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server said no, or nothing.
    Client(ClientError),
    /// The arguments do not fit.
    Arguments(String),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

type Answer = Result<CallToolResult, Trouble>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRoom {
    room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    room: String,
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
    include_own: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unread {
    room: String,
    done: Option<u64>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saying {
    room: String,
    text: String,
    reply_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Searching {
    room: String,
    words: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    doing: Doing,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inviting {
    room: String,
    role: Role,
    expires_in: Option<u64>,
    max_uses: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Showing {
    room: String,
    visibility: Visibility,
}

/// Calls a tool. What goes wrong is an answer too, so that the model learns what to do about it.
pub(super) async fn call(
    turn: &Turn,
    name: &str,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> CallToolResult {
    let answer = match name {
        "list_rooms" => list_rooms(turn, arguments).await,
        "read_messages" => read_messages(turn, arguments).await,
        "read_unread" => read_unread(turn, arguments).await,
        "wait_for_messages" => waiting::wait(turn, arguments, context).await,
        "search" => search(turn, arguments).await,
        "presence" => presence(turn, arguments).await,
        "who_am_i" => who_am_i(turn, arguments).await,
        "create_room" => create_room(turn, arguments).await,
        "send_message" => send_message(turn, arguments).await,
        "set_status" => set_status(turn, arguments).await,
        "join_call_token" => join_call_token(turn, arguments).await,
        "create_invite" => create_invite(turn, arguments).await,
        "set_visibility" => set_visibility(turn, arguments).await,
        _ => Err(Trouble::Arguments("there is no such tool".to_owned())),
    };
    answer.unwrap_or_else(|trouble| trouble.told())
}

/// What the API refused before a tool could be called.
pub(super) fn refused(error: ClientError) -> CallToolResult {
    Trouble::from(error).told()
}

impl Trouble {
    fn told(&self) -> CallToolResult {
        let (sentence, code, again) = match self {
            Self::Arguments(sentence) => (sentence.clone(), "invalid_request", None),
            Self::Client(error) => {
                let code = error.code().map_or("unreachable", meet_api::ErrorCode::as_str);
                (error.to_string(), code, error.retry_after())
            }
        };
        let mut body = json!({ "error": escape(&sentence), "code": code });
        if let Some(again) = again {
            body["retry_after_seconds"] = again.as_secs().into();
        }
        let mut told = CallToolResult::structured_error(body);
        told.content = vec![ContentBlock::text(format!("{} ({code})", escape(&sentence)))];
        told
    }
}

/// The arguments of a tool; what does not fit is named.
pub(super) fn read<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Trouble> {
    let read = serde_path_to_error::deserialize(Value::Object(arguments));
    read.map_err(|error| Trouble::Arguments(format!("the arguments do not fit: {error}")))
}

pub(super) fn limit(asked: Option<usize>) -> Result<usize, Trouble> {
    match asked.unwrap_or(LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Trouble::Arguments(format!("limit must be 1 to {MAX_LIMIT}"))),
    }
}

/// The room that is meant by an id or a name.
pub(super) async fn room(turn: &Turn, called: &str) -> Result<RoomId, Trouble> {
    if let Ok(id) = called.trim().parse() {
        return Ok(id);
    }
    let several = |ids: Vec<RoomId>| {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Trouble::Arguments(format!("several rooms have this name; give one of the ids: {}", ids.join(", ")))
    };
    match pick(&turn.client.rooms().await?, called) {
        Pick::One(id) => return Ok(id),
        Pick::Many(ids) => return Err(several(ids)),
        Pick::None => {}
    }
    match pick(&turn.client.public_rooms().await?, called) {
        Pick::One(id) => Ok(id),
        Pick::Many(ids) => Err(several(ids)),
        Pick::None => Err(Trouble::Arguments("no room has this id or name: list_rooms shows yours".to_owned())),
    }
}

/// What is ours alone, as JSON.
fn plain(value: Value) -> CallToolResult {
    CallToolResult::structured(value)
}

/// What holds words of others.
fn quoted(turn: &Turn, ours: &Value, quoted: Quoted) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(quoted.into_text(ours, &turn.clock))])
}

/// Messages with the place from which to go on; `end` is the place behind all that was looked at.
pub(super) fn messages(turn: &Turn, room: RoomId, messages: &[Message], end: Option<u64>, own: bool) -> CallToolResult {
    let mut taken = Quoted::new();
    let mut cursor = None;
    for message in messages {
        let is_own = turn.is_own(message);
        if is_own && !own {
            cursor = Some(message.seq);
            continue;
        }
        if !taken.take(&entry(message, is_own)) {
            // What did not fit comes with the next answer.
            return quoted(turn, &json!({ "room": room, "cursor": cursor, "more": true }), taken);
        }
        cursor = Some(message.seq);
    }
    let cursor = end.max(cursor);
    quoted(turn, &json!({ "room": room, "messages": taken.len(), "cursor": cursor, "more": false }), taken)
}

/// A room's log, its reader's own messages marked.
pub(super) fn log_text(turn: &Turn, room: RoomId, messages: &[Message]) -> String {
    let mut taken = Quoted::new();
    // The newest matter most: what does not fit is left out at the beginning.
    let mut newest: Vec<_> = messages.iter().rev().map(|message| entry(message, turn.is_own(message))).collect();
    let mut fitting = Quoted::new();
    let fit = newest.iter().take_while(|entry| fitting.take(entry)).count();
    newest.truncate(fit);
    for entry in newest.iter().rev() {
        taken.take(entry);
    }
    taken.into_text(&json!({ "room": room }), &turn.clock)
}

async fn list_rooms(turn: &Turn, arguments: JsonObject) -> Answer {
    let Nothing {} = read(arguments)?;
    let rooms = turn.client.rooms().await?;
    let mut taken = Quoted::new();
    let mut all = true;
    for room in &rooms {
        let full = serde_json::to_value(room).unwrap_or_default();
        let wanted = ["id", "name", "visibility", "head_seq", "read_seq", "unread", "mentions", "online", "agents"];
        let shown: JsonObject =
            wanted.into_iter().filter_map(|key| Some((key.to_owned(), full.get(key)?.clone()))).collect();
        all &= taken.take(&shown);
    }
    Ok(quoted(turn, &json!({ "rooms": rooms.len(), "all_shown": all }), taken))
}

async fn read_messages(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Reading = read(arguments)?;
    if asked.after.is_some() && asked.before.is_some() {
        return Err(Trouble::Arguments("give only one of after and before".to_owned()));
    }
    let limit = limit(asked.limit)?;
    let room = room(turn, &asked.room).await?;
    let before_seq = asked.before.or(asked.after.is_none().then_some(i64::MAX.unsigned_abs()));
    let history = History { after_seq: asked.after, before_seq, limit: Some(limit), ..History::default() };
    let page = turn.client.messages(room, &history).await?;
    // Backwards, the place to go on forwards is behind the newest message; forwards, behind what was looked at.
    let last = page.messages.last().map(|message| message.seq);
    let end = match asked.after {
        Some(after) => page.next.or(last).or(Some(after)),
        None => last,
    };
    Ok(messages(turn, room, &page.messages, end, asked.include_own.unwrap_or(false)))
}

async fn read_unread(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Unread = read(arguments)?;
    let limit = limit(asked.limit)?;
    let room = room(turn, &asked.room).await?;
    turn.enter(room);
    let read_seq = match asked.done {
        Some(done) => turn.client.mark_read(room, done).await?.read_seq,
        None => turn.client.room(room).await?.read_seq.unwrap_or(0),
    };
    let history = History { after_seq: Some(read_seq), limit: Some(limit), ..History::default() };
    let page = turn.client.messages(room, &history).await?;
    let end = page.next.or(page.messages.last().map(|message| message.seq)).or(Some(read_seq));
    Ok(messages(turn, room, &page.messages, end, false))
}

async fn search(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Searching = read(arguments)?;
    let limit = limit(asked.limit)?;
    let room = room(turn, &asked.room).await?;
    let found = turn.client.search(room, &asked.words, limit).await?;
    let mut taken = Quoted::new();
    let all = found.iter().all(|message| taken.take(&entry(message, turn.is_own(message))));
    Ok(quoted(turn, &json!({ "room": room, "messages": taken.len(), "all_shown": all }), taken))
}

async fn presence(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: OfRoom = read(arguments)?;
    let room = room(turn, &asked.room).await?;
    let present = turn.client.presence(room).await?;
    let mut taken = Quoted::new();
    let all = present.members.iter().all(|member| taken.take(member));
    // Who only reads has nothing to do with it.
    let agents = turn.client.guard(room).await.ok();
    let ours = json!({
        "room": room,
        "members": present.members.len(),
        "watching": present.watching,
        "all_shown": all,
        "agents": agents,
    });
    Ok(quoted(turn, &ours, taken))
}

async fn who_am_i(turn: &Turn, arguments: JsonObject) -> Answer {
    let Nothing {} = read(arguments)?;
    let session = turn.client.session().await?;
    let kind = turn.user.as_ref().map_or(meet_api::Kind::Agent, |user| user.kind);
    Ok(plain(json!({
        "name": escape(&turn.name),
        "kind": kind,
        "user": turn.user.as_ref().map(|user| user.id),
        "role": session.role,
        "org": session.org,
        "rooms": session.rooms,
        "credential": if turn.client.is_session() { "session" } else { "key" },
    })))
}

async fn create_room(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Named = read(arguments)?;
    let wanted = CreateRoom { name: Some(asked.name), ..CreateRoom::default() };
    let made = turn.client.create_room(&wanted).await?;
    Ok(plain(json!({ "id": made.id, "name": escape(&made.name), "visibility": made.visibility })))
}

async fn send_message(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Saying = read(arguments)?;
    let room = room(turn, &asked.room).await?;
    turn.enter(room);
    let is_key = turn.user.is_none();
    let body = SendMessage {
        sender: is_key.then(|| turn.name.clone()),
        content: Some(asked.text),
        sender_type: is_key.then_some(meet_api::Kind::Agent),
        reply_to: asked.reply_to,
    };
    // All tries carry one key, so the message is stored once.
    let key = turn.clock.uuid().to_string();
    let mut backoff = Backoff::new(Duration::from_millis(250), PATIENCE);
    let mut tries = 0;
    let sent = loop {
        let error = match turn.client.send_message(room, &body, &key).await {
            Ok(sent) => break sent,
            Err(error) => error,
        };
        let wait = backoff.next(crate::client::retry::chance(&turn.clock)).max(error.retry_after().unwrap_or_default());
        tries += 1;
        if !error.is_passing() || tries > RESENDS || wait > PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(wait).await;
    };
    Ok(plain(json!({ "id": sent.id, "seq": sent.seq, "room": room })))
}

async fn set_status(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Status = read(arguments)?;
    let (model, role) = (turn.model.clone(), turn.role.clone());
    turn.client.set_about(About { doing: Some(asked.doing), note: asked.note, model, role }).await?;
    Ok(plain(json!({ "doing": asked.doing })))
}

async fn join_call_token(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: OfRoom = read(arguments)?;
    let room = room(turn, &asked.room).await?;
    let token = turn.client.conference_token(room).await?;
    let config = turn.client.realtime_config().await?;
    Ok(plain(json!({ "token": token.token, "expires_at": token.expires_at, "conference": config.conference })))
}

async fn create_invite(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Inviting = read(arguments)?;
    let room = room(turn, &asked.room).await?;
    let wanted = CreateInvite { role: asked.role, expires_in: asked.expires_in, max_uses: asked.max_uses };
    let made = turn.client.create_invite(room, &wanted).await?;
    Ok(plain(json!({ "id": made.id, "url": made.url, "role": made.role, "expires_at": made.expires_at })))
}

async fn set_visibility(turn: &Turn, arguments: JsonObject) -> Answer {
    let asked: Showing = read(arguments)?;
    let room = room(turn, &asked.room).await?;
    let wanted = UpdateRoom { visibility: Some(asked.visibility), ..UpdateRoom::default() };
    let changed = turn.client.update_room(room, &wanted).await?;
    Ok(plain(json!({ "room": room, "visibility": changed.visibility })))
}
