//! One channel, 1000 subscribers, 20 messages a second: how long until the last one has a message.

use std::time::Duration;

use meet_centrifuge::Protocol;

use super::{PROTOCOLS, pick};
use crate::{
    Outcome, Setup,
    channel::{
        crowd::{Crowd, Interest},
        peer::{Hosted, Peer},
    },
    clock,
    report::{Rounds, Row, short},
};

/// How many subscribers.
const SUBSCRIBERS: u32 = 1000;
/// How many messages.
const MESSAGES: u32 = 600;
/// The time between two of them.
const EVERY: Duration = Duration::from_millis(50);

/// Both forms of the protocol.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let hosted = Hosted::start(setup).await?;
    let mut rows = Vec::new();
    for (protocol, net) in PROTOCOLS.into_iter().zip(65..) {
        rows.push(paced(&hosted.peer, protocol, (setup.scaled(SUBSCRIBERS), net), setup.scaled(MESSAGES)).await?);
    }
    hosted.stop()?;
    Ok(rows)
}

async fn paced(peer: &Peer, protocol: Protocol, (subscribers, net): (u32, u8), messages: u32) -> Outcome<Row> {
    let channel = peer.channel().await?;
    let head = peer.head(&channel).await?.offset;
    let (passes, size) = (peer.passes(&channel, 1).await?, usize::try_from(subscribers)?);
    let crowd = Crowd::gather(&peer.door(protocol), &Interest::live(&channel), &passes, size, net).await?;
    crowd.tally.note_receipts(size);
    let mut poster = peer.posters(protocol, &channel, 1).await?.pop().ok_or("no connection to publish by")?;
    let place = peer.place(&channel);
    let mut beat = tokio::time::interval(EVERY);
    let mut sent = Vec::new();
    for number in 1..=u64::from(messages) {
        beat.tick().await;
        sent.push((head + number, clock::now()));
        poster.post(&place, number).await?;
    }
    crowd.tally.wait_for_messages(u64::from(messages) * u64::from(subscribers)).await?;
    let mut millis = Rounds::default();
    for (offset, begin) in sent {
        let complete = crowd.tally.complete(offset).ok_or("a message that not everyone has once")?;
        millis.push(complete.duration_since(begin).as_secs_f64() * 1e3);
    }
    let (gaps, duplicates) = crowd.tally.faults();
    crowd.leave().await;
    Ok(Row {
        work: pick(
            protocol,
            "Centrifugo protocol, JSON: 20 messages/s, 1000 subscribers",
            "Centrifugo protocol, Protobuf: 20 messages/s, 1000 subscribers",
        ),
        measure: "p99 from publish to last receipt",
        result: format!("{} ms", short(millis.at(99))),
        goal: "≤ 15 ms",
        met: Some(millis.at(99) <= 15.0 && (gaps, duplicates) == (0, 0)),
        reference: "",
        beside: format!(
            "by {}; p50 {} ms; {gaps} gaps, {duplicates} duplicates; the generator reads on the same cores",
            peer.publishing(),
            short(millis.at(50))
        ),
    })
}
