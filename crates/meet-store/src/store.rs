//! The store itself: which database it is, opened once, and how operations reach it.

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::FutureExt;

use crate::{
    OpenError, StoreError,
    conn::Operation,
    postgres::Postgres,
    sqlite::{self, Sqlite},
};

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

/// What can be seen of a database without changing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What it says of its own durability.
    pub durability: Durability,
    /// The file system that it is on; unknown for Postgres.
    pub disk: Option<Disk>,
}

/// Looks at a database that is there and up to date, beside whoever serves from it; changes nothing and
/// makes nothing.
pub async fn inspect(location: &Location) -> Result<Inspection, OpenError> {
    match location {
        Location::Sqlite(directory) => {
            let directory = directory.clone();
            let looking = tokio::task::spawn_blocking(move || sqlite::inspect(&directory));
            looking.await.map_err(|_| StoreError::internal("looking at the database panicked"))?
        }
        Location::Postgres(url) => {
            let postgres = Postgres::open_existing(url).await?;
            Ok(Inspection { durability: postgres.durability().await?, disk: None })
        }
    }
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

    /// Opens a database that is there and has this program's schema; makes nothing and migrates nothing.
    pub async fn open_existing(location: &Location) -> Result<Self, OpenError> {
        let driver = match location {
            Location::Sqlite(directory) => Driver::Sqlite(Sqlite::open_existing(directory.clone()).await?),
            Location::Postgres(url) => Driver::Postgres(Postgres::open_existing(url).await?),
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
    use futures_util::{StreamExt, stream::FuturesUnordered};

    use super::*;
    use crate::{postgres::tests::server, value::params};

    /// Runs a check on a new file of SQLite and on the Postgres of the environment, if there is one.
    async fn on_both<F: Future<Output = ()>>(check: fn(Store) -> F) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Sqlite(directory.path().to_owned())).await.unwrap();
        check(store.clone()).await;
        store.close().await;
        if let Some(url) = server() {
            // No tables are needed, so none are made.
            let driver = Driver::Postgres(Postgres::connect(&SecretUrl::new(url)).unwrap());
            check(Store { driver: Arc::new(driver) }).await;
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

    /// A search that ends only because it is ended.
    async fn endless(store: &Store) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "WITH RECURSIVE numbers (n) AS (SELECT CAST(1 AS BIGINT) UNION ALL \
                           SELECT n + 1 FROM numbers) SELECT COUNT(*) FROM numbers";
        store.search_for((), |conn, ()| async move { conn.one(SQL, &[], |row| row.int(0)).await }.boxed()).await
    }

    #[tokio::test]
    async fn a_search_without_end_is_ended() {
        on_both(|store| async move {
            // More of them than there are threads: each has its turn, and gives it back.
            let ended = futures_util::future::join_all((0..5).map(|_| endless(&store))).await;
            assert!(ended.iter().all(|ended| matches!(ended, Err(StoreError::Interrupted))), "{ended:?}");
            let one = store.search_for((), |conn, ()| {
                async move { conn.one("SELECT CAST(1 AS BIGINT)", &[], |row| row.int(0)).await }.boxed()
            });
            assert_eq!(one.await.unwrap(), Some(1));
        })
        .await;
    }

    #[tokio::test]
    async fn searches_leave_connections_to_those_who_read() {
        on_both(|store| async move {
            // Twice as many as there are connections, and then somebody who reads.
            let mut searches: FuturesUnordered<_> = (0..32).map(|_| endless(&store)).collect();
            let mut ended = 0;
            let mut read = std::pin::pin!(store.ping());
            loop {
                tokio::select! {
                    biased;
                    _ = searches.next(), if !searches.is_empty() => ended += 1,
                    read = &mut read => break read.unwrap(),
                }
            }
            assert!(ended < 16, "{ended} searches came first");
        })
        .await;
    }

    #[tokio::test]
    async fn a_statement_has_its_time_and_the_limit_of_the_url_is_kept() {
        let Some(url) = server() else { return };
        for (options, limit) in [("", "30s"), ("?options=-c%20statement_timeout%3D40ms", "40ms")] {
            let url = SecretUrl::new(format!("{url}{options}"));
            let store = Store { driver: Arc::new(Driver::Postgres(Postgres::connect(&url).unwrap())) };
            let shown = store.read((), |conn, ()| {
                const SQL: &str = "SELECT current_setting('statement_timeout')";
                async move { conn.one(SQL, &[], |row| Ok(row.text(0)?.to_owned())).await }.boxed()
            });
            assert_eq!(shown.await.unwrap().as_deref(), Some(limit));
            if !options.is_empty() {
                let endless = store.read((), |conn, ()| {
                    async move { conn.one("SELECT CAST(pg_sleep(600) AS TEXT)", &[], |_| Ok(())).await }.boxed()
                });
                // Not as a search that was too much to ask.
                let ended = endless.await;
                assert!(matches!(ended, Err(StoreError::Unavailable { .. })), "{ended:?}");
            }
        }
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
