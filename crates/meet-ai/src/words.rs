//! Splits a command into words for `--exec`: spaces, quotes and backslashes, and nothing else of a
//! shell. No variable, no glob and no pipe means anything here.

/// Why a command cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    /// A quote is opened and never closed.
    #[error("the command has a quote that is not closed")]
    OpenQuote,
    /// There is no word in it.
    #[error("the command is empty")]
    Empty,
}

/// Splits at white space. Single quotes keep everything as it is; in double quotes and outside, a
/// backslash keeps the character after it.
pub(crate) fn split(command: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' | '"' => quoted(character, &mut characters, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(WordsError::Empty) } else { Ok(words) }
}

fn quoted(quote: char, characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    while let Some(character) = characters.next() {
        if character == quote {
            return Ok(());
        }
        if character == '\\' && quote == '"' {
            word.extend(characters.next());
        } else {
            word.push(character);
        }
    }
    Err(WordsError::OpenQuote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_without_a_shell() {
        let cases: [(&str, &[&str]); 6] = [
            ("./answer.py --short", &["./answer.py", "--short"]),
            ("  a\tb\n", &["a", "b"]),
            (r#"say "two words" 'and $HOME' \"x"#, &["say", "two words", "and $HOME", "\"x"]),
            (r#"a "" 'b'c"#, &["a", "", "bc"]),
            ("a; rm -rf / | b && $(c) `d` *", &["a;", "rm", "-rf", "/", "|", "b", "&&", "$(c)", "`d`", "*"]),
            (r#""a\"b\\""#, &[r#"a"b\"#]),
        ];
        for (command, words) in cases {
            assert_eq!(split(command).unwrap(), words, "{command}");
        }
        assert_eq!(split("a 'b"), Err(WordsError::OpenQuote));
        assert_eq!(split("  "), Err(WordsError::Empty));
    }
}
