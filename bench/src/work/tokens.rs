//! Tokens: for the realtime gateway, which are only signed, and for calls, which are recorded as well.

use tokio::task::JoinSet;

use crate::{
    Outcome, Setup,
    http::Http,
    report::{Rounds, Row, short},
    target::{Target, Watch},
};

/// How many people ask, each by a session and a connection of its own.
const PEOPLE: u32 = 50;
/// How many tokens for the gateway each of them gets in a round.
const EACH: u32 = 400;
/// The same for a call; the server gives one person 120 a minute.
const EACH_CALL: u32 = 20;
/// How often it is done.
const ROUNDS: u32 = 5;

/// Has people fetch tokens of every kind.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let (server, _home) = setup.server().await?;
    let target = &server.target;
    let room = target.room().await?;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(session(target, number).await?);
    }
    let each = setup.scaled(EACH);
    let mut rows = Vec::new();
    for (work, path, body, each) in [
        ("token minting: a connection", "/realtime/connection-token".to_owned(), String::new(), each),
        ("token minting: a subscription", format!("/api/rooms/{room}/subscribe-token"), String::new(), each),
        (
            "token minting: a call, recorded on disk (provider `fake`)",
            "/realtime/conference-token".to_owned(),
            format!(r#"{{"spaceId":"{room}"}}"#),
            setup.scaled(EACH_CALL).min(EACH_CALL),
        ),
    ] {
        let (mut micros, mut rate) = <(Rounds, Rounds)>::default();
        for _ in 0..ROUNDS {
            let watch = Watch::begin(target)?;
            people = fetch(people, &path, &body, each).await?;
            let spent = watch.end()?;
            micros.push(spent.micros_each(each * PEOPLE));
            rate.push(spent.per_second(each * PEOPLE));
        }
        rows.push(Row {
            work,
            measure: "CPU per token, with its request",
            result: format!("{} µs", short(micros.median())),
            goal: "≤ 50 µs",
            met: Some(micros.median() <= 50.0),
            reference: "",
            beside: format!("{} µs; {} tokens/s", micros.spread(), short(rate.median())),
        });
    }
    server.stop()?;
    Ok(rows)
}

/// Somebody who is signed in.
async fn session(target: &Target, number: u32) -> Outcome<Http> {
    let body = serde_json::json!({ "key": target.key, "name": format!("person {number}") }).to_string();
    let token = Http::connect(target).await?.call(201, "POST", "/api/session", &body).await?.text("token")?;
    Http::connect(&Target { key: token, ..target.clone() }).await
}

/// Has everybody fetch so many tokens at once.
async fn fetch(people: Vec<Http>, path: &str, body: &str, each: u32) -> Outcome<Vec<Http>> {
    let mut fetching = JoinSet::new();
    for mut person in people {
        let (path, body) = (path.to_owned(), body.to_owned());
        fetching.spawn(async move {
            for _ in 0..each {
                person.call(200, "POST", &path, &body).await?;
            }
            Ok::<_, crate::Failure>(person)
        });
    }
    let mut people = Vec::new();
    while let Some(person) = fetching.join_next().await {
        people.push(person??);
    }
    Ok(people)
}
