//! The hold of the one server that serves from a database: publications live in a process's memory, so
//! two servers on one database would each miss what the other stores.
//!
//! A file of SQLite is held with its directory, by whoever opens that; here only Postgres has something
//! to hold. What merely reads or copies needs no hold.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio_postgres::{Client, NoTls};

use crate::{
    Location, OpenError, SecretUrl, StoreError,
    postgres::{config, tls, wants_tls},
};

/// The advisory lock of whoever serves from a Postgres.
const SERVER_LOCK: i64 = 0x6d65_6574_7372;
/// How often a lock that is held is tried, and the rest between two tries: a process that was just
/// killed holds it until the database has noticed.
const TRIES: u32 = 30;
const REST: Duration = Duration::from_millis(100);
/// How long to rest while the database cannot be reached.
const LONG_REST: Duration = Duration::from_secs(1);

/// How the database finds out that this side is gone; it may have a limit for idle connections too.
const SETTINGS: [&str; 4] = [
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
    "SET idle_session_timeout = 0",
];

/// The hold on a database; it ends when this is dropped, or with the process.
pub struct Hold(Option<Held>);

/// A lock that lives as long as its own connection.
struct Held {
    url: SecretUrl,
    line: Line,
}

/// A connection that is driven by whoever waits on it.
struct Line {
    client: Client,
    process: i32,
    driver: Driver,
}

/// What drives a connection, as long as it lives.
struct Driver(Option<BoxFuture<'static, ()>>);

impl Driver {
    /// Drives the connection until it ends; one that has ended stays so.
    async fn ended(&mut self) {
        if let Some(driver) = &mut self.0 {
            driver.await;
            self.0 = None;
        }
    }
}

impl Hold {
    /// Takes the hold, and waits for what an earlier server had handed in before it ended.
    pub async fn take(location: &Location) -> Result<Self, OpenError> {
        let Location::Postgres(url) = location else { return Ok(Self(None)) };
        let mut line = Box::pin(Line::connect(url)).await?;
        let mut tries = 1;
        while !line.try_lock().await? {
            if tries == TRIES {
                return Err(OpenError::Held);
            }
            tries += 1;
            tokio::time::sleep(REST).await;
        }
        line.settle().await?;
        Ok(Self(Some(Held { url: url.clone(), line })))
    }

    /// Resolves when another server has taken the database over, which can happen only after the
    /// connection was lost; a lock that is free then is taken again.
    pub async fn lost(&mut self) -> OpenError {
        let Some(held) = &mut self.0 else { return std::future::pending().await };
        loop {
            held.line.driver.ended().await;
            tracing::warn!("the connection that holds the database is lost");
            let before = held.line.process;
            loop {
                match take_again(&held.url, before).await {
                    Ok(Some(line)) => {
                        held.line = line;
                        tracing::info!("the database is held again");
                        break;
                    }
                    Err(OpenError::Held) => return OpenError::Held,
                    Ok(None) | Err(_) => tokio::time::sleep(LONG_REST).await,
                }
            }
        }
    }
}

/// Takes the lock again; `None` as long as the database has not noticed that our old connection, to its
/// process `before`, is gone.
async fn take_again(url: &SecretUrl, before: i32) -> Result<Option<Line>, OpenError> {
    let mut line = Box::pin(Line::connect(url)).await?;
    if line.try_lock().await? {
        line.settle().await?;
        return Ok(Some(line));
    }
    if line.holder().await?.is_none_or(|holder| holder == before) { Ok(None) } else { Err(OpenError::Held) }
}

impl Line {
    async fn connect(url: &SecretUrl) -> Result<Self, OpenError> {
        let config = config(url)?;
        let unreachable = |error: tokio_postgres::Error| OpenError::Unreachable { source: Arc::new(error) };
        let (client, driver) = if wants_tls(&config) {
            let (client, connection) = config.connect(tls()?).await.map_err(unreachable)?;
            (client, connection.map(drop).boxed())
        } else {
            let (client, connection) = config.connect(NoTls).await.map_err(unreachable)?;
            (client, connection.map(drop).boxed())
        };
        let mut line = Self { client, process: 0, driver: Driver(Some(driver)) };
        line.process = line.ask("SELECT pg_backend_pid()").await?.unwrap_or(0);
        for setting in SETTINGS {
            // One that this server does not know is done without; a connection that has ended is not.
            if let Err(error @ StoreError::Unavailable { .. }) = line.run(setting).await {
                return Err(error.into());
            }
        }
        Ok(line)
    }

    /// Runs statements without an answer.
    async fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        tokio::select! {
            done = self.client.batch_execute(sql) => Ok(done?),
            () = self.driver.ended() => Err(StoreError::closed()),
        }
    }

    /// The one value that a query answers, if it answers any.
    async fn ask<T>(&mut self, sql: &str) -> Result<Option<T>, StoreError>
    where
        T: for<'r> tokio_postgres::types::FromSql<'r>,
    {
        tokio::select! {
            row = self.client.query_opt(sql, &[]) => Ok(row?.map(|row| row.try_get(0)).transpose()?),
            () = self.driver.ended() => Err(StoreError::closed()),
        }
    }

    async fn try_lock(&mut self) -> Result<bool, StoreError> {
        Ok(self.ask(&format!("SELECT pg_try_advisory_lock({SERVER_LOCK})")).await? == Some(true))
    }

    /// The process of the database that has the lock.
    async fn holder(&mut self) -> Result<Option<i32>, StoreError> {
        let (high, low) = (SERVER_LOCK >> 32, SERVER_LOCK & 0xffff_ffff);
        self.ask(&format!(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
             AND classid = {high} AND objid = {low} \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
        ))
        .await
    }

    /// Waits until no transaction of a killed server is still committing messages: the new one would
    /// never publish them.
    async fn settle(&mut self) -> Result<(), StoreError> {
        if self.ask("SELECT to_regclass('messages') IS NOT NULL").await? == Some(true)
            && let Err(error) =
                self.run("BEGIN; SET LOCAL lock_timeout = '10s'; LOCK TABLE messages IN SHARE MODE; COMMIT").await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "somebody else is writing messages");
            self.run("ROLLBACK").await?;
        }
        Ok(())
    }
}
