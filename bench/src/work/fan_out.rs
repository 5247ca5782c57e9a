//! One room, 1000 subscribers: as fast as messages come, then 20 a second.

use std::{sync::Arc, time::Duration};

use crate::{
    Outcome, Setup,
    audience::{Audience, Entry},
    clock,
    http::Http,
    posting::{self, Pace, Posters},
    report::{Rounds, Row, short},
    target::{Spent, Target, Watch},
};

/// How many subscribers.
const SUBSCRIBERS: u32 = 1000;
/// How many posts are under way while messages come back to back.
const CONCURRENT: usize = 64;
/// The time between two paced messages.
const EVERY: Duration = Duration::from_millis(50);

/// Both paces.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let (server, _home) = setup.server().await?;
    let rooms: Arc<[String]> = [server.target.room().await?].into();
    let subscribers = setup.scaled(SUBSCRIBERS);
    let entry = Entry { net: 1, ..Entry::default() };
    let names = std::iter::repeat_n(rooms[0].as_str(), usize::try_from(subscribers)?);
    let audience = Audience::gather(&server.target, names, &entry).await?;
    let back_to_back = back_to_back(&server.target, &audience, &rooms, setup.scaled(3000)).await?;
    let paced = paced(&server.target, &audience, &rooms[0], setup.scaled(600)).await?;
    audience.tally.check()?;
    audience.leave().await;
    server.stop()?;
    Ok(vec![back_to_back, paced])
}

async fn back_to_back(target: &Target, audience: &Audience, rooms: &Arc<[String]>, messages: u32) -> Outcome<Row> {
    let mut posters = Posters::connect(target, CONCURRENT).await?;
    let (mut micros, mut rate) = <(Rounds, Rounds)>::default();
    let size = u32::try_from(audience.size())?;
    deliver(target, &mut posters, audience, rooms, messages / 10).await?;
    for _ in 0..5 {
        let spent = deliver(target, &mut posters, audience, rooms, messages).await?;
        micros.push(spent.micros_each(messages * size));
        rate.push(spent.per_second(messages * size));
    }
    let (gaps, duplicates) = audience.tally.faults();
    Ok(Row {
        work: "fan-out: 1 room, 1000 subscribers, 200 B messages back to back",
        measure: "server CPU per delivery, the POSTs included",
        result: format!("{} µs", short(micros.median())),
        goal: "≤ 1.5 µs",
        met: Some(micros.median() <= 1.5 && (gaps, duplicates) == (0, 0)),
        reference: "a Node server 10 µs, a Bun one 7.5; bare loopback with coalesced writes 0.5",
        beside: format!(
            "{} µs; {} deliveries/s; {gaps} gaps, {duplicates} duplicates",
            micros.spread(),
            short(rate.median())
        ),
    })
}

/// Posts so many messages and waits until every subscriber has each of them; the rooms' subscribers are spread evenly.
pub(super) async fn deliver(
    target: &Target,
    posters: &mut Posters,
    audience: &Audience,
    rooms: &Arc<[String]>,
    messages: u32,
) -> Outcome<Spent> {
    let subscribers = audience.size() as u64 / rooms.len() as u64;
    let pace = Pace { tally: Arc::clone(&audience.tally), subscribers };
    deliver_to(Some(target.process), posters, pace, rooms, messages).await
}

/// The same for listeners of any kind, and a process that may not be known.
pub(super) async fn deliver_to(
    process: Option<u32>,
    posters: &mut Posters,
    pace: Pace,
    rooms: &Arc<[String]>,
    messages: u32,
) -> Outcome<Spent> {
    let Pace { tally, subscribers } = pace.clone();
    let before = tally.messages();
    let watch = Watch::of(process)?;
    posters.post(rooms, messages, Some(pace)).await?;
    tally.wait_for_messages(before + u64::from(messages) * subscribers).await?;
    watch.end()
}

async fn paced(target: &Target, audience: &Audience, room: &str, messages: u32) -> Outcome<Row> {
    audience.tally.note_receipts(audience.size());
    let mut http = Http::connect(target).await?;
    let mut beat = tokio::time::interval(EVERY);
    let before = audience.tally.messages();
    let mut sent = Vec::new();
    for number in 0..messages {
        beat.tick().await;
        let begin = clock::now();
        let seq = posting::post(&mut http, room, u64::from(number)).await?.number("seq")?;
        sent.push((seq, begin));
    }
    audience.tally.wait_for_messages(before + u64::from(messages) * audience.size() as u64).await?;
    let mut millis = Rounds::default();
    for (seq, begin) in sent {
        let complete = audience.tally.complete(seq).ok_or("a message that not everyone has")?;
        millis.push(complete.duration_since(begin).as_secs_f64() * 1e3);
    }
    Ok(Row {
        work: "fan-out paced: 20 messages/s, 1000 subscribers",
        measure: "p99 from POST to last receipt",
        result: format!("{} ms", short(millis.at(99))),
        goal: "≤ 15 ms",
        met: Some(millis.at(99) <= 15.0),
        reference: "",
        beside: format!("p50 {} ms; the generator reads on the same cores", short(millis.at(50))),
    })
}
