//! What the server runs with: an agentchattr `config.toml`, overridden by its
//! environment and its flags.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde::Deserialize;

/// A program that plays agentchattr's server.
#[derive(Parser)]
pub(crate) struct Args {
    /// A `config.toml` of agentchattr.
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// REST; 0: any that is free.
    #[arg(long)]
    port: Option<u16>,
    #[arg(long)]
    mcp_http_port: Option<u16>,
    #[arg(long)]
    mcp_sse_port: Option<u16>,
    /// An agent that may register, besides those of the configuration.
    #[arg(long)]
    agent: Vec<String>,
    /// Which release is played.
    #[arg(long, default_value = "0.4")]
    release: Release,
    /// Multiplies crash timeout, grace and the pause of the sweep.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// Forgets every instance when it ends.
    #[value(name = "0.4")]
    V4,
    /// Keeps its registry, and honours the tokens that stand there.
    #[value(name = "0.5")]
    V5,
}

/// Whom an unaddressed message of the human wakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unaddressed {
    Nobody,
    Everybody,
    One(String),
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    /// REST, streamable HTTP, SSE.
    pub(crate) ports: [u16; 3],
    pub(crate) time_scale: f64,
    pub(crate) rules: Rules,
}

/// What the chat goes by.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The agents that may register.
    pub(crate) bases: BTreeMap<String, Base>,
    pub(crate) unaddressed: Unaddressed,
    pub(crate) max_hops: u32,
    /// Seconds for which the name of one that left is nobody's.
    pub(crate) grace: f64,
    /// Seconds without a sign of life until an instance is given up.
    pub(crate) crash_timeout: f64,
    /// Instances outlive the server.
    pub(crate) keeps_registry: bool,
    /// Renames outlive the instances that they are of.
    pub(crate) keeps_renames: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) label: String,
    pub(crate) color: String,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    server: Server,
    #[serde(default)]
    mcp: Mcp,
    #[serde(default)]
    routing: Routing,
    #[serde(default)]
    agents: BTreeMap<String, Agent>,
}

#[derive(Default, Deserialize)]
struct Server {
    port: Option<u16>,
    data_dir: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Mcp {
    http_port: Option<u16>,
    sse_port: Option<u16>,
}

#[derive(Default, Deserialize)]
struct Routing {
    default: Option<String>,
    max_agent_hops: Option<u32>,
}

#[derive(Default, Deserialize)]
struct Agent {
    label: Option<String>,
    color: Option<String>,
}

impl Settings {
    pub(crate) fn gather(args: Args) -> Result<Self> {
        let mut file = File::default();
        if let Some(path) = &args.config {
            file = read(path)?;
            let local = path.with_file_name("config.local.toml");
            if local.exists() {
                for (name, agent) in read(&local)?.agents {
                    file.agents.entry(name).or_insert(agent);
                }
            }
        }
        for name in args.agent {
            file.agents.entry(name).or_default();
        }
        let beside = |path: PathBuf| match &args.config {
            Some(config) => config.with_file_name("").join(path),
            None => path,
        };
        let data_dir = args
            .data_dir
            .or_else(|| Some(set("AGENTCHATTR_DATA_DIR")?.into()))
            .or_else(|| file.server.data_dir.map(beside))
            .context("no data directory: neither `--data-dir` nor `server.data_dir` is there")?;
        let port = |flag: Option<u16>, name, key: Option<u16>, default| {
            let env = || set(name)?.parse().ok();
            flag.or_else(env).or(key).unwrap_or(default)
        };
        let scale = args.time_scale;
        let routing = file.routing;
        Ok(Self {
            data_dir,
            ports: [
                port(args.port, "AGENTCHATTR_PORT", file.server.port, 8300),
                port(
                    args.mcp_http_port,
                    "AGENTCHATTR_MCP_HTTP_PORT",
                    file.mcp.http_port,
                    8200,
                ),
                port(
                    args.mcp_sse_port,
                    "AGENTCHATTR_MCP_SSE_PORT",
                    file.mcp.sse_port,
                    8201,
                ),
            ],
            time_scale: scale,
            rules: Rules {
                bases: file.agents.into_iter().map(base).collect(),
                unaddressed: match routing.default.as_deref() {
                    None | Some("none" | "") => Unaddressed::Nobody,
                    Some("all" | "both") => Unaddressed::Everybody,
                    Some(name) => Unaddressed::One(name.to_owned()),
                },
                max_hops: routing.max_agent_hops.unwrap_or(4),
                grace: 30.0 * scale,
                crash_timeout: 15.0 * scale,
                keeps_registry: args.release == Release::V5,
                keeps_renames: args.release == Release::V5,
            },
        })
    }
}

fn read(path: &Path) -> Result<File> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// A variable that is set to something.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn base((name, agent): (String, Agent)) -> (String, Base) {
    let mut letters = name.chars();
    let capitalised = letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect());
    let base = Base {
        label: agent.label.or(capitalised).unwrap_or_default(),
        color: agent.color.unwrap_or_else(|| "#888".into()),
    };
    (name, base)
}
