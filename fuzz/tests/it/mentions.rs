//! Who a message speaks to: any name may stand in any text.

use bolero::check;
use meet_api::text::UserName;
use meet_server::mention::{is_longer, mentions};

use crate::input::{TRIES, text};

#[test]
fn a_name_after_an_at_sign_is_mentioned_and_hides_behind_a_longer_one() {
    check!().with_iterations(TRIES).with_generator((text(), text())).for_each(|(raw, around)| {
        let Ok(name) = UserName::parse("sender", raw) else { return };
        assert!(mentions(&format!("@{name}"), &name.folded(), &[]), "{name:?}");
        assert!(mentions(&format!("well, @{name}"), &name.folded(), &[]), "{name:?}");
        assert!(!mentions(&format!("x@{name}"), &name.folded(), &[]) || raw.contains('@'), "{name:?}");
        let longer = format!("{} x", name.folded());
        assert!(is_longer(&longer, &name.folded()) && !is_longer(&name.folded(), &name.folded()), "{name:?}");
        assert!(!mentions(&format!("@{name} x"), &name.folded(), &[longer]), "{name:?}");
        // Whatever stands around it: an answer, no panic.
        let _ = mentions(&format!("{around}@{name}{around}"), &name.folded(), &[around.to_lowercase(), name.folded()]);
    });
}
