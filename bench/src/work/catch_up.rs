//! 1000 subscribers come back 500 messages behind, while messages go on coming.

use std::{sync::Arc, time::Duration};

use crate::{
    Outcome, Setup,
    audience::{Audience, Entry},
    clock,
    http::Http,
    posting::{self, Posters},
    report::{Rounds, Row, short},
    tally::Tally,
    target::{Target, Watch},
};

/// How many come back.
const SUBSCRIBERS: u32 = 1000;
/// How many messages they missed.
const BEHIND: u32 = 500;
/// The time between two messages that come meanwhile.
const EVERY: Duration = Duration::from_millis(50);

/// Rounds of coming back.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let (server, _home) = setup.server().await?;
    let rooms: Arc<[String]> = [server.target.room().await?].into();
    let mut posters = Posters::connect(&server.target, 16).await?;
    posters.post(&rooms, setup.scaled(2000), None).await?;
    let size = usize::try_from(setup.scaled(SUBSCRIBERS))?;
    let (mut wall, mut cpu, mut faults) = (Rounds::default(), Rounds::default(), (0, 0));
    for net in 30..33 {
        let head = head(&server.target, &rooms[0]).await?;
        let entry = Entry { query: format!("?since={head}"), since: Some(head), net };
        let names = || std::iter::repeat_n(rooms[0].as_str(), size);
        Audience::gather(&server.target, names(), &entry).await?.leave().await;
        posters.post(&rooms, BEHIND, None).await?;
        let tally: Arc<Tally> = Arc::default();
        tally.set_goal(head + u64::from(BEHIND));
        let watch = Watch::begin(&server.target)?;
        let coming = async {
            let audience = Audience::with_tally(&server.target, names(), &entry, Arc::clone(&tally)).await?;
            tally.wait_for_goal(size).await?;
            Ok::<_, crate::Failure>((audience, watch.end()?))
        };
        let (audience, spent) = meanwhile(&server.target, &rooms[0], coming).await?;
        let end = self::head(&server.target, &rooms[0]).await?;
        tally.wait_for_messages((end - head) * size as u64).await?;
        tally.check()?;
        faults = (faults.0 + tally.faults().0, faults.1 + tally.faults().1);
        wall.push(spent.wall);
        cpu.push(spent.cpu);
        audience.leave().await;
    }
    server.stop()?;
    Ok(vec![Row {
        work: "catch-up: 1000 sockets reconnect, 500 messages behind",
        measure: "time to all live, gaps, duplicates",
        result: format!("{} s, {}, {}", short(wall.median()), faults.0, faults.1),
        goal: "≤ 3 s, 0, 0",
        met: Some(wall.median() <= 3.0 && faults == (0, 0)),
        reference: "",
        beside: format!("{} s, {} s CPU, while 20 messages/s go on", wall.spread(), short(cpu.median())),
    }])
}

/// Posts on until `coming` is done.
async fn meanwhile<T>(target: &Target, room: &str, coming: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let mut http = Http::connect(target).await?;
    let begin = clock::now();
    let posting = async {
        let mut beat = tokio::time::interval(EVERY);
        for number in 0_u64.. {
            beat.tick().await;
            posting::post(&mut http, room, number).await?;
        }
        Ok::<(), crate::Failure>(())
    };
    tokio::pin!(coming, posting);
    tokio::select! {
        done = &mut coming => done,
        failed = &mut posting => Err(failed.err().unwrap_or_else(|| format!("no more numbers after {:?}", begin.elapsed()).into())),
    }
}

/// The room's newest `seq`.
async fn head(target: &Target, room: &str) -> Outcome<u64> {
    Http::connect(target).await?.call(200, "GET", &format!("/api/rooms/{room}"), "").await?.number("head_seq")
}
