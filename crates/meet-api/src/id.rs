//! Ids as newtypes, so that a room id can never stand where a user id is meant.
//!
//! All of them are UUIDs (version 7 when made by a server), written in the canonical hyphenated
//! lower-case form. Nothing here makes one: time and chance belong to the caller.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not a UUID in its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct ParseIdError;

/// Parses the canonical form only: one id has one spelling, so ids compare as text in any store.
fn parse_canonical(text: &str) -> Result<Uuid, ParseIdError> {
    let uuid = Uuid::try_parse(text).map_err(|_| ParseIdError)?;
    let mut buffer = Uuid::encode_buffer();
    if uuid.hyphenated().encode_lower(&mut buffer) == text { Ok(uuid) } else { Err(ParseIdError) }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a UUID as it is.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID behind the id.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_canonical(text).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A room.
    RoomId,
    /// A message in a room.
    MessageId,
    /// A person or an agent of one tenant.
    UserId,
    /// A tenant: everything that one API key owns.
    TenantId,
    /// A signed-in session of a user.
    SessionId,
    /// An invite to a room, or an owner link.
    InviteId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_an_id() {
        let canonical = "01900000-0000-7000-8000-00000000000a";
        assert_eq!(canonical.parse::<RoomId>().unwrap().to_string(), canonical);
        for other in ["01900000-0000-7000-8000-00000000000A", "0190000000007000800000000000000a", "", "x"] {
            assert_eq!(other.parse::<RoomId>(), Err(ParseIdError), "{other}");
        }
    }
}
