//! What a word is: the one tokeniser for indexing and for searching, on both databases.
//!
//! A word is a run of letters, digits and the marks that belong to them, in lower case and in
//! Unicode's compatibility form, cut to 64 characters. Scripts that write no spaces (Han, Kana,
//! Hangul) give a word for each character. Everything else only separates.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The most characters that are kept of a word.
const MAX_CHARACTERS: usize = 64;

/// Splits a text into its words, in order, repeats included.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    if text.is_ascii() {
        let runs = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|run| !run.is_empty());
        words.extend(runs.map(|run| run[..run.len().min(MAX_CHARACTERS)].to_ascii_lowercase()));
        return words;
    }
    let mut word = String::new();
    let mut characters = 0;
    let finish = |word: &mut String, characters: &mut usize, words: &mut Vec<String>| {
        *characters = 0;
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    for character in text.chars().flat_map(char::to_lowercase).nfkc().flat_map(char::to_lowercase) {
        if stands_alone(character) {
            finish(&mut word, &mut characters, &mut words);
            words.push(character.to_string());
        } else if character.is_alphanumeric() || (!word.is_empty() && is_combining_mark(character)) {
            if characters < MAX_CHARACTERS {
                word.push(character);
            }
            characters += 1;
        } else {
            finish(&mut word, &mut characters, &mut words);
        }
    }
    finish(&mut word, &mut characters, &mut words);
    words
}

/// Whether a character is a word by itself: Han, Hiragana, Katakana and Hangul syllables.
fn stands_alone(character: char) -> bool {
    matches!(character,
        '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' | '\u{30A1}'..='\u{30FA}'
        | '\u{30FD}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFD}')
}
