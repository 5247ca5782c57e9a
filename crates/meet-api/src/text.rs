//! The rules for text that people and programs send: lengths, forbidden characters, and when two
//! names are the same name.
//!
//! A value of these types has passed its rules; nothing unchecked goes further into the system.

use std::fmt;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

/// The most characters that a room's name may have.
pub const MAX_ROOM_NAME: usize = 100;
/// The most characters that a sender's name may have.
pub const MAX_NAME: usize = 64;
/// The most bytes that a message's content may have, unless configured lower.
pub const MAX_CONTENT: usize = 32_768;
/// The most characters that an idempotency key may have.
pub const MAX_CLIENT_ID: usize = 255;

/// A text that breaks a rule; `field` is its name in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing is left after trimming.
    #[error("{field} must not be empty")]
    Empty {
        /// The field's name.
        field: &'static str,
    },
    /// More characters than allowed.
    #[error("{field} must have at most {max} characters")]
    TooManyCharacters {
        /// The field's name.
        field: &'static str,
        /// The most characters allowed.
        max: usize,
    },
    /// More bytes than allowed.
    #[error("{field} must have at most {max} bytes")]
    TooManyBytes {
        /// The field's name.
        field: &'static str,
        /// The most bytes allowed.
        max: usize,
    },
    /// A character that the field never takes.
    #[error("{field} must not contain {what}")]
    Forbidden {
        /// The field's name.
        field: &'static str,
        /// Which kind of character.
        what: &'static str,
    },
}

/// Characters that reorder the text around them (Unicode's `Bidi_Control` property).
fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Trims a name and holds it to its rules; NFC, so that one name has one spelling in the store.
fn name(field: &'static str, max: usize, raw: &str) -> Result<String, TextError> {
    if raw.contains('\0') {
        return Err(TextError::Forbidden { field, what: "NUL" });
    }
    // A character is at most four bytes: longer input is refused before it is looked at.
    if raw.len() > max * 4 * 4 {
        return Err(TextError::TooManyCharacters { field, max });
    }
    let name: String = raw.trim().nfc().collect();
    if name.is_empty() {
        return Err(TextError::Empty { field });
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(TextError::Forbidden { field, what: "control characters" });
    }
    if name.chars().any(is_bidi_control) {
        return Err(TextError::Forbidden { field, what: "characters that change the direction of text" });
    }
    if name.chars().count() > max {
        return Err(TextError::TooManyCharacters { field, max });
    }
    Ok(name)
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Gives the text away.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts! {
    /// A room's name: 1 to 100 characters, trimmed.
    RoomName,
    /// A person's or an agent's name: 1 to 64 characters, trimmed.
    UserName,
    /// What a message says: 1 byte to the configured limit, as it came.
    Content,
    /// The caller's own id of a message, by which a repeat is known: 1 to 255 characters.
    ClientId,
}

impl RoomName {
    /// Checks a room's name; errors speak of the field `name`.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        name("name", MAX_ROOM_NAME, raw).map(Self)
    }
}

impl UserName {
    /// Checks a user's name; errors speak of `field`, the name that the request gives it.
    pub fn parse(field: &'static str, raw: &str) -> Result<Self, TextError> {
        name(field, MAX_NAME, raw).map(Self)
    }

    /// The form by which two names are the same: NFC, case-folded, NFC again.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

impl Content {
    /// Checks a message's content against a limit in bytes.
    pub fn parse(raw: String, max_bytes: usize) -> Result<Self, TextError> {
        let field = "content";
        if raw.len() > max_bytes {
            return Err(TextError::TooManyBytes { field, max: max_bytes });
        }
        if raw.is_empty() {
            return Err(TextError::Empty { field });
        }
        if raw.contains('\0') {
            return Err(TextError::Forbidden { field, what: "NUL" });
        }
        Ok(Self(raw))
    }
}

impl ClientId {
    /// Checks an idempotency key; errors speak of `field`, the name that the transport gives it.
    pub fn parse(field: &'static str, raw: &str) -> Result<Self, TextError> {
        if raw.is_empty() {
            return Err(TextError::Empty { field });
        }
        if raw.chars().nth(MAX_CLIENT_ID).is_some() {
            return Err(TextError::TooManyCharacters { field, max: MAX_CLIENT_ID });
        }
        if raw.contains('\0') {
            return Err(TextError::Forbidden { field, what: "NUL" });
        }
        Ok(Self(raw.to_owned()))
    }
}

/// Folds a text for comparing names: Unicode's canonical caseless match (Unicode Standard, D145).
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    caseless::default_case_fold_str(&text.nfd().collect::<String>()).nfc().collect()
}

/// Whether `text` folds to `folded`.
pub fn folds_to(text: &str, folded: &str) -> bool {
    if text.is_ascii() { text.eq_ignore_ascii_case(folded) } else { fold(text) == folded }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_spellings_of_one_name_fold_to_the_same() {
        assert_eq!(fold("Zoë"), fold("ZOE\u{0308}"));
        assert_eq!(fold("STRASSE"), fold("straße"));
        assert_ne!(fold("Anna"), fold("Anne"));
    }

    #[test]
    fn a_name_is_trimmed_and_holds_no_control_or_bidi_characters() {
        assert_eq!(UserName::parse("sender", "  Ann ").unwrap().as_str(), "Ann");
        for bad in ["", "   ", "a\0b", "a\u{1b}]52;c;", "a\u{202e}b", &"x".repeat(65), &"x".repeat(10_000)] {
            assert!(UserName::parse("sender", bad).is_err(), "{bad:?}");
        }
        assert!(UserName::parse("sender", &"é".repeat(64)).is_ok());
    }

    #[test]
    fn content_is_kept_as_it_came() {
        assert_eq!(Content::parse("  code\n".into(), MAX_CONTENT).unwrap().as_str(), "  code\n");
        assert!(matches!(Content::parse("x".repeat(11), 10), Err(TextError::TooManyBytes { max: 10, .. })));
        assert!(Content::parse("a\0".into(), 10).is_err());
        assert!(Content::parse(String::new(), 10).is_err());
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
            prop_assert!(folds_to(&text, &fold(&text)));
        }
    }
}
