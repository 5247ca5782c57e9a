//! From start to the first answer, memory at rest, size of the program.

use std::time::Duration;

use crate::{
    Outcome, Setup,
    report::{Rounds, Row, short},
    target::{Home, Server},
};

/// How long a server rests before its memory is read.
const REST: Duration = Duration::from_secs(2);

/// Starts servers on a new directory and then on that one again.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    if setup.is_attached() {
        return Ok(Vec::new());
    }
    let binary = std::path::absolute(&setup.binary)?;
    let home = Home::new(&setup.directory)?;
    let first = Server::start(&binary, &home).await?;
    let first_start = first.started_in;
    tokio::time::sleep(REST).await;
    let resident = f64::from(first.target.resident()?) / 1024.0;
    first.stop()?;
    let mut millis = Rounds::default();
    for _ in 0..setup.scaled(10) {
        let server = Server::start(&binary, &home).await?;
        millis.push(server.started_in.as_secs_f64() * 1e3);
        server.stop()?;
    }
    let size = f64::from(u32::try_from(std::fs::metadata(&binary)?.len() / 1024)?) / 1024.0;
    let row = |measure, result, goal, is_met, beside| Row {
        work: "start",
        measure,
        result,
        goal,
        met: Some(is_met),
        reference: "",
        beside,
    };
    let beside =
        format!("{} ms; {} ms with an empty directory", millis.spread(), short(first_start.as_secs_f64() * 1e3));
    Ok(vec![
        row(
            "time to the first answer",
            format!("{} ms", short(millis.median())),
            "≤ 200 ms",
            millis.median() <= 200.0,
            beside,
        ),
        row("idle RSS", format!("{} MB", short(resident)), "≤ 40 MB", resident <= 40.0, String::new()),
        row("binary", format!("{} MB", short(size)), "≤ 35 MB", size <= 35.0, String::new()),
    ])
}
