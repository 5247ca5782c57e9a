//! What a session asks the application, and what the application answers.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    code::{DisconnectCode, ErrorCode},
    message::{ClientInfo, Error, Publication},
};

/// The last that a client has of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The offset of its last publication; 0 for none.
    pub offset: u64,
    /// The epoch in which that was so; empty when it knows none.
    pub epoch: String,
}

/// What a client wants and the application has to decide. There is one at a time; the session reads no further command
/// before it has its [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To be let in: [`Answer::Connected`].
    Connect {
        /// The connection token; empty when there is none.
        token: String,
        /// Data for the server: JSON, or any bytes in Protobuf.
        data: Bytes,
        /// Where the client stood in the server-side subscriptions that it wants to recover.
        since: BTreeMap<String, Position>,
    },
    /// To listen to a channel: [`Answer::Subscribed`].
    Subscribe {
        /// The channel.
        channel: String,
        /// The subscription token; empty when there is none.
        token: String,
        /// Data for the server: JSON, or any bytes in Protobuf.
        data: Bytes,
        /// Behind what to read the history, when the client wants to recover.
        since: Option<Position>,
    },
    /// To say something in a channel: [`Answer::Done`].
    Publish {
        /// The channel.
        channel: String,
        /// What, in JSON.
        data: Bytes,
    },
    /// To know who is in a channel: [`Answer::Presence`].
    Presence {
        /// The channel.
        channel: String,
    },
    /// To know how many are in a channel: [`Answer::PresenceStats`].
    PresenceStats {
        /// The channel.
        channel: String,
    },
    /// To read what was published: [`Answer::History`].
    History {
        /// The channel.
        channel: String,
        /// At most so many publications; 0 for the position alone.
        limit: u32,
        /// Only what lies behind this offset, or with `reverse` before it.
        since: Option<u64>,
        /// Whether the newest comes first.
        reverse: bool,
    },
    /// To call a method: [`Answer::Rpc`].
    Rpc {
        /// Its name.
        method: String,
        /// Its argument: JSON, or any bytes in Protobuf.
        data: Bytes,
    },
    /// To tell the server something: [`Answer::Done`].
    Send {
        /// What: JSON, or any bytes in Protobuf.
        data: Bytes,
    },
    /// To go on under a new connection token: [`Answer::Refreshed`].
    Refresh {
        /// The token.
        token: String,
    },
    /// To go on in a channel under a new subscription token: [`Answer::Refreshed`].
    SubRefresh {
        /// The channel.
        channel: String,
        /// The token.
        token: String,
    },
}

/// What became of an [`Ask`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Nothing; the connection goes on.
    Refused(Error),
    /// Nothing; the connection ends.
    Ended(DisconnectCode),
    /// The client is in.
    Connected(Connected),
    /// The client listens.
    Subscribed(Subscribed),
    /// It is done.
    Done,
    /// Who is there, by connection.
    Presence(BTreeMap<String, ClientInfo>),
    /// How many are there.
    PresenceStats {
        /// Connections.
        clients: u32,
        /// Users.
        users: u32,
    },
    /// What was published.
    History(History),
    /// What a method gave, JSON.
    Rpc(Bytes),
    /// The new token holds.
    Refreshed {
        /// For so many seconds; `None` for ever.
        ttl: Option<u32>,
    },
}

impl From<ErrorCode> for Answer {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

impl From<DisconnectCode> for Answer {
    fn from(code: DisconnectCode) -> Self {
        Self::Ended(code)
    }
}

/// A client that is let in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connected {
    /// In how many seconds it has to bring a new token; `None` for never.
    pub ttl: Option<u32>,
    /// Data for it, JSON.
    pub data: Bytes,
    /// The channels that it listens to without having asked.
    pub subscriptions: BTreeMap<String, Subscribed>,
}

/// A channel that a client listens to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subscribed {
    /// In how many seconds the client has to bring a new token; `None` for never.
    pub ttl: Option<u32>,
    /// Data for this subscription, JSON.
    pub data: Bytes,
    /// The channel's history, when it has one.
    pub history: Option<History>,
}

/// A channel's history, read after the client began to listen, so that nothing lies between the two.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Its epoch.
    pub epoch: String,
    /// Its newest offset; 0 when it is empty.
    pub top: u64,
    /// What was asked for, with offsets.
    pub publications: Vec<Publication>,
}
