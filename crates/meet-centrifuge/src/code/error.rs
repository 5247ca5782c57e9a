//! The errors: what is wrong with one command.

use crate::message::Error;

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
        /// The client is reading pages of this already: later helps.
        ConcurrentPagination = 113 "concurrent pagination",
    }
}

impl ErrorCode {
    /// Whether the same command may succeed later.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Internal | Self::TooManyRequests | Self::ConcurrentPagination)
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self { code: code.number(), message: code.text().to_owned(), temporary: code.is_temporary() }
    }
}
