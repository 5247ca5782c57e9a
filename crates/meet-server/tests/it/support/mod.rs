//! A real server on port 0, and the callers that tests speak through.

mod caller;
pub(crate) mod calls;
pub(crate) mod cloudflare;
mod database;
mod demo;
mod document;
mod emulated;
mod live;
#[expect(dead_code, reason = "the provider's own tests use the rest")]
pub(crate) mod livekit;
mod realtime;
mod socket;
mod stream;
mod visitors;
mod wire;

pub(crate) use caller::{Answer, Caller};
pub(crate) use database::{Database, databases};
pub(crate) use demo::Demo;
pub(crate) use emulated::{Emulated, Form};
pub(crate) use live::{Dice, Reader, narrow_line, read_to, soak};
pub(crate) use realtime::{Realtime, code, connection_token, subscribe_token};
pub(crate) use socket::{Ended, Socket};
pub(crate) use stream::{Event, Stream};
pub(crate) use visitors::{Held, eventually, eventually_ok, exchange, operations};
pub(crate) use wire::{Wire, chat, connect, encode, message};

use std::{net::SocketAddr, time::Duration};

use meet_api::Timestamp;
use meet_server::{App, Clock, Config};
use secrecy::ExposeSecret;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// How long a test waits for an event that must come. Only a broken server makes anyone wait this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(PATIENCE, event).await;
    happened.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A running server.
pub(crate) struct Server {
    /// The application inside.
    pub(crate) app: App,
    /// Its clock; tests that start with [`Setup::manual_clock`] move it.
    pub(crate) clock: Clock,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The operator's key, when the database was empty.
    pub(crate) operator: Option<String>,
    /// Its database, which outlives it.
    pub(crate) database: Database,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// How a server is to be started.
pub(crate) struct Setup {
    /// Its configuration; limits that tests trip over by accident are lifted.
    pub(crate) config: Config,
    /// Its clock.
    pub(crate) clock: Clock,
    /// Its database.
    pub(crate) database: Database,
}

impl Setup {
    /// An SQLite file of its own, the real clock, no welcome room, free sign-up.
    pub(crate) fn new() -> Self {
        Self::on(Database::sqlite())
    }

    /// The same on a given database.
    pub(crate) fn on(database: Database) -> Self {
        let mut config = Config { welcome: false, ..Config::default() };
        config.limits.keys_per_hour_per_ip = 0;
        config.limits.rooms_per_day_per_key = 0;
        config.limits.messages_per_minute_per_key = 0;
        config.limits.min_free_bytes = Some(0);
        Self { config, clock: Clock::system(), database }
    }

    /// A clock that stands still until the test moves it.
    pub(crate) fn manual_clock(mut self) -> Self {
        let now: Timestamp = "2026-02-07T12:00:00.000Z".parse().unwrap();
        self.clock = Clock::manual(now);
        self
    }

    /// Changes the configuration.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The configuration as it will be in force, for what operators do while the server is stopped.
    pub(crate) fn configured(&self) -> Config {
        let mut config = self.config.clone();
        self.database.configure(&mut config);
        config
    }

    /// Boots the server.
    pub(crate) async fn start(self) -> Server {
        let Self { mut config, clock, database } = self;
        database.configure(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        config.listen = address;
        let started = App::open(config, clock.clone(), address).await.unwrap();
        started.app.end_first_start().await.unwrap();
        let app = started.app.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = started.app;
        let serving = tokio::task::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            meet_server::serve(served, listener, shutdown).await.unwrap();
        });
        Server {
            app,
            clock,
            address,
            operator: started.first.map(|first| first.key.expose_secret().to_owned()),
            database,
            stop: Some(stop),
            serving: Some(serving),
        }
    }
}

impl Server {
    /// A server as [`Setup::new`] makes it.
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// A caller without a credential.
    pub(crate) fn stranger(&self) -> Caller {
        Caller::new(self.address)
    }

    /// The bearer of the operator's key.
    pub(crate) fn operator(&self) -> Caller {
        self.stranger().with_token(self.operator.as_deref().expect("the database was not empty"))
    }

    /// The bearer of a new key, and so a tenant of its own.
    pub(crate) async fn new_tenant(&self) -> Caller {
        let answer = self.stranger().post("/api/keys", "").await;
        self.stranger().with_token(answer.expect(201)["key"].as_str().unwrap())
    }

    /// Stops in order, as a signal would, and gives the database back for another start.
    pub(crate) async fn stop(mut self) -> Database {
        drop(self.stop.take());
        soon("the server to stop", self.serving.take().unwrap()).await.unwrap();
        self.database.clone()
    }
}
