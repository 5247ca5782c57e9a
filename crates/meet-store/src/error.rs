//! What can go wrong with the database, in words of the domain; no variant and no source carries a
//! secret or the text of a message.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The driver's own error, shared because one failed commit may have many waiting for it.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// An operation on the store failed. What is merely absent or foreign is never an error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is shutting down or has stopped answering.
    #[error("the database is not available")]
    Unavailable {
        /// What the driver said.
        source: Cause,
    },
    /// The database is busy with somebody else's conflicting work; trying again helps.
    #[error("the database is busy")]
    Contended {
        /// What the driver said.
        source: Cause,
    },
    /// The connection broke while committing: the work is stored or it is not.
    #[error("the database did not say whether it stored the change")]
    OutcomeUnknown {
        /// What the driver said.
        source: Cause,
    },
    /// There is no room left on the database's disk.
    #[error("the database's disk is full")]
    Full {
        /// What the driver said.
        source: Cause,
    },
    /// A search took longer than it may.
    #[error("the search took too long")]
    Interrupted,
    /// The database's files are damaged.
    #[error("the database is damaged")]
    Corrupt {
        /// What the driver said.
        source: Cause,
    },
    /// A value in the database is not what this program writes there.
    #[error("the database holds a {what} that this program cannot read")]
    Unreadable {
        /// What it should have been.
        what: &'static str,
    },
    /// A mistake in this program or in the database.
    #[error("the database refused a statement")]
    Internal {
        /// What the driver said.
        source: Cause,
    },
}

impl StoreError {
    /// The store is closed, or its thread has ended.
    pub(crate) fn closed() -> Self {
        Self::Unavailable { source: Arc::new(Plain("the store is closed")) }
    }

    /// So many wait already that this one has no turn.
    pub(crate) fn crowded() -> Self {
        Self::Unavailable { source: Arc::new(Plain("too many are waiting for their turn")) }
    }

    /// A commit got an answer that does not say whether it was done.
    pub(crate) fn outcome_unknown(error: tokio_postgres::Error) -> Self {
        Self::OutcomeUnknown { source: without_details(error) }
    }

    /// A mistake in this program, in words.
    pub(crate) fn internal(what: &'static str) -> Self {
        Self::Internal { source: Arc::new(Plain(what)) }
    }

    /// The same error of work that was no search, and was ended all the same.
    pub(crate) fn outside_a_search(self) -> Self {
        match self {
            Self::Interrupted => Self::Unavailable { source: Arc::new(Plain("a statement took too long")) },
            other => other,
        }
    }

    /// Whether the same work may simply be tried again, as nothing of it is stored.
    pub(crate) fn may_retry(&self) -> bool {
        matches!(self, Self::Contended { .. })
    }
}

impl OpenError {
    /// The same error, or that the disk is full when that is behind it.
    pub(crate) fn or_disk_full(self, path: &Path) -> Self {
        let is_full = match &self {
            Self::Store(error) => matches!(error, StoreError::Full { .. }),
            Self::NotWritable { source, .. } | Self::Migration { source } => is_disk_full(&**source),
            _ => false,
        };
        if is_full { Self::DiskFull { path: path.to_owned() } } else { self }
    }
}

/// Whether a full disk is among the causes of an error.
fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let of_system = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
    error.downcast_ref().is_some_and(of_system)
        || error.downcast_ref().is_some_and(is_full)
        || error.source().is_some_and(is_disk_full)
}

/// Whether SQLite found no space: for its file and its log, or for the index of the log.
fn is_full(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_SHMSIZE};
    error.sqlite_error().is_some_and(|error| [SQLITE_FULL, SQLITE_IOERR_SHMSIZE].contains(&error.extended_code))
}

/// An error that is only a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Plain(&'static str);

/// What Postgres said, without the details, which may quote a row.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({state})")]
struct Refusal {
    state: String,
    message: String,
}

/// An error of Postgres as a cause that quotes no row.
fn without_details(error: tokio_postgres::Error) -> Cause {
    match error.as_db_error() {
        Some(refusal) => {
            Arc::new(Refusal { state: refusal.code().code().to_owned(), message: refusal.message().to_owned() })
        }
        None => Arc::new(error),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let code = error.sqlite_error_code();
        let is_full = is_full(&error);
        let source: Cause = Arc::new(error);
        match code {
            _ if is_full => Self::Full { source },
            Some(Code::OperationInterrupted) => Self::Interrupted,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Corrupt { source },
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Contended { source },
            Some(Code::CannotOpen | Code::SystemIoFailure | Code::ReadOnly | Code::PermissionDenied) => {
                Self::Unavailable { source }
            }
            _ => Self::Internal { source },
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState as State;
        let state = error.code().cloned();
        let closed = error.is_closed() || error.source().is_some_and(<dyn Error>::is::<io::Error>);
        let source = without_details(error);
        let Some(state) = state else {
            return if closed { Self::Unavailable { source } } else { Self::Internal { source } };
        };
        if state == State::DISK_FULL {
            Self::Full { source }
        } else if state == State::QUERY_CANCELED {
            Self::Interrupted
        } else if [State::T_R_SERIALIZATION_FAILURE, State::T_R_DEADLOCK_DETECTED, State::LOCK_NOT_AVAILABLE]
            .contains(&state)
        {
            Self::Contended { source }
        } else if state == State::DATA_CORRUPTED || state == State::INDEX_CORRUPTED {
            Self::Corrupt { source }
        } else if ["08", "53", "57", "58", "25"].iter().any(|class| state.code().starts_with(class)) {
            Self::Unavailable { source }
        } else {
            Self::Internal { source }
        }
    }
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => Self::Unavailable { source: Arc::new(error) },
            other => Self::Unavailable { source: Arc::new(other) },
        }
    }
}

/// The store cannot be opened: one sentence, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// A later version of this program has written the database.
    #[error(
        "the database has schema {found}, and this version of meet-ai knows none above {known}: run the newer version \
         that wrote it, or restore a backup made by this one"
    )]
    NewerSchema {
        /// The schema of the database.
        found: u32,
        /// The newest schema that this program knows.
        known: u32,
    },
    /// The data directory or its file cannot be made or written.
    #[error("{} cannot be written: give this user the directory, or choose another with --data-dir", path.display())]
    NotWritable {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },
    /// An earlier version of this program has written the database.
    #[error(
        "the database has schema {found}, and this version of meet-ai needs {known}: start the server, which brings it \
         up to date"
    )]
    OlderSchema {
        /// The schema of the database.
        found: u32,
        /// The schema that this program needs.
        known: u32,
    },
    /// There is no database yet.
    #[error(
        "there is no database of meet-ai at {place}: start the server, which makes it, or name another with --data-dir \
         or MEET_AI_DATABASE_URL"
    )]
    NothingThere {
        /// Where it was looked for, without a password.
        place: String,
    },
    /// The file is there and is no database of this program.
    #[error("{} is not a meet-ai database: move it away, or choose another --data-dir", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The setting `MEET_AI_DATABASE_URL` cannot be understood.
    #[error("MEET_AI_DATABASE_URL is not a URL of Postgres: write postgres://user:password@host/database")]
    InvalidUrl {
        /// What the driver said.
        source: Cause,
    },
    /// The database does not answer, or does not let this program in.
    #[error(
        "Postgres cannot be reached: check that it runs and that MEET_AI_DATABASE_URL names it, user and password included"
    )]
    Unreachable {
        /// What the driver said.
        source: Cause,
    },
    /// The database does not keep what it acknowledges.
    #[error("the database would lose acknowledged messages ({setting}): put its files on a local disk")]
    NotDurable {
        /// The setting, and what it is.
        setting: String,
    },
    /// There is no room left on the disk of the data directory.
    #[error("the disk of {} is full: free some space on it, then start again", path.display())]
    DiskFull {
        /// The data directory.
        path: PathBuf,
    },
    /// Another server serves from the database.
    #[error(
        "another meet-ai serves from this database: stop it, or give this one a database of its own with \
         MEET_AI_DATABASE_URL"
    )]
    Held,
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be brought up to date: nothing was changed; look at the cause")]
    Migration {
        /// What the migration said.
        source: Cause,
    },
    /// Anything else that the database answered.
    #[error("the database cannot be opened")]
    Store(#[from] StoreError),
}
