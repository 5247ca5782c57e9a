//! `listen`: a room's messages on standard output, one JSON object a line, for as long as it lasts.
//!
//! The connection may come and go; the output has no gap and no duplicate. Standard error tells of
//! the connection, one JSON object a line. What is news is decided in [`feed`].

mod exec;
mod feed;
mod telling;

use std::{sync::Arc, time::Duration};

use meet_api::{ErrorCode, Kind, Message, RoomId, ServerFrame, Timestamp};
use meet_server::Clock;
use serde_json::json;
use tokio::sync::mpsc;

use self::{
    exec::Program,
    feed::Feed,
    telling::{Telling, Traits},
};
use crate::{
    args::ListenArgs,
    client::{
        Client, ClientError, History,
        retry::{Backoff, Retry, chance},
        socket::{Closed, Incoming, RoomSocket, SocketQuery},
    },
    commands::{self, presence, reading, rooms},
    connection,
    failure::{Failure, Outcome},
    output,
    own::Own,
    signals::Signals,
};

/// A listener: one room, what of it is wanted, and where it goes.
struct Listener {
    client: Client,
    room: RoomId,
    wanted: Wanted,
    feed: Feed,
    to_program: Option<mpsc::Sender<Message>>,
    telling: Arc<Telling>,
    backoff: Backoff,
    clock: Clock,
}

/// Which messages are wanted, and how.
struct Wanted {
    exclude: Option<String>,
    mentions: Option<String>,
    to: Option<String>,
    exclusive: bool,
}

/// Why a connection is over, when listening goes on.
enum Pause {
    /// It broke; a new one after a while.
    Broken { reason: String, at_least: Duration },
    /// The cursor is void or too far behind: the history is to be read first.
    Behind,
}

/// `listen`, until a signal or a refusal ends it.
pub(crate) async fn run(args: ListenArgs) -> Outcome {
    let program = program(&args)?;
    let mut signals = Signals::hear().map_err(|error| Failure::refused(format!("signals cannot be heard: {error}")))?;
    let (to_program, messages) = mpsc::channel(exec::QUEUE);
    let to_program = program.is_some().then_some(to_program);
    let listener = tokio::select! {
        listener = Listener::start(args, to_program) => listener?,
        () = signals.next() => return Ok(()),
    };
    let telling = Arc::clone(&listener.telling);
    let execute = async {
        match &program {
            Some(program) => program.serve(messages, &telling).await,
            None => std::future::pending().await,
        }
    };
    // Whoever has nothing more to hear here answers nothing more, either: a program that runs is ended, and what waits for
    // it was not read.
    let outcome = tokio::select! {
        outcome = listener.follow() => outcome,
        () = execute => Ok(()),
        () = telling.keep_telling() => Ok(()),
        () = signals.next() => Ok(()),
    };
    telling.finish().await;
    outcome
}

/// The program of `--exec`, which is looked for before anything waits for it.
fn program(args: &ListenArgs) -> Result<Option<Program>, Failure> {
    let Some(command) = &args.exec else { return Ok(None) };
    let is_given = args.client.key.is_some() || connection::variable("MEET_AI_KEY").is_some();
    let program = Program::parse(command, is_given, Duration::from_secs(args.exec_timeout));
    let program = program.map_err(|error| Failure::usage(format!("--exec: {error}")))?;
    program.check().map_err(|reason| Failure::usage(format!("--exec: {reason}")))?;
    Ok(Some(program))
}

impl Listener {
    async fn start(args: ListenArgs, to_program: Option<mpsc::Sender<Message>>) -> Result<Self, Failure> {
        let client = match &args.name {
            Some(name) => presence::identified(commands::client(&args.client)?, name).await?,
            None => commands::client(&args.client)?,
        };
        let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
        let user = client.session_user().await?;
        let is_agent = client.speaker().is_some() || user.as_ref().is_some_and(|user| user.kind == Kind::Agent);
        let wants_to_know = [
            ("--resume", args.resume),
            ("--exclusive", args.exclusive),
            ("--model", args.model.is_some()),
            ("--role", args.role.is_some()),
        ];
        let nameless = wants_to_know.iter().find(|(_, is_given)| *is_given && !is_agent && user.is_none());
        if let Some((flag, _)) = nameless {
            return Err(Failure::usage(format!(
                "{flag} wants to know whose it is: say which agent you are by --as NAME"
            )));
        }
        let name = args.only.mentions.as_deref().or(args.only.to.as_deref());
        let own = Own::of(&client, user.as_ref(), name);
        let now = client.room(room).await?;
        let place = if args.resume { Some(reading::place(&client, room).await?) } else { None };
        let since = args.since.or(place).unwrap_or(now.head_seq).min(now.head_seq);
        if args.since.is_some_and(|asked| asked > since) {
            // As after a restore, when the numbers went back: what is there was said before.
            let _ = resync(now.head_seq, &now.epoch);
        }
        let mut feed = Feed::new(since, Some(now.epoch), own);
        // After a restore numbers begin anew: then the time says what had been said by then.
        feed.skip_until(said_at(&client, room, since).await?);
        let traits = is_agent.then_some(Traits { model: args.model, role: args.role });
        let (mentions, to) = (args.only.mentions, args.only.to);
        Ok(Self {
            telling: Arc::new(Telling::new(client.clone(), room, traits, place)),
            client,
            room,
            wanted: Wanted { exclude: args.exclude, mentions, to, exclusive: args.exclusive },
            feed,
            to_program,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            clock: Clock::system(),
        })
    }

    /// Connects, again and again, until it is told that there is nothing to hear here.
    async fn follow(mut self) -> Outcome {
        loop {
            let pause = match self.connect().await {
                Ok(socket) => self.hear(socket).await?,
                Err(error) => pause_after(error)?,
            };
            let pause = match pause {
                Pause::Behind => match self.reload().await? {
                    // A server that never is content must not be asked in a tight circle.
                    None => Pause::Behind,
                    Some(error) => pause_after(error)?,
                },
                broken @ Pause::Broken { .. } => broken,
            };
            let mut wait = self.backoff.next(chance(&self.clock));
            if let Pause::Broken { reason, at_least } = pause {
                wait = wait.max(at_least);
                let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                output::event(&json!({ "event": "disconnected", "reason": reason, "retry_in_ms": millis }));
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn connect(&self) -> Result<RoomSocket, ClientError> {
        let query = SocketQuery {
            since: self.feed.cursor(),
            epoch: self.feed.epoch().map(str::to_owned),
            exclude: self.wanted.exclude.clone(),
            mentions: self.wanted.mentions.clone(),
            to: self.wanted.to.clone(),
            exclusive: self.wanted.exclusive,
        };
        self.client.open_socket(self.room, &query).await
    }

    /// Passes on what comes until the connection is over.
    async fn hear(&mut self, mut socket: RoomSocket) -> Result<Pause, Failure> {
        loop {
            match socket.next().await {
                Incoming::Message(message) => self.pass_on(*message).await?,
                Incoming::Frame(ServerFrame::Hello { head_seq, epoch, .. }) => {
                    let since = self.feed.cursor();
                    if !self.agree(head_seq, &epoch) {
                        socket.close().await;
                        return Ok(resync(head_seq, &epoch));
                    }
                    self.backoff.reset();
                    self.telling.is_connected();
                    output::event(&json!({
                        "event": "connected", "room_id": self.room, "since": since, "head_seq": head_seq, "epoch": epoch,
                    }));
                }
                Incoming::Frame(ServerFrame::Resync { head_seq, epoch }) => {
                    socket.close().await;
                    return Ok(resync(head_seq, &epoch));
                }
                Incoming::Frame(ServerFrame::Position { seq }) => self.feed.advance(seq),
                // Who was stopped is told here when it may go on.
                Incoming::Frame(frame @ ServerFrame::Guard { .. }) => output::event(&frame),
                Incoming::Frame(_) => {}
                Incoming::Closed(Closed::Code(code)) => return closed(code),
                Incoming::Closed(Closed::Broken(reason)) => {
                    return Ok(Pause::Broken { reason, at_least: Duration::ZERO });
                }
            }
        }
    }

    /// The server says where the room stands; whether the place in it is still good.
    fn agree(&mut self, head_seq: u64, epoch: &str) -> bool {
        let is_good = self.feed.agree(head_seq, epoch);
        if !is_good {
            self.telling.begins_anew();
        }
        is_good
    }

    /// Reads the history from the cursor on, or from the beginning when the cursor is void. An error
    /// that may pass is given back.
    async fn reload(&mut self) -> Result<Option<ClientError>, Failure> {
        let head = match self.client.room(self.room).await {
            Ok(room) => {
                self.agree(room.head_seq, &room.epoch);
                room.head_seq
            }
            Err(error) => return Ok(Some(error)),
        };
        loop {
            let history = History {
                after_seq: Some(self.feed.cursor()),
                exclude: self.wanted.exclude.clone(),
                mentions: self.wanted.mentions.clone(),
                to: self.wanted.to.clone(),
                ..History::default()
            };
            let page = match self.client.messages(self.room, &history).await {
                Ok(page) => page,
                Err(error) => return Ok(Some(error)),
            };
            for message in page.messages {
                self.pass_on(message).await?;
            }
            // All pages were asked for after the head was known: what is missing up to it was filtered.
            self.feed.advance(page.next.unwrap_or(head));
            if page.next.is_none() {
                return Ok(None);
            }
        }
    }

    /// Prints a message that is news, and hands it to the program. A program that is behind holds the
    /// socket back; what waits there is caught up later.
    async fn pass_on(&mut self, message: Message) -> Outcome {
        if !self.feed.take(&message) {
            return Ok(());
        }
        output::json(&message)?;
        if let Some(to_program) = &self.to_program {
            // The program's side ends only with this one.
            let _ = to_program.send(message).await;
        } else {
            self.telling.has_read(message.seq);
        }
        Ok(())
    }
}

/// An error on the way that may pass is a pause; any other is the end.
fn pause_after(error: ClientError) -> Result<Pause, Failure> {
    if !error.is_passing() {
        return Err(error.into());
    }
    let at_least = error.retry_after().unwrap_or_default();
    Ok(Pause::Broken { reason: error.to_string(), at_least })
}

fn resync(head_seq: u64, epoch: &str) -> Pause {
    output::event(&json!({ "event": "resync", "head_seq": head_seq, "epoch": epoch }));
    Pause::Behind
}

/// What a close code means for a listener: the end, or a pause.
fn closed(code: u16) -> Result<Pause, Failure> {
    let (sentence, error_code) = match code {
        4040 => ("the room is gone", Some(ErrorCode::RoomNotFound)),
        4041 => ("the key or session has ended", Some(ErrorCode::InvalidKey)),
        4409 => (
            "a newer listener of the same agent has taken its place in this room, so that nothing is answered twice",
            None,
        ),
        _ => {
            let reason = format!("the server closed the connection ({code})");
            return Ok(Pause::Broken { reason, at_least: Duration::ZERO });
        }
    };
    let failure = Failure::refused(format!("{sentence} ({code})"));
    Err(match error_code {
        Some(error_code) => failure.with_code(error_code),
        None => failure,
    })
}

/// When message number `seq` was said, if there is one.
async fn said_at(client: &Client, room: RoomId, seq: u64) -> Result<Option<Timestamp>, ClientError> {
    let Some(before) = seq.checked_sub(1) else { return Ok(None) };
    let history = History { after_seq: Some(before), limit: Some(1), ..History::default() };
    let page = client.messages(room, &history).await?;
    Ok(page.messages.first().filter(|message| message.seq == seq).map(|message| message.created_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_pass_ends_a_listener() {
        for code in [4040, 4041, 4409] {
            let Err(failure) = closed(code) else { panic!("{code}") };
            assert!(failure.sentence().contains(&code.to_string()), "{failure:?}");
        }
        for code in [1001, 1006, 1013, 4000] {
            assert!(matches!(closed(code), Ok(Pause::Broken { .. })), "{code}");
        }
    }
}
