//! As many idle sockets as there are descriptors, held by two more generators.

use clap::Args;

use crate::{
    Outcome, Setup,
    audience::{Audience, Entry},
    holder::{self, Holder},
    report::Row,
    target::Target,
};

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
    let target = Target { address: args.address, key: holder::secret()?, process: std::process::id() };
    let entry = Entry { net: args.net, ..Entry::default() };
    let rooms = std::iter::repeat_n(args.room.as_str(), args.sockets);
    let audience = Audience::gather(&target, rooms, &entry).await?;
    holder::hold(audience.size()).await?;
    audience.tally.check()
}

fn start(target: &Target, room: &str, sockets: u64, net: u8) -> Outcome<Holder> {
    let arguments = ["hold", "--address", &target.address.to_string(), "--room", room]
        .into_iter()
        .chain(["--sockets", &sockets.to_string(), "--net", &net.to_string()])
        .map(str::to_owned)
        .collect::<Vec<_>>();
    Holder::start(&arguments, &target.key)
}

/// Opens them, and reads memory before and after.
pub(crate) async fn run(setup: &Setup, descriptors: u64) -> Outcome<Vec<Row>> {
    let (server, _home) = setup.server().await?;
    let target = &server.target;
    let room = target.room().await?;
    let sockets = holder::capacity(descriptors, setup.quick);
    let holders = || Ok(vec![start(target, &room, sockets / 2, 40)?, start(target, &room, sockets - sockets / 2, 41)?]);
    let work = "idle connections, as many as there are descriptors";
    let row = holder::measure(target.process, sockets, holders, work).await?;
    server.stop()?;
    Ok(vec![row])
}
