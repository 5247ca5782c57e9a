//! Copying what a backup keeps between Postgres and a file of SQLite, slice by slice.
//!
//! One transaction on each side: a snapshot when reading, all or nothing when writing.

use std::{collections::HashMap, path::Path};

use deadpool_postgres::Transaction;
use meet_api::Timestamp;
use rusqlite::{Connection, types::Value};
use tokio_postgres::{IsolationLevel, types::ToSql};

use crate::{
    BackupError, SecretUrl, StoreError, Summary,
    backup::{blocking, renew},
    conn::Conn,
    files,
    postgres::Postgres,
    schema,
    search::terms,
    value::{Bind, Param, Row},
    words::words,
};

/// How many rows are in memory at once.
const SLICE: i32 = 500;

/// The tables that a backup keeps, those that others refer to first, with all columns that both
/// dialects have.
const TABLES: [(&str, &[&str]); 7] = [
    (
        "api_keys",
        &["id", "kind", "key_hash", "prefix", "generation", "created_at", "last_used", "deleted_at", "stored_bytes"],
    ),
    ("users", &["id", "key_id", "name", "folded", "kind", "guest", "created_at", "status", "about"]),
    ("counters", &["key_id", "name", "started_at", "count"]),
    (
        "rooms",
        &[
            "id",
            "number",
            "key_id",
            "name",
            "visibility",
            "media",
            "bot_enabled",
            "listed",
            "public_from",
            "head_seq",
            "epoch",
            "created_at",
            "expires_at",
            "deleted_at",
            "agent_budget",
            "agent_share",
            "agents_paused",
            "person_seq",
        ],
    ),
    ("read_marks", &["user_id", "room_id", "seq"]),
    ("mentions", &["user_id", "room_id", "seq"]),
    ("messages", &["id", "room_id", "content", "seq", "user_id", "sender", "sender_type", "reply_to", "created_at"]),
];
/// Where a message's room, content and seq stand in its columns, and a room's id and number in theirs.
const ROOM_ID: usize = 1;
const CONTENT: usize = 2;
const SEQ: usize = 3;
const ID: usize = 0;
const NUMBER: usize = 1;

/// The numbers of the rooms by their ids.
type Numbers = HashMap<String, i64>;

/// A row on its way.
type Values = Vec<Value>;

/// The text in a column.
fn text(row: &[Value], column: usize) -> &str {
    match row.get(column) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// Remembers the number of a room.
fn note_number(table: &str, row: &[Value], numbers: &mut Numbers) {
    if let ("rooms", Some(Value::Integer(number))) = (table, row.get(NUMBER)) {
        numbers.insert(text(row, ID).to_owned(), *number);
    }
}

/// The full-text terms of a message.
fn terms_of(row: &[Value], numbers: &Numbers) -> Vec<String> {
    let number = numbers.get(text(row, ROOM_ID)).copied().unwrap_or(0);
    let seq = if let Some(Value::Integer(seq)) = row.get(SEQ) { u64::try_from(*seq).unwrap_or(0) } else { 0 };
    terms(number, seq, &words(text(row, CONTENT)))
}

/// A row as parameters, without what stands behind its columns.
fn values<'r>(row: &'r [Value], columns: &[&str]) -> Vec<Param<'r>> {
    row.iter().take(columns.len()).map(Bind::param).collect()
}

/// `$1, $2, …`
fn places(count: usize) -> String {
    (1..=count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// Writes a snapshot of a Postgres to a new file of SQLite.
pub(crate) async fn from_postgres(url: &SecretUrl, file: &Path) -> Result<(), BackupError> {
    let postgres = Postgres::open_existing(url).await?;
    let path = file.to_owned();
    let mut conn = blocking(move || {
        let _ = files::remove_database(&path);
        files::private_file(&path, true)
            .map_err(|source| BackupError::File { path: path.clone(), source: std::sync::Arc::new(source) })?;
        let mut conn = Connection::open(&path).map_err(StoreError::from)?;
        // Synced as a whole when it is finished, and removed when it is not.
        conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").map_err(StoreError::from)?;
        schema::migrate_sqlite(&mut conn)?;
        conn.execute_batch("BEGIN").map_err(StoreError::from)?;
        Ok(conn)
    })
    .await?;
    let mut client = postgres.patient_client().await?;
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = snapshot.start().await.map_err(StoreError::from)?;
    let mut numbers = Numbers::new();
    for (table, columns) in TABLES {
        (conn, numbers) = read_table(&snapshot, table, columns, conn, numbers).await?;
    }
    snapshot.commit().await.map_err(StoreError::from)?;
    blocking(move || {
        conn.execute_batch("COMMIT").map_err(StoreError::from)?;
        conn.close().map_err(|(_, error)| StoreError::from(error).into())
    })
    .await
}

/// Copies one table of a snapshot.
async fn read_table(
    snapshot: &Transaction<'_>,
    table: &'static str,
    columns: &'static [&'static str],
    mut conn: Connection,
    mut numbers: Numbers,
) -> Result<(Connection, Numbers), BackupError> {
    let order = if table == "messages" { " ORDER BY room_id, seq" } else { "" };
    let sql = format!("SELECT {} FROM {table}{order}", columns.join(", "));
    let nothing: [&(dyn ToSql + Sync); 0] = [];
    let portal = snapshot.bind(sql.as_str(), &nothing).await.map_err(StoreError::from)?;
    loop {
        let rows = snapshot.query_portal(&portal, SLICE).await.map_err(StoreError::from)?;
        if rows.is_empty() {
            return Ok((conn, numbers));
        }
        let slice = rows
            .iter()
            .map(|row| (0..columns.len()).map(|column| Row::Postgres(row).value(column)).collect())
            .collect::<Result<Vec<Values>, StoreError>>()?;
        (conn, numbers) = blocking(move || {
            write_slice(&conn, table, columns, &slice, &mut numbers)?;
            Ok((conn, numbers))
        })
        .await?;
    }
}

/// Writes rows to the file of SQLite, messages with their full-text terms.
fn write_slice(
    conn: &Connection,
    table: &str,
    columns: &[&str],
    slice: &[Values],
    numbers: &mut Numbers,
) -> Result<(), StoreError> {
    let places: Vec<_> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    let sql = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places.join(", "));
    let mut insert = conn.prepare_cached(&sql)?;
    let mut index = conn.prepare_cached("INSERT INTO messages_fts (rowid, words) VALUES (?1, ?2)")?;
    for row in slice {
        insert.execute(rusqlite::params_from_iter(row))?;
        note_number(table, row, numbers);
        if table == "messages" {
            index.execute((conn.last_insert_rowid(), terms_of(row, numbers).join(" ")))?;
        }
    }
    Ok(())
}

/// Fills an empty Postgres from a file of SQLite that has this program's schema, and renews it.
pub(crate) async fn to_postgres(
    mut conn: Connection,
    url: &SecretUrl,
    mut fresh: impl FnMut() -> String + Send,
    now: Timestamp,
) -> Result<Summary, BackupError> {
    const SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence('rooms', 'number'), \
                            CAST(COALESCE(MAX(number), 0) + 1 AS BIGINT), false) FROM rooms";
    let postgres = Postgres::connect(url)?;
    let mut client = postgres.patient_client().await?;
    // What is full is refused before its schema is touched.
    if schema::found_in_postgres(&client).await?.is_some() {
        let held = client.query_opt("SELECT 1 FROM api_keys LIMIT 1", &[]).await.map_err(StoreError::from)?;
        if held.is_some() {
            return Err(BackupError::NotEmpty);
        }
    }
    schema::migrate_postgres(&mut client).await?;
    let transaction = client.transaction().await.map_err(StoreError::from)?;
    let mut target = Conn::Transaction(&transaction);
    // Two that restore at once, or a server that starts meanwhile, would each see it empty.
    target.execute("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE", &[]).await?;
    if target.one("SELECT id FROM api_keys LIMIT 1", &[], |_| Ok(())).await?.is_some() {
        return Err(BackupError::NotEmpty);
    }
    let mut summary = Summary::default();
    let mut numbers = Numbers::new();
    for (table, columns) in TABLES {
        let mut last = 0;
        loop {
            let slice;
            (conn, slice) = blocking(move || {
                let slice = read_slice(&conn, table, columns, last)?;
                Ok((conn, slice))
            })
            .await?;
            let Some(Value::Integer(newest)) = slice.last().and_then(|row| row.last()) else { break };
            last = *newest;
            insert_slice(&mut target, table, columns, &slice, &mut numbers).await?;
            let count = slice.len() as u64;
            match table {
                "api_keys" => summary.tenants += count,
                "rooms" => summary.rooms += count,
                "messages" => summary.messages += count,
                _ => {}
            }
        }
    }
    target.one(SEQUENCE, &[], |_| Ok(())).await?;
    renew(&mut target, &mut fresh, now).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(summary)
}

/// The next rows of a table, each with its key at the end.
fn read_slice(conn: &Connection, table: &str, columns: &[&str], last: i64) -> Result<Vec<Values>, StoreError> {
    let columns = columns.join(", ");
    let sql = format!("SELECT {columns}, rowid FROM {table} WHERE rowid > ?1 ORDER BY rowid LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let width = statement.column_count();
    let rows = statement.query_map((last, SLICE), |row| (0..width).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Writes rows to Postgres, messages with their full-text terms.
async fn insert_slice(
    target: &mut Conn<'_>,
    table: &str,
    columns: &[&str],
    slice: &[Values],
    numbers: &mut Numbers,
) -> Result<(), StoreError> {
    if table != "messages" {
        for row in slice {
            note_number(table, row, numbers);
        }
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places(columns.len()));
        let sets: Vec<_> = slice.iter().map(|row| values(row, columns)).collect();
        return target.execute_many(&sql, &sets).await.map(drop);
    }
    let sql = format!(
        "INSERT INTO messages ({}, words) VALUES ({}, array_to_tsvector(${}))",
        columns.join(", "),
        places(columns.len()),
        columns.len() + 1
    );
    let terms: Vec<_> = slice.iter().map(|row| terms_of(row, numbers)).collect();
    let sets: Vec<_> = slice
        .iter()
        .zip(&terms)
        .map(|(row, terms)| values(row, columns).into_iter().chain([Param::Words(terms)]).collect::<Vec<_>>())
        .collect();
    target.execute_many(&sql, &sets).await.map(drop)
}
