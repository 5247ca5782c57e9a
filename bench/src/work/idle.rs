//! As many idle sockets as there are descriptors, held by two more generators.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::Args;

use crate::{
    Outcome, Setup,
    audience::{Audience, Entry},
    report::{Row, short},
    target::{Target, Watch},
};

/// What the server keeps for itself of its descriptors.
const KEPT: u64 = 400;
/// How long everything rests before memory is read, and then again while idle CPU is measured: a heartbeat and more.
const REST: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(26);
/// The environment in which a generator finds the key.
const KEY: &str = "MEET_BENCH_KEY";

/// What a second generator is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct HoldArgs {
    /// The server
    #[arg(long)]
    address: std::net::SocketAddr,
    /// The room
    #[arg(long)]
    room: String,
    /// How many sockets
    #[arg(long)]
    sockets: usize,
    /// The second byte of the source addresses
    #[arg(long)]
    net: u8,
}

/// Holds idle sockets until standard input ends.
pub(crate) async fn hold(args: HoldArgs) -> Outcome<()> {
    let target = Target { address: args.address, key: std::env::var(KEY)?, process: std::process::id() };
    let entry = Entry { net: args.net, ..Entry::default() };
    let rooms = std::iter::repeat_n(args.room.as_str(), args.sockets);
    let audience = Audience::gather(&target, rooms, &entry).await?;
    println!("{}", audience.size());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    audience.tally.check()
}

/// A generator beside this one.
struct Holder(Child);

impl Holder {
    fn start(target: &Target, room: &str, sockets: u64, net: u8) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(KEY, &target.key).arg("hold").args(["--address", &target.address.to_string()]);
        command.args(["--room", room, "--sockets", &sockets.to_string(), "--net", &net.to_string()]);
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?))
    }

    /// Waits until it holds all its sockets.
    fn wait(&mut self) -> Outcome<()> {
        let mut line = String::new();
        let output = self.0.stdout.take().ok_or("no standard output")?;
        BufReader::new(output).read_line(&mut line)?;
        if line.trim().is_empty() { Err("a generator could not open its sockets".into()) } else { Ok(()) }
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

/// Opens them, and reads memory before and after.
pub(crate) async fn run(setup: &Setup, descriptors: u64) -> Outcome<Vec<Row>> {
    let (server, _home) = setup.server().await?;
    let target = &server.target;
    let room = target.room().await?;
    let most = descriptors.saturating_sub(KEPT).min(50_000);
    let sockets = if setup.quick { most / 10 } else { most };
    tokio::time::sleep(REST).await;
    let before = target.resident()?;
    let opening = Watch::begin(target)?;
    let mut holders =
        vec![Holder::start(target, &room, sockets / 2, 40)?, Holder::start(target, &room, sockets - sockets / 2, 41)?];
    holders.iter_mut().try_for_each(Holder::wait)?;
    let opened = opening.end()?;
    tokio::time::sleep(REST).await;
    let after = target.resident()?;
    let idle = Watch::begin(target)?;
    tokio::time::sleep(WATCHED).await;
    let idle = idle.end()?;
    let later = target.resident()?;
    holders.into_iter().try_for_each(Holder::end)?;
    server.stop()?;
    let sockets = u32::try_from(sockets)?;
    let each = f64::from(after.max(later).saturating_sub(before)) / f64::from(sockets);
    Ok(vec![Row {
        work: "idle connections, as many as there are descriptors",
        measure: "RSS per connection",
        result: format!("{} KiB", short(each)),
        goal: "≤ 10 KiB",
        met: Some(each <= 10.0),
        reference: "Centrifugo 27 KB by its vendor, 10.9 tuned",
        beside: format!(
            "{sockets} sockets, {} MB in all; {} µs CPU to open one; {} % of a core with heartbeats",
            after.max(later) / 1024,
            short(opened.micros_each(sockets)),
            short(idle.cpu / idle.wall * 100.0)
        ),
    }])
}
