//! The ends of a subscription.

use crate::message::Unsubscribe;

codes! {
    /// Why the server ends a subscription. From 2500 on clients subscribe anew.
    UnsubscribeCode: u32 {
        /// The server wants it.
        Server = 2000 "server unsubscribe",
        /// Publications were lost on the way.
        InsufficientState = 2500 "insufficient state",
        /// The subscription token has run out.
        Expired = 2501 "subscription expired",
        /// What the client was told is no longer so: it forgets its token and its position.
        StateInvalidated = 2502 "state invalidated",
    }
}

impl From<UnsubscribeCode> for Unsubscribe {
    fn from(code: UnsubscribeCode) -> Self {
        Self { code: code.number(), reason: code.text().to_owned() }
    }
}
