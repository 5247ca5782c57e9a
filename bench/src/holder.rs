//! Idle connections, held by generators beside this one, because one process has not enough descriptors for as many as
//! a server takes.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    Outcome, machine,
    report::{self, Row, short},
    target::Watch,
};

/// What the server keeps for itself of its descriptors.
const KEPT: u64 = 400;
/// More connections than these say no more.
const MOST: u64 = 50_000;
/// How long everything rests before memory is read, and then again while idle CPU is measured: a heartbeat and more.
const REST: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(26);
/// The environment in which a generator finds what it must not be told by its arguments.
const SECRET: &str = "MEET_BENCH_SECRET";

/// What the generator that started this one hands over in secret.
pub(crate) fn secret() -> Outcome<String> {
    Ok(std::env::var(SECRET)?)
}

/// Tells the generator that started this one how many connections are open, and waits until it has had enough.
pub(crate) async fn hold(size: usize) -> Outcome<()> {
    println!("{size}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// A generator beside this one.
pub(crate) struct Holder(Child);

impl Holder {
    /// Starts one with these arguments.
    pub(crate) fn start(arguments: &[String], secret: &str) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(SECRET, secret).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    /// Waits until it holds all its connections.
    fn wait(&mut self) -> Outcome<()> {
        let mut line = String::new();
        let output = self.0.stdout.take().ok_or("no standard output")?;
        BufReader::new(output).read_line(&mut line)?;
        if line.trim().is_empty() { Err("a generator could not open its connections".into()) } else { Ok(()) }
    }

    /// Ends it; an error if the server has ended a connection meanwhile.
    fn end(mut self) -> Outcome<()> {
        if let Some(mut input) = self.0.stdin.take() {
            input.flush()?;
        }
        if self.0.wait()?.success() { Ok(()) } else { Err("the server ended idle connections".into()) }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// How many connections a server with so many descriptors takes.
pub(crate) fn capacity(descriptors: u64, is_quick: bool) -> u64 {
    let most = descriptors.saturating_sub(KEPT).min(MOST);
    if is_quick { most / 10 } else { most }
}

/// Opens connections by the holders, and reads the server's memory before and after.
pub(crate) async fn measure(
    process: u32,
    connections: u64,
    holders: impl FnOnce() -> Outcome<Vec<Holder>>,
    work: &'static str,
) -> Outcome<Row> {
    tokio::time::sleep(REST).await;
    let before = machine::resident(process)?;
    let opening = Watch::of(Some(process))?;
    let mut holders = holders()?;
    holders.iter_mut().try_for_each(Holder::wait)?;
    let opened = opening.end()?;
    tokio::time::sleep(REST).await;
    let after = machine::resident(process)?;
    let idle = Watch::of(Some(process))?;
    tokio::time::sleep(WATCHED).await;
    let idle = idle.end()?;
    let later = machine::resident(process)?;
    holders.into_iter().try_for_each(Holder::end)?;
    let connections = u32::try_from(connections)?;
    let each = f64::from(after.max(later).saturating_sub(before)) / f64::from(connections);
    Ok(Row {
        work,
        measure: "RSS per connection",
        result: report::figure(each, "KiB"),
        goal: "≤ 10 KiB",
        met: report::met(each, 10.0),
        reference: "Centrifugo 27 KB by its vendor, 10.9 tuned",
        beside: format!(
            "{connections} connections, from {} MB to {} MB; {} µs CPU to open one; {} % of a core with heartbeats",
            before / 1024,
            after.max(later) / 1024,
            short(opened.micros_each(connections)),
            short(idle.cpu / idle.wall * 100.0)
        ),
    })
}
