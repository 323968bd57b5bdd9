//! An agent as the configuration describes it, resolved.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::conversation::Ways;
use super::identity::AgentName;

/// The verbs of the command line, later versions' included: no agent may be
/// named like one.
pub const VERBS: [&str; 28] = [
    "attach",
    "bridge",
    "completions",
    "config",
    "demo",
    "demo-agent",
    "doctor",
    "down",
    "explain",
    "help",
    "hosted",
    "logs",
    "man",
    "mcp",
    "ps",
    "read",
    "restart",
    "run",
    "say",
    "screen",
    "send",
    "serve",
    "stop",
    "tmux-pane",
    "token",
    "trust",
    "up",
    "who",
];

/// All that is needed to run one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSpec {
    pub name: AgentName,
    /// On `PATH`, or a path.
    pub command: PathBuf,
    pub args: Vec<String>,
    /// Absolute; where the agent runs.
    pub cwd: PathBuf,
    pub label: Option<String>,
    /// The label of this launch alone: `--label`.
    pub own_label: Option<String>,
    pub color: Option<String>,
    /// Variables set for the agent.
    pub env: BTreeMap<String, String>,
    /// Variables taken from it.
    pub strip_env: Vec<String>,
    /// None: it is told nothing about MCP servers.
    pub inject: Option<Inject>,
    pub dialect: Dialect,
    pub transport: Transport,
    /// The key under which an entry has its URL, if not the dialect's own.
    pub http_key: Option<String>,
    pub merge_project: bool,
    pub approve_tools: bool,
    pub restart: Restart,
    pub conversations: Ways,
    pub session_env_prefix: Vec<String>,
    pub pacing: Pacing,
}

impl AgentSpec {
    /// How the hub is spoken to for this agent; the bridge, which stands
    /// between them in `stdio` mode, has no need of the old transport.
    #[must_use]
    pub fn hub_transport(&self) -> Transport {
        match self.inject.as_ref().map(Inject::route) {
            Some(Route::Bridge) => Transport::Http,
            _ => self.transport,
        }
    }
}

/// How an agent is told where its MCP servers are. A closed set: each variant
/// carries exactly what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inject {
    /// A file of ours that holds the hub's URL and token, named by a flag.
    Flag { flag: String },
    /// Entries merged into the user's settings file.
    SettingsFile { path: PathBuf },
    /// A settings file of ours, named by a variable.
    Env { var: String },
    /// The settings themselves in a variable.
    EnvContent { var: String },
    /// The proxy's URLs through a template of arguments.
    ProxyFlag { template: String },
    /// A file of ours that names the proxy and holds no token, named by a flag.
    ProxyFile { flag: String },
    /// Entries that start the bridge.
    Stdio { place: Place },
}

/// Where entries that start the bridge stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file of ours, named by this flag.
    Flag(String),
    /// In this settings file of the user's.
    Settings(PathBuf),
}

impl Inject {
    /// The mode as the configuration spells it.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Flag { .. } => "flag",
            Self::SettingsFile { .. } => "settings_file",
            Self::Env { .. } => "env",
            Self::EnvContent { .. } => "env_content",
            Self::ProxyFlag { .. } => "proxy_flag",
            Self::ProxyFile { .. } => "proxy_file",
            Self::Stdio { .. } => "stdio",
        }
    }

    /// By what way the agent speaks to remote servers, the hub among them.
    #[must_use]
    pub fn route(&self) -> Route {
        match self {
            Self::Flag { .. } => Route::Direct,
            Self::SettingsFile { .. }
            | Self::Env { .. }
            | Self::EnvContent { .. }
            | Self::ProxyFlag { .. }
            | Self::ProxyFile { .. } => Route::Proxy,
            Self::Stdio { .. } => Route::Bridge,
        }
    }
}

/// The way of an agent's tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Straight to the server, with its credential in a file of ours.
    Direct,
    /// Through the session's proxy.
    Proxy,
    /// To the session's proxy by way of `wrapper bridge`, which the agent
    /// starts.
    Bridge,
}

/// How one agent spells a server entry and an approval. Chosen by the name of
/// the command, so that `[agents.reviewer] command = "claude"` speaks claude's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Antigravity,
    Claude,
    Codebuddy,
    Codex,
    Copilot,
    Gemini,
    /// As claude's, with whatever the configuration says otherwise.
    Generic,
    Kimi,
    /// opencode and its fork, kilo.
    Opencode,
    Qwen,
}

impl Dialect {
    /// True if such an agent reads the project's `.mcp.json` by itself.
    #[must_use]
    pub fn reads_project(self) -> bool {
        matches!(self, Self::Claude | Self::Codebuddy | Self::Copilot)
    }

    /// The dialect of a command or an agent, by its name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "agy" | "antigravity" => Self::Antigravity,
            "claude" => Self::Claude,
            "codebuddy" => Self::Codebuddy,
            "codex" => Self::Codex,
            "copilot" => Self::Copilot,
            "gemini" => Self::Gemini,
            "kimi" => Self::Kimi,
            "kilo" | "opencode" => Self::Opencode,
            "qwen" => Self::Qwen,
            _ => Self::Generic,
        }
    }
}

/// How a remote server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Streamable HTTP.
    #[default]
    #[serde(alias = "streamable-http")]
    Http,
    /// HTTP with SSE, the transport of before 2025-03-26.
    Sse,
}

impl Transport {
    /// The last segment of a server's path at our proxy.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Http => "mcp",
            Self::Sse => "sse",
        }
    }
}

/// Whether an agent that ended is started again.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    Never,
    /// If it ended by a signal or with a code other than 0.
    #[default]
    OnCrash,
    Always,
}

/// How fast an agent may be typed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// From the echo of a prompt to its Enter.
    pub enter_delay: Duration,
    /// How long a screen must have been still before the first prompt after
    /// the start: until then input may be lost.
    pub settle: Duration,
    /// How long an echo is waited for.
    pub echo_timeout: Duration,
    /// How long a line that the user has begun is waited for, before the agent
    /// is made to put it aside, if it can.
    pub draft_wait: Duration,
    /// How long a mention may wait before the chat is told.
    pub undelivered_after: Duration,
}

impl Default for Pacing {
    /// The one setting that the agents measured so far have in common.
    fn default() -> Self {
        Self {
            enter_delay: Duration::from_millis(300),
            settle: Duration::from_secs(1),
            echo_timeout: Duration::from_secs(3),
            draft_wait: Duration::from_secs(300),
            undelivered_after: Duration::from_secs(60),
        }
    }
}
