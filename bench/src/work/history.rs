//! Pages of 50 from a room with a million messages.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use meet_api::{
    Kind, MessageId, RoomId, TenantId, Timestamp, UserId,
    text::{Content, UserName},
};
use meet_store::{AppendOutcome, Appender, Caps, Location, NewMessage, Store};
use tokio::task::JoinSet;
use uuid::Builder;

use crate::{
    Outcome, Setup, clock,
    http::Http,
    posting::{self, Posters},
    report::{Rounds, Row, short},
    target::{Home, Server, Target, Watch},
};

/// How many messages the room holds.
const MESSAGES: u32 = 1_000_000;
/// How many messages are handed to the store at the same time while the room is filled.
const FILLING: usize = 2000;
/// How many readers ask at the same time.
const READERS: u32 = 16;
/// How many pages a round has.
const PAGES: u32 = 10_000;

/// Fills a room, then reads pages from anywhere in it.
pub(crate) async fn run(setup: &Setup) -> Outcome<Vec<Row>> {
    let (server, home) = setup.server().await?;
    let room = server.target.room().await?;
    let messages = setup.scaled(MESSAGES);
    let server = match &home {
        Some(home) => fill_at_rest(setup, server, home, &room, messages).await?,
        None => {
            let rooms: Arc<[String]> = [room.clone()].into();
            Posters::connect(&server.target, 64).await?.post(&rooms, messages, None).await?;
            server
        }
    };
    let (mut micros, mut rate) = <(Rounds, Rounds)>::default();
    let pages = setup.scaled(PAGES);
    read_pages(&server.target, &room, messages, pages / 5).await?;
    for _ in 0..5 {
        let watch = Watch::begin(&server.target)?;
        read_pages(&server.target, &room, messages, pages).await?;
        let spent = watch.end()?;
        micros.push(spent.micros_each(pages));
        rate.push(spent.per_second(pages));
    }
    server.stop()?;
    Ok(vec![Row {
        work: "history page of 50 from 1 M messages",
        measure: "CPU per page",
        result: format!("{} µs", short(micros.median())),
        goal: "≤ 100 µs",
        met: Some(micros.median() <= 100.0),
        reference: "",
        beside: format!("{} µs; {} pages/s, from anywhere in the room", micros.spread(), short(rate.median())),
    }])
}

/// Stops the server, fills the room through the store in the server's place, and starts it again.
async fn fill_at_rest(setup: &Setup, server: Server, home: &Home, room: &str, count: u32) -> Outcome<Server> {
    let mut http = Http::connect(&server.target).await?;
    let tenant: TenantId = http.call(200, "GET", "/api/keys", "").await?.text("id")?.parse()?;
    let user: UserId = posting::post(&mut http, room, 0).await?.text("user")?.parse()?;
    drop(http);
    server.stop()?;
    let begin = clock::now();
    fill(home, tenant, room.parse()?, user, count - 1).await?;
    eprintln!("filled a room with {count} messages in {} s", short(begin.elapsed().as_secs_f64()));
    Server::start(&std::path::absolute(&setup.binary)?, home).await
}

async fn fill(home: &Home, tenant: TenantId, room: RoomId, user: UserId, count: u32) -> Outcome<()> {
    let store = Store::open(&Location::Sqlite(home.data())).await?;
    let (appender, appending) = Appender::start(store.clone(), |_| {});
    let mut task = JoinSet::new();
    task.spawn(appending);
    let sender = UserName::parse("sender", "bench")?;
    let begin = clock::today();
    let messages = (1..=count).map(|number| {
        let (appender, sender) = (&appender, sender.clone());
        async move {
            let created_at = Timestamp::from_millis(begin.millis() + i64::from(number));
            let message = NewMessage {
                id: message_id(created_at, number)?,
                tenant,
                room,
                user,
                sender,
                sender_type: Kind::Human,
                content: Content::parse(posting::content(u64::from(number)), 1024)?,
                reply_to: None,
                idempotency: None,
                created_at,
                judged_at: created_at,
                caps: Caps::default(),
                mentions: Vec::new(),
            };
            match appender.append(message).await? {
                AppendOutcome::Stored(_) => Ok(()),
                other => Err(crate::Failure::from(format!("a message was not stored: {other:?}"))),
            }
        }
    });
    stream::iter(messages).buffer_unordered(FILLING).try_collect::<()>().await?;
    drop(appender);
    task.join_all().await;
    store.close().await;
    Ok(())
}

fn message_id(at: Timestamp, number: u32) -> Outcome<MessageId> {
    let mut bytes = [0; 10];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    let millis = u64::try_from(at.millis())?;
    Ok(MessageId::from_uuid(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()))
}

/// Reads so many pages, spread over the whole room.
async fn read_pages(target: &Target, room: &str, messages: u32, pages: u32) -> Outcome<()> {
    let next = Arc::new(AtomicU32::new(0));
    let mut reading = JoinSet::new();
    for _ in 0..READERS {
        let mut http = Http::connect(target).await?;
        let (next, room) = (Arc::clone(&next), room.to_owned());
        reading.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= pages {
                    return Ok::<_, crate::Failure>(());
                }
                // A multiplication by the golden ratio visits everywhere without a pattern.
                let before = number.wrapping_mul(2_654_435_769) % (messages - 50) + 51;
                let path = format!("/api/rooms/{room}/messages?before_seq={before}&limit=50");
                let page = http.call(200, "GET", &path, "").await?;
                if page.body.len() < 50 * 200 {
                    return Err(format!("a page of only {} bytes", page.body.len()).into());
                }
            }
        });
    }
    while let Some(read) = reading.join_next().await {
        read??;
    }
    Ok(())
}
