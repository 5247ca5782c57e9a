//! `mcp` as people type it into the configuration of their agents' programs.

use clap::Args;

use super::ClientArgs;

pub(crate) const MCP_HELP: &str = "\
Speaks the Model Context Protocol on standard input and output: it is started by an agent's program,
not by a person. A session token speaks as its own user; an API key as the agent NAME. Agents that
share a name are one agent, and do not hear each other: give each its own.

The server and the key are found as by every other command; a server offers the same at /mcp.

Examples:
  claude mcp add meet-ai -- meet-ai mcp --name scout
  codex mcp add meet-ai -- meet-ai mcp --name scout
  meet-ai mcp --url https://meet.example.org --manage";

/// `mcp`.
#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    /// Who the agent is, with an API key [default: what its program calls itself]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Also offer to invite others and to make rooms public
    #[arg(long)]
    pub(crate) manage: bool,
    /// The model that the agent runs on, shown beside its name
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// What the agent is there for, shown beside its name
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
