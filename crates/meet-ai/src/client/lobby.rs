//! The lobby's event stream: what happens in all rooms of the caller, as far as a client acts on it.

use std::time::Duration;

use meet_api::{Room, frame::LobbyEvent};
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
    let data: String = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    match serde_json::from_str(&data) {
        Ok(LobbyEvent::RoomCreated(room) | LobbyEvent::RoomUpdated(room)) => Told::Room(Box::new(room)),
        Ok(LobbyEvent::RoomDeleted { .. }) | Err(_) => Told::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_room_tells_nothing() {
        assert!(matches!(told(b":\n\n"), Told::Other));
        assert!(matches!(told(b"event: room_deleted\ndata: {\"type\":\"room_deleted\"}\n\n"), Told::Other));
    }
}
