//! One channel, 100, 1000 and 10 000 subscribers: messages as fast as they come.

use std::sync::Arc;

use meet_centrifuge::Protocol;

use super::{PROTOCOLS, pick};
use crate::{
    Outcome, Setup,
    channel::{
        crowd::{Crowd, Interest},
        peer::{Hosted, Peer},
    },
    posting::Pace,
    report::{self, Rounds, Row, short},
    target::{Spent, Watch},
    work::{
        fan_out::deliver_to,
        growth::{most_sockets, steps},
    },
};

/// How many deliveries a round has.
const DELIVERIES: u32 = 2_000_000;
/// The step that the goal is for.
const GOAL_AT: u32 = 1000;

/// What one step costs, in microseconds of the server's CPU for each delivery.
struct Step {
    subscribers: u32,
    each: f64,
    alone: f64,
    rate: f64,
    faults: (u64, u64),
}

/// Both forms of the protocol, each with its steps.
pub(crate) async fn run(setup: &Setup, descriptors: u64) -> Outcome<Vec<Row>> {
    let most = most_sockets(setup, descriptors);
    let hosted = Hosted::start(setup).await?;
    let mut rows = Vec::new();
    for (protocol, net) in PROTOCOLS.into_iter().zip([50, 60]) {
        let mut done = Vec::new();
        for (subscribers, net) in steps(100, most).into_iter().zip(net..) {
            let messages = (setup.scaled(DELIVERIES) / subscribers).max(1);
            let step = step(&hosted.peer, protocol, (subscribers, net), messages).await?;
            eprintln!("{protocol:?}, {subscribers} subscribers: {} per delivery", report::figure(step.each, "µs"));
            done.push(step);
        }
        rows.push(row(&hosted.peer, protocol, &done, most < setup.scaled(10_000)));
    }
    hosted.stop()?;
    Ok(rows)
}

async fn step(peer: &Peer, protocol: Protocol, (subscribers, net): (u32, u8), messages: u32) -> Outcome<Step> {
    let channel = peer.channel().await?;
    let places: Arc<[String]> = [peer.place(&channel)].into();
    let mut alone = Rounds::default();
    let mut posters = peer.posters(protocol, &channel, peer.concurrency()).await?;
    posters.post(&places, messages.div_ceil(4), None).await?;
    for _ in 0..3 {
        let watch = Watch::of(peer.process())?;
        posters.post(&places, messages, None).await?;
        alone.push(watch.end()?.micros_each(messages * subscribers));
    }
    drop(posters);
    peer.head(&channel).await?;
    let passes = peer.passes(&channel, 1).await?;
    let size = usize::try_from(subscribers)?;
    let crowd = Crowd::gather(&peer.door(protocol), &Interest::live(&channel), &passes, size, net).await?;
    let pace = Pace { tally: Arc::clone(&crowd.tally), subscribers: u64::from(subscribers) };
    let mut posters = peer.posters(protocol, &channel, peer.concurrency()).await?;
    deliver_to(peer.process(), &mut posters, pace.clone(), &places, messages.div_ceil(4)).await?;
    let (mut each, mut rate) = <(Rounds, Rounds)>::default();
    for _ in 0..3 {
        // Those of the round before may have rested while a ping of the server's waited for its answer.
        let mut posters = peer.posters(protocol, &channel, peer.concurrency()).await?;
        let spent: Spent = deliver_to(peer.process(), &mut posters, pace.clone(), &places, messages).await?;
        each.push(spent.micros_each(messages * subscribers));
        rate.push(spent.per_second(messages * subscribers));
    }
    let faults = crowd.tally.faults();
    crowd.leave().await;
    Ok(Step { subscribers, each: each.median(), alone: alone.median(), rate: rate.median(), faults })
}

fn row(peer: &Peer, protocol: Protocol, steps: &[Step], is_cut: bool) -> Row {
    let listed = |text: &dyn Fn(&Step) -> String| {
        steps.iter().map(|step| format!("{}: {}", step.subscribers, text(step))).collect::<Vec<_>>().join(", ")
    };
    let goal = steps.iter().find(|step| step.subscribers == GOAL_AT);
    let faults = steps.iter().fold((0, 0), |sum, step| (sum.0 + step.faults.0, sum.1 + step.faults.1));
    Row {
        work: pick(
            protocol,
            "Centrifugo protocol, JSON: 1 channel, 200 B messages back to back",
            "Centrifugo protocol, Protobuf: 1 channel, 200 B messages back to back",
        ),
        measure: "server CPU per delivery by subscribers, publishing included",
        result: listed(&|step| report::figure(step.each, "µs")),
        goal: "≤ 1.5 µs for 1000",
        met: goal.and_then(|step| report::met(step.each, 1.5)).map(|met| met && faults == (0, 0)),
        reference: "",
        beside: format!(
            "by {}, which alone makes {}; deliveries/s {}; {} gaps, {} duplicates{}",
            peer.publishing(),
            listed(&|step| report::figure(step.alone, "µs")),
            listed(&|step| short(step.rate)),
            faults.0,
            faults.1,
            if is_cut { "; there are no descriptors for more" } else { "" },
        ),
    }
}
