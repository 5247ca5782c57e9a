//! The numbers by which server and client tell one another what happened. SDKs decide by them whether to come back.

use crate::message::{Disconnect, Error, Unsubscribe};

/// The bit of a subscribe request's `flag` by which a client asks for [`ErrorCode::UnrecoverablePosition`] instead of
/// a subscription that recovered nothing.
pub const REJECT_UNRECOVERED: i64 = 2;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident: $number:ty { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            pub const fn number(self) -> $number {
                match self { $(Self::$variant => $code,)* }
            }

            /// The same in words, short enough for a close frame.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// What is wrong with a command; the connection goes on.
    ErrorCode: u32 {
        /// The server failed.
        Internal = 100 "internal server error",
        /// There is no credential.
        Unauthorized = 101 "unauthorized",
        /// There is no such kind of channel.
        UnknownChannel = 102 "unknown channel",
        /// The right is missing.
        PermissionDenied = 103 "permission denied",
        /// There is no such method.
        MethodNotFound = 104 "method not found",
        /// The client listens there already.
        AlreadySubscribed = 105 "already subscribed",
        /// There is too much of it.
        LimitExceeded = 106 "limit exceeded",
        /// The command makes no sense.
        BadRequest = 107 "bad request",
        /// The channel does not have this.
        NotAvailable = 108 "not available",
        /// The token has run out: a new one helps.
        TokenExpired = 109 "token expired",
        /// What the token allowed has run out.
        Expired = 110 "expired",
        /// Too often: later helps.
        TooManyRequests = 111 "too many requests",
        /// What was missed cannot be read again.
        UnrecoverablePosition = 112 "unrecoverable position",
    }
}

codes! {
    /// Why the server ends a subscription. From 2500 on clients subscribe anew.
    UnsubscribeCode: u32 {
        /// The server wants it.
        Server = 2000 "server unsubscribe",
        /// Publications were lost on the way.
        InsufficientState = 2500 "insufficient state",
        /// The subscription token has run out.
        Expired = 2501 "subscription expired",
    }
}

codes! {
    /// Why the server ends a connection; over a WebSocket the code of the close frame. Clients come back, except from
    /// 3500 to 3999.
    DisconnectCode: u32 {
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
        /// Publications were lost on the way.
        InsufficientState = 3010 "insufficient state",
        /// The server wants the client to come back.
        ForceReconnect = 3011 "force reconnect",
        /// A ping was not answered.
        NoPong = 3012 "no pong",
        /// Too often.
        TooManyRequests = 3013 "too many requests",
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
        /// Data that is not JSON cannot be told in JSON.
        InappropriateProtocol = 3506 "inappropriate protocol",
        /// The right is missing.
        PermissionDenied = 3507 "permission denied",
        /// The server takes no messages of this kind.
        NotAvailable = 3508 "not available",
    }
}

impl ErrorCode {
    /// Whether the same command may succeed later.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Internal | Self::TooManyRequests)
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self { code: code.number(), message: code.text().to_owned(), temporary: code.is_temporary() }
    }
}

impl From<UnsubscribeCode> for Unsubscribe {
    fn from(code: UnsubscribeCode) -> Self {
        Self { code: code.number(), reason: code.text().to_owned() }
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
