//! The schema of each dialect, and bringing a database up to it.
//!
//! A database that a newer version wrote is refused before anything is written to it.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension};
use tokio_postgres::Client;

use crate::{OpenError, StoreError};

/// Marks a file of SQLite as ours ("meet" in ASCII).
pub(crate) const APPLICATION_ID: i64 = 0x6d65_6574;

/// The migrations of SQLite.
mod sqlite {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The migrations of Postgres.
mod postgres {
    refinery::embed_migrations!("migrations/postgres");
}

/// Whoever migrates a Postgres holds this advisory lock.
const MIGRATION_LOCK: i64 = 0x6d65_6574_6169;

/// The newest schema that this program knows, the same number for both dialects.
pub(crate) fn newest() -> u32 {
    let versions = sqlite::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max();
    versions.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
}

/// Refuses a schema that is newer than this program.
fn refuse_newer(found: u32) -> Result<(), OpenError> {
    let known = newest();
    if found > known { Err(OpenError::NewerSchema { found, known }) } else { Ok(()) }
}

/// Refuses a schema that is any other than this program's.
fn refuse_other(found: u32) -> Result<(), OpenError> {
    let known = newest();
    if found < known { Err(OpenError::OlderSchema { found, known }) } else { refuse_newer(found) }
}

/// A version as a number; none is 0.
fn number(version: Option<i64>) -> u32 {
    version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
}

/// The schema of a file of SQLite; `None` when it holds nothing of ours.
fn found_in_sqlite(conn: &Connection) -> Result<Option<u32>, OpenError> {
    const TABLE: &str = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    const VERSION: &str = "SELECT MAX(version) FROM refinery_schema_history";
    let read = || -> rusqlite::Result<Option<u32>> {
        if conn.query_row(TABLE, [], |_| Ok(())).optional()?.is_none() {
            return Ok(None);
        }
        conn.query_row(VERSION, [], |row| row.get(0)).map(|version| Some(number(version)))
    };
    Ok(read().map_err(StoreError::from)?)
}

/// The schema of a Postgres; `None` when it holds nothing of ours.
pub(crate) async fn found_in_postgres(client: &Client) -> Result<Option<u32>, OpenError> {
    const TABLE: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    const VERSION: &str = "SELECT CAST(MAX(version) AS BIGINT) FROM refinery_schema_history";
    let known: bool = client.query_one(TABLE, &[]).await.map_err(StoreError::from)?.get(0);
    if !known {
        return Ok(None);
    }
    Ok(Some(number(client.query_one(VERSION, &[]).await.map_err(StoreError::from)?.get(0))))
}

/// Refuses a file of SQLite whose schema is newer than this program; writes nothing.
pub(crate) fn check_sqlite(conn: &Connection) -> Result<(), OpenError> {
    refuse_newer(found_in_sqlite(conn)?.unwrap_or(0))
}

/// Refuses a file of SQLite that is not up to date; writes nothing.
pub(crate) fn check_existing_sqlite(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = found_in_sqlite(conn)?;
    refuse_other(found.ok_or_else(|| OpenError::NothingThere { place: path.display().to_string() })?)
}

/// Refuses a Postgres that is not up to date; writes nothing.
pub(crate) async fn check_existing_postgres(client: &Client) -> Result<(), OpenError> {
    let found = found_in_postgres(client).await?;
    refuse_other(found.ok_or_else(|| OpenError::NothingThere { place: "MEET_AI_DATABASE_URL".to_owned() })?)
}

/// Brings a file of SQLite up to date.
pub(crate) fn migrate_sqlite(conn: &mut Connection) -> Result<(), OpenError> {
    let run = sqlite::migrations::runner().set_grouped(true).run(conn);
    run.map_err(|error| OpenError::Migration { source: Arc::new(error) })?;
    let mark = conn.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0));
    if mark.map_err(StoreError::from)? != APPLICATION_ID {
        conn.pragma_update(None, "application_id", APPLICATION_ID).map_err(StoreError::from)?;
    }
    Ok(())
}

/// Brings a Postgres up to date; of several processes that try at once, one does it.
pub(crate) async fn migrate_postgres(client: &mut Client) -> Result<(), OpenError> {
    let failed = |error: tokio_postgres::Error| OpenError::Store(error.into());
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(failed)?;
    refuse_newer(found_in_postgres(client).await?.unwrap_or(0))?;
    let run = postgres::migrations::runner().set_grouped(true).run_async(client).await;
    run.map_err(|error| OpenError::Migration { source: Arc::new(error) })?;
    client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await.map_err(failed)?;
    Ok(())
}
