//! What the commands print: escaped text for people, one JSON object a line for programs.
//!
//! Names and messages come from others and may hold sequences that a terminal obeys; nothing of that
//! reaches it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// Whether a terminal might act on the character, or show other characters elsewhere because of it.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// One line of text with every control and direction character written out.
pub(crate) fn escape(text: &str) -> String {
    escape_except(text, "")
}

/// Text of several lines, escaped, all lines but the first behind `indent`.
pub(crate) fn escape_lines(text: &str, indent: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| escape_except(line, "\t")).collect();
    lines.join(&format!("\n{indent}"))
}

fn escape_except(text: &str, kept: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) && !kept.contains(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// A value as one line of JSON in which no character is left that a terminal obeys.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    if !json.contains(is_unsafe) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_unsafe(character) {
            // All of these are in the basic plane, where one escape is one character.
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// A path that means the same wherever it is read.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Prints a line on standard output at once. A reader that went away ends the command: there is
/// nobody left to print for.
pub(crate) fn line(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::refused(format!("standard output cannot be written: {error}"))),
    }
}

/// Prints text on standard output for whoever may be there to read it.
pub(crate) fn announce(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a value as a line of JSON on standard output.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    line(&json_line(value))
}

/// Prints a line for a person on standard error; `text` is escaped already.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a lifecycle event as a line of JSON on standard error.
pub(crate) fn event(value: &impl Serialize) {
    note(&json_line(value));
}

/// Rows under a heading, in columns as wide as their widest cell.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| escape(cell))).collect();
    let mut widths = heading.map(|title| title.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = aligned(&heading, &widths);
    for row in &rows {
        text.push('\n');
        text.push_str(&aligned(&row.each_ref().map(String::as_str), &widths));
    }
    text
}

fn aligned<const N: usize>(cells: &[&str; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(line, "{cell:<width$}  ");
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]52;c;aGk=\u{7}b\u{9b}31m\u{202e}c\r";

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        assert_eq!(escape(HOSTILE), "a\\u{1b}]52;c;aGk=\\u{7}b\\u{9b}31m\\u{202e}c\\u{d}");
        assert_eq!(escape("Zoë 👋"), "Zoë 👋");
        assert_eq!(escape("two\nlines"), "two\\u{a}lines");
    }

    #[test]
    fn lines_of_a_message_stay_lines_behind_their_indent() {
        assert_eq!(escape_lines("one\n\ttwo\u{1b}[2J\nthree", "  "), "one\n  \ttwo\\u{1b}[2J\n  three");
    }

    #[test]
    fn json_is_one_line_that_reads_back_as_it_was() {
        let line = json_line(&HOSTILE);
        assert!(!line.contains(is_unsafe), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), HOSTILE);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["1".to_owned(), "general".to_owned()], ["22".to_owned(), "ä".to_owned()]];
        assert_eq!(table(["ID", "NAME"], &rows), "ID  NAME\n1   general\n22  ä");
    }
}
