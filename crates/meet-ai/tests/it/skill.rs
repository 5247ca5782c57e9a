//! `skill`: printed as it is in the sources, and put where agents look, over nobody's own text.

use std::fs;

use crate::machine::{Machine, failed};

const SKILL: &str = include_str!("../../../../SKILL.md");

#[test]
fn the_skill_is_printed_as_it_is() {
    assert_eq!(Machine::new().ok(&["skill"]), SKILL.trim());
}

#[test]
fn the_skill_goes_where_the_agents_of_this_user_look() {
    let machine = Machine::new();
    let common = machine.path("home/.agents/skills/meet-ai/SKILL.md");
    let said = machine.ok(&["skill", "install"]);
    assert!(said.starts_with("installed ") && said.contains(common.to_str().unwrap()), "{said}");
    assert_eq!(fs::read_to_string(&common).unwrap(), SKILL);
    fs::create_dir(machine.path("home/.claude")).unwrap();
    let said = machine.ok(&["skill", "install"]);
    assert!(said.contains("installed ") && said.contains("already there "), "{said}");
    let of_claude = machine.path("home/.claude/skills/meet-ai/SKILL.md");
    assert_eq!(fs::read_to_string(of_claude).unwrap(), SKILL);
    machine.ok(&["skill", "install", "--dir", ".claude/skills"]);
    assert_eq!(fs::read_to_string(machine.work().join(".claude/skills/meet-ai/SKILL.md")).unwrap(), SKILL);
}

#[test]
fn another_text_is_replaced_only_when_that_is_said() {
    let machine = Machine::new();
    machine.ok(&["skill", "install", "--dir", "skills"]);
    let file = machine.work().join("skills/meet-ai/SKILL.md");
    fs::write(&file, "mine").unwrap();
    let (code, said) = failed(&machine.run(&["skill", "install", "--dir", "skills"]));
    assert!(code == 1 && said.contains("was left alone") && said.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let said = machine.ok(&["skill", "install", "--dir", "skills", "--force"]);
    assert!(said.starts_with("replaced "), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), SKILL);
}
