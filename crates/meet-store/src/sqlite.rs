//! SQLite: one thread that writes, a few that read, and a few that only search.
//!
//! The writer takes what waits into one transaction, each job in a savepoint of its own, so that
//! many small changes share one `fsync` and none of them sees another fail. A job that panics or
//! fails ends only itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Disk, Durability, Inspection, OpenError, StoreError,
    conn::{Conn, Operation},
    files, schema,
    turns::Turns,
};

/// The name of the file in the data directory.
pub(crate) const FILE: &str = "meet-ai.db";
/// How many threads read, besides those that search.
const READERS: usize = 4;
/// How many search at once.
pub(crate) const SEARCHERS: usize = 2;
/// How many jobs may wait before callers wait.
const QUEUE: usize = 1024;
/// How many jobs share a transaction at most.
const GROUP: usize = 64;
/// How long a search may run.
pub(crate) const SEARCH_TIME: Duration = Duration::from_millis(200);
/// How long a search waits for those before it.
pub(crate) const SEARCH_PATIENCE: Duration = Duration::from_secs(5);
/// How many steps of SQLite's machine pass between two looks at the clock of a search.
const STEPS_BETWEEN_LOOKS: i32 = 1000;
/// How long to wait for another process that writes the same file.
const BUSY: Duration = Duration::from_secs(5);

/// How many pages the log holds before they go into the file, and how many bytes a page has.
const LOG_PAGES: u64 = 1000;
const PAGE: u64 = 4096;
/// The share of a small disk that the log may take, so that the file and the reserve have the rest.
const LOG_SHARE: u64 = 32;

/// A job of a reading thread.
type ReadJob = Box<dyn FnOnce(&mut Connection) + Send>;

/// A job of the writing thread.
trait WriteJob: Send {
    /// Does the work in a savepoint; an error undoes it.
    fn run(&mut self, conn: &mut Connection) -> Result<(), StoreError>;
    /// Tells the caller, once it is known what became of the transaction.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// An operation on its way through the writing thread.
struct Write<I, T> {
    input: I,
    operation: Operation<I, T>,
    result: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

/// Runs an operation that, on SQLite, never waits for anything.
fn run_now<I, T>(conn: &mut Connection, input: &I, operation: Operation<I, T>) -> Result<T, StoreError> {
    let run = AssertUnwindSafe(|| operation(&mut Conn::Sqlite(conn), input).now_or_never());
    match catch_unwind(run) {
        Ok(Some(result)) => result,
        Ok(None) => Err(StoreError::internal("an operation waited on SQLite's thread")),
        Err(_) => Err(StoreError::internal("an operation panicked")),
    }
}

impl<I: Send, T: Send> WriteJob for Write<I, T> {
    fn run(&mut self, conn: &mut Connection) -> Result<(), StoreError> {
        let result = self.result.insert(run_now(conn, &self.input, self.operation));
        result.as_ref().map(drop).map_err(Clone::clone)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Ok(_)) | None, Err(error)) => Err(error),
            (Some(result), _) => result,
            (None, Ok(())) => Err(StoreError::internal("an operation was not run")),
        };
        // A caller that no longer waits does not undo its change.
        let _ = self.caller.send(result);
    }
}

/// The channels to the threads; gone once closed.
struct Threads {
    writer: mpsc::Sender<Box<dyn WriteJob>>,
    readers: mpsc::Sender<ReadJob>,
    searchers: mpsc::Sender<ReadJob>,
    handles: Vec<thread::JoinHandle<()>>,
}

/// A file of SQLite and the threads that have it open.
pub(crate) struct Sqlite {
    directory: PathBuf,
    threads: Mutex<Option<Threads>>,
    searches: Turns,
    /// The bytes of the file that hold nothing, as the writer last saw it.
    unused: Arc<AtomicU64>,
}

impl Sqlite {
    /// Opens the file in a directory, making both if need be.
    pub(crate) async fn open(directory: PathBuf) -> Result<Self, OpenError> {
        Self::open_by(directory, open_file).await
    }

    /// Opens the file in a directory if it is there and up to date.
    pub(crate) async fn open_existing(directory: PathBuf) -> Result<Self, OpenError> {
        Self::open_by(directory, open_existing_file).await
    }

    async fn open_by(directory: PathBuf, open: fn(&Path) -> Result<Connection, OpenError>) -> Result<Self, OpenError> {
        let place = directory.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let writer = open(&directory.join(FILE));
            writer.and_then(|writer| Self::start(directory, writer)).map_err(|error| error.or_disk_full(&place))
        });
        opening.await.map_err(|_| StoreError::internal("opening the database panicked"))?
    }

    /// Starts the threads, from one that may block.
    fn start(directory: PathBuf, writer: Connection) -> Result<Self, OpenError> {
        let reader = || open_reader(&directory.join(FILE)).map_err(OpenError::Store);
        let (write, write_jobs) = mpsc::channel(QUEUE);
        let (read, read_jobs) = mpsc::channel(QUEUE);
        let (search, search_jobs) = mpsc::channel(QUEUE);
        let read_jobs = Arc::new(Mutex::new(read_jobs));
        let search_jobs = Arc::new(Mutex::new(search_jobs));
        let unused = Arc::new(AtomicU64::new(unused_bytes(&writer)));
        let counted = Arc::clone(&unused);
        let mut handles = vec![start("store-write", move || write_all(writer, write_jobs, &counted))?];
        for (jobs, name, count) in [(read_jobs, "store-read", READERS), (search_jobs, "store-search", SEARCHERS)] {
            for _ in 0..count {
                let (conn, jobs) = (reader()?, Arc::clone(&jobs));
                handles.push(start(name, move || read_all(conn, &jobs))?);
            }
        }
        let threads = Threads { writer: write, readers: read, searchers: search, handles };
        let searches = Turns::new(SEARCHERS, SEARCH_PATIENCE);
        Ok(Self { directory, threads: Mutex::new(Some(threads)), searches, unused })
    }

    /// One of the channels, unless the store is closed.
    fn channel<T>(&self, which: fn(&Threads) -> &mpsc::Sender<T>) -> Result<mpsc::Sender<T>, StoreError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.as_ref().map(|threads| which(threads).clone()).ok_or_else(StoreError::closed)
    }

    /// Whether the writing thread lives.
    pub(crate) fn writer_is_there(&self) -> Result<(), StoreError> {
        let writer = self.channel(|threads| &threads.writer)?;
        if writer.is_closed() { Err(StoreError::closed()) } else { Ok(()) }
    }

    /// Runs an operation on a reading thread.
    pub(crate) async fn read<I, T>(&self, input: I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |conn| {
            let _ = caller.send(run_now(conn, &input, operation));
        });
        self.channel(|threads| &threads.readers)?.send(job).await.map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Runs an operation on a searching thread, and stops it when it takes too long or nobody waits.
    pub(crate) async fn search<I, T>(&self, input: I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let turn = self.searches.take().await?;
        let stop = StopOnDrop::default();
        let stopped = Arc::clone(&stop.0);
        let (caller, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |conn| {
            let watch = conn.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || stopped.load(Ordering::Relaxed)));
            let result = watch.map_err(StoreError::from).and_then(|()| run_now(conn, &input, operation));
            let _ = conn.progress_handler(0, None::<fn() -> bool>);
            let _ = caller.send(result);
        });
        self.channel(|threads| &threads.searchers)?.send(job).await.map_err(|_| StoreError::closed())?;
        let answered = tokio::time::timeout(SEARCH_TIME, answer).await;
        drop(turn);
        match answered {
            Ok(result) => result.unwrap_or_else(|_| Err(StoreError::closed())),
            Err(_) => Err(StoreError::Interrupted),
        }
    }

    /// Runs an operation on the writing thread.
    pub(crate) async fn write<I, T>(&self, input: I, operation: Operation<I, T>) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Box::new(Write { input, operation, result: None, caller });
        self.channel(|threads| &threads.writer)?.send(job).await.map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// The file system of the file. What is unused in the file counts as free: SQLite keeps the space of
    /// what was deleted, and fills it first.
    pub(crate) fn disk(&self) -> Option<Disk> {
        let disk = files::disk(&self.directory)?;
        Some(Disk { free: disk.free.saturating_add(self.unused.load(Ordering::Relaxed)), ..disk })
    }

    /// Lets the threads finish what waits, and waits for them.
    pub(crate) async fn close(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Threads { writer, readers, searchers, handles }) = threads else { return };
        drop((writer, readers, searchers));
        let joined = tokio::task::spawn_blocking(move || handles.into_iter().for_each(|handle| drop(handle.join())));
        if joined.await.is_err() {
            tracing::warn!("the threads of the database did not end cleanly");
        }
    }
}

/// Tells a search to stop as soon as its caller is gone.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts a thread.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, OpenError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|error| OpenError::Store(StoreError::Unavailable { source: Arc::new(error) }))
}

/// The life of a reading thread.
fn read_all(mut conn: Connection, jobs: &Mutex<mpsc::Receiver<ReadJob>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        job(&mut conn);
    }
}

/// The life of the writing thread.
fn write_all(mut conn: Connection, mut jobs: mpsc::Receiver<Box<dyn WriteJob>>, unused: &AtomicU64) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        let committed = write_group(&mut conn, &mut group, &mut jobs);
        if !conn.is_autocommit() {
            let _ = conn.execute_batch("ROLLBACK");
        }
        unused.store(unused_bytes(&conn), Ordering::Relaxed);
        for job in group {
            job.answer(committed.clone());
        }
    }
    if let Err(error) = conn.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(error = &error as &dyn std::error::Error, "the database was closed without a checkpoint");
    }
}

/// The bytes of the file that hold nothing.
fn unused_bytes(conn: &Connection) -> u64 {
    let pragma = |name| conn.prepare_cached(name)?.query_row([], |row| row.get::<_, u32>(0));
    // A file that cannot be asked is taken for full.
    let bytes =
        pragma("PRAGMA freelist_count").and_then(|pages| Ok(u64::from(pages) * u64::from(pragma("PRAGMA page_size")?)));
    bytes.unwrap_or(0)
}

/// Runs the first job and those that have come meanwhile in one transaction.
fn write_group(
    conn: &mut Connection,
    group: &mut Vec<Box<dyn WriteJob>>,
    jobs: &mut mpsc::Receiver<Box<dyn WriteJob>>,
) -> Result<(), StoreError> {
    run_cached(conn, "BEGIN IMMEDIATE")?;
    let mut next = 0;
    while next < group.len() {
        run_cached(conn, "SAVEPOINT job")?;
        let done = group[next].run(conn);
        if conn.is_autocommit() {
            // SQLite itself has undone the whole transaction, as it does when the disk is full.
            return done.and(Err(StoreError::internal("the database gave up the transaction")));
        }
        if done.is_err() {
            run_cached(conn, "ROLLBACK TO job")?;
        }
        run_cached(conn, "RELEASE job")?;
        next += 1;
        if group.len() < GROUP {
            group.extend(jobs.try_recv().ok());
        }
    }
    run_cached(conn, "COMMIT")
}

/// Runs a statement without parameters or rows.
fn run_cached(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql)?.raw_execute()?;
    Ok(())
}

/// Opens the file for writing, makes it if it is not there, and brings it up to date.
pub(crate) fn open_file(path: &Path) -> Result<Connection, OpenError> {
    let not_writable = not_writable(path);
    files::make_private_directory(files::directory_of(path)).map_err(&not_writable)?;
    files::private_file(path, false).map_err(&not_writable)?;
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check_sqlite(&conn)?;
    set_up_writer(&conn, files::disk(files::directory_of(path))).map_err(explain(path))?;
    assert_durable(&conn)?;
    schema::migrate_sqlite(&mut conn)?;
    Ok(conn)
}

/// Opens a file for writing that is there and up to date.
fn open_existing_file(path: &Path) -> Result<Connection, OpenError> {
    refuse_nothing(path)?;
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check_existing_sqlite(&conn, path)?;
    set_up_writer(&conn, files::disk(files::directory_of(path))).map_err(explain(path))?;
    assert_durable(&conn)?;
    Ok(conn)
}

/// Looks at a file that is there, beside whoever has it open, and leaves nothing behind.
pub(crate) fn inspect(directory: &Path) -> Result<Inspection, OpenError> {
    let path = directory.join(FILE);
    refuse_nothing(&path)?;
    let (conn, journal) = connect_to_look(&path)?;
    schema::check_existing_sqlite(&conn, &path)?;
    let unused = unused_bytes(&conn);
    let disk = files::disk(directory).map(|disk| Disk { free: disk.free.saturating_add(unused), ..disk });
    // Nothing is acknowledged unless the server's own connection has read back that it keeps what it commits, which
    // is no setting of the file.
    let settings = vec![("journal_mode".to_owned(), journal)];
    Ok(Inspection { durability: Durability { engine: "sqlite", settings, durable: true }, disk })
}

/// Refuses a file that is not there.
fn refuse_nothing(path: &Path) -> Result<(), OpenError> {
    if path.exists() { Ok(()) } else { Err(OpenError::NothingThere { place: path.display().to_string() }) }
}

/// Opens a file that is ours or empty.
fn connect(path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    connect_by(path, path, access)
}

/// Opens the file at `path` by an address that SQLite understands.
fn connect_by(address: &Path, path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    let conn = Connection::open_with_flags(address, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(explain(path))?;
    conn.busy_timeout(BUSY).map_err(explain(path))?;
    let mark: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(explain(path))?;
    if mark != 0 && mark != schema::APPLICATION_ID {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    Ok(conn)
}

/// Opens a file for reading, and tells its journal. One that has no log beside it is taken as it is, as nobody seems to
/// have it open: SQLite would else put files beside it and leave them there.
fn connect_to_look(path: &Path) -> Result<(Connection, String), OpenError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = Path::new(&log);
    if !log.exists() {
        let looked = connect_as_it_is(path);
        // A server that has started meanwhile writes the file under those who do not expect it.
        if !log.exists() {
            return looked;
        }
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let journal = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(explain(path))?;
    Ok((conn, journal))
}

/// Opens a file that nobody writes, without a lock or a log.
fn connect_as_it_is(path: &Path) -> Result<(Connection, String), OpenError> {
    let encoded: String = path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |encoded, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => encoded + &char::from(*byte).to_string(),
        _ => encoded + &format!("%{byte:02X}"),
    });
    let address = PathBuf::from(format!("file:{encoded}?immutable=1"));
    let conn = connect_by(&address, path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?;
    // SQLite itself uses no journal here, and so does not say what the file's is.
    let with_log = files::is_in_log_mode(path).map_err(|error| StoreError::Unavailable { source: Arc::new(error) })?;
    Ok((conn, if with_log { "wal" } else { "rollback" }.to_owned()))
}

/// What keeps a file from being written.
fn not_writable(path: &Path) -> impl Fn(std::io::Error) -> OpenError {
    move |error| OpenError::NotWritable { path: path.to_owned(), source: Arc::new(error) }
}

/// What keeps a file from being opened.
fn explain(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::NotADatabase { path: path.to_owned() },
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) => {
            OpenError::NotWritable { path: path.to_owned(), source: Arc::new(error) }
        }
        _ => OpenError::Store(error.into()),
    }
}

/// Settings of the connection that writes. Reading through a memory map is left off: a failing disk
/// would end the process instead of a statement.
fn set_up_writer(conn: &Connection, disk: Option<Disk>) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(128);
    keep_plans(conn)?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    let pages = disk.map_or(LOG_PAGES, |disk| (disk.total / LOG_SHARE / PAGE).clamp(16, LOG_PAGES));
    let pages = i64::try_from(pages).unwrap_or(i64::MAX);
    conn.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()))?;
    conn.pragma_update_and_check(None, "journal_size_limit", 64 * 1024 * 1024, |_| Ok(()))
}

/// Keeps the plan of a cached statement. SQLite else looks at the value of a `LIMIT`, and prepares the statement anew
/// each time it is bound (`SQLITE_DBCONFIG_ENABLE_QPSG`).
fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Reads back whether a commit really reaches the disk.
fn assert_durable(conn: &Connection) -> Result<(), OpenError> {
    let journal: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(StoreError::from)?;
    let synchronous: i64 = conn.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(StoreError::from)?;
    if journal != "wal" {
        return Err(OpenError::NotDurable { setting: format!("journal_mode is {journal}, not wal") });
    }
    if synchronous < 2 {
        return Err(OpenError::NotDurable { setting: format!("synchronous is {synchronous}, not full") });
    }
    Ok(())
}

/// Opens the file for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.set_prepared_statement_cache_capacity(64);
    keep_plans(&conn)?;
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -4_096)?;
    Ok(conn)
}
