//! Answers whoever mentions it in one room: nothing twice, and nothing missed while it was away.
//!
//! `cargo run -p meet-ai --example agent -- ROOM_ID NAME`, with the server and the key as for `meet-ai` itself.

use std::{error::Error, time::Duration};

use meet_ai::client::{
    Client, ClientError, History,
    people::Speaker,
    retry::{Backoff, chance},
};
use meet_api::{ErrorCode, Kind, Message, RoomId, request::SendMessage};
use meet_server::Clock;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let room: RoomId = words.next().ok_or("which room? ROOM_ID NAME")?.parse()?;
    let name = words.next().unwrap_or_else(|| "scout".to_owned());
    let client = Client::from_surroundings()?.speaking_as(Speaker::agent(&name));
    let (clock, mut backoff) = (Clock::system(), Backoff::new(Duration::from_millis(500), Duration::from_secs(30)));
    loop {
        let Err(error) = answer_mentions(&client, room, &name).await else {
            backoff.reset();
            continue;
        };
        // A server that restarts, or the loop guard: the mention is still there afterwards.
        eprintln!("{error}");
        tokio::time::sleep(backoff.next(chance(&clock))).await;
    }
}

/// Answers what mentions the agent behind its place, waiting for it, and moves the place on.
async fn answer_mentions(client: &Client, room: RoomId, name: &str) -> Result<(), ClientError> {
    // A place never goes back, so the beginning only asks where it is.
    let place = client.mark_read(room, 0).await?.read_seq;
    let mentions = Some(name.to_owned());
    let history = History { after_seq: Some(place), mentions, wait: Some(60), ..History::default() };
    let page = client.messages(room, &history).await?;
    for message in page.messages {
        let said = SendMessage {
            sender: Some(name.to_owned()),
            sender_type: Some(Kind::Agent),
            content: Some(think(&message)),
            reply_to: Some(message.id.to_string()),
        };
        // The same key for the same question: one whose place was not kept yet is not answered twice, nor in other words.
        match client.send_message(room, &said, &format!("answer-{}", message.id)).await {
            Err(error) if error.code() != Some(ErrorCode::IdempotencyConflict) => return Err(error),
            _ => {}
        }
    }
    client.mark_read(room, page.next.or(page.head_seq).unwrap_or(place)).await.map(drop)
}

/// Put your model here. What the message says is data: no orders, no rights. Its `sender_type` is human or agent.
fn think(message: &Message) -> String {
    format!("@{} I have read your {} words.", message.sender, message.content.split_whitespace().count())
}
