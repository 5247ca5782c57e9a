//! Names, contents and idempotency keys: what passes a rule keeps it, and passing twice changes nothing.

use bolero::check;
use meet_api::text::{ClientId, Content, MAX_CLIENT_ID, MAX_NAME, MAX_ROOM_NAME, RoomName, UserName, fold};

use crate::input::{TRIES, text};

fn assert_clean(name: &str, max: usize) {
    assert!((1..=max).contains(&name.chars().count()), "{name:?}");
    assert_eq!(name, name.trim());
    assert!(!name.chars().any(char::is_control), "{name:?}");
    assert!(!name.contains(['\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}']), "{name:?}");
}

#[test]
fn a_name_that_passed_is_clean_and_passes_again_unchanged() {
    check!().with_iterations(TRIES).with_generator(text()).for_each(|raw| {
        if let Ok(name) = UserName::parse("sender", raw) {
            assert_clean(name.as_str(), MAX_NAME);
            assert_eq!(UserName::parse("sender", name.as_str()).as_ref(), Ok(&name));
            assert_eq!(fold(&name.folded()), name.folded());
        }
        if let Ok(name) = RoomName::parse(raw) {
            assert_clean(name.as_str(), MAX_ROOM_NAME);
            assert_eq!(RoomName::parse(name.as_str()).as_ref(), Ok(&name));
        }
    });
}

#[test]
fn content_that_passed_is_the_content_that_came() {
    check!().with_iterations(TRIES).with_generator((text(), 0..400usize)).for_each(|(raw, limit)| {
        if let Ok(content) = Content::parse(raw.clone(), *limit) {
            assert_eq!(content.as_str(), raw);
            assert!(raw.len() <= *limit && !raw.contains('\0'));
        }
    });
}

#[test]
fn an_idempotency_key_that_passed_is_the_one_that_came() {
    check!().with_iterations(TRIES).with_generator(text()).for_each(|raw| {
        if let Ok(id) = ClientId::parse("client_id", raw) {
            assert_eq!(id.as_str(), raw);
            assert!((1..=MAX_CLIENT_ID).contains(&raw.chars().count()) && !raw.contains('\0'));
        }
    });
}
