//! What the command line says about the configuration: its last layer.

use std::path::PathBuf;

use super::agent::Restart;

/// Options that every verb takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Options {
    /// Read FILE in place of the user's configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the hub keeps its chat
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The hub's REST port
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// The hub's MCP port, streamable HTTP
    #[arg(long, value_name = "N")]
    pub mcp_http_port: Option<u16>,
    /// The hub's MCP port, SSE
    #[arg(long, value_name = "N")]
    pub mcp_sse_port: Option<u16>,
    /// Where the hub keeps uploads
    #[arg(long, value_name = "DIR")]
    pub upload_dir: Option<PathBuf>,
}

/// Options that a launch has for its agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct AgentOptions {
    /// The name shown in the chat, and the session's title
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Where the agent runs [default: `cwd` of its configuration, else here]
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// When to start the agent again: never, on-crash or always
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    pub restart: Option<Restart>,
    /// The same as --restart never
    #[arg(long, conflicts_with = "restart")]
    pub no_restart: bool,
}

impl AgentOptions {
    /// The restart policy that was asked for.
    #[must_use]
    pub fn restart(&self) -> Option<Restart> {
        if self.no_restart {
            Some(Restart::Never)
        } else {
            self.restart
        }
    }
}
