//! A running server: started from a command, watched by its lines, ended by signals.

use std::{
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use crate::caller::Caller;

/// Far longer than anything takes; only a story that fails waits so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, event).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A server that said that it listens.
pub(crate) struct Server {
    child: Child,
    /// Where it is reached.
    pub(crate) url: String,
    /// The link that a first start prints.
    pub(crate) owner_link: Option<String>,
    stderr: Stderr,
}

/// What a process says on standard error, read to its end.
struct Stderr {
    said: Arc<Mutex<String>>,
    reading: JoinSet<()>,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
}

impl Server {
    /// Starts it and waits for the last line that it prints, or for its end.
    pub(crate) async fn start(mut command: Command) -> Result<Self, Ended> {
        let mut child = command.spawn().unwrap();
        let mut stderr = Stderr::of(&mut child);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut url, mut owner_link) = (None, None);
        loop {
            let Some(line) = soon("a line of the server", lines.next_line()).await.unwrap() else {
                let status = soon("the end of the server", child.wait()).await.unwrap();
                return Err(Ended { status, said: stderr.all().await });
            };
            match line.split_whitespace().find(|word| word.starts_with("http://")) {
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
        // Nobody reads on, but the server must be able to print.
        stderr.reading.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, url: url.expect("the banner names the web address"), owner_link, stderr })
    }

    /// Somebody who calls this server with a key.
    pub(crate) fn caller(&self, key: &str) -> Caller {
        Caller::new(&self.url, key)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for its end; how it ended and what it said.
    pub(crate) async fn end(mut self) -> Ended {
        let status = soon("the end of the server", self.child.wait()).await.unwrap();
        Ended { status, said: self.stderr.all().await }
    }

    /// Ends it without giving it a chance to do anything more.
    pub(crate) async fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.end().await.status.code(), None);
    }

    /// Ends it in order, as the system does.
    pub(crate) async fn stop(self) {
        self.signal(Signal::TERM);
        let Ended { status, said } = self.end().await;
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

impl Stderr {
    fn of(child: &mut Child) -> Self {
        let mut source = child.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&said);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = source.read(&mut bytes).await {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { said, reading }
    }

    async fn all(self) -> String {
        soon("the end of standard error", self.reading.join_all()).await;
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}
