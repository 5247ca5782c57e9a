//! The tokeniser of the search: its words are clean, and splitting them again changes nothing, or an index and a query
//! would speak of different words.

use bolero::check;
use meet_store::words;

use crate::input::{TRIES, text};

#[test]
fn words_are_clean_and_stay_words() {
    check!().with_iterations(TRIES).with_generator(text()).for_each(|text| {
        let found = words(text);
        for word in &found {
            assert!((1..=64).contains(&word.chars().count()), "{word:?}");
            assert!(
                !word.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'*:^()-".contains(c)),
                "{word:?}"
            );
            assert_eq!(&words(word), std::slice::from_ref(word), "a word is split again");
        }
        assert_eq!(words(&found.join(" ")), found);
    });
}

#[test]
fn case_and_punctuation_make_no_other_words() {
    check!().with_iterations(TRIES).with_type::<Vec<bool>>().for_each(|capitals| {
        let text: String = capitals.iter().map(|capital| if *capital { 'A' } else { 'a' }).collect();
        assert_eq!(words(&text), words(&text.to_lowercase()));
        assert_eq!(words(&format!("({text}!)")), words(&text));
    });
}
