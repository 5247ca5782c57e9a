//! `unread` and `mark-read`: how far an agent has read a room. The server keeps the place.
//!
//! The place moves after the messages are out, so that what was cut off comes again: at least once, never less.

use meet_api::text::fold;

use crate::{
    args::{MarkReadArgs, UnreadArgs},
    client::{Client, History, retry::Retry},
    commands::{self, messages::print, rooms},
    failure::{Failure, Outcome},
    output,
};

/// `unread`: what others said since the place, and on with the place.
pub(crate) async fn unread(args: UnreadArgs) -> Outcome {
    let client = commands::client_as(&args.client, args.identity.name.as_deref()).await?;
    let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
    let read = place(&client, room).await?;
    // A filter leaves out the caller's own by itself.
    let is_filtered = args.only.mentions.is_some() || args.only.to.is_some();
    let exclude = if is_filtered { None } else { own_name(&client).await? };
    let history = History {
        after_seq: Some(read),
        exclude,
        mentions: args.only.mentions,
        to: args.only.to,
        wait: args.wait,
        limit: usize::try_from(args.limit).ok(),
        ..History::default()
    };
    let page = client.messages(room, &history).await?;
    for message in &page.messages {
        print(message, args.client.json)?;
    }
    if page.next.is_some() {
        output::note("there is more: run it again");
    }
    let until = page.next.or(page.head_seq).unwrap_or(read);
    if !args.peek && until > read {
        client.mark_read(room, until).await?;
    }
    Ok(())
}

/// `mark-read`.
pub(crate) async fn mark(args: MarkReadArgs) -> Outcome {
    let client = commands::client_as(&args.client, args.identity.name.as_deref()).await?;
    let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
    let seq = match args.seq {
        Some(seq) => seq,
        None => client.room(room).await?.head_seq,
    };
    let reading = client.mark_read(room, seq).await?;
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

/// The folded name under which the caller speaks.
async fn own_name(client: &Client) -> Result<Option<String>, Failure> {
    if let Some(speaker) = client.speaker() {
        return Ok(Some(fold(&speaker.name)));
    }
    Ok(client.session().await?.user.map(|user| fold(&user.name)))
}
