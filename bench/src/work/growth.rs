//! Whether a delivery costs the same however many subscribers and rooms there are.

use std::{fmt::Write as _, sync::Arc};

use crate::{
    Outcome, Setup,
    audience::{Audience, Entry},
    http::Http,
    posting::Posters,
    report::{Rounds, Row, short},
    target::{Spent, Target, Watch, new_room},
};

use super::fan_out::deliver;

/// How many posts are under way.
const CONCURRENT: usize = 64;
/// How many deliveries a round has.
const DELIVERIES: u32 = 2_000_000;
/// How many messages a round has with one subscriber in each room.
const MESSAGES: u32 = 20_000;
/// What costs may differ.
const FLAT: f64 = 1.25;

/// Both directions.
pub(crate) async fn run(setup: &Setup, descriptors: u64) -> Outcome<Vec<Row>> {
    let most = most_sockets(setup, descriptors);
    Ok(vec![subscribers(setup, most).await?, rooms(setup, most).await?])
}

/// How many sockets the largest step has.
pub(super) fn most_sockets(setup: &Setup, descriptors: u64) -> u32 {
    u32::try_from(descriptors.saturating_sub(400)).unwrap_or(u32::MAX).min(setup.scaled(10_000))
}

/// 100, 1000 and 10 000, or as far as it goes.
pub(super) fn steps(first: u32, most: u32) -> Vec<u32> {
    let mut steps: Vec<u32> =
        std::iter::successors(Some(first), |step| step.checked_mul(10)).take_while(|step| *step < most).collect();
    steps.push(most);
    steps
}

async fn subscribers(setup: &Setup, most: u32) -> Outcome<Row> {
    let (server, _home) = setup.server().await?;
    let target = &server.target;
    let mut posters = Posters::connect(target, CONCURRENT).await?;
    let mut costs = Vec::new();
    for (step, net) in steps(100, most).into_iter().zip(10..) {
        let rooms: Arc<[String]> = [target.room().await?].into();
        let messages = setup.scaled(DELIVERIES) / step;
        let mut alone = Rounds::default();
        let mut all = Rounds::default();
        posters.post(&rooms, messages, None).await?;
        for _ in 0..3 {
            let watch = Watch::begin(target)?;
            posters.post(&rooms, messages, None).await?;
            alone.push(watch.end()?.cpu);
        }
        let names = std::iter::repeat_n(rooms[0].as_str(), usize::try_from(step)?);
        let audience = Audience::gather(target, names, &Entry { net, ..Entry::default() }).await?;
        deliver(target, &mut posters, &audience, &rooms, messages.div_ceil(4)).await?;
        for _ in 0..3 {
            all.push(deliver(target, &mut posters, &audience, &rooms, messages).await?.cpu);
        }
        audience.leave().await;
        let cost = Spent { cpu: all.median() - alone.median(), wall: 0.0 }.micros_each(messages * step);
        costs.push((step, cost));
        eprintln!("{step} subscribers: {} µs per delivery", short(cost));
    }
    server.stop()?;
    Ok(row("from 100 to 10 000 subscribers in one room", "CPU per delivery, less that of the POSTs alone", &costs))
}

async fn rooms(setup: &Setup, most: u32) -> Outcome<Row> {
    let (server, _home) = setup.server().await?;
    let target = &server.target;
    let mut posters = Posters::connect(target, CONCURRENT).await?;
    let mut names = Vec::new();
    let (mut costs, mut posts) = (Vec::new(), Vec::new());
    let messages = setup.scaled(MESSAGES);
    for (step, net) in steps(10, most).into_iter().zip(20..) {
        more_rooms(target, &mut names, usize::try_from(step)?).await?;
        let rooms: Arc<[String]> = names.clone().into();
        let mut alone = Rounds::default();
        posters.post(&rooms, messages.div_ceil(4), None).await?;
        for _ in 0..3 {
            let watch = Watch::begin(target)?;
            posters.post(&rooms, messages, None).await?;
            alone.push(watch.end()?.micros_each(messages));
        }
        let each = names.iter().map(String::as_str);
        let audience = Audience::gather(target, each, &Entry { net, ..Entry::default() }).await?;
        deliver(target, &mut posters, &audience, &rooms, messages.div_ceil(4)).await?;
        let mut cost = Rounds::default();
        for _ in 0..3 {
            cost.push(deliver(target, &mut posters, &audience, &rooms, messages).await?.micros_each(messages));
        }
        audience.leave().await;
        costs.push((step, cost.median()));
        posts.push((step, alone.median()));
        eprintln!("{step} rooms: {} µs per message", short(cost.median()));
    }
    server.stop()?;
    let mut row = row("from 10 to 10 000 rooms, one subscriber in each", "CPU per POST with its delivery", &costs);
    let _ = write!(row.beside, "; the POST alone {}", listed(&posts));
    Ok(row)
}

/// Makes rooms until there are so many.
async fn more_rooms(target: &Target, names: &mut Vec<String>, count: usize) -> Outcome<()> {
    let missing = count - names.len();
    let mut making = tokio::task::JoinSet::new();
    for part in 0..CONCURRENT.min(missing) {
        let mut http = Http::connect(target).await?;
        making.spawn(async move {
            let mut made = Vec::new();
            for _ in (part..missing).step_by(CONCURRENT) {
                made.push(new_room(&mut http).await?);
            }
            Ok::<_, crate::Failure>(made)
        });
    }
    while let Some(made) = making.join_next().await {
        names.extend(made??);
    }
    Ok(())
}

fn listed(costs: &[(u32, f64)]) -> String {
    let each: Vec<String> = costs.iter().map(|(step, cost)| format!("{step}: {} µs", short(*cost))).collect();
    each.join(", ")
}

fn row(work: &'static str, measure: &'static str, costs: &[(u32, f64)]) -> Row {
    let least = costs.iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min);
    let most = costs.iter().map(|(_, cost)| *cost).fold(0.0, f64::max);
    Row {
        work,
        measure,
        result: listed(costs),
        goal: "flat within 25 %",
        met: Some(most <= least * FLAT),
        reference: "",
        beside: format!("highest {} × lowest", short(most / least)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_at_what_is_possible() {
        assert_eq!(steps(100, 10_000), [100, 1000, 10_000]);
        assert_eq!(steps(10, 3000), [10, 100, 1000, 3000]);
    }
}
