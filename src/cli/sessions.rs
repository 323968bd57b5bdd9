//! The verbs that ask running sessions.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::types::identity::ServerName;
use crate::types::options::Options;
use crate::types::prompt::Wait;

#[derive(Debug, Args)]
pub struct Ps {
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Attach {
    /// A session's name or id, or the beginning of either
    pub session: String,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Restart {
    /// A session's name or id, or the beginning of either
    pub session: String,
    /// Print what came of it as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Stop {
    /// Names or ids of sessions, or the beginnings of either
    #[arg(value_name = "SESSION", required_unless_present = "all")]
    pub sessions: Vec<String>,
    /// All sessions on this machine
    #[arg(long, conflicts_with = "sessions")]
    pub all: bool,
    /// The time from the hang-up to the kill; the agent is told to terminate
    /// in between
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// A session's name or id, or the beginning of either
    pub session: String,
    /// Go on with what is logged until the session ends
    #[arg(short, long)]
    pub follow: bool,
    /// The last N lines [default: all]
    #[arg(short, value_name = "N")]
    pub n: Option<usize>,
    /// Print an array; with -f, one object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Send {
    /// A session's name or id, or the beginning of either
    pub session: String,
    /// What to type, as it is; `-` reads it from standard input. At most 32768
    /// characters: for more, send the name of a file
    pub text: String,
    /// What the agent must have come to before
    #[arg(long, value_name = "FOR", default_value = "busy")]
    pub wait: Wait,
    /// Do not wait until it is typed
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
    /// Refuse it if it is not typed by then, 30s or 5m [default: never]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// Print the receipt as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Screen {
    /// A session's name or id, or the beginning of either
    pub session: String,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
#[command(override_usage = "wrapper explain SESSION [--json]\n       \
    wrapper explain --screen FILE --agent NAME [--json]")]
pub struct Explain {
    /// A session's name or id, or the beginning of either
    #[arg(required_unless_present = "screen", conflicts_with = "screen")]
    pub session: Option<String>,
    /// A screen that was written down: a line `cursor ROW COLUMN`, then its rows
    #[arg(long, value_name = "FILE", requires = "agent")]
    pub screen: Option<std::path::PathBuf>,
    /// The agent that showed it
    #[arg(long, value_name = "NAME", requires = "screen")]
    pub agent: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Subcommand)]
pub enum Mcp {
    /// Show the servers of a session
    List(McpList),
    /// Show one server
    Get(McpServer),
    /// Add or replace a server: by its URL, or by the command to run
    #[command(override_usage = "\
        wrapper mcp set SESSION SERVER --url URL [--header 'K: V']… [--auth-command CMD]\n       \
        wrapper mcp set SESSION SERVER [--env K=V]… -- COMMAND [ARGS…]")]
    Set(McpSet),
    /// Take a server away
    Rm(McpServer),
    /// Replace a server's credential by the one on standard input
    Token(McpServer),
}

#[derive(Debug, Args)]
pub struct McpList {
    /// A session's name or id, or the beginning of either
    pub session: String,
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct McpServer {
    /// A session's name or id, or the beginning of either
    pub session: String,
    pub server: ServerName,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct McpSet {
    /// A session's name or id, or the beginning of either
    pub session: String,
    pub server: ServerName,
    /// Where the server is
    #[arg(long)]
    pub url: Option<String>,
    /// A header that is sent to it, `K: V`; `@env:VAR` and `@file:PATH` in the value
    /// are read here, as in `Bearer @env:TOKEN`
    #[arg(long, value_name = "K: V", requires = "url")]
    pub header: Vec<String>,
    /// A command that prints its credential, split like a shell does
    #[arg(long, value_name = "CMD", requires = "url")]
    pub auth_command: Option<String>,
    /// http, or sse for a server of the old transport
    #[arg(long, value_name = "T", requires = "url", value_parser = ["http", "sse"])]
    pub transport: Option<String>,
    /// A variable of the command, `K=V`; a value as for --header
    #[arg(long, value_name = "K=V", conflicts_with = "url")]
    pub env: Vec<String>,
    /// Print what came of it as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
    /// What to run
    #[arg(
        last = true,
        value_name = "COMMAND",
        required_unless_present = "url",
        conflicts_with = "url"
    )]
    pub command: Vec<String>,
}
