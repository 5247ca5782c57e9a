//! The databases that tests run on: an SQLite file each, and a fresh Postgres database each where there is a server.

use std::{
    env::VarError,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use meet_server::Config;
use tempfile::TempDir;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own; the last clone removes an SQLite file.
#[derive(Clone)]
pub(crate) struct Database {
    directory: Arc<TempDir>,
    postgres: Option<String>,
}

impl Database {
    /// An SQLite file.
    pub(crate) fn sqlite() -> Self {
        Self { directory: Arc::new(tempfile::tempdir().unwrap()), postgres: None }
    }

    /// A fresh database on the Postgres that `MEET_AI_TEST_POSTGRES` names.
    async fn postgres(server: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::task::spawn(connection);
        let name = format!("it_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
        let (base, _) = server.rsplit_once('/').expect("the URL ends with a database's name");
        let postgres = Some(format!("{base}/{name}"));
        Self { directory: Arc::new(tempfile::tempdir().unwrap()), postgres }
    }

    /// Another empty database of the same kind.
    pub(crate) async fn another(&self) -> Self {
        match &self.postgres {
            None => Self::sqlite(),
            Some(server) => Self::postgres(server).await,
        }
    }

    /// Points a configuration at this database.
    pub(super) fn configure(&self, config: &mut Config) {
        config.data_dir = self.data_dir();
        config.database_url = self.postgres.clone().map(Into::into);
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A place for a test's own files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// SQLite, and Postgres where `MEET_AI_TEST_POSTGRES` names a server. Where it is not named the test says so, and in CI
/// it fails: nothing is skipped there in silence.
pub(crate) async fn databases() -> Vec<Database> {
    let mut databases = vec![Database::sqlite()];
    match std::env::var("MEET_AI_TEST_POSTGRES") {
        Ok(server) => databases.push(Database::postgres(&server).await),
        Err(VarError::NotUnicode(_)) => panic!("MEET_AI_TEST_POSTGRES is no text"),
        Err(VarError::NotPresent) if std::env::var("CI").is_ok() => {
            panic!("MEET_AI_TEST_POSTGRES is not set, and in CI it must be")
        }
        Err(VarError::NotPresent) => println!("skipped on Postgres: MEET_AI_TEST_POSTGRES is not set"),
    }
    databases
}
