//! The command line: what may be said, not what it does.
//!
//! `wrapper claude …` is short for `wrapper run claude …`, and options may
//! stand before the verb or the agent. Both are one rewrite ahead of clap:
//! the verb goes first.

mod guess;
mod sessions;
mod team;
mod trust;

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::guess::verb_like;
pub use self::sessions::{
    Attach, Explain, Logs, Mcp, McpList, McpServer, McpSet, Ps, Restart, Screen, Send, Stop,
};
pub use self::team::{Completions, Doctor, Down, Man, Shell, TmuxPane, Up};
pub use self::trust::{Trust, TrustForget, TrustList};
use crate::types::identity::ServerName;
use crate::types::options::{AgentOptions, Options};

const ABOUT: &str = "Runs coding agent CLIs side by side";

/// For the manual: the help says it in its first line.
const SHORT: &str = "`wrapper <agent> …` is short for `wrapper run <agent> …`, and options may stand before \
the agent's name as well. What follows `--` goes to the agent untouched.";

const HELP: &str = "\
Runs coding agent CLIs side by side: one chat, one proxy, prompts that arrive.

  wrapper <agent> [options] [-- ARGS…]    run claude, codex, gemini … here
  wrapper demo                            the whole loop, with a built-in agent
  wrapper ps                              the sessions; explain, restart SESSION
  wrapper stop SESSION…|--all, logs [-f]  end sessions; what one has logged
  wrapper attach SESSION                  look and type; Ctrl-\\ then d leaves
  wrapper send SESSION TEXT, screen …     type a prompt; what the agent shows
  wrapper mcp list|get|set|rm|token …     a session's MCP servers, live
  wrapper serve                           the chat hub, in the foreground
  wrapper say TEXT, read [-f], who        the chat: write, read, who is online
  wrapper token rotate                    new tokens for the chat's users
  wrapper config [--origin]               the configuration, and who set what
  wrapper up [FILE], down [FILE]          start, stop the sessions of a file
  wrapper doctor [AGENT]                  what is wrong here, and the cure
  wrapper trust [list | forget DIR]       what you said of projects' servers
  wrapper completions bash|zsh|fish       has your shell complete all this

A launch:
  --label TEXT, --cwd DIR  the name shown in the chat; where the agent runs
  -d, --detach, --headless in the background; in a service without a terminal
  --resume                 go on with the agent's last conversation here
  --restart WHEN           never, on-crash (the default) or always; --no-restart
  --offline, --tmux        without a hub; inside tmux
  --mcp NAME=URL, --mcp-file FILE         servers for this session alone
  --trust-project          take the servers of .mcp.json without asking
  --dry-run                show what would be set, written and run; do nothing
Every verb (`wrapper VERB --help` says more):
  --config FILE            in place of ~/.config/wrapper/config.toml
  --port N, --mcp-http-port N, --mcp-sse-port N, --data-dir DIR, --upload-dir D
  --hub embedded           start our hub also where agentchattr's is at home
  --json, -h, --help, -V, --version
What follows `--` goes to the agent untouched.
";

/// A parsed command line.
#[derive(Debug, Parser)]
#[command(name = "wrapper", version, about = ABOUT, after_long_help = SHORT, override_help = HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Launch an agent here, in this terminal
    #[command(override_usage = "wrapper <agent> [options] [-- ARGS…]")]
    Run(Run),
    /// Show the whole loop with a built-in agent: no key, no install
    Demo(Demo),
    /// Run the chat hub in the foreground
    Serve(Serve),
    /// Write to the chat as the human; @mentions wake agents
    Say(Say),
    /// Read the chat
    Read(Read),
    /// Show who is online
    Who(Who),
    /// Show the sessions on this machine
    Ps(Ps),
    /// Look at and type into a running session (Ctrl-\ then d detaches)
    Attach(Attach),
    /// Type a prompt into a session, and tell what became of it
    Send(Send),
    /// Show what a session's agent shows
    Screen(Screen),
    /// Restart a session's agent, resuming where it can
    Restart(Restart),
    /// End sessions, and their agents with them
    Stop(Stop),
    /// Show a session's log, also after its end
    Logs(Logs),
    /// Show why a session's state is what it is
    Explain(Explain),
    /// A session's MCP servers, live
    #[command(subcommand)]
    Mcp(Mcp),
    /// The tokens of the chat
    #[command(subcommand)]
    Token(Token),
    /// Show the configuration as it is resolved
    Config(Config),
    /// Start the sessions of a team file that do not run yet
    Up(Up),
    /// Stop the sessions of a team file
    Down(Down),
    /// Test what a launch would need, and say what is wrong and the cure
    Doctor(Doctor),
    /// What you have said of projects' servers
    #[command(subcommand)]
    Trust(Trust),
    /// Print what makes a shell complete our command lines
    Completions(Completions),
    /// The MCP server that an agent's settings name by command
    #[command(hide = true)]
    Bridge(Bridge),
    /// The agent that `demo` launches
    #[command(hide = true, disable_help_flag = true)]
    DemoAgent(DemoAgent),
    /// The guard of the servers that we run, or the way to one of them
    #[command(hide = true)]
    Hosted(Hosted),
    /// What `--tmux` has tmux run: a launch as it was asked for outside
    #[command(hide = true)]
    TmuxPane(TmuxPane),
    /// Write the manual's pages, for packagers
    #[command(hide = true)]
    Man(Man),
}

#[derive(Debug, Default, Args)]
#[command(group = ArgGroup::new("printed").args(["detach", "dry_run", "tmux"]).multiple(true))]
#[expect(clippy::struct_excessive_bools, reason = "a command line has switches")]
pub struct Run {
    /// A configured agent: claude, codex, gemini …
    pub agent: String,
    #[command(flatten)]
    pub of_agent: AgentOptions,
    /// Run in the background: print the session's name once the agent runs
    #[arg(short, long)]
    pub detach: bool,
    /// Stay in the foreground without a terminal, for service managers and CI
    #[arg(long, conflicts_with = "detach")]
    pub headless: bool,
    /// The process of a session in the background
    #[arg(long, hide = true, conflicts_with = "headless")]
    pub detached: bool,
    /// Go on with the agent's last conversation here, where the agent can
    #[arg(long)]
    pub resume: bool,
    /// Launch without a hub
    #[arg(long)]
    pub offline: bool,
    /// Started by `up`: the file and the member that it is
    #[arg(long, hide = true, requires = "detach", value_name = "FILE#NAME")]
    pub team: Option<String>,
    /// Run inside tmux, in a session named after the agent
    #[arg(long, conflicts_with = "headless")]
    pub tmux: bool,
    /// Started by `--tmux`: the socket on which it is told how the launch goes
    #[arg(long, hide = true, conflicts_with = "tmux", value_name = "SOCKET")]
    pub pane: Option<std::path::PathBuf>,
    /// An MCP server for this session alone, by its URL; repeatable
    #[arg(long, value_name = "NAME=URL")]
    pub mcp: Vec<String>,
    /// MCP servers for this session alone, in the form of `.mcp.json`; repeatable
    #[arg(long, value_name = "FILE")]
    pub mcp_file: Vec<std::path::PathBuf>,
    /// Accept the servers of the project's `.mcp.json` without asking
    #[arg(long)]
    pub trust_project: bool,
    /// Show what would be set, written and run; do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print it as JSON: what would be done, or who was launched out of sight
    #[arg(long, requires = "printed")]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
    /// Arguments of the agent, untouched
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Demo {
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Print where the hub listens as JSON
    #[arg(long)]
    pub json: bool,
    /// Started by a launch: leave its terminal, and end when nobody is there
    #[arg(long, hide = true)]
    pub background: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Say {
    /// What to say; `-` reads it from standard input
    pub text: String,
    #[arg(long, value_name = "C", default_value = "general")]
    pub channel: String,
    /// Print the message as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Read {
    /// This channel alone
    #[arg(long, value_name = "C")]
    pub channel: Option<String>,
    /// The newest N messages
    #[arg(short, value_name = "N", default_value_t = 20)]
    pub n: usize,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Print an array; with -f, one object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Who {
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Give the human and all sessions new tokens; nobody is interrupted
    Rotate(TokenRotate),
}

#[derive(Debug, Args)]
pub struct TokenRotate {
    /// Print who has a new one
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Config {
    /// Say who set each key
    #[arg(long)]
    pub origin: bool,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Bridge {
    /// The server's name in the session
    pub server: ServerName,
    /// The session's control socket, for an agent that clears the environment
    #[arg(long, value_name = "PATH")]
    pub control: Option<std::path::PathBuf>,
}

#[derive(Debug, Args)]
pub struct DemoAgent {
    /// What was injected
    #[arg(long)]
    pub mcp_config: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub struct Hosted {
    /// A program and its arguments; none: the guard
    #[arg(last = true)]
    pub words: Vec<OsString>,
}

impl Cli {
    /// Parses a command line, the program's name first.
    ///
    /// # Errors
    /// Wrong usage; also what `--help` and `--version` print, with code 0.
    pub fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let args = verb_first(&command, args.into_iter().collect());
        let launch = args.get(1).is_some_and(|verb| verb == "run");
        let agent = is_word_of_launch(&command, &args);
        let parsed = command
            .try_get_matches_from_mut(args)
            .and_then(|mut matches| Self::from_arg_matches_mut(&mut matches));
        parsed.map_err(|error| {
            let error = error.format(&mut command);
            if launch {
                point_to_the_dashes(error, agent.as_deref())
            } else {
                error
            }
        })
    }
}

/// What is wrong with a command line, and the way out, a line each.
#[must_use]
pub fn usage(error: &clap::Error) -> (String, Option<String>) {
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(|part| {
        let lines = part.lines().map(str::trim);
        lines.collect::<Vec<_>>().join(" ")
    });
    let wrong = parts.next().unwrap_or_default();
    let wrong = wrong.trim_start_matches("error: ").to_owned();
    let hints: Vec<String> = parts
        .filter(|part| !part.is_empty() && !part.starts_with("For more information"))
        .map(|part| part.trim_start_matches("tip: ").to_owned())
        .collect();
    (wrong, (!hints.is_empty()).then(|| hints.join("; ")))
}

/// Moves the verb in front of everything else; puts `run` there if the first
/// word is none, because then it names an agent. The command need not be built,
/// which takes longer than all the rest: `help` is then no verb of it yet.
fn verb_first(command: &clap::Command, mut args: Vec<OsString>) -> Vec<OsString> {
    let is_verb = |word: &OsString| word == "help" || command.find_subcommand(word).is_some();
    let mut index = 1;
    while let Some(arg) = args.get(index).filter(|arg| *arg != "--") {
        if !arg.as_encoded_bytes().starts_with(b"-") {
            let verb = if is_verb(arg) {
                args.remove(index)
            } else {
                "run".into()
            };
            args.insert(1, verb);
            return nested_first(command, args);
        }
        index += 1 + usize::from(takes_value(command, arg));
    }
    if let Some(option) = args.get(1)
        && !["-h", "--help", "-V", "--version"]
            .iter()
            .any(|own| option == own)
    {
        args.insert(1, "run".into());
    }
    args
}

/// Moves the verb of a verb, `list` of `mcp list`, in front of the options as
/// well. `trust` alone lists.
fn nested_first(command: &clap::Command, mut args: Vec<OsString>) -> Vec<OsString> {
    let Some(verb) = args.get(1).and_then(|verb| command.find_subcommand(verb)) else {
        return args;
    };
    if !verb.has_subcommands() {
        return args;
    }
    let mut index = 2;
    while let Some(arg) = args.get(index).filter(|arg| *arg != "--") {
        if !arg.as_encoded_bytes().starts_with(b"-") {
            let nested = args.remove(index);
            args.insert(2, nested);
            return args;
        }
        index += 1 + usize::from(takes_value(command, arg));
    }
    let asks_for_help = args.iter().any(|arg| arg == "-h" || arg == "--help");
    if verb.get_name() == "trust" && !asks_for_help {
        args.insert(2, "list".into());
    }
    args
}

/// The word in the place of a launch's agent, as it was typed.
fn is_word_of_launch(command: &clap::Command, args: &[OsString]) -> Option<String> {
    let mut index = 2;
    while let Some(arg) = args.get(index).filter(|arg| *arg != "--") {
        if !arg.as_encoded_bytes().starts_with(b"-") {
            return arg.to_str().map(str::to_owned);
        }
        index += 1 + usize::from(takes_value(command, arg));
    }
    None
}

/// True if `option` of any verb has its value in the next argument.
fn takes_value(command: &clap::Command, option: &OsStr) -> bool {
    let verbs = command.get_subcommands();
    verbs
        .flat_map(|verb| std::iter::once(verb).chain(verb.get_subcommands()))
        .flat_map(clap::Command::get_arguments)
        .filter(|arg| arg.get_action().takes_values())
        .any(|arg| {
            let long = arg.get_long().map(|long| format!("--{long}"));
            let short = arg.get_short().map(|short| format!("-{short}"));
            [long, short].iter().flatten().any(|name| option == &**name)
        })
}

/// Says where arguments of the agent go, if one of them stands among ours; or
/// which verb was meant in the place of an agent.
fn point_to_the_dashes(mut error: clap::Error, agent: Option<&str>) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument
        && error.get(ContextKind::SuggestedArg).is_none()
        && let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
    {
        let verb = agent.and_then(|agent| Some((agent, verb_like(agent)?)));
        let tip = match verb {
            _ if option.starts_with('-') => {
                format!("options of the agent go after `--`: wrapper <agent> -- {option}")
            }
            Some((agent, verb)) => format!(
                "`{agent}` is no verb: did you mean `wrapper {verb}`? `wrapper --help` shows all"
            ),
            None => format!("arguments of the agent go after `--`: wrapper <agent> -- {option}"),
        };
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

#[cfg(test)]
mod tests;
