//! The frames of the room socket and of the event streams, apart from messages, which travel as
//! [`crate::Message`] itself.

use serde::{Deserialize, Serialize};

use crate::{
    About, AgentRules, ChosenStatus, ErrorCode, Kind, Message, MessageId, Reading, Room, RoomId, Status, UserId,
};

/// What happened to somebody's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceChange {
    /// Came in by its first connection.
    Join,
    /// Left with its last connection.
    Leave,
    /// Changed its status.
    Status,
}

/// What happened in a room's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallChange {
    /// Came into it.
    Join,
    /// Left it.
    Leave,
}

/// What happened to the agents of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardChange {
    /// One of them was stopped: they have said as much as they may.
    Tripped,
    /// They may go on: a person spoke.
    Lifted,
    /// An owner has stopped them.
    Paused,
    /// An owner lets them go on.
    Resumed,
}

/// Which rule stopped an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardReason {
    /// All agents together have said as much as they may.
    Budget,
    /// It has said its own share.
    Share,
}

/// A frame from the server that is not a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The first frame of a socket that gave `since`.
    Hello {
        /// The room.
        room_id: RoomId,
        /// Its newest message.
        head_seq: u64,
        /// Its epoch.
        epoch: String,
    },
    /// The cursor is void or too far behind: load the room anew.
    Resync {
        /// The room's newest message.
        head_seq: u64,
        /// The room's epoch.
        epoch: String,
    },
    /// Everything up to `seq` was sent or left out by the filter.
    Position {
        /// Where the stream stands.
        seq: u64,
    },
    /// Somebody came, left or changed status.
    Presence {
        /// Which of these.
        event: PresenceChange,
        /// The user's id.
        user: UserId,
        /// The user's name.
        name: String,
        /// Person or program.
        kind: Kind,
        /// Its status.
        status: Status,
        /// What else it says of itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<About>,
    },
    /// Somebody tells what it is doing; kept nowhere.
    Log {
        /// The user's id.
        user: UserId,
        /// The user's name.
        name: String,
        /// Person or program.
        kind: Kind,
        /// What it tells, one line.
        text: String,
    },
    /// The agents of the room were stopped, or may go on.
    Guard {
        /// Which of these.
        event: GuardChange,
        /// Which rule stopped one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<GuardReason>,
        /// The agent that was stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The rules from here on.
        agents: AgentRules,
    },
    /// Somebody came into the room's call or left it.
    Call {
        /// Which of these.
        event: CallChange,
        /// The user's id; `null` for whoever the provider let in by itself.
        user: Option<UserId>,
        /// The name that others see.
        name: String,
        /// Person or program.
        kind: Kind,
    },
    /// The caller's own message is stored.
    Ack {
        /// The caller's id of it, when it gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        /// The message's id.
        id: MessageId,
        /// The message's place in the room.
        seq: u64,
    },
    /// The caller's frame was refused; the socket goes on.
    Error {
        /// A sentence for a person.
        error: String,
        /// The stable code.
        code: ErrorCode,
        /// The caller's id of the refused message, when it gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
    },
    /// The answer to `ping`.
    Pong,
}

/// What the lobby stream tells of a member's rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LobbyEvent {
    /// A room was made.
    RoomCreated(Room),
    /// A room's name, head or people changed.
    RoomUpdated(Room),
    /// A room is gone.
    RoomDeleted {
        /// Which one.
        id: RoomId,
    },
}

/// What a user's own connections are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UserEvent {
    /// It chose to be seen as something else.
    Status {
        /// As what.
        status: ChosenStatus,
        /// What else it says of itself; absent when that is nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<About>,
    },
    /// It has read further in a room.
    Read(Reading),
    /// A message mentions it.
    Mention {
        /// Which one.
        message: Message,
    },
}

/// A frame from a client of the room socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Asks for a `pong`.
    Ping,
    /// Says something; the socket takes it without a `type` as well.
    Message(ClientMessage),
}

/// A message as a client of the room socket sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// The message itself.
    #[serde(flatten)]
    pub message: crate::request::SendMessage,
    /// The caller's own id of it, by which a repeat is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}
