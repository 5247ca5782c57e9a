//! What is handed out on a channel: its offset and its bytes, encoded once per protocol and shared.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use meet_api::{
    AgentRules, CallChange, GuardChange, GuardReason, Message, Reading, ServerFrame, User, UserId, UserStatus,
    frame::{LobbyEvent, UserEvent},
};
use meet_centrifuge::Protocol;

use super::{Address, Attending, CloseReason, presence::PresenceEvent, push};

/// The wire forms that a publication can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A JSON frame of the room socket.
    Frame,
    /// An event of a `text/event-stream`.
    Sse,
}

/// One event on a channel.
pub struct Publication {
    /// Where it was published.
    pub address: Address,
    /// What it tells.
    pub body: Body,
    pub(super) frame: Bytes,
    sse: OnceLock<Bytes>,
    pushes: [OnceLock<Bytes>; 2],
}

/// What a publication tells.
pub enum Body {
    /// A message; the only kind with an offset, its `seq`.
    Message(Arc<Message>),
    /// Somebody came, left or changed.
    Presence(PresenceEvent),
    /// Something else that is no history, by the name of the event.
    Event(&'static str),
    /// A room of the tenant came, changed or went.
    Lobby(LobbyEvent),
    /// As what a user is seen, or for the user itself what it chose.
    Status,
    /// The channel is over, for one who listens to others too, by this subscription.
    Ended(CloseReason, u64),
    /// The user whose status it is left a room, where somebody may have seen it who sees it nowhere else.
    LeftRoom,
}

impl Publication {
    pub(super) fn new(address: Address, body: Body, frame: Bytes) -> Self {
        Self { address, body, frame, sse: OnceLock::new(), pushes: Default::default() }
    }

    /// A stored message.
    pub fn message(address: Address, message: Arc<Message>) -> Self {
        let frame = json(message.as_ref());
        Self::new(address, Body::Message(message), frame)
    }

    /// A change of presence.
    pub fn presence(address: Address, event: PresenceEvent) -> Self {
        let member = &event.member;
        let frame = json(&ServerFrame::Presence {
            event: event.change,
            user: member.user,
            name: member.name.clone(),
            kind: member.kind,
            status: member.status,
            about: member.about.clone(),
        });
        Self::new(address, Body::Presence(event), frame)
    }

    /// A change of who is in the room's call.
    pub fn call(address: Address, event: CallChange, who: &Attending) -> Self {
        let frame = json(&ServerFrame::Call { event, user: who.user, name: who.name.clone(), kind: who.kind });
        Self::new(address, Body::Event("call"), frame)
    }

    /// What somebody tells of what it is doing.
    pub fn log(address: Address, user: &User, text: String) -> Self {
        let frame = json(&ServerFrame::Log { user: user.id, name: user.name.clone(), kind: user.kind, text });
        Self::new(address, Body::Event("log"), frame)
    }

    /// That a room's agents may go on, or may not; `stopped` is the one that was kept from speaking, and why.
    pub fn guard(
        address: Address,
        event: GuardChange,
        agents: AgentRules,
        stopped: Option<(GuardReason, UserId, &str)>,
    ) -> Self {
        let frame = json(&ServerFrame::Guard {
            event,
            reason: stopped.map(|(reason, ..)| reason),
            user: stopped.map(|(_, user, _)| user),
            name: stopped.map(|(.., name)| name.to_owned()),
            agents,
        });
        Self::new(address, Body::Event("guard"), frame)
    }

    /// How far a user has read a room, for its own connections.
    pub fn read(address: Address, reading: Reading) -> Self {
        Self::new(address, Body::Event("read"), json(&UserEvent::Read(reading)))
    }

    /// That a message mentions each of these, for their own connections; written once.
    pub fn mentions(
        addresses: impl IntoIterator<Item = Address>,
        message: &Message,
    ) -> impl Iterator<Item = Arc<Self>> {
        let frame = json(&UserEvent::Mention { message: message.clone() });
        addresses.into_iter().map(move |address| Arc::new(Self::new(address, Body::Event("mention"), frame.clone())))
    }

    /// A change of the room list.
    pub fn lobby(address: Address, event: LobbyEvent) -> Self {
        let frame = match &event {
            LobbyEvent::RoomCreated(room) | LobbyEvent::RoomUpdated(room) => json(room),
            LobbyEvent::RoomDeleted { id } => json(&serde_json::json!({ "id": id })),
        };
        Self::new(address, Body::Lobby(event), frame)
    }

    /// As what a user is seen from now on.
    pub fn status(address: Address, status: &UserStatus) -> Self {
        Self::new(address, Body::Status, json(status))
    }

    /// What a user chose to be seen as, for its own other connections.
    pub fn own_status(address: Address, event: &UserEvent) -> Self {
        Self::new(address, Body::Status, json(event))
    }

    /// The offset by which the receiver orders it: a message's `seq`; `None` for what is not history.
    pub fn offset(&self) -> Option<u64> {
        match &self.body {
            Body::Message(message) => Some(message.seq),
            Body::Presence(_) | Body::Event(_) | Body::Lobby(_) | Body::Status | Body::Ended(..) | Body::LeftRoom => {
                None
            }
        }
    }

    /// How many bytes it takes on a wire, about.
    pub fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// The bytes of it, made once for each encoding.
    pub fn encoded(&self, encoding: Encoding) -> Bytes {
        match encoding {
            Encoding::Frame => self.frame.clone(),
            Encoding::Sse => self.sse.get_or_init(|| self.encode_sse()).clone(),
        }
    }

    /// The bytes of it as a push of the Centrifugo protocol, made once for each form; empty when clients of that
    /// protocol are not told, or not in this way.
    pub fn pushed(&self, protocol: Protocol) -> Bytes {
        self.pushes[push::place(protocol)].get_or_init(|| push::encode(self, protocol)).clone()
    }

    fn encode_sse(&self) -> Bytes {
        let event = match &self.body {
            Body::Message(_) => "message",
            Body::Presence(_) => "presence",
            Body::Lobby(LobbyEvent::RoomCreated(_)) => "room_created",
            Body::Lobby(LobbyEvent::RoomUpdated(_)) => "room_updated",
            Body::Lobby(LobbyEvent::RoomDeleted { .. }) => "room_deleted",
            Body::Event(name) => name,
            Body::Status => "status",
            Body::Ended(..) | Body::LeftRoom => "ended",
        };
        sse_event(self.offset(), event, &self.frame)
    }
}

/// An event of a `text/event-stream`; JSON has no raw line break, so one `data:` line holds it.
pub(crate) fn sse_event(id: Option<u64>, event: &str, data: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(data.len() + 64);
    if let Some(id) = id {
        text.extend_from_slice(b"id: ");
        text.extend_from_slice(id.to_string().as_bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(event.as_bytes());
    text.extend_from_slice(b"\ndata: ");
    text.extend_from_slice(data);
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// JSON bytes of our own types, which always serialise: their keys are strings and nothing in them can fail.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
