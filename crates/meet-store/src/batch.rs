//! One batch of messages in one transaction, each message standing alone.
//!
//! First the rows that matter are held and read, then a pure function decides what becomes of each
//! message, then what was decided is written. A message that is refused takes no `seq`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use meet_api::{
    AgentRules, Kind, Message, MessageId, MessageTag, RoomId, TenantId, Timestamp, UserId,
    text::{ClientId, Content, UserName},
};

use crate::{
    Digest, Store, StoreError,
    conn::Conn,
    messages::{message_columns, read_message},
    search::{terms, terms_text},
    value::{Param, Row, params},
};

/// What a message counts in a tenant's quota besides the bytes of its content.
pub const MESSAGE_OVERHEAD: u64 = 256;
/// How long an idempotency key is kept.
pub(crate) const IDEMPOTENCY_KEPT: Duration = Duration::from_hours(24);

/// The caller's own id of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The id, unique for a user in a room.
    pub key: ClientId,
    /// A digest of what was asked for: a repeat has the same.
    pub body: Digest,
}

/// What a message may not exceed; 0 lifts a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// How many messages the room may hold.
    pub messages_per_room: u64,
    /// How many bytes the tenant may hold.
    pub bytes_per_tenant: u64,
}

/// A message to be stored; its texts have passed their rules.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// The tenant of the room.
    pub tenant: TenantId,
    /// The room.
    pub room: RoomId,
    /// Who wrote it.
    pub user: UserId,
    /// The name under which it is written.
    pub sender: UserName,
    /// Whether a person or a program wrote it.
    pub sender_type: Kind,
    /// What it says.
    pub content: Content,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// The caller's own id of it.
    pub idempotency: Option<Idempotency>,
    /// When the server took it.
    pub created_at: Timestamp,
    /// The time by which its room and its idempotency key may be over; not later than `created_at`.
    pub judged_at: Timestamp,
    /// What it may not exceed.
    pub caps: Caps,
    /// Whom it mentions besides its writer, each once.
    pub mentions: Vec<UserId>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is stored.
    Stored(Arc<Message>),
    /// It was stored before; this is what is stored.
    Replayed(Arc<Message>),
    /// Another message was stored before under the same idempotency key.
    Conflict,
    /// The tenant has no such room, or it has expired.
    RoomGone,
    /// The room holds as many messages as it may.
    RoomFull,
    /// The tenant holds as many bytes as it may.
    QuotaExceeded,
    /// The message that it answers does not stand in this room.
    UnknownReply,
    /// Its writer is an agent, and the room's rules let it say no more.
    Stopped(Stop, Box<StoppedAt>),
}

/// Which of a room's rules for agents a message breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// No agent may say anything.
    Paused,
    /// Agents have said as much in a row as they may.
    Budget,
    /// The writer has said its share of that.
    Share,
}

/// How a room's agents stood when one of them was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoppedAt {
    /// The rules.
    pub agents: AgentRules,
    /// The message behind which their count began: it names the streak.
    pub person_seq: u64,
}

/// A message on its way, with its words.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: NewMessage,
    pub(crate) words: Vec<String>,
}

/// A room as the batch found it, and as it goes on.
struct RoomState {
    tenant: TenantId,
    number: i64,
    head: u64,
    found_head: u64,
    expires_at: Option<Timestamp>,
    agents: AgentState,
}

/// How a room's agents stand, as the batch found it and as it goes on.
struct AgentState {
    paused: bool,
    budget: u64,
    share: u64,
    person_seq: u64,
    /// What each agent of the batch has said since.
    said: HashMap<UserId, u64>,
}

impl AgentState {
    /// How much of the budget is used up, all that was said since a person spoke being of agents.
    const fn used(&self, head: u64) -> u64 {
        head.saturating_sub(self.person_seq)
    }

    /// Which rule keeps this agent from saying one more.
    fn stops(&self, head: u64, user: UserId) -> Option<Stop> {
        let said = self.said.get(&user).copied().unwrap_or(0);
        match self.budget {
            _ if self.paused => Some(Stop::Paused),
            0 => None,
            budget if self.used(head) >= budget => Some(Stop::Budget),
            _ if self.share > 0 && said >= self.share => Some(Stop::Share),
            _ => None,
        }
    }

    /// Counts what was just stored as `seq`.
    fn count(&mut self, seq: u64, user: UserId, kind: Kind) {
        match kind {
            Kind::Agent => *self.said.entry(user).or_default() += 1,
            Kind::Human => {
                self.person_seq = seq;
                self.said.clear();
            }
        }
    }

    fn rules(&self, head: u64) -> AgentRules {
        agent_rules(self.paused, self.budget, self.share, self.used(head))
    }
}

/// The rules for agents of whose budget so much is used.
pub(crate) fn agent_rules(paused: bool, budget: u64, share: u64, used: u64) -> AgentRules {
    AgentRules { paused, budget, share, remaining: (budget > 0).then(|| budget.saturating_sub(used)) }
}

/// A tenant's bytes as the batch found them, and those it adds.
#[derive(Default)]
struct TenantState {
    stored: u64,
    added: u64,
}

/// What is known before anything is decided.
struct Facts {
    tenants: BTreeMap<TenantId, TenantState>,
    rooms: BTreeMap<RoomId, RoomState>,
    /// For each entry: what its idempotency key already stands for.
    earlier: Vec<Option<Earlier>>,
    /// For each entry: whether the message that it answers is there.
    reply_known: Vec<bool>,
}

/// Whether a key was used with the same body, and then the message.
type Earlier = (bool, Option<Arc<Message>>);

/// The scope of an idempotency key.
type KeyScope<'e> = (TenantId, UserId, RoomId, &'e str);

/// The scope of an entry's idempotency key, if it has one.
fn scope(entry: &Entry) -> Option<KeyScope<'_>> {
    let message = &entry.message;
    message.idempotency.as_ref().map(|own| (message.tenant, message.user, message.room, own.key.as_str()))
}

/// Decides what becomes of each entry, in order, and counts what is taken.
fn decide(entries: &[Entry], facts: &mut Facts) -> Vec<AppendOutcome> {
    let mut firsts: HashMap<KeyScope<'_>, usize> = HashMap::new();
    let mut outcomes: Vec<AppendOutcome> = Vec::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        let first = scope(entry).and_then(|scope| firsts.get(&scope).copied());
        let outcome = match first.map(|first| (first, &outcomes[first])) {
            Some((first, AppendOutcome::Stored(message) | AppendOutcome::Replayed(message))) => {
                let bodies = [first, place].map(|at| entries[at].message.idempotency.as_ref().map(|own| own.body));
                if bodies[0] == bodies[1] {
                    AppendOutcome::Replayed(Arc::clone(message))
                } else {
                    AppendOutcome::Conflict
                }
            }
            _ => decide_one(place, &entry.message, facts),
        };
        if let (Some(scope), AppendOutcome::Stored(_) | AppendOutcome::Replayed(_)) = (scope(entry), &outcome) {
            firsts.entry(scope).or_insert(place);
        }
        outcomes.push(outcome);
    }
    outcomes
}

/// Decides what becomes of one message that repeats none of its batch.
fn decide_one(place: usize, message: &NewMessage, facts: &mut Facts) -> AppendOutcome {
    let Some(tenant) = facts.tenants.get_mut(&message.tenant) else { return AppendOutcome::RoomGone };
    let room = facts.rooms.get_mut(&message.room);
    let is_there = |room: &&mut RoomState| {
        room.tenant == message.tenant && room.expires_at.is_none_or(|expires_at| expires_at > message.judged_at)
    };
    let Some(room) = room.filter(is_there) else { return AppendOutcome::RoomGone };
    match &facts.earlier[place] {
        Some((true, Some(earlier))) => return AppendOutcome::Replayed(Arc::clone(earlier)),
        Some(_) => return AppendOutcome::Conflict,
        None => {}
    }
    if !facts.reply_known[place] {
        return AppendOutcome::UnknownReply;
    }
    let Caps { messages_per_room, bytes_per_tenant } = message.caps;
    if messages_per_room > 0 && room.head >= messages_per_room {
        return AppendOutcome::RoomFull;
    }
    let bytes = cost(message.content.as_str());
    if bytes_per_tenant > 0 && tenant.stored + tenant.added + bytes > bytes_per_tenant {
        return AppendOutcome::QuotaExceeded;
    }
    if message.sender_type == Kind::Agent
        && let Some(stop) = room.agents.stops(room.head, message.user)
    {
        let (agents, person_seq) = (room.agents.rules(room.head), room.agents.person_seq);
        return AppendOutcome::Stopped(stop, Box::new(StoppedAt { agents, person_seq }));
    }
    tenant.added += bytes;
    room.head += 1;
    room.agents.count(room.head, message.user, message.sender_type);
    AppendOutcome::Stored(Arc::new(Message {
        id: message.id,
        room_id: message.room,
        room_id_again: message.room,
        seq: room.head,
        tag: MessageTag::Message,
        user: message.user,
        sender: message.sender.as_str().to_owned(),
        sender_type: message.sender_type,
        content: message.content.as_str().to_owned(),
        reply_to: message.reply_to,
        created_at: message.created_at,
    }))
}

/// What a message counts in its tenant's quota.
fn cost(content: &str) -> u64 {
    content.len() as u64 + MESSAGE_OVERHEAD
}

/// The bytes of a tenant that is there.
macro_rules! tenant_query {
    () => {
        "SELECT stored_bytes FROM api_keys WHERE id = $1 AND deleted_at IS NULL"
    };
}
/// A room that is there.
macro_rules! room_query {
    () => {
        "SELECT key_id, number, head_seq, expires_at, agents_paused, agent_budget, agent_share, person_seq FROM rooms \
         WHERE id = $1 AND deleted_at IS NULL"
    };
}

/// Holds the tenants, then the rooms of a batch, in the order of their ids, and reads them.
async fn hold(conn: &mut Conn<'_>, entries: &[Entry]) -> Result<Facts, StoreError> {
    // SQLite has one writer: its transaction is the lock.
    let (tenants_sql, rooms_sql) = if conn.is_sqlite() {
        (tenant_query!(), room_query!())
    } else {
        (concat!(tenant_query!(), " FOR NO KEY UPDATE"), concat!(room_query!(), " FOR NO KEY UPDATE"))
    };
    let mut tenants: BTreeMap<TenantId, TenantState> = BTreeMap::new();
    let mut rooms = BTreeSet::new();
    for Entry { message, .. } in entries {
        tenants.entry(message.tenant).or_default();
        rooms.insert(message.room);
    }
    let sets: Vec<_> = tenants.keys().map(|tenant| params![tenant]).collect();
    let found = conn.one_of_many(tenants_sql, &sets, |row| row.count(0)).await?;
    let tenants = tenants.into_keys().zip(found);
    let tenants = tenants.filter_map(|(id, stored)| Some((id, TenantState { stored: stored?, added: 0 }))).collect();
    let sets: Vec<_> = rooms.iter().map(|room| params![room]).collect();
    let found = conn.one_of_many(rooms_sql, &sets, read_room_state).await?;
    let mut rooms = rooms.into_iter().zip(found).filter_map(|(id, state)| Some((id, state?))).collect();
    count_said(conn, entries, &mut rooms).await?;
    let earlier = find_earlier(conn, entries).await?;
    let reply_known = find_replies(conn, entries).await?;
    Ok(Facts { tenants, rooms, earlier, reply_known })
}

/// Reads what a batch needs of a room.
fn read_room_state(row: &Row<'_>) -> Result<RoomState, StoreError> {
    let head = row.count(2)?;
    let agents = AgentState {
        paused: row.flag(4)?,
        budget: row.count(5)?,
        share: row.count(6)?,
        person_seq: row.count(7)?,
        said: HashMap::new(),
    };
    let expires_at = row.time_or_null(3)?;
    Ok(RoomState { tenant: row.id(0)?, number: row.int(1)?, head, found_head: head, expires_at, agents })
}

/// Counts what each agent has said since a person spoke, in the rooms of the batch where that decides anything: a look
/// at as many messages as the budget, at most.
async fn count_said(
    conn: &mut Conn<'_>,
    entries: &[Entry],
    rooms: &mut BTreeMap<RoomId, RoomState>,
) -> Result<(), StoreError> {
    const SAID: &str = "SELECT user_id, COUNT(*) FROM messages WHERE room_id = $1 AND seq > $2 GROUP BY user_id";
    let mut of_agents: BTreeMap<RoomId, u64> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.message.sender_type == Kind::Agent) {
        *of_agents.entry(entry.message.room).or_default() += 1;
    }
    for (id, coming) in of_agents {
        let Some(room) = rooms.get_mut(&id) else { continue };
        let AgentState { budget, share, person_seq, .. } = room.agents;
        let used = room.agents.used(room.head);
        // Where all of them together stay below a share, each does.
        if share > 0 && used < budget && used + coming > share {
            let read = |row: &Row<'_>| Ok((row.id(0)?, row.count(1)?));
            room.agents.said = conn.rows(SAID, &params![id, person_seq], read).await?.into_iter().collect();
        }
    }
    Ok(())
}

/// What an idempotency key stands for: a message, and whether it was asked for in the same words.
const EARLIER: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", CASE WHEN i.body = $5 THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END FROM idempotency i \
     JOIN messages m ON m.id = i.message_id \
     WHERE i.room_id = $3 AND i.user_id = $2 AND i.client_id = $4 AND i.key_id = $1 AND i.created_at > $6"
);

/// Reads a row of [`EARLIER`].
fn read_earlier(row: &Row<'_>) -> Result<Earlier, StoreError> {
    let same = row.flag(9)?;
    Ok((same, if same { Some(Arc::new(read_message(row)?)) } else { None }))
}

impl Store {
    /// What became of a message that was sent before under this idempotency key, if it was.
    pub async fn find_repeat(
        &self,
        tenant: TenantId,
        room: RoomId,
        user: UserId,
        own: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<AppendOutcome>, StoreError> {
        let input = (tenant, room, user, own.clone(), now.minus(IDEMPOTENCY_KEPT));
        let found = self
            .read(input, |conn, (tenant, room, user, own, since)| {
                async move {
                    let key = own.key.as_str();
                    conn.one(EARLIER, &params![tenant, user, room, key, &own.body, *since], read_earlier).await
                }
                .boxed()
            })
            .await?;
        Ok(found.map(|(_, earlier)| earlier.map_or(AppendOutcome::Conflict, AppendOutcome::Replayed)))
    }
}

/// For each entry: whether its idempotency key stands for something, whether for the same body, and
/// the message.
async fn find_earlier(conn: &mut Conn<'_>, entries: &[Entry]) -> Result<Vec<Option<Earlier>>, StoreError> {
    let keyed: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| {
            let (tenant, user, room, _) = scope(entry)?;
            let own = entry.message.idempotency.as_ref()?;
            let since = entry.message.judged_at.minus(IDEMPOTENCY_KEPT);
            Some((place, tenant, user, room, own, since))
        })
        .collect();
    let sets: Vec<_> = keyed
        .iter()
        .map(|(_, tenant, user, room, own, since)| params![tenant, user, room, own.key.as_str(), &own.body, *since])
        .collect();
    let found = conn.one_of_many(EARLIER, &sets, read_earlier).await?;
    let mut earlier = vec![None; entries.len()];
    for ((place, ..), found) in keyed.iter().zip(found) {
        earlier[*place] = found;
    }
    Ok(earlier)
}

/// For each entry: whether the message that it answers stands in the same room, or it answers none.
async fn find_replies(conn: &mut Conn<'_>, entries: &[Entry]) -> Result<Vec<bool>, StoreError> {
    const SQL: &str = "SELECT seq FROM messages WHERE id = $1 AND room_id = $2";
    let replies: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| entry.message.reply_to.map(|reply_to| (place, reply_to, entry.message.room)))
        .collect();
    let sets: Vec<_> = replies.iter().map(|(_, reply_to, room)| params![reply_to, room]).collect();
    let found = conn.one_of_many(SQL, &sets, |_| Ok(())).await?;
    let mut known = vec![true; entries.len()];
    for ((place, ..), found) in replies.iter().zip(found) {
        known[*place] = found.is_some();
    }
    Ok(known)
}

/// Runs a whole batch in the caller's transaction; what became of each entry.
pub(crate) async fn write_batch(conn: &mut Conn<'_>, entries: &[Entry]) -> Result<Vec<AppendOutcome>, StoreError> {
    let mut facts = hold(conn, entries).await?;
    let outcomes = decide(entries, &mut facts);
    let stored: Vec<(&Entry, &Message)> = entries
        .iter()
        .zip(&outcomes)
        .filter_map(|(entry, outcome)| match outcome {
            AppendOutcome::Stored(message) => Some((entry, &**message)),
            _ => None,
        })
        .collect();
    count(conn, &facts).await?;
    insert_messages(conn, &stored, &facts).await?;
    keep_keys(conn, &stored).await?;
    keep_mentions(conn, &stored).await?;
    Ok(outcomes)
}

/// Moves the heads of the rooms and the bytes of the tenants.
async fn count(conn: &mut Conn<'_>, facts: &Facts) -> Result<(), StoreError> {
    const ROOMS: &str = "UPDATE rooms SET head_seq = $2, person_seq = $4 WHERE number = $1 AND head_seq = $3";
    const TENANTS: &str = "UPDATE api_keys SET stored_bytes = stored_bytes + $2 WHERE id = $1";
    let moved = facts.rooms.values().filter(|room| room.head > room.found_head);
    let sets: Vec<_> =
        moved.map(|room| params![room.number, room.head, room.found_head, room.agents.person_seq]).collect();
    if conn.execute_many(ROOMS, &sets).await? != sets.len() as u64 {
        return Err(StoreError::internal("a room's head moved while it was held"));
    }
    let sets: Vec<_> =
        facts.tenants.iter().filter(|(_, tenant)| tenant.added > 0).map(|(id, t)| params![id, t.added]).collect();
    conn.execute_many(TENANTS, &sets).await.map(drop)
}

/// Writes the messages and their full-text terms.
async fn insert_messages(conn: &mut Conn<'_>, stored: &[(&Entry, &Message)], facts: &Facts) -> Result<(), StoreError> {
    const SQLITE: &str = "INSERT INTO messages \
        (id, room_id, seq, user_id, sender, sender_type, content, reply_to, created_at, pk) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    const SQLITE_TERMS: &str = "INSERT INTO messages_fts (rowid, words) VALUES ($1, $2)";
    const POSTGRES: &str = "INSERT INTO messages \
        (id, room_id, seq, user_id, sender, sender_type, content, reply_to, created_at, words) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, array_to_tsvector($10))";
    if stored.is_empty() {
        return Ok(());
    }
    let number = |message: &Message| facts.rooms.get(&message.room_id).map_or(0, |room| room.number);
    if !conn.is_sqlite() {
        let terms = stored.iter().map(|(entry, message)| terms(number(message), message.seq, &entry.words));
        let terms: Vec<_> = terms.collect();
        let sets: Vec<_> =
            stored.iter().zip(&terms).map(|((_, message), terms)| row(message, Param::Words(terms))).collect();
        return conn.execute_many(POSTGRES, &sets).await.map(drop);
    }
    let newest = conn.one("SELECT COALESCE(MAX(pk), 0) FROM messages", &[], |row| row.int(0)).await?.unwrap_or(0);
    let sets: Vec<_> = stored.iter().zip(newest + 1..).map(|((_, message), pk)| row(message, Param::Int(pk))).collect();
    conn.execute_many(SQLITE, &sets).await?;
    let terms = stored.iter().map(|(entry, message)| terms_text(number(message), message.seq, &entry.words));
    let terms: Vec<_> = terms.collect();
    let sets: Vec<_> = (newest + 1..).zip(&terms).map(|(pk, terms)| params![pk, terms]).collect();
    conn.execute_many(SQLITE_TERMS, &sets).await.map(drop)
}

/// The parameters of a message, and the one that differs between the databases.
fn row<'p>(message: &'p Message, last: Param<'p>) -> [Param<'p>; 10] {
    let Message { id, room_id, seq, user, sender, sender_type, content, reply_to, created_at, .. } = message;
    let [id, room, seq, user, sender, kind, content, reply_to, created_at] =
        params![id, room_id, seq, user, sender, sender_type, content, reply_to, created_at];
    [id, room, seq, user, sender, kind, content, reply_to, created_at, last]
}

/// Keeps the idempotency keys of the messages; one that had run out is replaced.
async fn keep_keys(conn: &mut Conn<'_>, stored: &[(&Entry, &Message)]) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO idempotency (key_id, user_id, room_id, client_id, body, message_id, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (room_id, user_id, client_id, key_id) DO UPDATE SET \
        body = excluded.body, message_id = excluded.message_id, created_at = excluded.created_at";
    let sets: Vec<_> = stored
        .iter()
        .filter_map(|(entry, message)| {
            let own = entry.message.idempotency.as_ref()?;
            let tenant = &entry.message.tenant;
            let key = own.key.as_str();
            Some(params![tenant, message.user, message.room_id, key, &own.body, message.id, message.created_at])
        })
        .collect();
    conn.execute_many(SQL, &sets).await.map(drop)
}

/// Keeps whom the messages mention.
async fn keep_mentions(conn: &mut Conn<'_>, stored: &[(&Entry, &Message)]) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO mentions (user_id, room_id, seq) VALUES ($1, $2, $3) ON CONFLICT (user_id, room_id, seq) DO NOTHING";
    let sets: Vec<_> = stored
        .iter()
        .flat_map(|(entry, message)| {
            entry.message.mentions.iter().map(|user| params![user, message.room_id, message.seq])
        })
        .collect();
    conn.execute_many(SQL, &sets).await.map(drop)
}
