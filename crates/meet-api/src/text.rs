//! The rules for text that people and programs send: lengths, forbidden and invisible characters, and when two
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

/// Characters that show nothing by themselves (Unicode's `Default_Ignorable_Code_Point` property).
fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Characters of which emoji sequences are made; a few symbols that are none do no harm.
fn is_emoji(character: char) -> bool {
    matches!(character,
        '#' | '*' | '0'..='9' | '\u{00A9}' | '\u{00AE}' | '\u{203C}' | '\u{2049}' | '\u{20E3}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{2BFF}' | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}')
}

/// Scripts in which joiners shape the letters around them, as in many a Persian or Sinhala name.
fn is_of_a_joining_script(character: char) -> bool {
    matches!(character,
        '\u{0600}'..='\u{08FF}' | '\u{0900}'..='\u{0DFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{18AF}')
}

/// Whether a name hides a character: one that shows nothing, and has no part in an emoji or in the shape of letters.
fn hides_something(name: &str) -> bool {
    let mut before = None;
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        let after = characters.peek().copied();
        let shows = match character {
            '\u{200D}' => {
                let in_emoji = before.is_some_and(|c| is_emoji(c) || c == '\u{FE0F}') && after.is_some_and(is_emoji);
                in_emoji || [before, after].into_iter().all(|c| c.is_some_and(is_of_a_joining_script))
            }
            '\u{200C}' => [before, after].into_iter().all(|c| c.is_some_and(is_of_a_joining_script)),
            // A digit takes one only in a keycap.
            '\u{FE0E}' | '\u{FE0F}' => {
                before.is_some_and(|c| is_emoji(c) && (!c.is_ascii() || after == Some('\u{20E3}')))
            }
            other => !is_ignorable(other),
        };
        if !shows {
            return true;
        }
        before = Some(character);
    }
    false
}

/// The most bytes by which a name of `max` characters may be spelt: a character of the composed form takes up to four
/// in the decomposed one, and each of those up to four bytes.
const fn longest_spelling(max: usize) -> usize {
    max * 4 * 4
}

/// Trims one line of text and holds it to the rules of names: at most `max` characters, none of them hidden. Errors speak
/// of `field`, the name that the request gives it.
///
/// # Errors
/// [`TextError`].
pub fn line(field: &'static str, max: usize, raw: &str) -> Result<String, TextError> {
    name(field, max, raw)
}

/// Trims a name and holds it to its rules; NFC, so that one name has one spelling in the store.
fn name(field: &'static str, max: usize, raw: &str) -> Result<String, TextError> {
    if raw.contains('\0') {
        return Err(TextError::Forbidden { field, what: "NUL" });
    }
    // Longer input is refused before it is looked at.
    if raw.len() > longest_spelling(max) {
        return Err(TextError::TooManyCharacters { field, max });
    }
    let name: String = raw.trim().nfc().collect();
    // The blank of Braille is a character like any other, and nothing to see.
    if name.chars().all(|c| c.is_whitespace() || is_ignorable(c) || c == '\u{2800}') {
        return Err(TextError::Empty { field });
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(TextError::Forbidden { field, what: "control characters" });
    }
    if name.chars().any(is_bidi_control) {
        return Err(TextError::Forbidden { field, what: "characters that change the direction of text" });
    }
    if hides_something(&name) {
        return Err(TextError::Forbidden { field, what: "invisible characters" });
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

/// Folds a text for comparing names: Unicode's canonical caseless match (Unicode Standard, D145), without the characters
/// that show nothing, so that two names are not told apart by what nobody sees.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let shown: String = text.nfd().filter(|c| !is_ignorable(*c)).collect();
    caseless::default_case_fold_str(&shown).nfc().collect()
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
    fn a_name_hides_nothing_and_shows_something() {
        for hidden in ['\u{200B}', '\u{2060}', '\u{FEFF}', '\u{00AD}', '\u{E0041}', '\u{3164}', '\u{200D}', '\u{FE0F}']
        {
            for name in
                [format!("An{hidden}n"), format!("Ann{hidden}"), format!("{hidden}"), format!("Ann {hidden}\u{2800}")]
            {
                assert!(UserName::parse("sender", &name).is_err(), "{name:?}");
            }
        }
        for blank in ["\u{2800}", "\u{2800}\u{3000} \u{2800}", "\u{115F}\u{1160}"] {
            assert_eq!(UserName::parse("sender", blank), Err(TextError::Empty { field: "sender" }), "{blank:?}");
        }
    }

    #[test]
    fn emoji_and_joined_letters_stand_in_names_and_tell_nobody_apart() {
        for name in ["👩‍👩‍👧 team", "❤️", "🏳️‍🌈", "👩🏽‍🚀", "1️⃣", "علی‌رضا", "ශ්‍රී"]
        {
            assert_eq!(UserName::parse("sender", name).unwrap().as_str(), name);
        }
        assert_eq!(fold("علی‌رضا"), fold("علیرضا"));
        assert_eq!(fold("❤️"), fold("❤"));
    }

    #[test]
    fn the_longest_spelling_of_a_name_is_taken() {
        // Four characters, decomposed, for one.
        let spelt: String =
            "ᾂ".repeat(MAX_NAME).chars().flat_map(|c| [c].into_iter().nfd().collect::<Vec<_>>()).collect();
        assert_eq!(UserName::parse("sender", &spelt).unwrap().as_str(), "ᾂ".repeat(MAX_NAME));
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
