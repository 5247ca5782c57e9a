//! A machine of its own for each test: home, working directory, data, and the binary on it.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use meet_server::Clock;
use rustix::{
    net::{AddressFamily, SocketType},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tempfile::TempDir;

/// Far longer than anything takes; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a server is started while its port is somebody else's: between the end of one server and the start of the
/// next, any program on the machine may be given it for a moment.
const TRIES: usize = 100;

/// A user's machine.
pub(crate) struct Machine {
    root: TempDir,
}

/// A running process whose lines are read as they come, and which ends with the test.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Running,
    pub(crate) url: String,
    pub(crate) owner_link: Option<String>,
    /// All that was printed until it was ready.
    pub(crate) banner: String,
}

/// Lines of an output, in order.
pub(crate) struct Lines(Receiver<String>);

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("work")).unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The directory in which commands run.
    pub(crate) fn work(&self) -> PathBuf {
        self.path("work")
    }

    pub(crate) fn config_toml(&self) -> PathBuf {
        self.path("home/.config/meet-ai/config.toml")
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.program("env");
        // Whoever runs the tests may have started them to outlive a terminal, which the program would inherit.
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_meet-ai")]).args(args);
        command
    }

    /// Another program, on this machine.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path("home")).current_dir(self.work());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed and gives its output, trimmed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        succeeded(&self.run(args))
    }

    /// The key that a first start kept for this address.
    pub(crate) fn key_of(&self, url: &str) -> String {
        let kept = fs::read_to_string(self.config_toml()).unwrap();
        let table = kept.split_once(&format!("[servers.\"{url}\"]")).unwrap().1;
        table.split('"').nth(1).unwrap().to_owned()
    }

    /// Starts the server on `data` and waits until it is ready.
    pub(crate) fn serve(&self, data: &str, listen: &str) -> Server {
        let start = || Server::try_start(self.command(&["serve", "--listen", listen, "--data-dir", data]));
        let mut tried = start();
        for _ in 0..TRIES {
            match tried {
                Ok(server) => return server,
                Err(said) => assert!(said.contains("is taken"), "{said}"),
            }
            tried = start();
        }
        panic!("{listen} stays taken");
    }
}

impl Server {
    pub(crate) fn start(command: Command) -> Self {
        Self::try_start(command).unwrap_or_else(|said| panic!("{said}"))
    }

    /// Starts a server, or tells what it said when it ended instead.
    fn try_start(command: Command) -> Result<Self, String> {
        let process = Running::start(command);
        let (mut banner, mut url, mut owner_link) = (String::new(), None, None);
        // The line with the link, or with where to open the pages, is the last one.
        loop {
            let Some(line) = process.stdout.next_or_end() else { return Err(process.stderr.rest()) };
            banner.push_str(&line);
            banner.push('\n');
            let word = line.split_whitespace().find(|word| word.starts_with("http://") || word.starts_with("https://"));
            match word {
                Some(word) if word.contains("#owner=") => owner_link = Some(word.to_owned()),
                Some(word) if line.trim_start().starts_with("web") => {
                    url = Some(word.trim_end_matches('/').to_owned());
                }
                _ => {}
            }
            if owner_link.is_some() || line.starts_with("Open http") {
                break;
            }
        }
        Ok(Self { process, url: url.expect("the banner names the web address"), owner_link, banner })
    }

    /// The address at which it listens, for a server that comes after it.
    pub(crate) fn address(&self) -> String {
        self.url.strip_prefix("http://").unwrap().to_owned()
    }

    /// Ends the server as the system does, and tells how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.wait()
    }

    /// Sends one request with the key, as a client that is not ours; the status and the body.
    pub(crate) fn http(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, String) {
        let host = self.url.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        let length = body.len();
        let credential = if key.is_empty() { String::new() } else { format!("authorization: Bearer {key}\r\n") };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{credential}connection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        (status, body)
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Its standard input, when that is a pipe.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// The process's file creation mask, as the system tells it.
    pub(crate) fn umask(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the end of the process", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap()
    }

    /// Skips lifecycle lines until one tells of `event`.
    pub(crate) fn event(&self, event: &str) -> Value {
        loop {
            let line = self.stderr.next();
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a lifecycle line: {line}"));
            if value["event"] == event {
                return value;
            }
        }
    }

    /// The next message on standard output.
    pub(crate) fn message(&self) -> Value {
        serde_json::from_str(&self.stdout.next()).unwrap()
    }
}

/// Waits until something is so that nobody tells of.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::system();
    let end = clock.monotonic() + PATIENCE;
    while !is_so() {
        assert!(clock.monotonic() < end, "{what} is never so");
        std::thread::yield_now();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn of(source: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Everything from here to the end of the process.
    pub(crate) fn rest(&self) -> String {
        self.0.iter().collect::<Vec<_>>().join("\n")
    }

    /// The next line; a test that gets none fails.
    pub(crate) fn next(&self) -> String {
        self.next_or_end().expect("another line")
    }

    /// The next line, or nothing when there are no more.
    fn next_or_end(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line came"),
        }
    }
}

/// Standard output of a command that succeeded, trimmed.
pub(crate) fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}: {}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// A command that failed: its exit code and what it said.
pub(crate) fn failed(output: &Output) -> (i32, String) {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An address at which nobody answers, and that nobody else gets for as long as it is held.
pub(crate) struct DeadAddress {
    pub(crate) url: String,
    _held: OwnedFd,
}

impl DeadAddress {
    pub(crate) fn new() -> Self {
        // Bound and never listening: whoever connects is refused.
        let held = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&held, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&held).unwrap()).unwrap();
        Self { url: format!("http://{address}"), _held: held }
    }
}

/// The permissions of a file or directory.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
