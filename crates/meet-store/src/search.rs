//! Full-text search in one room.
//!
//! Every indexed term begins with the number of its room and of a block of its messages. So a search,
//! that of a prefix too, never touches a term of another room or tenant, and one for a common word
//! ends in the newest block, however long the room is. The terms are made by [`crate::words()`] on both
//! databases; neither database's own tokeniser decides anything.

use futures_util::FutureExt;
use meet_api::{Message, RoomId, TenantId};

use crate::{
    Store, StoreError,
    conn::Conn,
    messages::{message_columns, read_message, room_is_there},
    value::{Row, params},
};

/// How many words of a search count.
const MAX_WORDS: usize = 8;
/// How many bytes of content are found: the message that reaches them is the last one.
const MAX_BYTES: usize = 1024 * 1024;

/// How many messages of a room are indexed together.
const BLOCK: u64 = 16_384;

/// A search, as the operation takes it.
struct Search {
    tenant: TenantId,
    room: RoomId,
    words: Vec<String>,
    before_seq: Option<u64>,
    floor: u64,
    limit: u32,
}

/// What the terms of a message begin with; no word holds an underscore.
fn scope(room: i64, seq: u64) -> String {
    format!("{room}_{}_", seq / BLOCK)
}

/// The terms under which the words of a message are indexed.
pub(crate) fn terms(room: i64, seq: u64, words: &[String]) -> Vec<String> {
    let scope = scope(room, seq);
    words.iter().map(|word| [scope.as_str(), word].concat()).collect()
}

/// The same terms as the text that FTS5 takes apart at its spaces.
pub(crate) fn terms_text(room: i64, seq: u64, words: &[String]) -> String {
    let scope = scope(room, seq);
    let mut text = String::with_capacity(words.iter().map(|word| scope.len() + word.len() + 1).sum());
    for word in words {
        text.push_str(&scope);
        text.push_str(word);
        text.push(' ');
    }
    text
}

/// The words as a query of FTS5: each quoted, all needed, the last one a prefix.
fn sqlite_query(room: i64, seq: u64, words: &[String]) -> String {
    format!("\"{}\"*", terms(room, seq, words).join("\" AND \""))
}

/// The words as a `tsquery`: each quoted, all needed, the last one a prefix.
fn postgres_query(room: i64, seq: u64, words: &[String]) -> String {
    format!("'{}':*", terms(room, seq, words).join("' & '"))
}

/// Whether a text could come from [`crate::words()`]: it holds nothing that either query language
/// could take for its own.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_alphanumeric())
}

/// Runs a search where the room is, block by block from the newest.
async fn run(conn: &mut Conn<'_>, search: &Search) -> Result<Vec<Message>, StoreError> {
    const ROOM: &str = "SELECT number, head_seq FROM rooms WHERE key_id = $1 AND id = $2 AND deleted_at IS NULL";
    let read = |row: &Row<'_>| Ok((row.int(0)?, row.count(1)?));
    let Some((room, head)) = conn.one(ROOM, &params![search.tenant, search.room], read).await? else {
        return Ok(Vec::new());
    };
    let mut found = Found::default();
    let mut before = search.before_seq.unwrap_or(u64::MAX).min(head.saturating_add(1));
    while before > search.floor + 1 && !found.is_enough(search.limit) {
        run_block(conn, search, room, before, &mut found).await?;
        // The block of the message before `before` is done; the next one ends where it begins.
        before = (before - 1) / BLOCK * BLOCK;
    }
    Ok(found.messages)
}

/// What a search has found so far.
#[derive(Default)]
struct Found {
    messages: Vec<Message>,
    bytes: usize,
}

impl Found {
    fn is_enough(&self, limit: u32) -> bool {
        self.messages.len() >= limit as usize || self.bytes >= MAX_BYTES
    }
}

/// Searches a block in SQLite. The rows of a room have rising keys with rising seq, so bounds on seq are
/// bounds on the index.
const SQLITE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages_fts f CROSS JOIN messages m ON m.pk = f.rowid WHERE f.messages_fts MATCH $3 \
     AND f.rowid < COALESCE((SELECT b.pk FROM messages b WHERE b.room_id = $2 AND b.seq >= $4 \
     ORDER BY b.seq LIMIT 1), 9223372036854775807) \
     AND f.rowid > COALESCE((SELECT a.pk FROM messages a WHERE a.room_id = $2 AND a.seq <= $5 \
     ORDER BY a.seq DESC LIMIT 1), 0) AND ",
    room_is_there!(),
    " ORDER BY f.rowid DESC LIMIT $6"
);

/// Searches a block in Postgres. The words come first and apart, so that their index is what is searched,
/// and not the room's from its end.
const POSTGRES: &str = concat!(
    "WITH m AS MATERIALIZED (SELECT * FROM messages WHERE words @@ CAST(CAST($3 AS TEXT) AS TSQUERY)) SELECT ",
    message_columns!(),
    " FROM m WHERE m.room_id = $2 AND m.seq < $4 AND m.seq > $5 AND ",
    room_is_there!(),
    " ORDER BY m.seq DESC LIMIT $6"
);

/// Searches the block that ends right before a `seq`.
async fn run_block(
    conn: &mut Conn<'_>,
    search: &Search,
    room: i64,
    before: u64,
    found: &mut Found,
) -> Result<(), StoreError> {
    let (sql, query) = if conn.is_sqlite() {
        (SQLITE, sqlite_query(room, before - 1, &search.words))
    } else {
        (POSTGRES, postgres_query(room, before - 1, &search.words))
    };
    let limit = search.limit - u32::try_from(found.messages.len()).unwrap_or(search.limit);
    conn.rows_until(sql, &params![search.tenant, search.room, &query, before, search.floor, limit], |row| {
        let message = read_message(row)?;
        found.bytes += message.content.len();
        found.messages.push(message);
        Ok(found.is_enough(search.limit))
    })
    .await
}

impl Store {
    /// The newest messages of a room that hold all of the words, the last of which may be the
    /// beginning of one. Of more than eight words the first count; no word, or a text that
    /// [`crate::words()`] would not make, finds nothing.
    ///
    /// At most `limit` are found, and fewer when they are long: no more than the one with which their
    /// content reaches a mebibyte.
    ///
    /// Only messages with `floor < seq < before_seq` are found. `Interrupted` when it takes too long.
    pub async fn search(
        &self,
        tenant: TenantId,
        room: RoomId,
        words: &[String],
        before_seq: Option<u64>,
        floor: u64,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        if words.is_empty() || limit == 0 || !words.iter().all(|word| is_word(word)) {
            return Ok(Vec::new());
        }
        let words = words.iter().take(MAX_WORDS).cloned().collect();
        let search = Search { tenant, room, words, before_seq, floor, limit };
        self.search_for(search, |conn, search| run(conn, search).boxed()).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use meet_api::{
        Kind, Media, MessageId, Timestamp, UserId, Visibility,
        text::{Content, RoomName, UserName},
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        Caps, Created, Location, NewMessage, NewRoom, NewTenant, SecretUrl, TenantKind,
        batch::{Entry, write_batch},
        postgres::{Postgres, tests::server},
        sqlite::{FILE, open_reader},
        words,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    /// How many messages others write.
    const FOREIGN: u64 = 10_000;

    /// A tenant with one room in which the same is said over and over.
    async fn talk(store: &Store, tenant: TenantId, count: u64) -> RoomId {
        let new = NewTenant { id: tenant, kind: TenantKind::Key, key: None, created_at: NOW };
        store.create_tenant(new).await.unwrap();
        let room = NewRoom {
            id: RoomId::from_uuid(Uuid::from_u128(tenant.uuid().as_u128() + 1)),
            name: RoomName::parse("plaza").unwrap(),
            visibility: Visibility::Private,
            media: Media::Audio,
            bot_enabled: false,
            listed: false,
            epoch: "e".into(),
            created_at: NOW,
            expires_at: None,
            agent_budget: 0,
            agent_share: 0,
        };
        let Created::Room(room, _) = store.create_room(tenant, room, None).await.unwrap() else { panic!("no room") };
        let message = |n: u64| NewMessage {
            id: MessageId::from_uuid(Uuid::from_u128(tenant.uuid().as_u128() + 2 + u128::from(n))),
            tenant,
            room: room.room.id,
            user: UserId::from_uuid(tenant.uuid()),
            sender: UserName::parse("sender", "ann").unwrap(),
            sender_type: Kind::Human,
            content: Content::parse(format!("needle {}", n % 10), 100).unwrap(),
            reply_to: None,
            idempotency: None,
            created_at: NOW,
            judged_at: NOW,
            mentions: Vec::new(),
            caps: Caps::default(),
        };
        let entry = |n| Entry { message: message(n), words: words(&format!("needle {}", n % 10)) };
        let entries: Vec<_> = (0..count).map(entry).collect();
        store.write(entries, |conn, all| async move { write_batch(conn, all).await.map(drop) }.boxed()).await.unwrap();
        room.room.id
    }

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number << 32))
    }

    fn search_in(room: RoomId) -> Search {
        let (words, tenant) = (vec!["needle".into(), "7".into()], tenant(1));
        Search { tenant, room, words, before_seq: None, floor: 0, limit: 50 }
    }

    #[tokio::test]
    async fn what_others_have_said_costs_a_search_nothing_in_sqlite() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Sqlite(directory.path().to_owned())).await.unwrap();
        let room = talk(&store, tenant(1), 500).await;
        let steps = || {
            let steps = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&steps);
            let mut conn = open_reader(&directory.path().join(FILE)).unwrap();
            let count = move || {
                counter.fetch_add(1, Ordering::Relaxed);
                false
            };
            conn.progress_handler(1, Some(count)).unwrap();
            let found = run(&mut Conn::Sqlite(&mut conn), &search_in(room)).now_or_never().unwrap().unwrap();
            assert_eq!(found.iter().filter(|message| message.room_id == room).count(), 50);
            steps.load(Ordering::Relaxed)
        };
        let alone = steps();
        talk(&store, tenant(2), FOREIGN).await;
        let among_others = steps();
        // The index has a few more levels, and not a step for each message.
        assert!(among_others < alone + FOREIGN / 20, "{alone} steps alone, {among_others} among others");
        store.close().await;
    }

    /// The rows that each step of a plan has given on or thrown away, all together.
    fn visited(plan: &[String]) -> f64 {
        let number = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
            text[..end].parse::<f64>().unwrap()
        };
        let of_line = |line: &String| {
            let given = line.split_once("actual rows=").map(|(_, given)| given);
            let given = given.map(|given| number(given) * number(given.split_once("loops=").unwrap().1));
            let removed = line.split_once("Rows Removed by ").map(|(_, removed)| removed.split_once(": ").unwrap().1);
            given.unwrap_or(0.0) + removed.map_or(0.0, number)
        };
        plan.iter().map(of_line).sum()
    }

    /// What Postgres does for a search, as it says itself.
    async fn explain(store: &Store, room: RoomId) -> Vec<String> {
        let plan = store.read(search_in(room), |conn, search| {
            async move {
                conn.execute("ANALYZE messages", &[]).await?;
                let sql = format!("EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF) {POSTGRES}");
                let query = postgres_query(1, 1, &search.words);
                let values = params![search.tenant, search.room, &query, 1000_u64, search.floor, search.limit];
                conn.rows(&sql, &values, |row| Ok(row.text(0)?.to_owned())).await
            }
            .boxed()
        });
        plan.await.unwrap()
    }

    #[tokio::test]
    async fn what_others_have_said_costs_a_search_nothing_in_postgres() {
        let Some(url) = server() else { return };
        let name = format!("meet_ai_search_{}", std::process::id());
        let client = Postgres::connect(&SecretUrl::new(url.clone())).unwrap().patient_client().await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (start, _) = url.rsplit_once('/').unwrap();
        let store = Store::open(&Location::Postgres(SecretUrl::new(format!("{start}/{name}")))).await.unwrap();
        let room = talk(&store, tenant(1), 500).await;
        let alone = explain(&store, room).await;
        talk(&store, tenant(2), FOREIGN).await;
        let among_others = explain(&store, room).await;
        assert!(visited(&alone) > 50.0, "{alone:#?}");
        assert!(visited(&among_others) <= visited(&alone), "{alone:#?} {among_others:#?}");
        store.close().await;
        client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }
}
