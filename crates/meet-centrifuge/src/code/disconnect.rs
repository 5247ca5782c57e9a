//! The ends of a connection.

use crate::message::Disconnect;

codes! {
    /// Why the server ends a connection; over a WebSocket the code of the close frame. Clients come back, except from
    /// 3500 to 3999.
    DisconnectCode: u32 {
        /// It is over, and nothing is wrong.
        Closed = 3000 "connection closed",
        /// The server stops.
        Shutdown = 3001 "shutdown",
        /// The server failed.
        ServerError = 3004 "internal server error",
        /// The connection token has run out.
        Expired = 3005 "connection expired",
        /// A token of a server-side subscription has run out.
        SubscriptionExpired = 3006 "subscription expired",
        /// The client does not keep up.
        Slow = 3008 "slow",
        /// What the client is told cannot be written.
        WriteError = 3009 "write error",
        /// Publications were lost on the way.
        InsufficientState = 3010 "insufficient state",
        /// The server wants the client to come back.
        ForceReconnect = 3011 "force reconnect",
        /// A ping was not answered.
        NoPong = 3012 "no pong",
        /// Too often.
        TooManyRequests = 3013 "too many requests",
        /// What the client was told is no longer so: it forgets its tokens and its positions.
        StateInvalidated = 3014 "state invalidated",
        /// The token is none of ours.
        InvalidToken = 3500 "invalid token",
        /// The client breaks the protocol.
        BadRequest = 3501 "bad request",
        /// The client did not connect in time.
        Stale = 3502 "stale",
        /// The server wants the client to stay away.
        ForceDisconnect = 3503 "force disconnect",
        /// There are too many connections.
        ConnectionLimit = 3504 "connection limit",
        /// There are too many channels.
        ChannelLimit = 3505 "channel limit",
        /// Data that is not JSON cannot be told in JSON.
        InappropriateProtocol = 3506 "inappropriate protocol",
        /// The right is missing.
        PermissionDenied = 3507 "permission denied",
        /// The server takes no messages of this kind.
        NotAvailable = 3508 "not available",
        /// The client's commands fail again and again.
        TooManyErrors = 3509 "too many errors",
    }
}

impl DisconnectCode {
    /// Whether clients come back by themselves.
    pub const fn reconnects(self) -> bool {
        !matches!(self.number(), 3500..=3999 | 4500..=4999)
    }
}

impl From<DisconnectCode> for Disconnect {
    fn from(code: DisconnectCode) -> Self {
        Self { code: code.number(), reason: code.text().to_owned(), reconnect: code.reconnects() }
    }
}
