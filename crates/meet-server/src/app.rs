//! The application: what every operation needs, put together once for the binary and for tests.

use std::{net::SocketAddr, sync::Arc};

use meet_api::TenantId;
use meet_centrifuge::session::Settings;
use meet_store::{Appended, Appender, Committed, Founding, OpenError, Store, TenantKind};
use secrecy::SecretString;
use tokio::{
    sync::{Mutex, MutexGuard, Notify},
    task::AbortHandle,
};

use crate::{
    auth::Remembered,
    calls::Calls,
    clock::Clock,
    conference::Conference,
    config::{Config, Hosts, PublicUrl},
    emulation::Emulated,
    error::Error,
    guard::Tripped,
    hub::{Address, Hub, Publication},
    limits::{Bodies, Slots, Windows},
    names::Directory,
    sweep::Sweeper,
    tasks::Tasks,
    tokens::{KeysError, SigningKeys},
    turnstile::Turnstile,
    welcome,
};

/// The application; a clone is the same one.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    config: Config,
    runtime: Runtime,
    store: Store,
    appender: Appender,
    hub: Hub,
    limits: Limits,
}

/// What the process knows only while it runs.
struct Runtime {
    clock: Clock,
    tasks: Tasks,
    remembered: Remembered,
    purge: Notify,
    sweeper: Sweeper,
    lobby: Mutex<()>,
    site: Site,
    sessions: Arc<Settings>,
    emulated: Emulated,
    signing_keys: SigningKeys,
    calls: Calls,
    directory: Directory,
    tripped: Arc<Tripped>,
    turnstile: Option<Turnstile>,
    max_sockets: usize,
    max_connections: usize,
    appending: AbortHandle,
}

/// How this server is called from outside.
#[derive(Debug, Clone)]
pub struct Site {
    /// The address for links, without a slash at the end.
    pub public_url: String,
    /// The Host headers that it answers to.
    pub hosts: Hosts,
    /// The name of the session cookie: one per port, because browsers do not tell ports apart.
    pub cookie: String,
    /// Whether the cookie travels by TLS only.
    pub is_https: bool,
}

impl Site {
    /// Where Centrifugo clients connect by WebSocket.
    pub fn connection_url(&self) -> String {
        let (scheme, rest) = self.public_url.split_once("://").unwrap_or(("http", &self.public_url));
        format!("{}://{rest}/connection/websocket", if scheme == "https" { "wss" } else { "ws" })
    }

    fn new(config: &Config, bound: SocketAddr) -> Self {
        let is_https = config.public_url.as_ref().is_some_and(PublicUrl::is_https);
        let cookie =
            if is_https { "__Host-meet_ai_session".to_owned() } else { format!("meet_ai_session_{}", bound.port()) };
        Self { public_url: config.base_url(bound), hosts: config.hosts(bound), cookie, is_https }
    }
}

/// How much of something a caller may do.
#[derive(Default)]
pub struct Limits {
    /// What happens, in fixed windows.
    pub windows: Windows,
    /// What stays open.
    pub slots: Slots,
    /// The connections below it, and those of plain requests.
    pub lines: Slots,
    /// Those who are being told that there is no place for them.
    pub farewells: Slots,
    /// What is still coming in.
    pub bodies: Bodies,
}

/// An application that is ready to serve.
pub struct Started {
    /// The application.
    pub app: App,
    /// What was made because the database was empty; [`App::end_first_start`] ends it.
    pub first: Option<FirstStart>,
}

/// The operator's tenant, just made.
pub struct FirstStart {
    /// Its key, shown this once.
    pub key: SecretString,
    /// Its id.
    pub tenant: TenantId,
}

/// Why the application could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Whoever carries the calls cannot be spoken to.
    #[error("calls cannot be offered: {0}")]
    Conference(String),
    /// There are no keys to sign tokens with.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database was opened and could not be filled.
    #[error("the first rooms could not be made")]
    Prepare(#[source] Error),
}

impl App {
    /// Loads the signing keys, opens the database, makes the operator's tenant when it is empty, and starts the tasks.
    /// `bound` is the address that the server listens on, for the links it hands out and the hosts it answers to.
    ///
    /// # Errors
    /// [`StartError`] when the database cannot be opened or written, or signing keys cannot be used.
    pub async fn open(config: Config, clock: Clock, bound: SocketAddr) -> Result<Started, StartError> {
        let keys = SigningKeys::load(&config, &clock)?;
        let app = Self::of(Store::open(&config.location()).await?, keys, config, clock, bound)?;
        // What was being opened when the process ended is opened by nobody.
        let now = app.clock().now();
        app.store().abandon_openings(now, now).await.map_err(|error| StartError::Prepare(error.into()))?;
        let first = app.prepare().await.map_err(StartError::Prepare)?;
        app.tasks().spawn_until_stop(app.clone().tell_lobbies());
        app.tasks().spawn_until_stop(app.clone().keep_purging());
        app.tasks().spawn_until_stop(app.clone().keep_sweeping());
        app.tasks().spawn_until_stop(app.clone().keep_hearing());
        app.tasks().spawn_until_stop(app.clone().keep_calls());
        Ok(Started { app, first })
    }

    /// Opens the database beside the server that serves from it: nothing is made, and no task but the appender runs.
    ///
    /// # Errors
    /// [`StartError::Open`] when the database cannot be opened.
    pub async fn open_beside(config: Config, clock: Clock, bound: SocketAddr) -> Result<Self, StartError> {
        let keys = SigningKeys::unkept(&clock);
        Self::of(Store::open_existing(&config.location()).await?, keys, config, clock, bound)
    }

    fn of(
        store: Store,
        signing_keys: SigningKeys,
        config: Config,
        clock: Clock,
        bound: SocketAddr,
    ) -> Result<Self, StartError> {
        let site = Site::new(&config, bound);
        let calls = Calls::new(Conference::new(&config, &site.public_url).map_err(StartError::Conference)?);
        let turnstile = Turnstile::new(&config.turnstile).map_err(StartError::Conference)?;
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let max_sockets = config.limits.max_sockets(descriptors).unwrap_or(0);
        let max_connections = config.limits.max_connections(descriptors);
        let emulated = Emulated::new(&clock);
        let sessions = Settings { version: env!("CARGO_PKG_VERSION").to_owned(), ..Settings::default() };
        let (hub, tasks, sweeper) = (Hub::default(), Tasks::default(), Sweeper::new(&clock));
        let tripped = Arc::new(Tripped::default());
        let (publisher, follower) = (hub.clone(), Arc::clone(&tripped));
        let (appender, append) = Appender::start(store.clone(), move |committed: &Committed| {
            publish(&publisher, &follower, committed);
        });
        let appending = tasks.run(append).abort_handle();
        Ok(Self(Arc::new(Inner {
            config,
            runtime: Runtime {
                clock,
                tasks,
                remembered: Remembered::default(),
                purge: Notify::new(),
                sweeper,
                lobby: Mutex::default(),
                site,
                sessions: Arc::new(sessions),
                emulated,
                signing_keys,
                calls,
                directory: Directory::default(),
                tripped,
                turnstile,
                max_sockets,
                max_connections,
                appending,
            },
            store,
            appender,
            hub,
            limits: Limits::default(),
        })))
    }

    /// Makes what an empty database begins with, or takes up a first start that was cut off.
    async fn prepare(&self) -> Result<Option<FirstStart>, Error> {
        let (key, operator) = self.make_tenant(TenantKind::Operator);
        let welcome = if self.config().welcome { Some(welcome::conversation(self, operator.id)?) } else { None };
        let tenant = self.store().found(Founding { operator, welcome }).await?;
        Ok(tenant.map(|tenant| FirstStart { key, tenant }))
    }

    /// Notes that the operator's key has been handed out. Until then every start is a first one, with another key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn end_first_start(&self) -> Result<(), Error> {
        Ok(self.store().end_first_start().await?)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Time and chance.
    pub fn clock(&self) -> &Clock {
        &self.0.runtime.clock
    }

    /// The owner of all tasks.
    pub fn tasks(&self) -> &Tasks {
        &self.0.runtime.tasks
    }

    /// What was lately looked up.
    pub(crate) fn remembered(&self) -> &Remembered {
        &self.0.runtime.remembered
    }

    /// How this server is called from outside.
    pub fn site(&self) -> &Site {
        &self.0.runtime.site
    }

    /// What tokens are signed with.
    pub(crate) fn signing_keys(&self) -> &SigningKeys {
        &self.0.runtime.signing_keys
    }

    /// The calls.
    pub(crate) fn calls(&self) -> &Calls {
        &self.0.runtime.calls
    }

    /// The names that can be mentioned.
    pub(crate) fn directory(&self) -> &Directory {
        &self.0.runtime.directory
    }

    /// The rooms that were told that their agents are stopped.
    pub(crate) fn tripped(&self) -> &Tripped {
        &self.0.runtime.tripped
    }

    /// The check for bots, if there is one.
    pub(crate) fn turnstile(&self) -> Option<&Turnstile> {
        self.0.runtime.turnstile.as_ref()
    }

    /// How many sockets, streams and waiters the whole server takes; 0 for any number.
    pub(crate) fn max_sockets(&self) -> usize {
        self.0.runtime.max_sockets
    }

    /// How many connections the whole server takes.
    pub(crate) fn max_connections(&self) -> usize {
        self.0.runtime.max_connections
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The one way for a message into the database.
    pub(crate) fn appender(&self) -> &Appender {
        &self.0.appender
    }

    /// Whether the appender's task runs.
    pub(crate) fn is_appending(&self) -> bool {
        !self.0.runtime.appending.is_finished()
    }

    /// Ends the appender's task, as a panic in it would.
    #[cfg(test)]
    pub(crate) async fn stop_appending(&self) {
        self.0.runtime.appending.abort();
        while self.is_appending() {
            tokio::task::yield_now().await;
        }
    }

    /// Who listens to what.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// How much of something a caller may do.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Refuses writes while the disk is nearly full; reads go on.
    ///
    /// # Errors
    /// [`Error::DiskFull`].
    pub(crate) fn refuse_when_disk_is_full(&self) -> Result<(), Error> {
        match self.store().disk() {
            Some(disk) if disk.free < self.config().limits.min_free_bytes(disk.total) => Err(Error::DiskFull),
            _ => Ok(()),
        }
    }

    /// Stores what was handed in, ends the tasks and closes the database.
    pub async fn close(&self) {
        self.tasks().stop();
        self.appender().drain().await;
        self.0.runtime.appending.abort();
        self.tasks().wait().await;
        self.close_store().await;
    }

    /// Closes the database, whatever still runs.
    pub(crate) async fn close_store(&self) {
        self.store().close().await;
    }

    /// Held by whoever looks at a room in the store and tells the lobby what was there, until it is told: what one saw
    /// must not be told after what another has seen later.
    pub(crate) async fn lobby_turn(&self) -> MutexGuard<'_, ()> {
        self.0.runtime.lobby.lock().await
    }

    /// What remembers which ends were noticed.
    pub(crate) fn sweeper(&self) -> &Sweeper {
        &self.0.runtime.sweeper
    }

    /// What all sessions of the Centrifugo protocol have in common.
    pub(crate) fn sessions(&self) -> &Arc<Settings> {
        &self.0.runtime.sessions
    }

    /// The connections of that protocol whose commands come by requests of their own.
    pub(crate) fn emulated(&self) -> &Emulated {
        &self.0.runtime.emulated
    }

    /// Has what was marked purged soon.
    pub(crate) fn wake_purger(&self) {
        self.0.runtime.purge.notify_one();
    }

    /// Resolves when something was marked.
    pub(crate) async fn marked(&self) {
        self.0.runtime.purge.notified().await;
    }
}

/// Hands what came of a commit to the hub, in its order.
fn publish(hub: &Hub, tripped: &Tripped, committed: &Committed) {
    let batch = &committed.stored;
    metrics::counter!("meet_messages_total").increment(batch.len() as u64);
    metrics::histogram!("meet_append_batch_size").record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
    let room = |appended: &Appended| Address::chat(appended.tenant, appended.message.room_id);
    for one_room in batch.chunk_by(|left, right| room(left) == room(right)) {
        let address = room(&one_room[0]);
        let publication = |appended: &Appended| Publication::message(address, Arc::clone(&appended.message));
        let publications: Vec<_> = one_room.iter().map(|appended| Arc::new(publication(appended))).collect();
        hub.publish(address, &publications);
    }
    tripped.follow(hub, committed);
    for Appended { tenant, message, mentions } in batch {
        let own = mentions.iter().map(|user| Address::user(*tenant, *user));
        let listening: Vec<_> = own.filter(|address| hub.has_subscribers(*address)).collect();
        if !listening.is_empty() {
            Publication::mentions(listening, message).for_each(|mention| hub.hint(mention.address, &mention));
        }
    }
}
