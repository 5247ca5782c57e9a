//! `skill`: the page that makes an agent with a shell a member of a room, printed or put where agents look.
//!
//! A file that is another text belongs to somebody: it is replaced only when that is said.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use meet_server::SKILL;

use crate::{
    args::{InstallSkillArgs, SkillArgs, SkillCommand},
    failure::{Failure, Outcome},
    files, invocation,
    output::{self, escape},
};

/// Its name, which its folder must have.
const NAME: &str = "meet-ai";
/// The folders in a home that belong to agents which look for skills in `~/.agents/skills`.
const OTHERS: [&str; 6] = [".agents", ".codex", ".gemini", ".cursor", ".copilot", ".config/opencode"];

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
enum Installed {
    New,
    Same,
    Replaced,
    Foreign,
}

/// `skill`.
pub(crate) fn run(args: SkillArgs) -> Outcome {
    match args.command {
        None => output::line(SKILL.trim_end()),
        Some(SkillCommand::Install(args)) => install(&args),
    }
}

fn install(args: &InstallSkillArgs) -> Outcome {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let folders = match (&args.dir, home) {
        (Some(folder), _) => vec![folder.clone()],
        (None, Some(home)) => usual_folders(|place| home.join(place).is_dir(), &home),
        (None, None) => return Err(Failure::usage("HOME does not say where skills are kept: name a folder by --dir")),
    };
    let mut foreign = Vec::new();
    for folder in folders {
        let file = file_in(&folder);
        let shown = escape(&output::absolute(&file).display().to_string());
        let installed = put(&file, args.force);
        match installed.map_err(|error| Failure::refused(format!("{shown} cannot be written: {error}")))? {
            Installed::New => output::line(&format!("installed {shown}"))?,
            Installed::Same => output::line(&format!("already there {shown}"))?,
            Installed::Replaced => output::line(&format!("replaced {shown}"))?,
            Installed::Foreign => foreign.push(shown),
        }
    }
    if foreign.is_empty() {
        output::note("An agent finds it in its next session, or by being told: use the meet-ai skill.");
        return Ok(());
    }
    let force = force_command(args);
    Err(Failure::refused(format!("another text stands in {}, and was left alone", foreign.join(" and ")))
        .with_hint(format!("it may be of another version of meet-ai, or yours: `{force}` replaces it")))
}

/// The same command, with leave to replace.
fn force_command(args: &InstallSkillArgs) -> String {
    let folder = args.dir.as_ref().map(|folder| folder.display().to_string());
    let mut words = vec!["skill", "install"];
    words.extend(folder.iter().flat_map(|folder| ["--dir", folder.as_str()]));
    words.push("--force");
    invocation::command(&words)
}

/// Where agents look, by what there is in the home.
fn usual_folders(is_there: impl Fn(&str) -> bool, home: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if is_there(".claude") {
        folders.push(home.join(".claude/skills"));
    }
    if folders.is_empty() || OTHERS.iter().any(|place| is_there(place)) {
        folders.push(home.join(".agents/skills"));
    }
    folders
}

/// The skill's file in a folder of skills, or in a folder that is this skill's own.
fn file_in(folder: &Path) -> PathBuf {
    let is_its_own = folder.file_name().is_some_and(|name| name == NAME);
    if is_its_own { folder.join("SKILL.md") } else { folder.join(NAME).join("SKILL.md") }
}

fn put(file: &Path, may_replace: bool) -> io::Result<Installed> {
    let installed = match fs::read(file) {
        Ok(text) if text == SKILL.as_bytes() => return Ok(Installed::Same),
        Ok(_) if !may_replace => return Ok(Installed::Foreign),
        Ok(_) => Installed::Replaced,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Installed::New,
        Err(error) => return Err(error),
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    files::replace(file, SKILL.as_bytes(), 0o644)?;
    Ok(installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skill_has_the_front_matter_that_agents_want() {
        let front = SKILL.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).unwrap().0;
        assert!(front.lines().any(|line| line == format!("name: {NAME}")), "{front}");
        let (_, description) = front.split_once("description: >-\n").unwrap();
        let lines = description.lines().take_while(|line| line.starts_with("  "));
        let description = lines.map(str::trim).collect::<Vec<_>>().join(" ");
        assert!(description.len() > 100 && description.len() <= 1024, "{description}");
    }

    #[test]
    fn it_goes_where_the_agents_of_this_home_look() {
        let folders = |there: &[&str]| {
            let folders = usual_folders(|place| there.contains(&place), Path::new("/h"));
            folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(folders(&[]), ["/h/.agents/skills"]);
        assert_eq!(folders(&[".claude"]), ["/h/.claude/skills"]);
        assert_eq!(folders(&[".claude", ".codex"]), ["/h/.claude/skills", "/h/.agents/skills"]);
        assert_eq!(file_in(Path::new("skills")), Path::new("skills/meet-ai/SKILL.md"));
        assert_eq!(file_in(Path::new("skills/meet-ai/")), Path::new("skills/meet-ai/SKILL.md"));
    }
}
