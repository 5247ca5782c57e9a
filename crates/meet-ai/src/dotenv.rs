//! Reads and writes the two variables of a `.env` file that are ours. Everything else in it is none of our
//! business: it stays as it is, and nothing of it reaches the environment.

/// What a `.env` file says about us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DotEnv {
    /// `MEET_AI_URL`.
    pub(crate) url: Option<String>,
    /// `MEET_AI_KEY`.
    pub(crate) key: Option<String>,
}

const URL: &str = "MEET_AI_URL";
const KEY: &str = "MEET_AI_KEY";

/// Reads `NAME=value` lines: `export` in front, quotes around and a comment after the value are
/// understood; the last line for a name counts; nothing is expanded.
pub(crate) fn parse(text: &str) -> DotEnv {
    let mut found = DotEnv::default();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let Some((name, value)) = assignment(line) else { continue };
        let slot = match name {
            URL => &mut found.url,
            _ => &mut found.key,
        };
        *slot = Some(unquote(value)).filter(|value| !value.is_empty());
    }
    found
}

/// The text with these two values in place of those that it had, behind `remark`. A key that is no session's stays as a
/// comment: it may stand nowhere else.
pub(crate) fn with_ours(text: &str, ours: &DotEnv, remark: &str) -> String {
    let prefix = remark.split(':').next().unwrap_or(remark);
    let (mut kept, mut place, mut export) = (String::new(), None, "");
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches('\u{feff}').trim();
        let is_remark = trimmed.starts_with(prefix);
        let assigned = assignment(trimmed);
        if !is_remark && assigned.is_none() {
            kept.push_str(line);
            continue;
        }
        place.get_or_insert(kept.len());
        if trimmed.starts_with("export ") {
            export = "export ";
        }
        if assigned.is_some_and(|(name, value)| name == KEY && unquote(value).starts_with("mai_")) {
            kept.extend(["# ", trimmed, "\n"]);
        }
    }
    let place = place.unwrap_or(kept.len());
    let (before, after) = kept.split_at(place);
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let line = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{export}{name}={value}\n")).unwrap_or_default()
    };
    format!("{before}{gap}{remark}\n{}{}{after}", line(URL, &ours.url), line(KEY, &ours.key))
}

/// One of our two names and what the line says behind it.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let name = name.trim();
    [URL, KEY].contains(&name).then_some((name, value.trim()))
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
    fn what_is_not_ours_stays_as_it_is() {
        let ours = both("http://h", "mas_new");
        let written = |text: &str| with_ours(text, &ours, "# meet-ai join: x");
        assert_eq!(written(""), "# meet-ai join: x\nMEET_AI_URL=http://h\nMEET_AI_KEY=mas_new\n");
        let once = written("A=1\r\n# mine\nMEET_AI_KEY=mas_old\nB='x y'");
        assert_eq!(once, "A=1\r\n# mine\n# meet-ai join: x\nMEET_AI_URL=http://h\nMEET_AI_KEY=mas_new\nB='x y'");
        assert_eq!(written(&once), once);
        assert_eq!(written("A=1"), "A=1\n# meet-ai join: x\nMEET_AI_URL=http://h\nMEET_AI_KEY=mas_new\n");
        let exported = written("export MEET_AI_KEY=\"mai_mine\" # work\n");
        assert!(exported.contains("# export MEET_AI_KEY=\"mai_mine\" # work\n"), "{exported}");
        assert!(exported.contains("export MEET_AI_KEY=mas_new\n"), "{exported}");
        assert_eq!(parse(&exported), ours);
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
