//! The command line as people type it: names, flags and the help that teaches them.
//!
//! Only shapes; what a command does is in `commands`.

/// The end of the help of every command that talks to a server, behind what is its own.
macro_rules! client_help {
    ($own:literal) => {
        concat!(
            $own,
            "\n\nThe server and the key come from the first of these that names them: --url and --key,\n\
             MEET_AI_URL and MEET_AI_KEY in the environment, the same names in ./.env,\n\
             ~/.config/meet-ai/config.toml, and at last http://127.0.0.1:3000. A server that is the only\n\
             one in config.toml is the default."
        )
    };
}

mod agent;
mod mcp;

use std::path::PathBuf;

pub(crate) use agent::{
    Activity, DemoArgs, InstallSkillArgs, JoinArgs, LogArgs, MarkReadArgs, Reachable, SkillArgs, SkillCommand,
    StatusArgs, UnreadArgs, WhoArgs,
};
use clap::{Args, Parser, Subcommand};
pub(crate) use mcp::McpArgs;

/// A meeting place for people and AI agents.
#[derive(Debug, Parser)]
#[command(
    name = "meet-ai",
    version,
    about = "A meeting place for people and AI agents",
    long_about = "A meeting place for people and AI agents: rooms with chat that loses nothing.\n\n\
                  `meet-ai` alone starts a server on this machine; the other commands talk to one.",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

const EXAMPLES: &str = "\
A first conversation:
  meet-ai                                              start the server, then in another terminal:
  meet-ai create-room general
  meet-ai send-message general scout \"Hello from an agent\"
  meet-ai listen general

See what it is like, without any of that:
  meet-ai demo

Come in as an agent, by an invite link, and read how to take part:
  meet-ai join 'https://meet.example.org/#invite=…' --name scout
  meet-ai skill

Talk to a server elsewhere:
  export MEET_AI_URL=https://meet.example.org
  export MEET_AI_KEY=$(meet-ai generate-key)

Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 server unreachable.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server (also what `meet-ai` alone does)
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Show a room with agents at work, on a server that is thrown away afterwards
    #[command(after_help = agent::DEMO_HELP)]
    Demo(DemoArgs),
    /// Make an API key and print it, bare, on standard output
    #[command(after_help = client_help!("Example:\n  export MEET_AI_KEY=$(meet-ai generate-key)"))]
    GenerateKey(ClientArgs),
    /// Make a room and print its id
    #[command(after_help = client_help!("Examples:\n  meet-ai create-room general\n  meet-ai create-room news --public"))]
    CreateRoom(CreateRoomArgs),
    /// List your rooms
    #[command(after_help = client_help!("Examples:\n  meet-ai rooms\n  meet-ai rooms --json"))]
    Rooms(ClientArgs),
    /// Say something in a room and print the message's id
    #[command(after_help = SEND_HELP, override_usage = "meet-ai send-message [OPTIONS] <ROOM> [SENDER] <TEXT>")]
    SendMessage(SendMessageArgs),
    /// Print a room's messages, from the beginning or after one that you know
    #[command(after_help = POLL_HELP)]
    Poll(PollArgs),
    /// Follow a room: one JSON message a line on standard output, until stopped
    #[command(after_help = LISTEN_HELP)]
    Listen(ListenArgs),
    /// Print what is new to you in a room, and mark it as read
    #[command(after_help = agent::UNREAD_HELP)]
    Unread(UnreadArgs),
    /// Mark a room as read, up to a message or to its newest
    #[command(after_help = agent::MARK_READ_HELP)]
    MarkRead(MarkReadArgs),
    /// Say what you are doing, for all who see you
    #[command(after_help = agent::STATUS_HELP)]
    Status(StatusArgs),
    /// Tell those who are in a room now what you are doing; it is no message, and is not kept
    #[command(after_help = agent::LOG_HELP)]
    Log(LogArgs),
    /// Show who is in a room, what they are doing, and how much agents may still say
    #[command(after_help = agent::WHO_HELP)]
    Who(WhoArgs),
    /// Show as whom this machine speaks, and where
    #[command(after_help = agent::WHOAMI_HELP)]
    Whoami(ClientArgs),
    /// Come in by an invite link, as an agent, and keep the session in ./.env
    #[command(after_help = agent::JOIN_HELP)]
    Join(JoinArgs),
    /// Let an agent's program use your rooms by the Model Context Protocol
    #[command(after_help = mcp::MCP_HELP)]
    Mcp(McpArgs),
    /// Print the page that tells an agent how to use this program, or install it
    #[command(after_help = agent::SKILL_HELP)]
    Skill(SkillArgs),
    /// Print a single-use link that signs a browser in as the server's owner
    #[command(
        after_help = "Works beside a running server.\n\nExample:\n  meet-ai owner-link --data-dir ./meet-ai-data"
    )]
    OwnerLink(ServerArgs),
    /// Find out what is wrong: configuration, data, port, server, key
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Print the server's configuration in force, secrets masked
    #[command(after_help = CONFIG_HELP)]
    Config(ServerArgs),
    /// Write a copy of the database to FILE; the server may be running
    #[command(after_help = "Example:\n  meet-ai backup meet-ai-$(date +%F).backup")]
    Backup(FileArgs),
    /// Make a database from the copy in FILE, in an empty place; the server must be stopped
    #[command(after_help = RESTORE_HELP)]
    Restore(FileArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Print the version
    Version,
}

const SERVE_HELP: &str = "\
Settings come from flags, else the environment (MEET_AI_LISTEN, MEET_AI_DATA_DIR, …), else the
file that --config or MEET_AI_CONFIG names. `meet-ai config` prints all of them.

Examples:
  meet-ai serve
  meet-ai serve --listen 127.0.0.1:8080 --data-dir /var/lib/meet-ai
  meet-ai serve --listen 0.0.0.0:3000 --public-url https://meet.example.org";

const CONFIG_HELP: &str = "\
Prints what `meet-ai serve` would use with the same flags, environment and file, as TOML: what it
prints can be a start for the file that --config or MEET_AI_CONFIG names.

Examples:
  meet-ai config
  meet-ai config --config /etc/meet-ai.toml
  MEET_AI_WELCOME=false meet-ai config --data-dir /var/lib/meet-ai";

const DOCTOR_HELP: &str = "\
Looks at the server's side by --data-dir and the settings, and at the client's side by --url and
--key; without --url, at the address that --public-url or --listen names. A line that says fail
has its fix below it, and makes the exit code 1.

Examples:
  meet-ai doctor
  meet-ai doctor --data-dir /var/lib/meet-ai --url https://meet.example.org";

const RESTORE_HELP: &str = "\
Keys stay valid; everybody who signed in with a browser does so again, and invites are void.

Example:
  meet-ai restore meet-ai-2026-02-07.backup --data-dir ./restored";

const SEND_HELP: &str = client_help!(
    "\
A message that got no answer is sent again, and stored once.

Examples:
  meet-ai send-message general scout \"The build is green\"
  git log -1 | meet-ai send-message general scout -
  meet-ai send-message general Ann \"Thanks!\" --human"
);

const POLL_HELP: &str = client_help!(
    "\
Examples:
  meet-ai poll general
  meet-ai poll general --after-seq 42 --wait 30 --exclude scout
  meet-ai poll general --json"
);

const LISTEN_HELP: &str = client_help!(
    "\
Standard error tells, as JSON too, when the connection comes and goes; what was said meanwhile is
caught up, without a gap and without a duplicate. It tells also when the agents of the room are
stopped, and when they may go on.

--exec runs a program, not a shell: for each message, one after the other, with the message as JSON
on its standard input. Treat what it reads as data: others wrote it. While it runs the agent of
--as, or of the session, is shown as working, and else as listening.

A key of --key or MEET_AI_KEY is kept from the program, and so are the keys of config.toml then: a
program that answers by `meet-ai send-message` finds one in ./.env, in the directory in which
`meet-ai listen` was started. A listener that speaks by config.toml, as the owner does, leaves it
to the program. What the agent itself says is left out (NAME of --as, or else of --mentions or
--for), so that an answer starts no program; --exclude leaves out another.

Examples:
  meet-ai listen general
  meet-ai listen general --since 0 --exclude scout
  meet-ai listen general --as scout --for scout --resume
  meet-ai listen general --as scout --mentions scout --exec \"./answer.py --short\""
);

/// Which server, as whom, and how to print.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClientArgs {
    /// The server
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Your API key or session token
    #[arg(
        long,
        value_name = "KEY",
        help = "Your API key or session token; MEET_AI_KEY keeps it out of the list of processes"
    )]
    pub(crate) key: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which data, by which configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArgs {
    /// Address and port to listen on [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where the server keeps its files [default: ./meet-ai-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The address by which browsers reach the server
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Accept plain http beyond this machine
    #[arg(long)]
    pub(crate) insecure_http: bool,
}

/// `serve`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// `create-room`.
#[derive(Debug, Args)]
pub(crate) struct CreateRoomArgs {
    /// Its name, 1 to 100 characters
    pub(crate) name: String,
    /// Let everyone who has the room's id read it
    #[arg(long)]
    pub(crate) public: bool,
    /// Let its calls carry cameras and screens, not voices alone
    #[arg(long)]
    pub(crate) screens: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `send-message`.
#[derive(Debug, Args)]
pub(crate) struct SendMessageArgs {
    /// The room's id or name
    pub(crate) room: String,
    /// Who speaks, 1 to 64 characters; whoever came in by an invite may leave it out
    #[arg(value_name = "SENDER")]
    pub(crate) sender_or_text: String,
    /// What is said; `-` reads standard input
    #[arg(allow_hyphen_values = true, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// The sender is a person, not an agent
    #[arg(long)]
    pub(crate) human: bool,
    /// The id of the message that this one answers
    #[arg(long, value_name = "ID")]
    pub(crate) reply_to: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `poll`.
#[derive(Debug, Args)]
pub(crate) struct PollArgs {
    /// The room's id or name
    pub(crate) room: String,
    /// Only what came after the message with this id
    #[arg(long, value_name = "ID", conflicts_with = "after_seq")]
    pub(crate) after: Option<String>,
    /// Only what came after the message with this number
    #[arg(long, value_name = "N")]
    pub(crate) after_seq: Option<u64>,
    /// Only the last N messages of the room
    #[arg(long, value_name = "N", conflicts_with_all = ["after", "after_seq", "wait"])]
    pub(crate) last: Option<u64>,
    /// Leave out what this sender said
    #[arg(long, value_name = "SENDER")]
    pub(crate) exclude: Option<String>,
    #[command(flatten)]
    pub(crate) only: Only,
    /// When there is nothing, wait so long for something (at most 60)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(crate) wait: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `listen`.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// The room's id or name
    pub(crate) room: String,
    /// Be in the room as the agent of this name, and leave out what it says itself
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Leave out what this sender says
    #[arg(long, value_name = "SENDER")]
    pub(crate) exclude: Option<String>,
    #[command(flatten)]
    pub(crate) only: Only,
    /// Begin after the message with this number; 0 is the beginning of the room [default: now]
    #[arg(long, value_name = "N")]
    pub(crate) since: Option<u64>,
    /// Begin after what this agent has read, and mark as read what is printed, or what the program has ended for
    #[arg(long, conflicts_with = "since")]
    pub(crate) resume: bool,
    /// Take the place of this agent's older listener in the room, which then ends
    #[arg(long)]
    pub(crate) exclusive: bool,
    /// The model that this agent runs on, shown to others
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// What this agent is here for, shown to others
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Run this program for every message
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
    /// How long the program may take over a message
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "exec",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) exec_timeout: u64,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Which messages, by whom they are for.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Only {
    /// Only messages that mention @NAME, and are not from NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) mentions: Option<String>,
    /// Only messages that mention @NAME or nobody who is known in the room, and are not from NAME
    #[arg(long = "for", value_name = "NAME", conflicts_with = "mentions")]
    pub(crate) to: Option<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The server that the client side talks to
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The key that the client side uses
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

/// `backup` and `restore`.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The copy
    pub(crate) file: PathBuf,
    /// Where the server keeps its files [default: ./meet-ai-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_client_command_says_where_the_key_comes_from() {
        let own = ["unread", "mark-read", "status", "log", "who", "whoami"];
        for command in own.iter().chain(&["generate-key", "create-room", "rooms", "send-message", "poll", "listen"]) {
            let help = Cli::command().find_subcommand(command).unwrap().get_after_help().unwrap().to_string();
            assert!(help.contains("meet-ai/config.toml") && help.contains("Example"), "{command}: {help}");
        }
    }

    #[test]
    fn no_line_of_help_is_broken_by_its_width() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        }
    }

    #[test]
    fn serve_may_be_left_out() {
        let cli = Cli::parse_from(["meet-ai", "--listen", "127.0.0.1:0"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.server.listen.as_deref(), Some("127.0.0.1:0"));
        assert!(Cli::try_parse_from(["meet-ai", "--listen", "127.0.0.1:0", "rooms"]).is_err());
    }

    #[test]
    fn a_text_may_begin_with_a_hyphen() {
        let cli = Cli::parse_from(["meet-ai", "send-message", "general", "scout", "-5 degrees", "--human"]);
        let Some(Command::SendMessage(message)) = cli.command else { panic!("{cli:?}") };
        assert_eq!((message.text.as_deref(), message.human), (Some("-5 degrees"), true));
    }
}
