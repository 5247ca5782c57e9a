//! As many idle connections, each subscribed to one channel, as there are descriptors, held by two more generators.

use clap::Args;
use meet_centrifuge::Protocol;

use crate::{
    Outcome, Setup,
    channel::{
        client::Door,
        crowd::{Crowd, Interest},
        peer::{Hosted, Peer},
        token::Pass,
    },
    holder::{self, Holder},
    machine,
    report::Row,
};

/// The work.
const WORK: &str = "Centrifugo protocol, JSON: idle connections, as many as there are descriptors";

/// What a second generator is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct HoldArgs {
    /// The server
    #[arg(long)]
    address: std::net::SocketAddr,
    /// What it is called
    #[arg(long)]
    host: String,
    /// The path of its WebSocket
    #[arg(long)]
    path: String,
    /// The channel
    #[arg(long)]
    channel: String,
    /// How many connections
    #[arg(long)]
    connections: usize,
    /// The second byte of the source addresses
    #[arg(long)]
    net: u8,
}

/// Holds idle connections until standard input ends.
pub(crate) async fn hold(args: HoldArgs) -> Outcome<()> {
    let pass: Pass = serde_json::from_str(&holder::secret()?)?;
    let door = Door { address: args.address, host: args.host, path: args.path, protocol: Protocol::Json };
    let interest = Interest::live(&args.channel);
    let crowd = Crowd::gather(&door, &interest, &[pass], args.connections, args.net).await?;
    holder::hold(crowd.size()).await?;
    crowd.tally.check()
}

fn start(peer: &Peer, channel: &str, pass: &Pass, connections: u64, net: u8) -> Outcome<Holder> {
    let Door { address, host, path, .. } = peer.door(Protocol::Json);
    let arguments = ["hold-channel", "--address", &address.to_string(), "--host", &host, "--path", &path]
        .into_iter()
        .chain(["--channel", channel, "--connections", &connections.to_string(), "--net", &net.to_string()])
        .map(str::to_owned)
        .collect::<Vec<_>>();
    Holder::start(&arguments, &serde_json::to_string(pass)?)
}

/// Opens them, and reads memory before and after.
pub(crate) async fn run(setup: &Setup, descriptors: u64) -> Outcome<Vec<Row>> {
    let hosted = Hosted::start(setup).await?;
    let peer = &hosted.peer;
    let Some(process) = peer.process() else {
        return Ok(vec![unknown()]);
    };
    let channel = peer.channel().await?;
    let pass = peer.one_pass(&channel).await?;
    let connections = holder::capacity(descriptors.min(machine::descriptor_limit(process)?), setup.quick);
    let holders = || {
        let half = connections / 2;
        Ok(vec![start(peer, &channel, &pass, half, 90)?, start(peer, &channel, &pass, connections - half, 91)?])
    };
    let row = holder::measure(process, connections, holders, WORK).await?;
    hosted.stop()?;
    Ok(vec![row])
}

/// The row of a server whose memory cannot be read.
fn unknown() -> Row {
    Row {
        work: WORK,
        measure: "RSS per connection",
        result: "not measured".to_owned(),
        goal: "≤ 10 KiB",
        met: None,
        reference: "",
        beside: "no --pid, so that nothing tells the server's memory".to_owned(),
    }
}
