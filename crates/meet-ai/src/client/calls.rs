//! The operations beside rooms and messages: who is there, what was read, searching, calls, and what owners do.

use meet_api::{
    About, Guard, Message, Reading, Room, RoomId, RoomPresence,
    request::{
        CreateInvite, MarkRead, NewConferenceToken, NewInvite, NewLog, OwnStatus, RealtimeConfig, RealtimeToken,
        SetStatus, UpdateRoom,
    },
};
use reqwest::Method;

use super::{Client, ClientError};

impl Client {
    /// Who is in a room now.
    pub async fn presence(&self, room: RoomId) -> Result<RoomPresence, ClientError> {
        self.get(self.endpoint(&["api", "rooms", &room.to_string(), "presence"])).await
    }

    /// The newest messages of a room in which all these words are, newest first.
    pub async fn search(&self, room: RoomId, words: &str, limit: usize) -> Result<Vec<Message>, ClientError> {
        let mut url = self.endpoint(&["api", "rooms", &room.to_string(), "search"]);
        url.query_pairs_mut().append_pair("q", words).append_pair("limit", &limit.to_string());
        self.get(url).await
    }

    /// Notes that the user has read a room up to this message; it never goes back.
    pub async fn mark_read(&self, room: RoomId, seq: u64) -> Result<Reading, ClientError> {
        let url = self.endpoint(&["api", "rooms", &room.to_string(), "read"]);
        self.change(Method::PUT, url, &MarkRead { seq: Some(seq) }).await
    }

    /// As what to be seen, and what to say of oneself; what is absent stays.
    pub async fn set_status(&self, body: &SetStatus) -> Result<OwnStatus, ClientError> {
        self.change(Method::PUT, self.endpoint(&["presence", "status"]), body).await
    }

    /// Says what the user is doing, in place of all that it said of itself before.
    pub async fn set_about(&self, about: About) -> Result<OwnStatus, ClientError> {
        self.set_status(&SetStatus { status: None, about: Some(about) }).await
    }

    /// Tells who is in a room what the user is doing; it is stored nowhere.
    pub async fn log(&self, room: RoomId, text: &str) -> Result<(), ClientError> {
        let url = self.endpoint(&["api", "rooms", &room.to_string(), "log"]);
        let request = super::with_json(self.request(Method::POST, url), &NewLog { text: Some(text.to_owned()) });
        self.send(request).await.map(drop)
    }

    /// How much agents may still say in a room without a person, and the caller itself.
    pub async fn guard(&self, room: RoomId) -> Result<Guard, ClientError> {
        self.get(self.endpoint(&["api", "rooms", &room.to_string(), "guard"])).await
    }

    /// Changes a room; its owner may.
    pub async fn update_room(&self, room: RoomId, body: &UpdateRoom) -> Result<Room, ClientError> {
        self.change(Method::PATCH, self.endpoint(&["api", "rooms", &room.to_string()]), body).await
    }

    /// Makes an invite to a room; its owner may.
    pub async fn create_invite(&self, room: RoomId, body: &CreateInvite) -> Result<NewInvite, ClientError> {
        self.change(Method::POST, self.endpoint(&["api", "rooms", &room.to_string(), "invites"]), body).await
    }

    /// A token for the call of a room.
    pub async fn conference_token(&self, room: RoomId) -> Result<RealtimeToken, ClientError> {
        let body = NewConferenceToken { space_id: Some(room.to_string()) };
        self.change(Method::POST, self.endpoint(&["realtime", "conference-token"]), &body).await
    }

    /// Where realtime clients connect.
    pub async fn realtime_config(&self) -> Result<RealtimeConfig, ClientError> {
        self.get(self.endpoint(&["realtime", "config"])).await
    }
}
