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
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    Disk, Durability, OpenError, StoreError,
    conn::{Conn, Operation},
    files, schema,
};

/// The name of the file in the data directory.
pub(crate) const FILE: &str = "meet-ai.db";
/// How many threads read, besides those that search.
const READERS: usize = 4;
/// How many threads search.
const SEARCHERS: usize = 2;
/// How many jobs may wait before callers wait.
const QUEUE: usize = 1024;
/// How many jobs share a transaction at most.
const GROUP: usize = 64;
/// How long a search may run.
pub(crate) const SEARCH_TIME: Duration = Duration::from_millis(200);
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
    searches: Semaphore,
    /// The bytes of the file that hold nothing, as the writer last saw it.
    unused: Arc<AtomicU64>,
}

impl Sqlite {
    /// Opens the file in a directory, making both if need be.
    pub(crate) async fn open(directory: PathBuf) -> Result<Self, OpenError> {
        let place = directory.clone();
        let opening =
            tokio::task::spawn_blocking(move || Self::open_here(directory).map_err(|error| error.or_disk_full(&place)));
        opening.await.map_err(|_| StoreError::internal("opening the database panicked"))?
    }

    /// Opens the file on a thread that may block.
    fn open_here(directory: PathBuf) -> Result<Self, OpenError> {
        let writer = open_file(&directory.join(FILE))?;
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
        Ok(Self { directory, threads: Mutex::new(Some(threads)), searches: Semaphore::new(SEARCHERS), unused })
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
        let turn = self.searches.acquire().await.map_err(|_| StoreError::closed())?;
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

    /// Reads back what the writing connection is set to.
    pub(crate) async fn durability(&self) -> Result<Durability, StoreError> {
        self.write((), |conn, ()| {
            async move {
                let journal = conn.one("PRAGMA journal_mode", &[], |row| Ok(row.text(0)?.to_owned())).await?;
                let synchronous = conn.one("PRAGMA synchronous", &[], |row| row.int(0)).await?.unwrap_or(0);
                let journal = journal.unwrap_or_default();
                let durable = journal == "wal" && synchronous >= 2;
                let settings = vec![
                    ("journal_mode".to_owned(), journal),
                    (
                        "synchronous".to_owned(),
                        ["off", "normal", "full", "extra"][usize::try_from(synchronous).unwrap_or(0).min(3)].to_owned(),
                    ),
                ];
                Ok(Durability { engine: "sqlite", settings, durable })
            }
            .boxed()
        })
        .await
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
    let not_writable =
        |error: std::io::Error| OpenError::NotWritable { path: path.to_owned(), source: Arc::new(error) };
    files::make_private_directory(files::directory_of(path)).map_err(not_writable)?;
    files::private_file(path, false).map_err(not_writable)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let explain = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::NotADatabase { path: path.to_owned() },
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) => {
            OpenError::NotWritable { path: path.to_owned(), source: Arc::new(error) }
        }
        _ => OpenError::Store(error.into()),
    };
    let mut conn = Connection::open_with_flags(path, flags).map_err(explain)?;
    conn.busy_timeout(BUSY).map_err(explain)?;
    let mark: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(explain)?;
    if mark != 0 && mark != schema::APPLICATION_ID {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    schema::check_sqlite(&conn)?;
    set_up_writer(&conn, files::disk(files::directory_of(path))).map_err(explain)?;
    assert_durable(&conn)?;
    schema::migrate_sqlite(&mut conn)?;
    Ok(conn)
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
fn open_reader(path: &Path) -> Result<Connection, StoreError> {
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
