//! Who a message speaks to: `@name` at word boundaries, case-folded, the longest known name first. Pure; who is known in
//! which room is decided in `names.rs`.

use std::{collections::BTreeMap, ops::Bound};

/// The most places of a message that are looked at: a text may be made of nothing but `@`.
const MAX_PLACES: usize = 100;
/// The most names that are looked at for one place: names may be made so that each begins with the one before.
const MAX_TRIES: usize = 16;

/// Names in order, folded, each with who bears it.
pub type Book<T> = BTreeMap<String, T>;

/// What stands behind each of the first `@` of a folded text that no word goes before.
pub fn places(text: &str) -> impl Iterator<Item = &str> {
    let found = text.match_indices('@').filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        (!before.is_some_and(is_word)).then(|| &text[at + 1..])
    });
    found.take(MAX_PLACES)
}

/// The longest name that stands at the start of `text`, ends at a word boundary, and whose bearers are `wanted`.
///
/// Each step looks at the last name that is not behind the text in order: either it is what is looked for, or whatever
/// is shares with the text no more than that name does.
pub fn longest<'b, T>(book: &'b Book<T>, text: &str, wanted: impl Fn(&T) -> bool) -> Option<(&'b str, &'b T)> {
    let mut end = Bound::Included(text);
    for _ in 0..MAX_TRIES {
        let (name, bearers) = book.range::<str, _>((Bound::Unbounded, end)).next_back()?;
        if stands_at_start(text, name) && wanted(bearers) {
            return Some((name, bearers));
        }
        let shared = shared_start(name, text);
        end = match shared {
            "" => return None,
            _ if shared.len() == name.len() => Bound::Excluded(shared),
            _ => Bound::Included(shared),
        };
    }
    None
}

/// Whether `name` is the beginning of `text` and ends at a word boundary.
pub fn stands_at_start(text: &str, name: &str) -> bool {
    let rest = if name.is_empty() { None } else { text.strip_prefix(name) };
    rest.is_some_and(|rest| !rest.chars().next().is_some_and(is_word))
}

/// What both begin with.
fn shared_start<'t>(name: &str, text: &'t str) -> &'t str {
    let same = name.chars().zip(text.chars()).take_while(|(left, right)| left == right);
    &text[..same.map(|(character, _)| character.len_utf8()).sum()]
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use meet_api::text::fold;

    use super::*;

    fn book(names: &[&str]) -> Book<u8> {
        names.iter().map(|name| (fold(name), 0)).collect()
    }

    fn named(text: &str, names: &[&str]) -> Vec<String> {
        let (text, book) = (fold(text), book(names));
        places(&text).filter_map(|place| longest(&book, place, |_| true)).map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn a_mention_stands_at_word_boundaries_in_any_case() {
        for text in ["@ann", "hey @Ann!", "(@ANN)", "@ann, look", "x @ann"] {
            assert_eq!(named(text, &["Ann"]), ["ann"], "{text}");
        }
        for text in ["ann", "@anna", "mail@ann", "@an", "", "@"] {
            assert!(named(text, &["Ann"]).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_longest_known_name_is_meant() {
        let known = ["ann", "ann lee", "joanna", "ann-marie", "an", "annz"];
        assert_eq!(named("@Ann Lee and @ann", &known), ["ann lee", "ann"]);
        assert_eq!(named("@ann leen, @ann-mary, @ann-marie", &known), ["ann", "ann", "ann-marie"]);
        assert_eq!(named("@annx", &known), Vec::<String>::new());
        assert_eq!(named("@an-x @annz", &known), ["an", "annz"]);
    }

    #[test]
    fn a_name_that_is_not_wanted_leaves_the_shorter_one() {
        let book: Book<u8> = [("ann".to_owned(), 1), ("ann lee".to_owned(), 2)].into();
        assert_eq!(longest(&book, "ann lee!", |bearer| *bearer == 1), Some(("ann", &1)));
        assert_eq!(longest(&book, "ann lee!", |bearer| *bearer == 3), None);
    }

    #[test]
    fn names_of_any_script_can_be_mentioned() {
        assert_eq!(named("@ZOE\u{308}?", &["zoë"]), ["zoë"]);
        assert_eq!(named("@李雷 你好", &["李雷", "李"]), ["李雷"]);
    }

    #[test]
    fn every_name_is_found_that_a_look_at_each_would_find() {
        let names = ["a", "aa", "aab", "ab", "b", "b a", "ba", "a-b", "a-", "é", "éa"];
        let parts = ["a", "b", "-", " ", "é", "@"];
        for n in 0..parts.len().pow(5) {
            let text: String = (0..5).map(|place| parts[n / parts.len().pow(place) % parts.len()]).collect();
            let slow = names.iter().filter(|name| stands_at_start(&text, name)).max_by_key(|name| name.len());
            let book = book(&names);
            assert_eq!(longest(&book, &text, |_| true).map(|(name, _)| name), slow.copied(), "{text:?}");
        }
    }
}
