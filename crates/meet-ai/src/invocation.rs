//! Commands of this program, written so that they run as printed: under the name by which it was
//! started, with words that a shell takes as they are. Nothing is run here.

use std::path::Path;

use meet_server::Config;

use crate::output::escape;

/// This program with these words behind it.
pub(crate) fn command(words: &[&str]) -> String {
    let started_as = std::env::args_os().next().unwrap_or_else(|| "meet-ai".into());
    written(&started_as.to_string_lossy(), words)
}

/// This program's command `name` for the server of this configuration, typed where that one was started: the flags say
/// what is not the default. `config_file` is the file that the configuration came from.
pub(crate) fn server_command(name: &str, config: &Config, config_file: Option<&Path>) -> String {
    let data_dir = (config.data_dir != Config::default().data_dir).then_some(config.data_dir.as_path());
    let flags = [("--config", config_file), ("--data-dir", data_dir)];
    let given = flags.into_iter().filter_map(|(flag, path)| Some([flag.to_owned(), path?.display().to_string()]));
    let words: Vec<String> = std::iter::once(name.to_owned()).chain(given.flatten()).collect();
    command(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn written(program: &str, words: &[&str]) -> String {
    let words = std::iter::once(&program).chain(words).map(|word| escape(&quoted(word)));
    words.collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    #[test]
    fn a_written_command_splits_into_its_words_again() {
        for word in ["/var/lib/meet-ai", "./it's here", "$HOME `id`; *", "", "Zoë"] {
            let command = written("/opt/my tools/meet-ai", &["owner-link", "--data-dir", word]);
            assert_eq!(words::split(&command).unwrap(), ["/opt/my tools/meet-ai", "owner-link", "--data-dir", word]);
        }
        assert_eq!(written("meet-ai", &["serve", "--listen", "[::1]:3000"]), "meet-ai serve --listen '[::1]:3000'");
        assert!(!written("meet-ai", &["\u{1b}[2J"]).contains('\u{1b}'));
    }
}
