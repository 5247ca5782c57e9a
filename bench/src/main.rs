//! The load generator: measures a meet-ai server and prints the table of results as Markdown.
//!
//! Every figure is CPU time of the server's process for each operation, or a ratio inside one run; wall time depends on
//! what else the machine does and stands beside. The generator is a process of its own, with one thread and its own
//! minimal HTTP and WebSocket client, so that it takes little from the server on the same cores.
//!
//! Each benchmark starts a fresh server in a directory of its own, with all limits lifted, or loads one that runs
//! already on this machine (`--url`, `--key`, `--pid`; lift its limits yourself). It is bounded in count and time, and
//! takes its files away when it ends.
//!
//! The benchmarks of the Centrifugo protocol measure any server that speaks it: `--url ws://…/connection/websocket` with
//! `--token-secret` or `--token`, a `--namespace` in which clients may subscribe and publish, and `--pid` where it runs
//! on this machine. Without its process there is no figure of CPU or memory, and the table says so.
//!
//! It judges no correctness but what it needs for its figures (gaps and duplicates in what subscribers receive), and
//! asserts nothing: a goal that is missed is a word in the table.

mod audience;
mod channel;
mod clock;
mod frames;
mod holder;
mod http;
mod machine;
mod posting;
mod report;
mod socket;
mod tally;
mod target;
mod work;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use target::{Home, Server, Target};

/// Whatever can go wrong here ends the run with one sentence.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
/// A result of anything here.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Measures a meet-ai server, or another one that speaks the Centrifugo protocol, and prints a table.
#[derive(Debug, Parser)]
#[command(name = "meet-bench")]
struct Cli {
    #[command(flatten)]
    setup: Setup,
    #[command(subcommand)]
    work: Option<Work>,
}

/// What is measured, and how much of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Setup {
    /// The server's program
    #[arg(long, global = true, default_value = "target/release/meet-ai")]
    binary: PathBuf,
    /// Where servers keep their data: a directory on the disk that is to be measured
    #[arg(long, global = true, default_value = "target/bench")]
    directory: PathBuf,
    /// A tenth of everything: shows that it works, measures little
    #[arg(long, global = true)]
    quick: bool,
    /// A server that runs already: ours on this machine as host:port with --key and --pid, or any that speaks the
    /// Centrifugo protocol as ws://host:port/path
    #[arg(long, global = true, value_name = "ADDRESS")]
    url: Option<String>,
    /// Its key, without limits
    #[arg(long, global = true)]
    key: Option<String>,
    /// Its process
    #[arg(long, global = true)]
    pid: Option<u32>,
    #[command(flatten)]
    access: channel::peer::Access,
}

#[derive(Debug, Clone, Subcommand)]
enum Work {
    /// All of them, the default
    All,
    /// From start to the first answer, memory at rest, size of the program
    Start,
    /// Durable messages
    Posts,
    /// Pages of a long history
    History,
    /// One room, 1000 subscribers: back to back, then 20 messages a second
    FanOut,
    /// The same from 100 to 10 000 subscribers, and from 10 to 10 000 rooms
    Growth,
    /// 1000 subscribers come back 500 messages behind
    CatchUp,
    /// As many idle sockets as there are descriptors
    Idle,
    /// Tokens for the realtime gateway and for calls
    Tokens,
    /// The five that follow
    Channels,
    /// Centrifugo protocol, JSON and Protobuf: one channel, 100, 1000 and 10 000 subscribers, back to back
    ChannelFanOut,
    /// Centrifugo protocol: 20 messages a second, 1000 subscribers
    ChannelPaced,
    /// Centrifugo protocol: as many idle connections as there are descriptors
    ChannelIdle,
    /// Centrifugo protocol: 1000 connections come back 500 messages behind, with recovery
    ChannelStorm,
    /// Centrifugo protocol: 1000 people join one channel with presence
    ChannelPresence,
    /// Holds idle sockets until standard input ends: a second generator for `idle`
    #[command(hide = true)]
    Hold(work::idle::HoldArgs),
    /// The same for `channel-idle`
    #[command(hide = true)]
    HoldChannel(work::channel::idle::HoldArgs),
}

/// The works of the Centrifugo protocol, which need nothing of a server but that.
const CHANNEL_WORKS: [Work; 5] =
    [Work::ChannelFanOut, Work::ChannelPaced, Work::ChannelIdle, Work::ChannelStorm, Work::ChannelPresence];

impl Setup {
    /// So many, or a tenth of it.
    pub(crate) fn scaled(&self, count: u32) -> u32 {
        if self.quick { (count / 10).max(10) } else { count }
    }

    /// The address of a server of which nothing is known but that it speaks the Centrifugo protocol.
    pub(crate) fn websocket(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| url.contains("://") && !url.starts_with("http://"))
    }

    /// Whether the server is somebody else's.
    pub(crate) fn is_attached(&self) -> bool {
        self.url.is_some()
    }

    /// A server to measure, and the directory that must outlive it.
    pub(crate) async fn server(&self) -> Outcome<(Server, Option<Home>)> {
        if self.websocket().is_some() {
            return Err("this work needs our server's API: with a ws:// server only those of channels do".into());
        }
        if let Some(url) = &self.url {
            let (Some(key), Some(process)) = (&self.key, self.pid) else {
                return Err("--url needs --key and --pid".into());
            };
            let address = url.trim_start_matches("http://").trim_end_matches('/');
            let address: SocketAddr = address.parse().map_err(|_| "--url must be an address such as 127.0.0.1:3000")?;
            if !address.ip().is_loopback() {
                return Err("--url must be on this machine: CPU and memory are read from its process".into());
            }
            return Ok((Server::attached(Target { address, key: key.clone(), process }), None));
        }
        let home = Home::new(&self.directory)?;
        let server = Server::start(&std::path::absolute(&self.binary)?, &home).await?;
        Ok((server, Some(home)))
    }
}

fn main() -> ExitCode {
    let Cli { setup, work } = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(&setup, work)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(setup: &Setup, work: Option<Work>) -> Outcome<()> {
    let descriptors = machine::raise_descriptor_limit();
    if let Some(Work::Hold(args)) = work {
        return work::idle::hold(args).await;
    }
    if let Some(Work::HoldChannel(args)) = work {
        return work::channel::idle::hold(args).await;
    }
    std::fs::create_dir_all(&setup.directory)?;
    println!("{}\n", machine::describe(&setup.directory));
    if setup.quick {
        println!("A tenth of everything: these figures say little.\n");
    }
    let works = match work {
        None | Some(Work::All) if setup.websocket().is_none() => {
            let rooms = [
                Work::FanOut,
                Work::Idle,
                Work::Posts,
                Work::History,
                Work::CatchUp,
                Work::Tokens,
                Work::Start,
                Work::Growth,
            ];
            rooms.into_iter().chain(CHANNEL_WORKS).collect()
        }
        None | Some(Work::All | Work::Channels) => CHANNEL_WORKS.to_vec(),
        Some(one) => vec![one],
    };
    let mut rows = Vec::new();
    for one in works {
        let measured = match one {
            Work::Start => work::start::run(setup).await,
            Work::Posts => work::posts::run(setup).await,
            Work::History => work::history::run(setup).await,
            Work::FanOut => work::fan_out::run(setup).await,
            Work::Growth => work::growth::run(setup, descriptors).await,
            Work::CatchUp => work::catch_up::run(setup).await,
            Work::Idle => work::idle::run(setup, descriptors).await,
            Work::Tokens => work::tokens::run(setup).await,
            Work::ChannelFanOut => work::channel::fan_out::run(setup, descriptors).await,
            Work::ChannelPaced => work::channel::paced::run(setup).await,
            Work::ChannelIdle => work::channel::idle::run(setup, descriptors).await,
            Work::ChannelStorm => work::channel::storm::run(setup).await,
            Work::ChannelPresence => work::channel::presence::run(setup).await,
            Work::All | Work::Channels | Work::Hold(_) | Work::HoldChannel(_) => Ok(Vec::new()),
        };
        for row in measured? {
            eprintln!("{}, {}: {} ({})", row.work, row.measure, row.result, row.beside);
            rows.push(row);
        }
    }
    print!("{}", report::table(&rows));
    Ok(())
}
