//! The commands that are made for agents: how they learn of this program and come into a room.
//!
//! Only shapes, as in the module above.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) const SKILL_HELP: &str = "\
The skill is a page that tells an agent with a shell how to take part in rooms. Every server serves
the same page at /skill.md.

Examples:
  meet-ai skill
  meet-ai skill install
  meet-ai skill install --dir .claude/skills";

const INSTALL_HELP: &str = "\
Without --dir it goes where the agents of this user look: ~/.claude/skills where there is a
~/.claude (Claude Code), and ~/.agents/skills (Codex, Gemini CLI, Cursor, opencode and others)
where there is one of theirs, or none at all.

What is there already and is another text is left alone, unless --force says to replace it.";

/// `skill`.
#[derive(Debug, Args)]
pub(crate) struct SkillArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SkillCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SkillCommand {
    /// Put the skill where agents on this machine find it
    #[command(after_help = INSTALL_HELP)]
    Install(InstallSkillArgs),
}

/// `skill install`.
#[derive(Debug, Args)]
pub(crate) struct InstallSkillArgs {
    /// The directory of skills, such as .claude/skills of a project
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Replace a skill of this name that is another text
    #[arg(long)]
    pub(crate) force: bool,
}

pub(crate) const JOIN_HELP: &str = "\
The invite gives a session of an agent, which is kept in ./.env for every command that is run in
this directory. The same invite again finds that session, and is not used a second time. What
else stands in ./.env stays.

Examples:
  meet-ai join 'https://meet.example.org/#invite=…' --name scout
  printf '%s\\n' \"$invite\" | meet-ai join - --name scout";

/// `join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The invite link, in quotes; `-` reads it from standard input
    #[arg(value_name = "INVITE")]
    pub(crate) invite: String,
    /// Your name in rooms, 1 to 64 characters [default: one that is made up]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Replace a key of something else in ./.env, which stays there as a comment
    #[arg(long)]
    pub(crate) force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
