//! The lobby's event stream: what happens in all rooms of the caller, as far as a client acts on it.

use std::time::Duration;

use meet_api::{Message, Room, frame::UserEvent};
use reqwest::{Method, Response};

use super::{ANSWER_TIMEOUT, Client, ClientError};

/// A server that says nothing for so long is dead: it sends a comment every 25 seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// The longest event that is read.
const MAX_EVENT: usize = 1024 * 1024;

/// An open stream of the lobby.
#[derive(Debug)]
pub struct LobbyEvents {
    response: Response,
    buffer: Vec<u8>,
}

/// What the lobby told.
#[derive(Debug)]
pub enum Told {
    /// A room is new, or its head moved.
    Room(Box<Room>),
    /// A message mentions the caller.
    Mention(Box<Message>),
    /// Something else, or nothing for a while.
    Other,
}

impl Client {
    /// Opens the lobby's event stream.
    pub async fn lobby(&self) -> Result<LobbyEvents, ClientError> {
        let request = self.request(Method::GET, self.endpoint(&["api", "lobby", "events"]));
        let response = self.send_within(ANSWER_TIMEOUT, request).await?;
        Ok(LobbyEvents { response, buffer: Vec::new() })
    }
}

impl LobbyEvents {
    /// The next event; `None` when the stream is over, however it ended.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(told(&event));
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await.ok()?.ok()??;
            if self.buffer.len() + chunk.len() > MAX_EVENT {
                return None;
            }
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

fn told(event: &[u8]) -> Told {
    let text = String::from_utf8_lossy(event);
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim_start).unwrap_or_default()
    };
    let data = field("data");
    match field("event") {
        "room_created" | "room_updated" => {
            serde_json::from_str(data).map_or(Told::Other, |room| Told::Room(Box::new(room)))
        }
        "mention" => match serde_json::from_str(data) {
            Ok(UserEvent::Mention { message }) => Told::Mention(Box::new(message)),
            _ => Told::Other,
        },
        _ => Told::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_and_mentions_are_told_and_nothing_else() {
        let room = r#"{"id":"01900000-0000-7000-8000-000000000002","name":"a","visibility":"private","media":"audio","bot_enabled":false,"head_seq":3,"epoch":"e","online":0,"created_at":"2026-02-07T12:00:00.000Z","expires_at":null,"agents":{"paused":false,"budget":50,"share":25,"remaining":50}}"#;
        let event = format!("event: room_updated\ndata: {room}\n\n");
        let Told::Room(room) = told(event.as_bytes()) else { panic!("{event}") };
        assert_eq!(room.head_seq, 3);
        for other in [":\n\n", "event: room_deleted\ndata: {\"id\":\"x\"}\n\n", "event: room_updated\ndata: 7\n\n"] {
            assert!(matches!(told(other.as_bytes()), Told::Other), "{other}");
        }
    }
}
