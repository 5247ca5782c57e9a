//! Who a message speaks to: `@name` at word boundaries, case-folded, the longest known name first.

use meet_api::text::fold;

/// The longest list of names that is looked through for one message.
pub const MAX_KNOWN: u32 = 1000;

/// Whether `content` mentions the folded `name`. `longer` holds the known names that [begin with it](is_longer): where
/// one of them stands at the same `@`, that one is meant and not `name`.
pub fn mentions(content: &str, name: &str, longer: &[String]) -> bool {
    if name.is_empty() || !content.contains('@') {
        return false;
    }
    let text = fold(content);
    text.match_indices('@').any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let rest = &text[at + 1..];
        !before.is_some_and(is_word)
            && stands_at_start(rest, name)
            && !longer.iter().any(|other| stands_at_start(rest, other))
    })
}

/// Whether the folded name `known` begins with the folded `name` and goes on.
pub fn is_longer(known: &str, name: &str) -> bool {
    known.len() > name.len() && known.starts_with(name)
}

/// Whether `name` is the beginning of `text` and ends at a word boundary.
fn stands_at_start(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|rest| !rest.chars().next().is_some_and(is_word))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_stands_at_word_boundaries_in_any_case() {
        for text in ["@ann", "hey @Ann!", "(@ANN)", "@ann, look", "x @ann"] {
            assert!(mentions(text, "ann", &[]), "{text}");
        }
        for text in ["ann", "@anna", "mail@ann", "@an", "", "@"] {
            assert!(!mentions(text, "ann", &[]), "{text}");
        }
    }

    #[test]
    fn the_longest_known_name_is_meant() {
        let known = ["ann", "ann lee", "joanna"];
        let longer = known.map(str::to_owned).into_iter().filter(|known| is_longer(known, "ann")).collect::<Vec<_>>();
        assert_eq!(longer, ["ann lee"]);
        assert!(mentions("@Ann Lee, please", "ann lee", &[]));
        assert!(!mentions("@Ann Lee, please", "ann", &longer));
        assert!(mentions("@Ann Lee and @ann", "ann", &longer));
    }

    #[test]
    fn names_of_any_script_can_be_mentioned() {
        assert!(mentions("@ZOE\u{308}?", "zoë", &[]));
        assert!(mentions("@李雷 你好", "李雷", &[]));
    }
}
