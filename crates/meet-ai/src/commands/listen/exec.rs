//! `--exec`: runs a program for each message, one after the other.
//!
//! What others wrote must not become more than data here: there is no shell, the message comes on
//! standard input and not among the arguments, the key is not in the environment, and time and output
//! are bounded. A program that fails is reported; the listener goes on.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use meet_api::Message;
use rustix::{
    fs::{Access, access},
    process::{Pid, Signal, kill_process_group},
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    sync::mpsc,
};

use super::telling::Telling;
use crate::{
    args::Activity,
    connection::OWN_KEYS,
    output,
    words::{self, WordsError},
};

/// How many messages wait for the program before the socket is read no further.
pub(super) const QUEUE: usize = 64;
/// How much of each of a program's outputs is kept.
const KEPT: usize = 64 * 1024;

/// A program and its arguments.
#[derive(Debug)]
pub(super) struct Program {
    words: Vec<String>,
    is_without_own_keys: bool,
    time_limit: Duration,
}

/// How a run ended, as a line on standard error.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    event: &'static str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    output: String,
    errors: String,
    discarded_bytes: u64,
}

/// The first bytes of an output, and how many came after them.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    discarded: u64,
}

/// A child and everything that it started; all of it ends when this is dropped.
struct Group(Option<Pid>);

impl Program {
    /// Splits the command into words. `is_without_own_keys`: the listener speaks by a key that was given to it, and what
    /// it runs shall not come to speak by another one of this user's.
    pub(super) fn parse(command: &str, is_without_own_keys: bool, time_limit: Duration) -> Result<Self, WordsError> {
        Ok(Self { words: words::split(command)?, is_without_own_keys, time_limit })
    }

    /// Whether there is such a program, and this user may run it; told before anything waits for it.
    pub(super) fn check(&self) -> Result<(), String> {
        let Some(program) = self.words.first() else { return Ok(()) };
        let runs = |path: &Path| access(path, Access::EXEC_OK).is_ok() && path.is_file();
        if program.contains('/') {
            let path = Path::new(program);
            return match path.try_exists() {
                Ok(true) if runs(path) => Ok(()),
                Ok(true) if path.is_file() => Err(format!("{program} may not be run: chmod +x {program}")),
                Ok(true) => Err(format!("{program} is not a program")),
                Ok(false) => Err(format!("there is no {program}")),
                Err(error) => Err(format!("{program} cannot be looked at: {error}")),
            };
        }
        let places = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        if std::env::split_paths(&places).any(|place| runs(&place.join(program))) {
            return Ok(());
        }
        let hint = if runs(Path::new(program)) {
            format!("; the one in this directory is ./{program}")
        } else {
            String::new()
        };
        Err(format!("there is no program {program} in PATH{hint}"))
    }

    /// Runs the program for every message until no more come.
    pub(super) async fn serve(&self, mut messages: mpsc::Receiver<Message>, telling: &Telling) {
        while let Some(message) = messages.recv().await {
            telling.does(Activity::Working);
            output::event(&self.run(&message).await);
            telling.has_read(message.seq);
            if messages.is_empty() {
                telling.does(Activity::Listening);
            }
        }
    }

    async fn run(&self, message: &Message) -> Report {
        let (mut out, mut err) = (Kept::default(), Kept::default());
        let ended = match self.start() {
            Ok(mut child) => {
                let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
                let work = attend(&mut child, message, &mut out, &mut err);
                let ended = tokio::time::timeout(self.time_limit, work).await;
                drop(group);
                ended.unwrap_or_else(|_| Err(format!("it took longer than {} s", self.time_limit.as_secs())))
            }
            Err(reason) => Err(reason),
        };
        let failed = ended.as_ref().map_or_else(|reason| Some(reason.clone()), |status| describe(*status));
        Report {
            event: if failed.is_some() { "exec_failed" } else { "exec" },
            seq: message.seq,
            exit: ended.ok().and_then(|status| status.code()),
            reason: failed,
            output: out.text(),
            errors: err.text(),
            discarded_bytes: out.discarded + err.discarded,
        }
    }

    fn start(&self) -> Result<Child, String> {
        let [program, arguments @ ..] = self.words.as_slice() else { return Err("there is no program".to_owned()) };
        let mut command = Command::new(program);
        command.args(arguments).env_remove("MEET_AI_KEY").process_group(0).kill_on_drop(true);
        if self.is_without_own_keys {
            command.env(OWN_KEYS, "false");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|error| format!("{program} cannot be started: {error}"))
    }
}

/// Hands the message over and reads what the program says until it ends and its outputs are closed.
async fn attend(child: &mut Child, message: &Message, out: &mut Kept, err: &mut Kept) -> Result<ExitStatus, String> {
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let line = output::json_line(message) + "\n";
    let hand_over = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input is no failure.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
    };
    let ((), (), (), status) = tokio::join!(hand_over, out.fill(stdout), err.fill(stderr), child.wait());
    status.map_err(|error| format!("its end cannot be told: {error}"))
}

/// Why an end is a failure; `None` when it is a success.
fn describe(status: ExitStatus) -> Option<String> {
    (!status.success()).then(|| match status.code() {
        Some(code) => format!("it ended with exit code {code}"),
        None => "it was ended by a signal".to_owned(),
    })
}

impl Kept {
    async fn fill(&mut self, source: Option<impl AsyncRead + Unpin>) {
        let Some(mut source) = source else { return };
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = source.read(&mut buffer).await {
            let kept = read.min(KEPT - self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.discarded += (read - kept) as u64;
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{Kind, MessageTag, Timestamp};

    use super::*;

    const TIME_LIMIT: Duration = Duration::from_mins(1);

    fn message() -> Message {
        let room = "01900000-0000-7000-8000-000000000002".parse().unwrap();
        Message {
            id: "01900000-0000-7000-8000-000000000001".parse().unwrap(),
            room_id: room,
            room_id_again: room,
            seq: 7,
            tag: MessageTag::Message,
            user: "01900000-0000-7000-8000-000000000003".parse().unwrap(),
            sender: "Ann".into(),
            sender_type: Kind::Human,
            content: "$(touch /tmp/never); `id`".into(),
            reply_to: None,
            created_at: Timestamp::from_millis(1),
        }
    }

    async fn run(command: &str, limit: Duration) -> Report {
        Program::parse(command, false, limit).unwrap().run(&message()).await
    }

    #[tokio::test]
    async fn a_program_reads_the_message_as_json() {
        let report = run("cat", TIME_LIMIT).await;
        assert_eq!((report.event, report.seq, report.exit), ("exec", 7, Some(0)));
        assert_eq!(serde_json::from_str::<Message>(&report.output).unwrap(), message());
    }

    #[tokio::test]
    async fn a_program_that_fails_or_does_not_exist_is_reported() {
        let report = run("sh -c 'echo oops >&2; exit 3'", TIME_LIMIT).await;
        assert_eq!((report.event, report.exit, report.errors.as_str()), ("exec_failed", Some(3), "oops\n"));
        let report = run("/does/not/exist", TIME_LIMIT).await;
        assert!(report.reason.as_ref().is_some_and(|reason| reason.contains("cannot be started")), "{report:?}");
    }

    #[test]
    fn a_program_is_looked_for_before_it_is_needed() {
        let check = |command: &str| Program::parse(command, false, TIME_LIMIT).unwrap().check();
        assert_eq!(check("sh -c true"), Ok(()));
        assert_eq!(check("/bin/sh -c true"), Ok(()));
        for (command, told) in [
            ("./no-such --short", "there is no ./no-such"),
            ("no-such-program", "there is no program no-such-program in PATH"),
            ("./Cargo.toml", "./Cargo.toml may not be run: chmod +x ./Cargo.toml"),
            ("./src", "./src is not a program"),
        ] {
            assert_eq!(check(command), Err(told.to_owned()));
        }
    }

    #[tokio::test]
    async fn ten_megabytes_of_output_are_bounded() {
        let report = run("sh -c 'yes | head -c 10485760'", TIME_LIMIT).await;
        assert_eq!((report.exit, report.output.len()), (Some(0), KEPT));
        assert_eq!(report.discarded_bytes, 10 * 1024 * 1024 - KEPT as u64);
    }

    #[tokio::test]
    async fn a_program_that_never_ends_is_ended_with_all_that_it_started() {
        let report = run("sh -c 'sleep 1000 & echo $!; wait'", Duration::from_millis(300)).await;
        assert!(report.reason.as_ref().is_some_and(|reason| reason.contains("longer")), "{report:?}");
        // What the time limit cut off was still read until then.
        let child: i32 = report.output.trim().parse().unwrap();
        while rustix::process::test_kill_process(Pid::from_raw(child).unwrap()).is_ok() {
            let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if status.is_empty() || status.contains(") Z ") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
