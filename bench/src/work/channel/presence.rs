//! 1000 people join one channel with presence, all at once, over connections that are open already.

use std::time::Duration;

use meet_centrifuge::{
    Protocol,
    message::{Command, PresenceStatsRequest},
};

use super::{PROTOCOLS, pick};
use crate::{
    Outcome, Setup,
    channel::{
        client::Client,
        crowd::{self, Counts, Crowd, Interest},
        peer::{Hosted, Peer},
        token::Pass,
    },
    report::{self, Rounds, Row, short},
    socket::Source,
    target::Watch,
};

/// How many join.
const PEOPLE: u32 = 1000;
/// How long nobody may hear of anybody until it is quiet.
const QUIET: Duration = Duration::from_millis(500);

/// What one round showed.
struct Round {
    micros: f64,
    wall: f64,
    joins: u64,
    names: usize,
    present: String,
}

/// Both forms of the protocol, three rounds each.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let hosted = Hosted::start(setup).await?;
    let people = setup.scaled(PEOPLE);
    let mut rows = Vec::new();
    for (protocol, net) in PROTOCOLS.into_iter().zip([80, 85]) {
        let mut rounds = Vec::new();
        for net in net..net + 3 {
            rounds.push(round(&hosted.peer, protocol, people, net).await?);
        }
        rows.push(row(protocol, people, &rounds));
    }
    hosted.stop()?;
    Ok(rows)
}

async fn round(peer: &Peer, protocol: Protocol, people: u32, net: u8) -> Outcome<Round> {
    let channel = peer.channel().await?;
    let size = usize::try_from(people)?;
    let passes = peer.passes(&channel, size).await?;
    let clients = crowd::connect(&peer.door(protocol), &passes, size, net).await?;
    let interest = Interest { hears_joins: true, ..Interest::live(&channel) };
    let watch = Watch::of(peer.process())?;
    let crowd = Crowd::subscribe(clients, &interest).await?;
    let wall = watch.end()?.wall;
    rest(&crowd.counts).await;
    let micros = watch.end()?.micros_each(people);
    let joins = crowd.counts.joins();
    crowd.tally.check()?;
    // Whoever looks is one of the people, so that the count stays the same; only connections are one more.
    let present = present(peer, protocol, &interest, passes.first().ok_or("no pass")?).await;
    let round =
        Round { micros, wall, joins, names: passes.len(), present: present.unwrap_or_else(|error| error.to_string()) };
    crowd.leave().await;
    Ok(round)
}

/// Waits until nobody hears of anybody any more, so that what a join costs is all spent.
async fn rest(counts: &Counts) {
    let mut before = None;
    while before != Some(counts.joins()) {
        before = Some(counts.joins());
        tokio::time::sleep(QUIET).await;
    }
}

/// What the server itself says of who is there.
async fn present(peer: &Peer, protocol: Protocol, interest: &Interest, pass: &Pass) -> Outcome<String> {
    let source = Source { net: 99, place: 0 };
    let mut client = Client::connect(&peer.door(protocol), &pass.connection, source).await?;
    client.subscribe(interest.request(&pass.subscription)).await?;
    let request = PresenceStatsRequest { channel: interest.channel.to_string() };
    let reply = client.call(Command { presence_stats: Some(request), ..Command::default() }).await?;
    let stats = reply.presence_stats.ok_or("a reply without presence")?;
    Ok(format!("{} connections of {} people", stats.num_clients, stats.num_users))
}

fn row(protocol: Protocol, people: u32, rounds: &[Round]) -> Row {
    let (mut micros, mut wall) = <(Rounds, Rounds)>::default();
    for round in rounds {
        micros.push(round.micros);
        wall.push(round.wall);
    }
    let last = rounds.last();
    let names = last.map_or(0, |round| round.names);
    let fewer = if names < people as usize { format!("; only {names} different tokens") } else { String::new() };
    Row {
        work: pick(
            protocol,
            "Centrifugo protocol, JSON: 1000 people join a channel with presence",
            "Centrifugo protocol, Protobuf: 1000 people join a channel with presence",
        ),
        measure: "server CPU per join; time to all in",
        result: format!("{}; {} s", report::figure(micros.median(), "µs"), short(wall.median())),
        goal: "",
        met: None,
        reference: "",
        beside: format!(
            "{} µs; {} s; {} join pushes received; one more looks: {}{fewer}",
            micros.spread(),
            wall.spread(),
            last.map_or(0, |round| round.joins),
            last.map_or("nobody", |round| round.present.as_str()),
        ),
    }
}
