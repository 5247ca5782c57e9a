//! Points in time as the protocol counts them. There is no clock: they are arguments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds since 1970, the unit of tokens (RFC 7519, `NumericDate`) and of `Timestamp`s in the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// This much later, in whole seconds; at the end of what can be counted it stays there.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(span.as_secs()))
    }

    /// This much earlier, in whole seconds.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(span.as_secs()))
    }
}

impl From<i64> for UnixSeconds {
    fn from(seconds: i64) -> Self {
        Self(seconds)
    }
}
