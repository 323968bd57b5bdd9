//! From what is written to what is meant: typed, complete, checked. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::agent::spec;
use super::layer::{Layer, Layers};
use super::mistake::{Error, nearest};
use super::raw::{Name, Raw, RawAgent};
use crate::paths::{self, Env};
use crate::types::agent::AgentSpec;
use crate::types::identity::{AgentName, ServerName};
use crate::types::options::AgentOptions;

/// The configuration: of the hub, of its tools, of the agents.
#[derive(Debug)]
pub struct Config {
    pub hub: HubConfig,
    pub mcp: McpConfig,
    /// What was ignored, a line each, for the user.
    pub warnings: Vec<String>,
    agents: BTreeMap<AgentName, RawAgent>,
    launched: Launched,
    cwd: PathBuf,
    origins: BTreeMap<String, Layer>,
}

/// Where the hub is, and where an embedded one keeps its things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Of this machine.
    pub host: String,
    pub port: u16,
    pub data_dir: PathBuf,
    pub upload_dir: PathBuf,
    /// Start one if none answers.
    pub autostart: bool,
}

/// Where the hub's tools are, and what agents know them by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpConfig {
    pub http_port: u16,
    pub sse_port: u16,
    pub server_name: ServerName,
}

/// Keys that the environment sets for whatever agent is launched; absolute.
#[derive(Debug, Default)]
pub(super) struct Launched {
    pub(super) cwd: Option<PathBuf>,
    pub(super) settings_path: Option<PathBuf>,
}

impl Config {
    pub(super) fn resolve(
        layers: Layers,
        launched: Launched,
        env: &Env,
        cwd: &Path,
        warnings: Vec<String>,
    ) -> Result<Self, Error> {
        let raw: Raw = layers.table.try_into().map_err(|error: toml::de::Error| {
            Error::new(format_args!(
                "cannot read the configuration: {}",
                error.message()
            ))
        })?;
        let missing = |key| Error::new(format_args!("the built-in config.toml has no `{key}`"));
        let data_dir = (raw.server.data_dir).map_or_else(|| paths::hub_data(env), PathBuf::from);
        let hub = HubConfig {
            host: raw.server.host.ok_or_else(|| missing("server.host"))?.0,
            port: raw.server.port.ok_or_else(|| missing("server.port"))?,
            upload_dir: (raw.images.upload_dir)
                .map_or_else(|| data_dir.join("uploads"), PathBuf::from),
            data_dir,
            autostart: raw.server.autostart.unwrap_or(true),
        };
        let mcp = McpConfig {
            http_port: raw.mcp.http_port.ok_or_else(|| missing("mcp.http_port"))?,
            sse_port: raw.mcp.sse_port.ok_or_else(|| missing("mcp.sse_port"))?,
            server_name: (raw.mcp.server_name)
                .ok_or_else(|| missing("mcp.server_name"))?
                .0,
        };
        let agents = raw.agents.into_iter();
        Ok(Self {
            hub,
            mcp,
            warnings,
            agents: agents.map(|(Name(name), agent)| (name, agent)).collect(),
            launched,
            cwd: cwd.to_owned(),
            origins: layers.origins,
        })
    }

    /// The agents that are configured, by name.
    pub fn agents(&self) -> impl Iterator<Item = &AgentName> {
        self.agents.keys()
    }

    /// Who set a key, `server.port` or `agents.claude.label`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Layer> {
        self.origins.get(key)
    }

    /// All that is needed to launch the agent of that name.
    ///
    /// # Errors
    /// No agent of that name, or one that lacks a key, or has one that this
    /// version does not know how to follow.
    pub fn agent(&self, name: &str, options: &AgentOptions) -> Result<AgentSpec, Error> {
        let Some((name, raw)) = self.agents.iter().find(|(known, _)| known.as_str() == name) else {
            return Err(self.unknown(name));
        };
        let cwd = (options.cwd.as_ref())
            .or(self.launched.cwd.as_ref())
            .cloned()
            .or_else(|| raw.cwd.as_ref().map(PathBuf::from))
            .map_or_else(|| self.cwd.clone(), |cwd| self.cwd.join(cwd));
        let settings = self.launched.settings_path.as_deref();
        spec(name, raw.clone(), cwd, settings, options).map_err(|(key, what)| {
            let file = self.origin(&format!("agents.{name}.{key}"));
            let file = file.map(|layer| format!("{layer}: ")).unwrap_or_default();
            Error::new(format_args!("{file}agent `{name}`: {what}"))
        })
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.agents.keys().map(AgentName::as_str).collect();
        let near = nearest(name, known.iter().copied())
            .map(|near| format!("did you mean `{near}`? "))
            .unwrap_or_default();
        Error::new(format_args!("no agent `{name}`"))
            .hint(format_args!("{near}agents here: {}", known.join(", ")))
    }
}
