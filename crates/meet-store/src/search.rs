//! Full-text search in one room.
//!
//! Every indexed term begins with the number of its room, so that a search, that of a prefix too,
//! never touches a term of another room or tenant: its cost depends on the room alone. The terms
//! are made by [`crate::words`] on both databases; neither database's own tokeniser decides anything.

use futures_util::FutureExt;
use meet_api::{Message, RoomId, TenantId};

use crate::{
    Store, StoreError,
    conn::Conn,
    messages::{message_columns, read_message, room_is_there},
    value::params,
};

/// How many words of a search count.
pub const MAX_WORDS: usize = 8;

/// A search, as the operation takes it.
struct Search {
    tenant: TenantId,
    room: RoomId,
    words: Vec<String>,
    before_seq: Option<u64>,
    floor: u64,
    limit: u32,
}

/// The term under which a word of a room is indexed; no word holds an underscore.
pub(crate) fn term(room: i64, word: &str) -> String {
    format!("{room}_{word}")
}

/// The terms of a room's words as the text that FTS5 takes apart at its spaces.
pub(crate) fn terms_text(room: i64, words: &[String]) -> String {
    let scope = term(room, "");
    let mut text = String::with_capacity(words.iter().map(|word| word.len() + scope.len() + 1).sum());
    for word in words {
        text.push_str(&scope);
        text.push_str(word);
        text.push(' ');
    }
    text
}

/// The words as a query of FTS5: each quoted, all needed, the last one a prefix.
fn sqlite_query(room: i64, words: &[String]) -> String {
    let terms: Vec<_> = words.iter().map(|word| format!("\"{}\"", term(room, word))).collect();
    format!("{}*", terms.join(" AND "))
}

/// The words as a `tsquery`: each quoted, all needed, the last one a prefix.
fn postgres_query(room: i64, words: &[String]) -> String {
    let terms: Vec<_> = words.iter().map(|word| format!("'{}'", term(room, word))).collect();
    format!("{}:*", terms.join(" & "))
}

/// Whether a text could come from [`crate::words`]: it holds nothing that either query language
/// could take for its own.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_alphanumeric())
}

/// Runs a search where the room is.
async fn run(conn: &mut Conn<'_>, search: &Search) -> Result<Vec<Message>, StoreError> {
    const ROOM: &str = "SELECT number FROM rooms WHERE key_id = $1 AND id = $2 AND deleted_at IS NULL";
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
    const POSTGRES: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM messages m WHERE m.room_id = $2 AND m.words @@ CAST(CAST($3 AS TEXT) AS TSQUERY) AND m.seq < $4 \
         AND m.seq > $5 AND ",
        room_is_there!(),
        " ORDER BY m.seq DESC LIMIT $6"
    );
    let Some(room) = conn.one(ROOM, &params![search.tenant, search.room], |row| row.int(0)).await? else {
        return Ok(Vec::new());
    };
    let (sql, query) = if conn.is_sqlite() {
        (SQLITE, sqlite_query(room, &search.words))
    } else {
        (POSTGRES, postgres_query(room, &search.words))
    };
    let before = search.before_seq.unwrap_or(u64::MAX);
    let values = params![search.tenant, search.room, &query, before, search.floor, search.limit];
    conn.rows(sql, &values, read_message).await
}

impl Store {
    /// The newest messages of a room that hold all of the words, the last of which may be the
    /// beginning of one. Of more than [`MAX_WORDS`] words the first count; no word, or a text that
    /// [`crate::words`] would not make, finds nothing.
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
