//! Who a message speaks to: any name may stand in any text.

use bolero::check;
use meet_api::text::{UserName, fold};
use meet_server::mention::{Book, longest, places, stands_at_start};

use crate::input::{TRIES, text};

/// The names of a book that a text mentions.
fn named(content: &str, names: &[&str]) -> Vec<String> {
    let (text, book) = (fold(content), names.iter().map(|name| ((*name).to_owned(), 0)).collect::<Book<u8>>());
    places(&text).filter_map(|place| longest(&book, place, |_| true)).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn a_name_after_an_at_sign_is_mentioned_and_hides_behind_a_longer_one() {
    check!().with_iterations(TRIES).with_generator((text(), text())).for_each(|(raw, around)| {
        let Ok(name) = UserName::parse("sender", raw) else { return };
        let folded = name.folded();
        assert!(named(&format!("@{name}"), &[&folded]).contains(&folded), "{name:?}");
        assert!(named(&format!("well, @{name}"), &[&folded]).contains(&folded), "{name:?}");
        assert!(!named(&format!("x@{name}"), &[&folded]).contains(&folded) || raw.contains('@'), "{name:?}");
        let longer = format!("{folded} x");
        assert_eq!(named(&format!("@{name} x"), &[&folded, &longer]).first(), Some(&longer), "{name:?}");
        // Whatever stands around it: what is found stands there, and no panic.
        let (text, other) = (fold(&format!("{around}@{name}{around}")), fold(around));
        let book: Book<u8> = [folded, other].into_iter().map(|name| (name, 0)).collect();
        for place in places(&text) {
            assert!(longest(&book, place, |_| true).is_none_or(|(name, _)| stands_at_start(place, name)), "{text:?}");
        }
    });
}
