//! The store itself: which database it is, opened once, and how operations reach it.

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::FutureExt;
use meet_api::Timestamp;

use crate::{OpenError, StoreError, conn::Operation, postgres::Postgres, sqlite::Sqlite};

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Location {
    /// A data directory; the file in it is `meet-ai.db`.
    Sqlite(PathBuf),
    /// A server of Postgres.
    Postgres(SecretUrl),
}

/// A URL that may hold a password: it is never shown.
#[derive(Clone)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Takes a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL, password and all.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The SHA-256 digest of a secret, made by the caller: the store never sees the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(***)")
    }
}

/// What the database says of how it keeps what it acknowledges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// `sqlite` or `postgres`.
    pub engine: &'static str,
    /// The settings that matter, as the database reads them back.
    pub settings: Vec<(String, String)>,
    /// Whether an acknowledged message survives the loss of power.
    pub durable: bool,
}

/// Keys, rooms, messages and people. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    driver: Arc<Driver>,
}

/// The two databases.
enum Driver {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.driver {
            Driver::Sqlite(_) => "Store(sqlite)",
            Driver::Postgres(_) => "Store(postgres)",
        })
    }
}

/// A file system's size, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What this process may still fill.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl Store {
    /// Opens the database, makes it if it is not there, and brings its schema up to date.
    pub async fn open(location: &Location) -> Result<Self, OpenError> {
        let driver = match location {
            Location::Sqlite(directory) => Driver::Sqlite(Sqlite::open(directory.clone()).await?),
            Location::Postgres(url) => Driver::Postgres(Postgres::open(url).await?),
        };
        Ok(Self { driver: Arc::new(driver) })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if let Driver::Sqlite(sqlite) = &*self.driver {
            sqlite.writer_is_there()?;
        }
        self.read((), |conn, ()| {
            async move { conn.one("SELECT CAST(1 AS BIGINT)", &[], |_| Ok(())).await.map(drop) }.boxed()
        })
        .await
    }

    /// The file system of the database; unknown for Postgres.
    pub fn disk(&self) -> Option<Disk> {
        match &*self.driver {
            Driver::Sqlite(sqlite) => sqlite.disk(),
            Driver::Postgres(_) => None,
        }
    }

    /// What the database says of its own durability.
    pub async fn durability(&self) -> Result<Durability, StoreError> {
        match &*self.driver {
            Driver::Sqlite(sqlite) => sqlite.durability().await,
            Driver::Postgres(postgres) => postgres.durability().await,
        }
    }

    /// When the database was restored from a backup, if it ever was.
    pub async fn restored_at(&self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT at FROM marks WHERE name = 'restored'";
        self.read((), |conn, ()| async move { conn.one(SQL, &[], |row| row.time(0)).await }.boxed()).await
    }

    /// Finishes what is under way and lets go of the database; what comes later is `Unavailable`.
    pub async fn close(&self) {
        match &*self.driver {
            Driver::Sqlite(sqlite) => sqlite.close().await,
            Driver::Postgres(postgres) => postgres.close(),
        }
    }

    /// Runs an operation that only reads.
    pub(crate) async fn read<I, T>(&self, input: I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        match &*self.driver {
            Driver::Sqlite(sqlite) => sqlite.read(input, operation).await,
            Driver::Postgres(postgres) => postgres.read(&input, operation).await,
        }
    }

    /// Runs a search, which is ended when it takes too long.
    pub(crate) async fn search_for<I, T>(&self, input: I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        match &*self.driver {
            Driver::Sqlite(sqlite) => sqlite.search(input, operation).await,
            Driver::Postgres(postgres) => postgres.search(&input, operation).await,
        }
    }

    /// Runs an operation in a transaction of its own, or one that it shares with others without
    /// their seeing each other fail.
    pub(crate) async fn write<I, T>(&self, input: I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        match &*self.driver {
            Driver::Sqlite(sqlite) => sqlite.write(input, operation).await,
            Driver::Postgres(postgres) => postgres.write(&input, operation).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::params;

    /// Runs a check on a new file of SQLite and on the Postgres of the environment, if there is one.
    async fn on_both<F: Future<Output = ()>>(check: fn(Store) -> F) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Sqlite(directory.path().to_owned())).await.unwrap();
        check(store.clone()).await;
        store.close().await;
        match std::env::var("MEET_AI_TEST_POSTGRES") {
            Ok(url) if !url.is_empty() => {
                // No tables are needed, so none are made.
                let driver = Driver::Postgres(Postgres::unchecked(&SecretUrl::new(url)).unwrap());
                check(Store { driver: Arc::new(driver) }).await;
            }
            _ if std::env::var("CI").is_ok_and(|value| value == "true") => panic!("MEET_AI_TEST_POSTGRES is not set"),
            _ => println!("skipped: MEET_AI_TEST_POSTGRES is not set"),
        }
    }

    #[tokio::test]
    async fn parameters_go_by_their_numbers() {
        on_both(|store| async move {
            let read = store.read((), |conn, ()| {
                const SQL: &str = "SELECT CAST($2 AS TEXT), CAST($1 AS BIGINT), CAST($2 AS TEXT)";
                let read =
                    |row: &crate::value::Row<'_>| Ok((row.text(0)?.to_owned(), row.int(1)?, row.text(2)?.to_owned()));
                async move { conn.one(SQL, &params![7_i64, "seven"], read).await }.boxed()
            });
            assert_eq!(read.await.unwrap(), Some(("seven".to_owned(), 7, "seven".to_owned())));
        })
        .await;
    }

    #[tokio::test]
    async fn a_search_without_end_is_ended() {
        on_both(|store| async move {
            let endless = || {
                store.search_for((), |conn, ()| {
                    const SQL: &str = "WITH RECURSIVE numbers (n) AS (SELECT CAST(1 AS BIGINT) UNION ALL \
                                       SELECT n + 1 FROM numbers) SELECT COUNT(*) FROM numbers";
                    async move { conn.one(SQL, &[], |row| row.int(0)).await }.boxed()
                })
            };
            // More of them than there are threads: each has its turn, and gives it back.
            let ended = futures_util::future::join_all((0..5).map(|_| endless())).await;
            assert!(ended.iter().all(|ended| matches!(ended, Err(StoreError::Interrupted))), "{ended:?}");
            let one = store.search_for((), |conn, ()| {
                async move { conn.one("SELECT CAST(1 AS BIGINT)", &[], |row| row.int(0)).await }.boxed()
            });
            assert_eq!(one.await.unwrap(), Some(1));
        })
        .await;
    }

    #[tokio::test]
    async fn a_change_that_fails_or_panics_is_undone_and_spares_its_neighbours() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Sqlite(directory.path().to_owned())).await.unwrap();
        let mark = |name: &'static str| {
            store.write(name, |conn, name| {
                async move {
                    conn.execute("INSERT INTO marks (name, at) VALUES ($1, 0)", &params![*name]).await?;
                    match *name {
                        "panics" => panic!("on purpose"),
                        "fails" => Err(StoreError::internal("on purpose")),
                        _ => Ok(()),
                    }
                }
                .boxed()
            })
        };
        let names = ["one", "fails", "two", "panics", "three"];
        let marks = futures_util::future::join_all(names.map(mark)).await;
        assert_eq!(marks.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false, true]);
        let kept = store.read((), |conn, ()| {
            let names = |row: &crate::value::Row<'_>| Ok(row.text(0)?.to_owned());
            async move { conn.rows("SELECT name FROM marks ORDER BY name", &[], names).await }.boxed()
        });
        assert_eq!(kept.await.unwrap(), ["one", "three", "two"]);
        store.close().await;
    }
}
