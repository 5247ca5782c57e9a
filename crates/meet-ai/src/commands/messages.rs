//! `send-message` and `poll`.

use std::io::{self, Read as _};

use meet_api::{Kind, Message, request::SendMessage};
use meet_server::Clock;

use crate::{
    args::{PollArgs, SendMessageArgs},
    client::{History, retry::Retry},
    commands::{self, rooms},
    failure::{Failure, Outcome, not_empty},
    output::{self, escape, escape_lines},
};

/// The most that is read from standard input; the server's own limit is far below.
const MAX_INPUT: u64 = 1024 * 1024;

/// `send-message`: the message's id on standard output.
pub(crate) async fn send(args: SendMessageArgs) -> Outcome {
    not_empty("the room", &args.room)?;
    let (sender, text) = match args.text {
        Some(text) => (Some(args.sender_or_text), text),
        None => (None, args.sender_or_text),
    };
    sender.as_deref().map_or(Ok(()), |sender| not_empty("the name of the sender", sender))?;
    let (what, text) =
        if text == "-" { ("what is said, on standard input,", read_input()?) } else { ("what is said", text) };
    not_empty(what, &text)?;
    let client = commands::client(&args.client)?;
    if sender.is_none() && client.has_key() && !client.is_session() {
        return Err(Failure::usage(
            "the sender or the text is missing: whoever has a key may be anybody, so it is \
                                   send-message ROOM SENDER TEXT",
        ));
    }
    let retry = Retry::of_a_command();
    let room = rooms::resolve(&client, &args.room, &retry).await?;
    // A session is a person or an agent already.
    let kind = if args.human { Kind::Human } else { Kind::Agent };
    let sender_type = Some(kind).filter(|_| args.human || !client.is_session());
    let body = SendMessage { sender, content: Some(text), sender_type, reply_to: args.reply_to };
    let clock = Clock::system();
    // All tries carry one key, so the message is stored once.
    let idempotency_key = clock.uuid().to_string();
    let message = retry.run(&clock, async || client.send_message(room, &body, &idempotency_key).await).await?;
    rooms::print_made(&message, &message.id.to_string(), args.client.json)
}

/// Standard input without the line end that a program puts there.
fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_INPUT + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("standard input cannot be read as text: {error}")))?;
    if text.len() as u64 > MAX_INPUT {
        return Err(Failure::usage("standard input is far longer than a message may be"));
    }
    let whole = text.strip_suffix('\n').unwrap_or(&text);
    Ok(whole.strip_suffix('\r').unwrap_or(whole).to_owned())
}

/// `poll`: everything after the cursor, page by page.
pub(crate) async fn poll(args: PollArgs) -> Outcome {
    let client = commands::client(&args.client)?;
    let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
    let after_seq = match args.last {
        Some(last) => Some(client.room(room).await?.head_seq.saturating_sub(last)),
        None => args.after_seq,
    };
    let mut history = History {
        after: args.after,
        after_seq,
        exclude: args.exclude,
        mentions: args.only.mentions,
        to: args.only.to,
        wait: args.wait,
        ..History::default()
    };
    loop {
        let page = client.messages(room, &history).await?;
        for message in &page.messages {
            print(message, args.client.json)?;
        }
        match page.next {
            Some(next) => history = history.behind(next),
            None => return Ok(()),
        }
    }
}

/// Prints a message, as JSON or for people.
pub(crate) fn print(message: &Message, as_json: bool) -> Outcome {
    if as_json { output::json(message) } else { output::line(&for_people(message)) }
}

/// `#12  2026-02-07T12:00:00.123Z  scout (agent): what was said`, further lines indented.
fn for_people(message: &Message) -> String {
    let (seq, at, kind) = (message.seq, message.created_at, message.sender_type.as_str());
    format!("#{seq}  {at}  {} ({kind}): {}", escape(&message.sender), escape_lines(&message.content, "    "))
}
