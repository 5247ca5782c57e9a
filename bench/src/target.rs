//! The server under test: started here in a directory of its own, or one that runs already.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Outcome, clock, http::Http, machine};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the limits of the server are called; all of them are lifted.
const LIMITS: [&str; 9] = [
    "KEYS_PER_HOUR_PER_IP",
    "ROOMS_PER_DAY_PER_KEY",
    "MESSAGES_PER_MINUTE_PER_KEY",
    "MESSAGES_PER_ROOM",
    "BYTES_PER_TENANT",
    "SOCKETS_PER_USER",
    "SOCKETS_PER_TENANT",
    "SOCKETS_PER_IP",
    "SOCKETS",
];

/// Where a server is reached and watched.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its address, on this machine.
    pub(crate) address: SocketAddr,
    /// A key without limits.
    pub(crate) key: String,
    /// Its process.
    pub(crate) process: u32,
}

impl Target {
    /// Its resident memory, in KiB.
    pub(crate) fn resident(&self) -> Outcome<u32> {
        machine::resident(self.process)
    }

    /// Makes a room and gives its id.
    pub(crate) async fn room(&self) -> Outcome<String> {
        let mut http = Http::connect(self).await?;
        new_room(&mut http).await
    }
}

/// Makes a room and gives its id.
pub(crate) async fn new_room(http: &mut Http) -> Outcome<String> {
    http.call(201, "POST", "/api/rooms", r#"{"name":"bench"}"#).await?.text("id")
}

/// A directory for one server: its data, and a home so that nothing of the person who runs this is touched.
pub(crate) struct Home(TempDir);

impl Home {
    /// An empty one inside `directory`.
    pub(crate) fn new(directory: &Path) -> Outcome<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self(tempfile::Builder::new().prefix("run-").tempdir_in(directory)?))
    }

    /// Where the server keeps its files.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("config")
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("server.log")
    }

    /// The operator's key, which the server left on its first start. The port differs from start to start; the key
    /// does not.
    fn key(&self) -> Outcome<String> {
        let text = fs::read_to_string(self.config().join("meet-ai/config.toml"))?;
        let key = text.lines().find_map(|line| line.strip_prefix("key = \"")?.strip_suffix('"'));
        key.map(str::to_owned).ok_or_else(|| "the server left no key for its owner".into())
    }
}

/// A server that runs.
pub(crate) struct Server {
    /// Where it is.
    pub(crate) target: Target,
    /// How long it took from its start to its first answer; zero for one that ran already.
    pub(crate) started_in: Duration,
    child: Option<Child>,
}

impl Server {
    /// A server that somebody else started and will stop.
    pub(crate) fn attached(target: Target) -> Self {
        Self { target, started_in: Duration::ZERO, child: None }
    }

    /// Starts one and waits for its first answer.
    pub(crate) async fn start(binary: &Path, home: &Home) -> Outcome<Self> {
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .env("MEET_AI_LISTEN", "127.0.0.1:0")
            .env("MEET_AI_DATA_DIR", home.data())
            .env("XDG_CONFIG_HOME", home.config())
            .env("MEET_AI_WELCOME", "false")
            .env("MEET_AI_CONFERENCE__PROVIDER", "fake")
            .env("MEET_AI_LOG", "warn")
            .env_remove("MEET_AI_CONFIG")
            .env_remove("MEET_AI_DATABASE_URL")
            .env_remove("MEET_AI_PUBLIC_URL")
            .envs(LIMITS.map(|name| (format!("MEET_AI_LIMITS__{name}"), "0")))
            .current_dir(home.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(home.log())?);
        let begin = clock::now();
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        let address = match address_of(&mut child) {
            Ok(address) => address,
            Err(error) => {
                let _ = (child.kill(), child.wait());
                let log = fs::read_to_string(home.log()).unwrap_or_default();
                return Err(format!("the server did not start: {error}\n{log}").into());
            }
        };
        let target = Target { address, key: String::new(), process: child.id() };
        let mut server = Self { target, started_in: Duration::ZERO, child: Some(child) };
        Http::connect(&server.target).await?.call(401, "GET", "/api/rooms", "").await?;
        server.started_in = begin.elapsed();
        server.target.key = home.key()?;
        Ok(server)
    }

    /// Stops it in order, unless somebody else started it.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let begin = clock::now();
        while child.try_wait()?.is_none() {
            if begin.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                return Err("the server did not stop when it was asked to".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = (child.kill(), child.wait());
        }
    }
}

/// Reads from the server's greeting where it listens, and goes on reading so that it never blocks.
fn address_of(child: &mut Child) -> Outcome<SocketAddr> {
    let output = child.stdout.take().ok_or("no standard output")?;
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let word = line.split_once("listening on ").and_then(|(_, rest)| rest.split([' ', ',']).next());
            if let Some(address) = word.and_then(|word| word.parse().ok()) {
                let _ = found.send(address);
            }
        }
    });
    address.recv_timeout(PATIENCE).map_err(|_| "it did not say where it listens".into())
}

/// CPU and wall time of a piece of work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// CPU seconds of the server; not a number where its process is not known.
    pub(crate) cpu: f64,
    /// Wall seconds.
    pub(crate) wall: f64,
}

impl Spent {
    /// Microseconds of CPU for each of so many operations.
    pub(crate) fn micros_each(self, operations: u32) -> f64 {
        self.cpu * 1e6 / f64::from(operations.max(1))
    }

    /// Operations in a second of wall time.
    pub(crate) fn per_second(self, operations: u32) -> f64 {
        f64::from(operations) / self.wall.max(f64::EPSILON)
    }
}

/// Watches a server from now on.
pub(crate) struct Watch {
    process: Option<u32>,
    cpu: Duration,
    begin: Instant,
}

impl Watch {
    /// Begins.
    pub(crate) fn begin(target: &Target) -> Outcome<Self> {
        Self::of(Some(target.process))
    }

    /// The same for a process that may not be known: then time passes, and no CPU time is told.
    pub(crate) fn of(process: Option<u32>) -> Outcome<Self> {
        Ok(Self { process, cpu: process.map_or(Ok(Duration::ZERO), machine::cpu)?, begin: clock::now() })
    }

    /// What was spent since.
    pub(crate) fn end(&self) -> Outcome<Spent> {
        let wall = self.begin.elapsed().as_secs_f64();
        let Some(process) = self.process else { return Ok(Spent { cpu: f64::NAN, wall }) };
        let cpu = machine::cpu(process)?.saturating_sub(self.cpu).as_secs_f64();
        Ok(Spent { cpu, wall })
    }
}
