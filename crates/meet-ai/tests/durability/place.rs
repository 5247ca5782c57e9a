//! A machine of its own for each story: a home, a data directory, a database, and the binary on it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{self, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{process::Command, runtime::Runtime};

use crate::{
    chance::skip,
    server::{Server, soon},
};

/// Where a server lives from one start to the next.
pub(crate) struct Place {
    root: TempDir,
    data: PathBuf,
    pub(crate) postgres: Option<String>,
    settings: Vec<(&'static str, String)>,
}

/// The limits that a load trips over; a story that wants one sets it again.
const LIFTED: [&str; 9] = [
    "KEYS_PER_HOUR_PER_IP",
    "ROOMS_PER_DAY_PER_KEY",
    "MESSAGES_PER_MINUTE_PER_KEY",
    "MESSAGES_PER_ROOM",
    "BYTES_PER_TENANT",
    "MIN_FREE_BYTES",
    "SOCKETS_PER_USER",
    "SOCKETS_PER_TENANT",
    "SOCKETS_PER_IP",
];

impl Place {
    /// A place whose database is a file of SQLite.
    pub(crate) fn sqlite() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        Self { root, data, postgres: None, settings: Vec::new() }
    }

    /// A place with a new database on a server of Postgres.
    pub(crate) async fn postgres(server: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("durability_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run_sql(server, &format!("DROP DATABASE IF EXISTS {name}")).await;
        run_sql(server, &format!("CREATE DATABASE {name}")).await;
        let (start, _) = server.rsplit_once('/').expect("the URL ends with a database's name");
        Self { postgres: Some(format!("{start}/{name}")), ..Self::sqlite() }
    }

    /// Another place with the same kind of database.
    pub(crate) async fn another(&self) -> Self {
        match &self.postgres {
            Some(url) => Self::postgres(url).await,
            None => Self::sqlite(),
        }
    }

    /// Another machine with the same database.
    pub(crate) fn beside(&self) -> Self {
        Self { postgres: self.postgres.clone(), ..Self::sqlite() }
    }

    /// Has the server of Postgres end the connections that hold this database.
    pub(crate) async fn end_holders(&self) {
        self.count(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .await;
    }

    /// The same place with its data elsewhere.
    pub(crate) fn with_data(mut self, data: &Path) -> Self {
        data.clone_into(&mut self.data);
        self
    }

    /// The same place with one more setting, which goes before those that every place has.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// A file of the story's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The key that a first start kept for this address.
    pub(crate) fn key_of(&self, url: &str) -> String {
        let kept = std::fs::read_to_string(self.file("config/meet-ai/config.toml")).unwrap();
        let table = kept.split_once(&format!("[servers.\"{url}\"]")).expect("a table for the server").1;
        table.split('"').nth(1).unwrap().to_owned()
    }

    /// Sends a signal to the process that holds the data directory, whoever started it; it may be gone.
    pub(crate) fn signal_holder(&self, signal: Signal) {
        let note = std::fs::read_to_string(self.data.join("meet-ai.lock")).unwrap();
        let holder = note.lines().next().unwrap().parse().unwrap();
        let _ = kill_process(Pid::from_raw(holder).unwrap(), signal);
    }

    /// A program in this place's environment.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.root.path()).env("XDG_CONFIG_HOME", self.file("config"));
        command.current_dir(self.root.path());
        for limit in LIFTED {
            command.env(format!("MEET_AI_LIMITS__{limit}"), "0");
        }
        command.env("MEET_AI_DATA_DIR", &self.data);
        command.envs(self.postgres.iter().map(|url| ("MEET_AI_DATABASE_URL", url)));
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// The product's own program.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_meet-ai"));
        command.args(args);
        command
    }

    /// Runs a command of the product to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        soon("a command to end", self.command(args).output()).await.unwrap()
    }

    /// Runs a command that must succeed and gives its output, trimmed.
    pub(crate) async fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {}: {said}", output.status);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs a command that must be refused with exit code 1, and gives what it said.
    pub(crate) async fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        said
    }

    /// Starts the server, which must come up.
    pub(crate) async fn serve(&self) -> Server {
        let started = Server::start(self.command(&["serve", "--listen", "127.0.0.1:0"])).await;
        started.unwrap_or_else(|ended| panic!("the server did not start: {ended:?}"))
    }

    /// Counts rows of the database by a query, past the server.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        match &self.postgres {
            None => {
                let database = rusqlite::Connection::open(self.data.join("meet-ai.db")).unwrap();
                database.query_row(sql, [], |row| row.get(0)).unwrap()
            }
            Some(url) => {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
                let work = async move { client.query_one(sql, &[]).await.unwrap().get(0) };
                tokio::join!(work, connection).0
            }
        }
    }
}

/// Runs one statement on a server of Postgres.
async fn run_sql(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let work = async move { client.batch_execute(sql).await };
    tokio::join!(work, connection).0.unwrap();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Tells a story on a file of SQLite.
pub(crate) fn on_sqlite<F: Future<Output = ()>>(story: fn(Place) -> F) {
    runtime().block_on(async { story(Place::sqlite()).await });
}

/// Tells a story on a new database of Postgres, if there is one.
pub(crate) fn on_postgres<F: Future<Output = ()>>(story: fn(Place) -> F) {
    match std::env::var("MEET_AI_TEST_POSTGRES") {
        Ok(server) if !server.is_empty() => runtime().block_on(async { story(Place::postgres(&server).await).await }),
        _ => skip("MEET_AI_TEST_POSTGRES is not set"),
    }
}
