//! Reads the two variables of a `.env` file that are ours. Everything else in it is none of our
//! business, and nothing of it reaches the environment.

/// What a `.env` file says about us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DotEnv {
    /// `MEET_AI_URL`.
    pub(crate) url: Option<String>,
    /// `MEET_AI_KEY`.
    pub(crate) key: Option<String>,
}

/// Reads `NAME=value` lines: `export` in front, quotes around and a comment after the value are
/// understood; the last line for a name counts; nothing is expanded.
pub(crate) fn parse(text: &str) -> DotEnv {
    let mut found = DotEnv::default();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else { continue };
        let slot = match name.trim() {
            "MEET_AI_URL" => &mut found.url,
            "MEET_AI_KEY" => &mut found.key,
            _ => continue,
        };
        *slot = Some(unquote(value.trim())).filter(|value| !value.is_empty());
    }
    found
}

fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner.to_owned();
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    let bare = value[..end].trim_end();
    if bare.starts_with('#') { String::new() } else { bare.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(url: &str, key: &str) -> DotEnv {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        DotEnv { url: some(url), key: some(key) }
    }

    #[test]
    fn only_our_two_names_are_read() {
        let text = "# a comment\nDATABASE_URL=postgres://x\nMEET_AI_LISTEN=0.0.0.0:1\nMEET_AI_KEY=mai_x\n";
        assert_eq!(parse(text), both("", "mai_x"));
    }

    #[test]
    fn quotes_exports_comments_and_line_ends_are_understood() {
        assert_eq!(
            parse("\u{feff}export MEET_AI_KEY=\"mai_x\" # mine\r\nMEET_AI_URL = 'http://h#1'\r\n"),
            both("http://h#1", "mai_x")
        );
        assert_eq!(parse("MEET_AI_KEY=mai_x # mine\nMEET_AI_URL=# none\n"), both("", "mai_x"));
        assert_eq!(parse("MEET_AI_KEY=a\nMEET_AI_KEY=b\n MEET_AI_URL=$HOME"), both("$HOME", "b"));
        assert_eq!(parse("MEET_AI_KEY=\nnonsense\n=x\n"), both("", ""));
    }
}
