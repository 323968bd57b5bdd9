//! What the command line says about the configuration: its last layer.

use std::ffi::OsString;
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
    /// Start our own hub also where agentchattr's is at home
    #[arg(long, value_name = "embedded", hide_possible_values = true)]
    pub hub: Option<Hub>,
}

/// Which hub a launch starts where none answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Hub {
    /// Ours.
    Embedded,
}

impl Options {
    /// The words that say the same on another command line, in this directory.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let Self {
            config,
            data_dir,
            port,
            mcp_http_port,
            mcp_sse_port,
            upload_dir,
            hub,
        } = self;
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let number = |port: &Option<u16>| port.map(|port| port.to_string().into());
        let given = [
            ("--config=", path(config)),
            ("--data-dir=", path(data_dir)),
            ("--port=", number(port)),
            ("--mcp-http-port=", number(mcp_http_port)),
            ("--mcp-sse-port=", number(mcp_sse_port)),
            ("--upload-dir=", path(upload_dir)),
            ("--hub=", hub.map(|Hub::Embedded| "embedded".into())),
        ];
        let word = |(name, value): (&str, Option<OsString>)| {
            let mut word = OsString::from(name);
            word.push(value?);
            Some(word)
        };
        given.into_iter().filter_map(word).collect()
    }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn options_are_the_same_on_another_command_line() {
        let all = Options {
            config: Some("a b".into()),
            data_dir: Some("-d".into()),
            port: Some(1),
            mcp_http_port: Some(2),
            mcp_sse_port: Some(3),
            upload_dir: Some("ü".into()),
            hub: Some(Hub::Embedded),
        };
        for options in [all, Options::default()] {
            let mut words = options.words();
            words.insert(0, "wrapper".into());
            let line = Line::try_parse_from(words).expect("a command line");
            assert_eq!(line.options, options);
        }
    }
}
