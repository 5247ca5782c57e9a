//! 1000 connections are cut, miss 500 messages and come back with recovery, while messages go on coming.

use std::{sync::Arc, time::Duration};

use meet_centrifuge::Protocol;

use super::{PROTOCOLS, pick};
use crate::{
    Failure, Outcome, Setup,
    channel::{
        crowd::{Crowd, Interest},
        peer::{Hosted, Peer},
    },
    posting::Poster,
    report::{self, Rounds, Row, short},
    tally::Tally,
    target::{Spent, Watch},
};

/// How many come back.
const SUBSCRIBERS: u32 = 1000;
/// How many messages they missed.
const BEHIND: u32 = 500;
/// The time between two messages that come meanwhile.
const EVERY: Duration = Duration::from_millis(50);

/// What one round showed.
struct Round {
    spent: Spent,
    faults: (u64, u64),
    unrecovered: u64,
}

/// Both forms of the protocol, three rounds each.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let hosted = Hosted::start(setup).await?;
    let mut rows = Vec::new();
    for (protocol, net) in PROTOCOLS.into_iter().zip([70, 75]) {
        let mut rounds = Vec::new();
        for net in net..net + 3 {
            rounds.push(round(&hosted.peer, protocol, usize::try_from(setup.scaled(SUBSCRIBERS))?, net).await?);
        }
        rows.push(row(protocol, &rounds));
    }
    hosted.stop()?;
    Ok(rows)
}

async fn round(peer: &Peer, protocol: Protocol, size: usize, net: u8) -> Outcome<Round> {
    let channel = peer.channel().await?;
    let (door, passes, places) =
        (peer.door(protocol), peer.passes(&channel, 1).await?, Arc::from([peer.place(&channel)]));
    // An epoch may only begin with the first message.
    peer.posters(protocol, &channel, 1).await?.post(&places, 1, None).await?;
    let live = Interest::live(&channel);
    Crowd::gather(&door, &live, &passes, size, net).await?.leave().await;
    let head = peer.head(&channel).await?;
    let mut posters = peer.posters(protocol, &channel, peer.concurrency()).await?;
    posters.post(&places, BEHIND, None).await?;
    let mut poster = posters.pop().ok_or("no connection to publish by")?;
    drop(posters);
    let tally: Arc<Tally> = Arc::default();
    tally.set_goal(head.offset + u64::from(BEHIND));
    let behind = Interest { since: Some(head.clone()), ..live };
    let watch = Watch::of(peer.process())?;
    let coming = async {
        let crowd = Crowd::come_back(&door, &behind, &passes, (size, net), &tally).await?;
        tally.wait_for_goal(size).await?;
        Ok::<_, Failure>((crowd, watch.end()?))
    };
    let (crowd, spent) = meanwhile(&mut poster, &places[0], coming).await?;
    let end = peer.head(&channel).await?.offset;
    tally.wait_for_account((end - head.offset) * size as u64).await?;
    tally.check()?;
    let round = Round { spent, faults: tally.faults(), unrecovered: crowd.counts.unrecovered() };
    crowd.leave().await;
    Ok(round)
}

/// Posts on until `coming` is done.
async fn meanwhile<T>(poster: &mut Poster, place: &str, coming: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let posting = async {
        let mut beat = tokio::time::interval(EVERY);
        let mut number = 0;
        loop {
            beat.tick().await;
            if let Err(error) = poster.post(place, number).await {
                return error;
            }
            number += 1;
        }
    };
    tokio::select! {
        done = coming => done,
        failed = posting => Err(failed),
    }
}

fn row(protocol: Protocol, rounds: &[Round]) -> Row {
    let (mut wall, mut cpu) = <(Rounds, Rounds)>::default();
    let (mut gaps, mut duplicates, mut unrecovered) = (0, 0, 0);
    for round in rounds {
        wall.push(round.spent.wall);
        cpu.push(round.spent.cpu);
        gaps += round.faults.0;
        duplicates += round.faults.1;
        unrecovered += round.unrecovered;
    }
    let lost = if unrecovered == 0 {
        String::new()
    } else {
        format!("; **{unrecovered} were told that what they missed is lost**")
    };
    Row {
        work: pick(
            protocol,
            "Centrifugo protocol, JSON: 1000 connections recover 500 messages",
            "Centrifugo protocol, Protobuf: 1000 connections recover 500 messages",
        ),
        measure: "time to all live, gaps, duplicates",
        result: format!("{} s, {gaps}, {duplicates}", short(wall.median())),
        goal: "≤ 3 s, 0, 0",
        met: Some(wall.median() <= 3.0 && (gaps, duplicates) == (0, 0)),
        reference: "",
        beside: format!(
            "{} s, CPU {}, while 20 messages/s go on{lost}",
            wall.spread(),
            report::figure(cpu.median(), "s")
        ),
    }
}
