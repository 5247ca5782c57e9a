//! `unread` and `mark-read`: how far an agent has read a room. The server keeps the place.
//!
//! The place moves after the messages are out, so that what was cut off comes again: at least once, never less.

use std::time::Duration;

use meet_api::ErrorCode;
use meet_server::Clock;

use crate::{
    args::{MarkReadArgs, UnreadArgs},
    client::{Client, History, retry::Retry},
    commands::{self, messages::print, rooms},
    failure::{Failure, Outcome},
    output,
    own::Own,
};

/// `unread`: what others said since the place, and on with the place.
pub(crate) async fn unread(args: UnreadArgs) -> Outcome {
    let client = commands::client_as(&args.client, args.identity.name.as_deref()).await?;
    let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
    let mut place = place(&client, room).await?;
    let own = Own::of(&client, client.session_user().await?.as_ref(), None);
    let clock = Clock::system();
    let until = clock.monotonic() + Duration::from_secs(args.wait.unwrap_or_default());
    let mut history = History {
        after_seq: Some(place),
        mentions: args.only.mentions,
        to: args.only.to,
        wait: args.wait,
        limit: usize::try_from(args.limit).ok(),
        ..History::default()
    };
    loop {
        let page = client.messages(room, &history).await?;
        let news: Vec<_> = page.messages.iter().filter(|message| !own.said(message)).collect();
        for message in &news {
            print(message, args.client.json)?;
        }
        let reached = page.next.or(page.head_seq).unwrap_or(place);
        if !args.peek && reached > place {
            client.mark_read(room, reached).await?;
        }
        // What the caller said itself ends neither its reading nor its waiting.
        let left = until.saturating_sub(clock.monotonic()).as_secs();
        let goes_on = page.next.is_some() || (left > 0 && !page.messages.is_empty());
        if !news.is_empty() || !goes_on || reached <= place {
            if page.next.is_some() {
                output::note("there is more: run it again");
            }
            return Ok(());
        }
        place = reached;
        history = History { wait: Some(left), ..history.behind(place) };
    }
}

/// `mark-read`.
pub(crate) async fn mark(args: MarkReadArgs) -> Outcome {
    let client = commands::client_as(&args.client, args.identity.name.as_deref()).await?;
    let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
    let seq = match args.seq {
        Some(seq) => seq,
        None => client.room(room).await?.head_seq,
    };
    let reading = match client.mark_read(room, seq).await {
        Err(error) if error.code() == Some(ErrorCode::UnknownCursor) => {
            let head = client.room(room).await?.head_seq;
            return Err(Failure::from(error).with_hint(format!("#{seq} is above the newest message, which is #{head}")));
        }
        marked => marked?,
    };
    if args.client.json {
        return output::json(&reading);
    }
    output::line(&format!("read up to #{}, {} unread", reading.read_seq, reading.unread))
}

/// Up to where the caller has read the room.
pub(crate) async fn place(client: &Client, room: meet_api::RoomId) -> Result<u64, Failure> {
    // A place never goes back, so the beginning only asks where it is.
    Ok(client.mark_read(room, 0).await?.read_seq)
}
