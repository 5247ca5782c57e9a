//! Postgres: a pool of connections, transactions that are tried again when the database asks for it.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    Durability, OpenError, SecretUrl, StoreError,
    conn::{Conn, Operation},
    schema,
    sqlite::SEARCH_TIME,
};

/// How many connections are open at most.
const CONNECTIONS: usize = 16;
/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a transaction is tried.
const TRIES: u32 = 8;

/// A pool of connections to one database.
pub(crate) struct Postgres {
    pool: Pool,
}

impl Postgres {
    /// Connects, and brings the schema up to date.
    pub(crate) async fn open(url: &SecretUrl) -> Result<Self, OpenError> {
        let pool = pool(url)?;
        let mut client = pool.get().await.map_err(|error| OpenError::Unreachable { source: Arc::new(error) })?;
        schema::migrate_postgres(&mut client).await?;
        Ok(Self { pool })
    }

    /// A pool whose database is not looked at.
    #[cfg(test)]
    pub(crate) fn unchecked(url: &SecretUrl) -> Result<Self, OpenError> {
        Ok(Self { pool: pool(url)? })
    }

    /// A connection for work that is more than an operation.
    pub(crate) async fn client(&self) -> Result<Client, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// Runs an operation, each of its statements by itself.
    pub(crate) async fn read<I, T>(&self, input: &I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync,
    {
        let client = self.pool.get().await?;
        match operation(&mut Conn::Client(&client), input).await {
            // A connection that went stale in the pool: the next one is new.
            Err(StoreError::Unavailable { .. }) if client.is_closed() => {
                drop(client);
                let client = self.pool.get().await?;
                operation(&mut Conn::Client(&client), input).await
            }
            result => result,
        }
    }

    /// Runs an operation that is ended when it takes too long.
    pub(crate) async fn search<I, T>(&self, input: &I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync,
    {
        let mut client = self.pool.get().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        transaction.batch_execute(&format!("SET LOCAL statement_timeout = {}", SEARCH_TIME.as_millis())).await?;
        // Each statement has that time, and all of them together.
        let mut target = Conn::Transaction(&transaction);
        let answered = tokio::time::timeout(SEARCH_TIME, operation(&mut target, input)).await;
        let result = answered.unwrap_or(Err(StoreError::Interrupted))?;
        transaction.commit().await?;
        Ok(result)
    }

    /// Runs an operation in a transaction.
    pub(crate) async fn write<I, T>(&self, input: &I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut client = self.pool.get().await?;
            let error = match try_write(&mut client, input, operation).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            // Nothing of it is stored as long as nobody asked to commit.
            let stale = matches!(error, StoreError::Unavailable { .. }) && client.is_closed() && tries == 1;
            if !(stale || error.may_retry() && tries < TRIES) {
                return Err(error);
            }
            drop(client);
            tokio::time::sleep(Duration::from_millis(2 << tries)).await;
        }
    }

    /// Asks the server how it keeps what it acknowledges.
    pub(crate) async fn durability(&self) -> Result<Durability, StoreError> {
        let client = self.pool.get().await?;
        let mut settings = Vec::new();
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            let row = client.query_one("SELECT current_setting($1)", &[&name]).await?;
            settings.push((name.to_owned(), row.try_get::<_, String>(0)?));
        }
        let durable = settings.iter().all(|(_, value)| value != "off");
        Ok(Durability { engine: "postgres", settings, durable })
    }

    /// Closes the pool; connections in use end when they are given back.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// Runs an operation in one transaction, once.
async fn try_write<I, T>(client: &mut Client, input: &I, operation: Operation<I, T>) -> Result<T, StoreError> {
    let transaction = client.transaction().await?;
    let result = operation(&mut Conn::Transaction(&transaction), input).await?;
    match transaction.commit().await {
        Ok(()) => Ok(result),
        // The server said that it did not commit.
        Err(error) if error.code().is_some() => Err(error.into()),
        Err(error) => Err(StoreError::OutcomeUnknown { source: Arc::new(error) }),
    }
}

/// A pool for the database at `url`.
pub(crate) fn pool(url: &SecretUrl) -> Result<Pool, OpenError> {
    let config: Config = url.expose().parse().map_err(|error| OpenError::InvalidUrl { source: Arc::new(error) })?;
    let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if wants_tls(&config) {
        Manager::from_config(config, tls()?, settings)
    } else {
        Manager::from_config(config, NoTls, settings)
    };
    let pool = Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(PATIENCE))
        .build();
    pool.map_err(|error| OpenError::Unreachable { source: Arc::new(error) })
}

/// Whether to offer TLS: as `sslmode` says, except that `prefer`, the default, means nothing on this
/// very machine.
pub(crate) fn wants_tls(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    match config.get_ssl_mode() {
        SslMode::Disable => false,
        SslMode::Prefer => !config.get_hosts().iter().all(local),
        _ => true,
    }
}

/// TLS that believes what this system believes; `SSL_CERT_FILE` names other authorities.
pub(crate) fn tls() -> Result<MakeRustlsConnect, OpenError> {
    let failed = |error: rustls::Error| OpenError::Unreachable { source: Arc::new(error) };
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(failed)?.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
