//! Backups, one format for both databases: a file of SQLite with the schema of this program.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use meet_api::{RoomId, Timestamp};
use rusqlite::{Connection, OpenFlags};

use crate::{Location, OpenError, StoreError, conn::Conn, copy, files, schema, sqlite, value::params};

/// What a backup or a restored database holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many tenants.
    pub tenants: u64,
    /// How many rooms.
    pub rooms: u64,
    /// How many messages.
    pub messages: u64,
    /// How many bytes the backup's file has.
    pub bytes: u64,
}

/// A backup cannot be made or restored: one sentence, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackupError {
    /// The file to be written is there already.
    #[error("{} is there already: name another file, or remove it first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file's name cannot be told to SQLite.
    #[error("{} is not a name in UTF-8: choose another place", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// There is no database to back up.
    #[error("there is no database at {}: name the server's data directory with --data-dir", path.display())]
    NothingThere {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is no backup.
    #[error("{} is not a backup of meet-ai", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// The file was a backup, and is damaged.
    #[error("{} is damaged: use another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The backup was made by a later version.
    #[error(
        "the backup has schema {found}, and this version of meet-ai knows none above {known}: use the version that made it"
    )]
    NewerSchema {
        /// The schema of the backup.
        found: u32,
        /// The newest schema that this program knows.
        known: u32,
    },
    /// The database to restore into holds something.
    #[error(
        "the database is not empty: restore into a new data directory or an empty database, or move the old one away first"
    )]
    NotEmpty,
    /// A file could not be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed in the midst of it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes a backup of the database to a new file that only its owner can read, beside a running
/// server.
///
/// From SQLite it is a compact copy; from Postgres one snapshot, without sessions, invites,
/// idempotency keys, calls and the names of quick rooms, which no restored database keeps.
pub async fn backup(location: &Location, file: &Path) -> Result<Summary, BackupError> {
    if file.exists() {
        return Err(BackupError::Exists { path: file.to_owned() });
    }
    let unfinished = files::unfinished(file);
    let written = match location {
        Location::Sqlite(directory) => {
            let (source, target) = (directory.join(sqlite::FILE), unfinished.clone());
            blocking(move || {
                if !source.exists() {
                    return Err(BackupError::NothingThere { path: source });
                }
                vacuum(&open_existing(&source)?, &target)
            })
            .await
        }
        Location::Postgres(url) => copy::from_postgres(url, &unfinished).await,
    };
    let finish = (file.to_owned(), unfinished.clone());
    let summary = match written {
        Ok(()) => blocking(move || summarise_and_place(&finish.1, &finish.0)).await,
        Err(error) => Err(error),
    };
    if summary.is_err() {
        // What is left of it is of no use to anyone.
        let _ = files::remove_database(&unfinished);
    }
    summary
}

/// Makes an empty or absent database from a backup. `fresh` gives the rooms their new epochs.
///
/// The copy is made beside its place, for Postgres beside the backup. Sessions, invites,
/// idempotency keys, calls and quick rooms are gone, generations have moved on, and the copy says
/// when it was restored. A database that holds a tenant is refused: move it away first.
pub async fn restore(
    location: &Location,
    file: &Path,
    fresh: impl FnMut() -> String + Send + 'static,
    now: Timestamp,
) -> Result<Summary, BackupError> {
    let place = match location {
        Location::Sqlite(directory) => directory.join(sqlite::FILE),
        Location::Postgres(_) => file.to_owned(),
    };
    let unfinished = files::unfinished(&place);
    let (source, target, local) = (file.to_owned(), unfinished.clone(), matches!(location, Location::Sqlite(_)));
    let placed = place.clone();
    let prepared = blocking(move || {
        if local {
            refuse_full(&placed)?;
            let directory = files::directory_of(&placed);
            files::make_private_directory(directory).map_err(file_error(directory))?;
        }
        check_backup(&source)?;
        vacuum(&open_existing(&source)?, &target)?;
        Ok(sqlite::open_file(&target)?)
    });
    let restored = match (prepared.await, location) {
        (Err(error), _) => Err(error),
        (Ok(conn), Location::Postgres(url)) => copy::to_postgres(conn, url, fresh, now).await,
        (Ok(conn), Location::Sqlite(_)) => {
            let finish = (unfinished.clone(), place.clone());
            blocking(move || {
                renew_file(conn, fresh, now)?;
                refuse_full(&finish.1)?;
                files::remove_database(&finish.1).map_err(file_error(&finish.1))?;
                summarise_and_place(&finish.0, &finish.1)
            })
            .await
        }
    };
    // In its place, or of no use to anyone.
    let _ = files::remove_database(&unfinished);
    restored
}

/// Runs work that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(StoreError::internal("a backup panicked").into()))
}

/// Names the file that an error is about.
fn file_error(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path: path.clone(), source: Arc::new(source) }
}

/// Opens a file of SQLite that is there, for reading, beside whoever writes it.
fn open_existing(path: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(StoreError::from)?;
    conn.busy_timeout(Duration::from_secs(5)).map_err(StoreError::from)?;
    Ok(conn)
}

/// Writes a compact copy of a database to a new file that only its owner can read.
fn vacuum(source: &Connection, target: &Path) -> Result<(), BackupError> {
    // A text, not a parameter of ours: SQLite itself takes the name of the file.
    let name = target.to_str().ok_or_else(|| BackupError::NotUtf8 { path: target.to_owned() })?;
    let _ = files::remove_database(target);
    files::private_file(target, true).map_err(file_error(target))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(StoreError::from)?;
    Ok(())
}

/// Refuses a file that is no backup of ours, is damaged, or comes from a later version.
fn check_backup(path: &Path) -> Result<(), BackupError> {
    let not_ours = || BackupError::NotABackup { path: path.to_owned() };
    if let Err(error) = std::fs::File::open(path) {
        return Err(file_error(path)(error));
    }
    let conn = open_existing(path)?;
    let mark: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(|_| not_ours())?;
    if mark != schema::APPLICATION_ID {
        return Err(not_ours());
    }
    schema::check_sqlite(&conn).map_err(|error| match error {
        OpenError::NewerSchema { found, known } => BackupError::NewerSchema { found, known },
        error => error.into(),
    })?;
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|_| not_ours())?;
    if verdict == "ok" { Ok(()) } else { Err(BackupError::Damaged { path: path.to_owned() }) }
}

/// Refuses to replace a database that holds a tenant, or anything that is no database of ours.
fn refuse_full(path: &Path) -> Result<(), BackupError> {
    if !path.exists() {
        return Ok(());
    }
    let count = open_existing(path)?.query_row("SELECT COUNT(*) FROM api_keys", [], |row| row.get::<_, i64>(0));
    if matches!(count, Ok(0)) { Ok(()) } else { Err(BackupError::NotEmpty) }
}

/// Renews a copy that is not yet in its place, and writes all of it into its file.
fn renew_file(
    mut conn: Connection,
    mut fresh: impl FnMut() -> String + Send,
    now: Timestamp,
) -> Result<(), BackupError> {
    conn.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from)?;
    let renewed = renew(&mut Conn::Sqlite(&mut conn), &mut fresh, now).now_or_never();
    renewed.unwrap_or_else(|| Err(StoreError::internal("renewing waited on SQLite's thread")))?;
    conn.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")
        .map_err(StoreError::from)?;
    conn.close().map_err(|(_, error)| StoreError::from(error).into())
}

/// Makes a copy a new life: new epochs, so that old cursors are void, and nobody signed in.
pub(crate) async fn renew(
    conn: &mut Conn<'_>,
    fresh: &mut (impl FnMut() -> String + Send),
    now: Timestamp,
) -> Result<(), StoreError> {
    const EPOCH: &str = "UPDATE rooms SET epoch = $2 WHERE id = $1";
    const MARK: &str = "INSERT INTO marks (name, at) VALUES ('restored', $1) \
                        ON CONFLICT (name) DO UPDATE SET at = excluded.at";
    const EMPTIED: [&str; 7] = [
        "DELETE FROM seats",
        "DELETE FROM meetings",
        "DELETE FROM quick_rooms",
        "DELETE FROM session_grants",
        "DELETE FROM sessions",
        "DELETE FROM invites",
        "DELETE FROM idempotency",
    ];
    // Without their names, meetings and sessions nobody reaches them any more.
    const QUICK_ROOMS: &str = "UPDATE rooms SET deleted_at = $1 WHERE deleted_at IS NULL \
        AND key_id IN (SELECT id FROM api_keys WHERE kind IN ('quick', 'visitors'))";
    const QUICK_TENANTS: &str =
        "UPDATE api_keys SET deleted_at = $1 WHERE deleted_at IS NULL AND kind IN ('quick', 'visitors')";
    for table in EMPTIED {
        conn.execute(table, &[]).await?;
    }
    conn.execute(QUICK_ROOMS, &params![now]).await?;
    conn.execute(QUICK_TENANTS, &params![now]).await?;
    conn.execute("UPDATE api_keys SET generation = generation + 1", &[]).await?;
    let rooms = conn.rows("SELECT id FROM rooms", &[], |row| row.id::<RoomId>(0)).await?;
    let epochs: Vec<String> = rooms.iter().map(|_| fresh()).collect();
    let sets: Vec<_> = rooms.iter().zip(&epochs).map(|(room, epoch)| params![room, epoch]).collect();
    conn.execute_many(EPOCH, &sets).await?;
    conn.execute(MARK, &params![now]).await.map(drop)
}

/// Counts what a finished file holds, and puts it in its place.
fn summarise_and_place(unfinished: &Path, path: &Path) -> Result<Summary, BackupError> {
    let conn = open_existing(unfinished)?;
    let count = |sql| -> Result<u64, BackupError> {
        let count: i64 = conn.query_row(sql, [], |row| row.get(0)).map_err(StoreError::from)?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let tenants = count("SELECT COUNT(*) FROM api_keys")?;
    let rooms = count("SELECT COUNT(*) FROM rooms")?;
    let messages = count("SELECT COUNT(*) FROM messages")?;
    drop(conn);
    let bytes = std::fs::metadata(unfinished).map_err(file_error(unfinished))?.len();
    if path.exists() {
        return Err(BackupError::Exists { path: path.to_owned() });
    }
    files::put_in_place(unfinished, path).map_err(file_error(path))?;
    Ok(Summary { tenants, rooms, messages, bytes })
}
