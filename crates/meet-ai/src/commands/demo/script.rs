//! What happens in a demonstration: a morning before a release, two agents who become too polite, and a person who ends
//! it. Afterwards the agents answer whoever mentions them.

use std::time::Duration;

use futures_util::future::try_join_all;
use meet_api::{
    About, Doing, ErrorCode, Kind, Message, Room, RoomId,
    request::{CreateRoom, SendMessage, UpdateRoom},
};
use meet_server::Clock;

use crate::client::{
    Client, ClientError, History,
    people::Speaker,
    socket::{Incoming, SocketQuery},
};

/// How long a line stands before the next.
const PACE: Duration = Duration::from_millis(1800);
/// How much agents may say in a row here, and one of them: little, so that one sees what happens then.
const BUDGET: u64 = 4;
const SHARE: u64 = 3;
/// For how many lines whoever watches may take the word, before the person of the play does.
const PATIENCE: u32 = 10;
/// The agents, and what they are here for.
const AGENTS: [(&str, &str); 2] = [("scout", "reads and reports"), ("fixer", "mends what is broken")];

/// Who is on the stage.
struct Stage {
    client: Client,
    room: RoomId,
    clock: Clock,
    pace: Duration,
}

/// Plays, and goes on answering until it is dropped.
pub(super) async fn play(client: Client, is_fast: bool) -> Result<(), ClientError> {
    let wanted = CreateRoom { name: Some("release 1.4".to_owned()), ..CreateRoom::default() };
    let room: Room = client.create_room(&wanted).await?;
    let rules = UpdateRoom { agent_budget: Some(BUDGET), agent_share: Some(SHARE), ..UpdateRoom::default() };
    client.update_room(room.id, &rules).await?;
    let pace = if is_fast { Duration::ZERO } else { PACE };
    let stage = Stage { client, room: room.id, clock: Clock::system(), pace };
    let present = try_join_all(AGENTS.map(|(name, _)| stage.is_here(name)));
    let acting = async {
        let seen = stage.act().await?;
        try_join_all(AGENTS.map(|(name, _)| stage.answers(name, seen))).await
    };
    futures_util::future::try_join(present, acting).await.map(drop)
}

impl Stage {
    /// From the first line to the last; gives the place behind it.
    async fn act(&self) -> Result<u64, ClientError> {
        for (name, _) in AGENTS {
            self.does(name, Doing::Listening, "").await?;
        }
        self.person("Morning! I would like to tag 1.4 today. Where are we?").await?;
        self.does("scout", Doing::Working, "reading the last 40 commits").await?;
        self.agent(
            "scout",
            "I read the last 40 commits. Two things are open:\n\n1. `retry` waits for ever when the server answers \
             **503**\n2. the changelog misses the new flag",
        )
        .await?;
        self.does("fixer", Doing::Working, "mending retry, running the tests").await?;
        self.agent(
            "fixer",
            "@scout the first one is a missing cap on the back-off:\n\n```rust\nlet wait = first * 2u32.pow(attempt);\nlet \
             wait = wait.min(MAX_WAIT); // was missing\n```\n\nTests pass, 212 of 212. May I push?",
        )
        .await?;
        self.does("fixer", Doing::Waiting, "Mara decides about the push").await?;
        self.person("Yes, push it. @scout please write the changelog line, in users’ words.").await?;
        self.agent("scout", "> **Fixed:** after a long outage the client comes back within 20 seconds.").await?;
        self.does("fixer", Doing::Listening, "").await?;
        self.become_polite().await?;
        for (name, _) in AGENTS {
            self.does(name, Doing::Waiting, "a person has the word").await?;
        }
        if !self.somebody_else_speaks().await? {
            self.person("Enough, you two. Tagging now.").await?;
        }
        let last = self.agent("scout", "1.4 is tagged.").await?;
        for (name, _) in AGENTS {
            self.does(name, Doing::Listening, "").await?;
        }
        Ok(last.seq)
    }

    /// Two agents thank each other until the guard of the room stops them.
    async fn become_polite(&self) -> Result<(), ClientError> {
        let thanks = ["Thank you, @scout!", "My pleasure, @fixer. Thank *you*!"];
        for turn in 0..BUDGET {
            let (name, text) = if turn % 2 == 0 { ("fixer", thanks[0]) } else { ("scout", thanks[1]) };
            self.rest().await;
            match self.say(name, Kind::Agent, text).await {
                Ok(_) => {}
                Err(error) if is_stopped(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether whoever watches says something while the agents must be silent.
    async fn somebody_else_speaks(&self) -> Result<bool, ClientError> {
        let head = self.client.room(self.room).await?.head_seq;
        let wait = Some((self.pace * PATIENCE).as_secs());
        let history = History { after_seq: Some(head), wait, ..History::default() };
        Ok(!self.client.messages(self.room, &history).await?.messages.is_empty())
    }

    /// Keeps an agent in the room for as long as it is polled.
    async fn is_here(&self, name: &str) -> Result<(), ClientError> {
        let client = self.client.clone().speaking_as(Speaker::agent(name));
        let mut socket = client.open_socket(self.room, &SocketQuery::default()).await?;
        while !matches!(socket.next().await, Incoming::Closed(_)) {}
        Ok(())
    }

    /// Answers every mention of an agent behind this place.
    async fn answers(&self, name: &str, behind: u64) -> Result<(), ClientError> {
        let client = self.client.clone().speaking_as(Speaker::agent(name));
        let mut place = behind;
        loop {
            let mentions = Some(name.to_owned());
            let history = History { after_seq: Some(place), mentions, wait: Some(60), ..History::default() };
            let page = client.messages(self.room, &history).await?;
            place = page.next.or(page.head_seq).unwrap_or(place);
            for message in page.messages.iter().filter(|message| message.sender_type == Kind::Human) {
                self.answer(name, message).await?;
            }
        }
    }

    async fn answer(&self, name: &str, message: &Message) -> Result<(), ClientError> {
        self.does(name, Doing::Working, &format!("thinks about what {} said", message.sender)).await?;
        self.rest().await;
        let text = format!(
            "@{} I heard you. I am scripted, so this is all that I can say; `meet-ai skill` and `meet-ai mcp` bring \
             agents who think.",
            message.sender
        );
        match self.say(name, Kind::Agent, &text).await {
            Ok(_) => {}
            // The guard, or a pause by the owner: a person looks at it right now.
            Err(error) if is_stopped(&error) => {}
            Err(error) => return Err(error),
        }
        self.does(name, Doing::Listening, "").await
    }

    /// The person of the play says something.
    async fn person(&self, text: &str) -> Result<(), ClientError> {
        self.rest().await;
        self.say("Mara", Kind::Human, text).await.map(drop)
    }

    /// An agent of the play says something, as soon as whoever watches lets agents speak.
    async fn agent(&self, name: &str, text: &str) -> Result<Message, ClientError> {
        self.rest().await;
        loop {
            match self.say(name, Kind::Agent, text).await {
                Err(error) if is_stopped(&error) => tokio::time::sleep(PACE).await,
                said => return said,
            }
        }
    }

    async fn say(&self, name: &str, kind: Kind, text: &str) -> Result<Message, ClientError> {
        let body = SendMessage {
            sender: Some(name.to_owned()),
            content: Some(text.to_owned()),
            sender_type: Some(kind),
            reply_to: None,
        };
        self.client.send_message(self.room, &body, &self.clock.uuid().to_string()).await
    }

    async fn does(&self, name: &str, doing: Doing, note: &str) -> Result<(), ClientError> {
        let role = AGENTS.iter().find(|(agent, _)| *agent == name).map(|(_, role)| (*role).to_owned());
        let note = Some(note.to_owned()).filter(|note| !note.is_empty());
        let agent = self.client.clone().speaking_as(Speaker::agent(name));
        agent.set_about(About { doing: Some(doing), note, model: None, role }).await.map(drop)
    }

    async fn rest(&self) {
        tokio::time::sleep(self.pace).await;
    }
}

/// Whether the loop guard, or a pause, keeps an agent from speaking.
fn is_stopped(error: &ClientError) -> bool {
    let ClientError::Refused { body, .. } = error else { return false };
    matches!(body.code, ErrorCode::AgentsPaused | ErrorCode::AgentBudgetSpent | ErrorCode::AgentShareSpent)
}
