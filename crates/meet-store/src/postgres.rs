//! Postgres: a pool of connections, transactions that are tried again when the database asks for it.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{
    Client, ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
};
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode},
    error::{Severity, SqlState},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    Durability, OpenError, SecretUrl, StoreError,
    conn::{Conn, Operation},
    schema,
    sqlite::{SEARCH_PATIENCE, SEARCH_TIME, SEARCHERS},
    turns::Turns,
};

/// How many connections are open at most.
const CONNECTIONS: usize = 16;
/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a transaction is tried.
const TRIES: u32 = 8;
/// When this side asks an idle connection whether the other still lives, and how long what was sent may
/// stay without a sign of arrival.
const IDLE: Duration = Duration::from_secs(10);
const UNHEARD: Duration = Duration::from_secs(30);
/// Ends a statement that takes half a minute, unless the database or the URL has a limit already. A
/// commit is not a statement in this sense.
const STATEMENT_TIME: &str = "SELECT set_config('statement_timeout', '30s', false) \
                              WHERE current_setting('statement_timeout') = '0'";

/// A pool of connections to one database.
pub(crate) struct Postgres {
    pool: Pool,
    /// Searches leave the other connections to those that read and write.
    searches: Turns,
}

impl Postgres {
    /// Connects, and brings the schema up to date.
    pub(crate) async fn open(url: &SecretUrl) -> Result<Self, OpenError> {
        let postgres = Self::connect(url)?;
        let mut client = postgres.patient_client().await?;
        schema::migrate_postgres(&mut client).await?;
        Ok(postgres)
    }

    /// Connects to a database that is there and up to date, and changes nothing in it.
    pub(crate) async fn open_existing(url: &SecretUrl) -> Result<Self, OpenError> {
        let postgres = Self::connect(url)?;
        let client = postgres.patient_client().await?;
        schema::check_existing_postgres(&client).await?;
        Ok(postgres)
    }

    /// A pool whose database is not looked at yet.
    pub(crate) fn connect(url: &SecretUrl) -> Result<Self, OpenError> {
        Ok(Self { pool: pool(url)?, searches: Turns::new(SEARCHERS, SEARCH_PATIENCE) })
    }

    /// A connection of its own for work that is more than an operation, and may take its time.
    pub(crate) async fn patient_client(&self) -> Result<ClientWrapper, OpenError> {
        let client = self.pool.get().await.map_err(|error| OpenError::Unreachable { source: Arc::new(error) })?;
        let client = Client::take(client);
        client.batch_execute("SET statement_timeout = 0").await.map_err(StoreError::from)?;
        Ok(client)
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
        .map_err(StoreError::outside_a_search)
    }

    /// Runs an operation that is ended when it takes too long.
    pub(crate) async fn search<I, T>(&self, input: &I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync,
    {
        let _turn = self.searches.take().await?;
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
            let (error, may_retry) = match try_write(&mut client, input, operation).await {
                Ok(result) => return Ok(result),
                Err(Failure::BeforeCommit(error)) => {
                    let stale = matches!(error, StoreError::Unavailable { .. }) && client.is_closed() && tries == 1;
                    let may_retry = stale || error.may_retry();
                    (error, may_retry)
                }
                Err(Failure::AtCommit(error)) => {
                    let may_retry = error.may_retry();
                    (error, may_retry)
                }
            };
            if !may_retry || tries == TRIES {
                return Err(error.outside_a_search());
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
        let durable = keeps(&settings);
        Ok(Durability { engine: "postgres", settings, durable })
    }

    /// Closes the pool; connections in use end when they are given back.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// Whether what is acknowledged is on the disk. Without `full_page_writes` it is too, on a file system
/// that never tears a page, as those do that copy on write.
fn keeps(settings: &[(String, String)]) -> bool {
    settings.iter().all(|(name, value)| value != "off" || name == "full_page_writes")
}

/// Where a transaction failed.
enum Failure {
    /// Nothing of it is stored.
    BeforeCommit(StoreError),
    /// The error itself says whether it is stored, or that nobody knows.
    AtCommit(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::BeforeCommit(error)
    }
}

/// Runs an operation in one transaction, once.
async fn try_write<I, T>(client: &mut Client, input: &I, operation: Operation<I, T>) -> Result<T, Failure> {
    let transaction = client.transaction().await.map_err(StoreError::from)?;
    let result = operation(&mut Conn::Transaction(&transaction), input).await?;
    match transaction.commit().await {
        Ok(()) => Ok(result),
        Err(error) if is_refusal(&error) => Err(Failure::AtCommit(error.into())),
        Err(error) => Err(Failure::AtCommit(StoreError::outcome_unknown(error))),
    }
}

/// Whether the server itself says that it did not commit. Whatever ends the connection, or comes from
/// something between here and the server, says nothing of the kind.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        error.parsed_severity() == Some(Severity::Error)
            && !error.code().code().starts_with("08")
            && *error.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
    })
}

/// What a URL says, and how to find out that the other side is gone.
pub(crate) fn config(url: &SecretUrl) -> Result<Config, OpenError> {
    let config: Result<Config, _> = url.expose().parse();
    let mut config = config.map_err(|error| OpenError::InvalidUrl { source: Arc::new(error) })?;
    config.keepalives(true).keepalives_idle(IDLE).keepalives_interval(IDLE).keepalives_retries(3);
    config.tcp_user_timeout(UNHEARD);
    Ok(config)
}

/// A pool for the database at `url`.
fn pool(url: &SecretUrl) -> Result<Pool, OpenError> {
    let config = config(url)?;
    let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if wants_tls(&config) {
        Manager::from_config(config, tls()?, settings)
    } else {
        Manager::from_config(config, NoTls, settings)
    };
    let limit = Hook::async_fn(|client, _| {
        Box::pin(async move { client.batch_execute(STATEMENT_TIME).await.map_err(HookError::Backend) })
    });
    let pool = Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(PATIENCE))
        .post_create(limit)
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The Postgres of the environment, unless there is none and nobody insists.
    pub(crate) fn server() -> Option<String> {
        match std::env::var("MEET_AI_TEST_POSTGRES") {
            Ok(url) if !url.is_empty() => Some(url),
            _ if std::env::var("CI").is_ok_and(|value| value == "true") => {
                panic!("MEET_AI_TEST_POSTGRES is not set, and CI may not skip Postgres")
            }
            _ => {
                println!("skipped: MEET_AI_TEST_POSTGRES is not set");
                None
            }
        }
    }

    #[test]
    fn a_file_system_that_tears_no_page_may_do_without_full_pages() {
        for (off, durable) in [("full_page_writes", true), ("fsync", false), ("synchronous_commit", false)] {
            let settings = ["fsync", "synchronous_commit", "full_page_writes"]
                .map(|name| (name.to_owned(), if name == off { "off" } else { "on" }.to_owned()));
            assert_eq!(keeps(&settings), durable, "{off}");
        }
    }

    #[test]
    fn a_connection_notices_that_the_other_side_is_gone() {
        let config = config(&SecretUrl::new("postgres://ann@db.example/meet")).unwrap();
        assert_eq!((config.get_keepalives(), config.get_keepalives_idle()), (true, IDLE));
        assert_eq!(config.get_tcp_user_timeout(), Some(&UNHEARD));
    }
}
