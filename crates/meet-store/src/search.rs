//! Full-text search in one room.
//!
//! Every indexed term begins with the number of its room and of a block of its messages. So a search,
//! that of a prefix too, never touches a term of another room or tenant, and one for a common word
//! ends in the newest block, however long the room is. The terms are made by [`crate::words()`] on both databases; neither database's own tokeniser decides anything.

use futures_util::FutureExt;
use meet_api::{Message, RoomId, TenantId};

use crate::{
    Store, StoreError,
    conn::Conn,
    messages::{message_columns, read_message, room_is_there},
    value::{Row, params},
};

/// How many words of a search count.
pub const MAX_WORDS: usize = 8;

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
    let mut found = Vec::new();
    let mut before = search.before_seq.unwrap_or(u64::MAX).min(head.saturating_add(1));
    while before > search.floor + 1 && found.len() < search.limit as usize {
        let rest = search.limit - u32::try_from(found.len()).unwrap_or(search.limit);
        found.extend(run_block(conn, search, room, before, rest).await?);
        // The block of the message before `before` is done; the next one ends where it begins.
        before = (before - 1) / BLOCK * BLOCK;
    }
    Ok(found)
}

/// Searches the block that ends right before a `seq`.
async fn run_block(
    conn: &mut Conn<'_>,
    search: &Search,
    room: i64,
    before: u64,
    limit: u32,
) -> Result<Vec<Message>, StoreError> {
    // The rows of a room have rising keys with rising seq, so bounds on seq are bounds on the index.
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
    // Apart, so that the index of the words is what is searched, and not the room's from its end.
    const POSTGRES: &str = concat!(
        "WITH m AS MATERIALIZED (SELECT * FROM messages WHERE words @@ CAST(CAST($3 AS TEXT) AS TSQUERY)) SELECT ",
        message_columns!(),
        " FROM m WHERE m.room_id = $2 AND m.seq < $4 AND m.seq > $5 AND ",
        room_is_there!(),
        " ORDER BY m.seq DESC LIMIT $6"
    );
    let (sql, query) = if conn.is_sqlite() {
        (SQLITE, sqlite_query(room, before - 1, &search.words))
    } else {
        (POSTGRES, postgres_query(room, before - 1, &search.words))
    };
    conn.rows(sql, &params![search.tenant, search.room, &query, before, search.floor, limit], read_message).await
}

impl Store {
    /// The newest messages of a room that hold all of the words, the last of which may be the
    /// beginning of one. Of more than [`MAX_WORDS`] words the first count; no word, or a text that
    /// [`crate::words()`] would not make, finds nothing.
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
