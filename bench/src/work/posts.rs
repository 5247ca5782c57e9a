//! Durable messages: 64 at a time, each acknowledged only once it is on the disk.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use crate::{
    Outcome, Setup, clock,
    posting::Posters,
    report::{Rounds, Row, short},
    target::Watch,
};

/// How many posts are under way at the same time.
const CONCURRENT: usize = 64;
/// How long the disk alone is measured, each time.
const SYNC_FOR: Duration = Duration::from_secs(1);
/// How much the disk alone writes before each sync, and over how many places.
const RECORD: usize = 4096;
const RECORDS: u64 = 1024;

/// Rounds of posts, each beside what the disk does alone.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let (server, _home) = setup.server().await?;
    let rooms: Arc<[String]> = [server.target.room().await?].into();
    let mut posters = Posters::connect(&server.target, CONCURRENT).await?;
    let count = setup.scaled(20_000);
    posters.post(&rooms, setup.scaled(5000), None).await?;
    let (mut cpu, mut rate, mut syncs, mut ratio) = <(Rounds, Rounds, Rounds, Rounds)>::default();
    for _ in 0..5 {
        let before = syncs_per_second(&setup.directory)?;
        let watch = Watch::begin(&server.target)?;
        posters.post(&rooms, count, None).await?;
        let spent = watch.end()?;
        let alone = f64::midpoint(before, syncs_per_second(&setup.directory)?);
        cpu.push(spent.micros_each(count));
        rate.push(spent.per_second(count));
        syncs.push(alone);
        ratio.push(spent.per_second(count) / alone);
    }
    server.stop()?;
    let row = |measure, result, goal, is_met, reference, beside| Row {
        work: "`POST messages`, 64 concurrent, fsync on",
        measure,
        result,
        goal,
        met: Some(is_met),
        reference,
        beside,
    };
    let each = format!(
        "{} messages/s against {} fsyncs/s alone; ratio {}",
        short(rate.median()),
        short(syncs.median()),
        ratio.spread()
    );
    Ok(vec![
        row(
            "CPU per POST",
            format!("{} µs", short(cpu.median())),
            "≤ 80 µs",
            cpu.median() <= 80.0,
            "Bun + SQLite without fsync 250 µs; Workers stack run locally 5 ms",
            format!("{} µs", cpu.spread()),
        ),
        row(
            "durable messages/s, against one fsync each on the same disk",
            format!("{} ×", short(ratio.median())),
            "≥ 20 ×",
            ratio.median() >= 20.0,
            "",
            each,
        ),
    ])
}

/// How often the disk takes a record that was written and synced alone, in a file that does not grow.
fn syncs_per_second(directory: &Path) -> Outcome<f64> {
    let mut file: File = tempfile::tempfile_in(directory)?;
    let record = [7_u8; RECORD];
    for _ in 0..RECORDS {
        file.write_all(&record)?;
    }
    file.sync_all()?;
    let begin = clock::now();
    let mut done = 0_u32;
    while begin.elapsed() < SYNC_FOR {
        file.seek(SeekFrom::Start(u64::from(done) % RECORDS * RECORD as u64))?;
        file.write_all(&record)?;
        file.sync_data()?;
        done += 1;
    }
    Ok(f64::from(done) / begin.elapsed().as_secs_f64())
}
