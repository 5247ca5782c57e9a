//! What a word is.

use meet_store::words;
use proptest::prelude::*;

#[test]
fn words_are_runs_of_letters_and_digits_in_lower_case() {
    assert_eq!(words("Hello, World-2 don't C++"), ["hello", "world", "2", "don", "t", "c"]);
    assert_eq!(words("snake_case"), ["snake", "case"]);
    assert_eq!(words("日本語 text カナ"), ["日", "本", "語", "text", "カ", "ナ"]);
    assert_eq!(words("ＦＵＬＬ ﬁne"), ["full", "fine"]);
    assert_eq!(words("🎉 !? —"), [""; 0]);
    assert_eq!(words(&"x".repeat(100)), ["x".repeat(64)]);
    assert_eq!(words(&"ü".repeat(100)), ["ü".repeat(64)]);
}

proptest! {
    #[test]
    fn a_word_holds_nothing_that_a_query_could_mistake(text in "\\PC{0,200}") {
        for word in words(&text) {
            prop_assert!(!word.is_empty());
            prop_assert!(word.chars().count() <= 64);
            prop_assert!(!word.chars().any(|c| c.is_whitespace() || c == '_' || (c.is_ascii() && !c.is_ascii_alphanumeric())));
            prop_assert!(!word.chars().any(|c| c.is_ascii_uppercase()));
        }
    }

    #[test]
    fn upper_case_and_decomposition_change_no_word(text in "[a-zA-Zäöüßéñ ,.']{0,80}") {
        use unicode_normalization::UnicodeNormalization;
        let decomposed: String = text.nfd().collect();
        prop_assert_eq!(words(&decomposed), words(&text));
        prop_assert_eq!(words(&text.to_lowercase()), words(&text));
    }

    #[test]
    fn words_of_a_text_and_its_parts_are_the_same(left in "\\PC{0,50}", right in "\\PC{0,50}") {
        let mut both = words(&left);
        both.extend(words(&right));
        prop_assert_eq!(words(&format!("{left} {right}")), both);
    }
}
