//! From what is written to what is meant: typed, complete, checked. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Table;

use super::agent::spec;
use super::layer::{Layer, Layers};
use super::mistake::{Error, nearest, without_value};
use super::raw::{Name, Only, Raw, RawAgent};
use super::servers::{self, Mistake};
use crate::paths::{self, Env};
use crate::types::agent::AgentSpec;
use crate::types::identity::{AgentName, ServerName};
use crate::types::options::AgentOptions;
use crate::types::owner::Owner;
use crate::types::secret;
use crate::types::source::ServerSpec;

/// The configuration: of the hub, of its tools, of the agents.
#[derive(Debug)]
pub struct Config {
    pub hub: HubConfig,
    pub mcp: McpConfig,
    /// What was ignored, a line each, for the user.
    pub warnings: Vec<String>,
    /// All layers as one.
    pub(super) table: Table,
    agents: BTreeMap<AgentName, RawAgent>,
    servers: Vec<ServerSpec>,
    launched: Launched,
    cwd: PathBuf,
    home: PathBuf,
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
    /// The configuration is agentchattr's, as far as that can be told.
    pub is_agentchattrs: bool,
    /// Whose process it may be, besides our own user's.
    pub owner: Owner,
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
        let table = layers.table.clone();
        let raw: Raw = layers.table.try_into().map_err(|error: toml::de::Error| {
            Error::new(format_args!(
                "cannot read the configuration: {}",
                without_value(error.message())
            ))
        })?;
        let (Only(server), Only(tools), Only(images)) = (raw.server, raw.mcp, raw.images);
        let missing = |key| Error::new(format_args!("the built-in config.toml has no `{key}`"));
        let data_dir = (server.data_dir).map_or_else(|| paths::hub_data(env), PathBuf::from);
        let hub = HubConfig {
            host: server.host.ok_or_else(|| missing("server.host"))?.0,
            port: server.port.ok_or_else(|| missing("server.port"))?,
            upload_dir: (images.upload_dir).map_or_else(|| data_dir.join("uploads"), PathBuf::from),
            data_dir,
            autostart: server.autostart.unwrap_or(true),
            is_agentchattrs: raw.routing.is_some(),
            owner: server.owner.unwrap_or_default(),
        };
        let mcp = McpConfig {
            http_port: tools.http_port.ok_or_else(|| missing("mcp.http_port"))?,
            sse_port: tools.sse_port.ok_or_else(|| missing("mcp.sse_port"))?,
            server_name: (tools.server_name)
                .ok_or_else(|| missing("mcp.server_name"))?
                .0,
        };
        let ports = [
            ("server.port", hub.port),
            ("mcp.http_port", mcp.http_port),
            ("mcp.sse_port", mcp.sse_port),
        ];
        for (index, (key, port)) in ports.iter().enumerate() {
            let same = |(_, other): &&(_, u16)| other == port && *port != 0;
            if let Some((first, _)) = ports[..index].iter().find(same) {
                let origin = |key: &str| layers.origins.get(key).map(ToString::to_string);
                let error = format_args!(
                    "{}: `{first}` and `{key}` are both {port}",
                    origin(key).unwrap_or_default()
                );
                return Err(Error::new(error).hint("give each a port of its own"));
            }
        }
        let servers = servers::specs(raw.mcp_servers, &mcp.server_name);
        let agents = raw.agents.into_iter();
        let mut config = Self {
            hub,
            mcp,
            warnings,
            table,
            agents: agents
                .map(|(Name(name), Only(agent))| (name, agent))
                .collect(),
            servers: Vec::new(),
            launched,
            cwd: cwd.to_owned(),
            home: paths::home(env),
            origins: layers.origins,
        };
        config.servers = servers.map_err(|mistake| config.of_server(mistake))?;
        config.check_agents_of_servers()?;
        Ok(config)
    }

    /// The servers of `[mcp_servers]` that an agent is to have, by name.
    pub fn servers_for(&self, agent: &AgentName) -> impl Iterator<Item = &ServerSpec> {
        self.servers.iter().filter(|spec| spec.is_for(agent))
    }

    /// A server that names an agent which is none would be nobody's, silently.
    fn check_agents_of_servers(&self) -> Result<(), Error> {
        for spec in &self.servers {
            for (index, agent) in spec.agents.iter().flatten().enumerate() {
                if !self.agents.contains_key(agent) {
                    let unknown = self.unknown(agent.as_str());
                    return Err(self.of_server(Mistake {
                        key: format!("{}.agents[{index}]", spec.name),
                        what: unknown.message,
                        hint: unknown.hint,
                    }));
                }
            }
        }
        Ok(())
    }

    /// A server's mistake, with the file that has it.
    fn of_server(&self, mistake: Mistake) -> Error {
        let key = format!("mcp_servers.{}", mistake.key);
        // A key that is missing has no origin: its table has one.
        let server: String = key.split_inclusive('.').take(2).collect();
        let file = self.origin(&key).or_else(|| {
            let mut of_table = self.origins.range(server.clone()..);
            let (first, layer) = of_table.next()?;
            first.starts_with(&server).then_some(layer)
        });
        let file = file.map(|layer| format!("{layer}: ")).unwrap_or_default();
        Error {
            message: format!("{file}`{key}`: {}", mistake.what),
            hint: mistake.hint,
        }
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
            .or_else(|| raw.cwd.as_ref().map(|cwd| at_home(&self.home, cwd)))
            .map_or_else(|| self.cwd.clone(), |cwd| self.cwd.join(cwd));
        let settings = self.launched.settings_path.as_deref();
        let mut spec = spec(name, raw.clone(), cwd, &self.home, settings, options).map_err(
            |(key, what)| {
                let file = self.origin(&format!("agents.{name}.{key}"));
                let file = file.map(|layer| format!("{layer}: ")).unwrap_or_default();
                let what = secret::without_tokens(&what);
                Error::new(format_args!("{file}agent `{name}`: {what}"))
            },
        )?;
        // An agent may be what started us: what it says of its session, some of
        // which opens it, is not for another.
        let exported = self.agents.values().flat_map(|agent| &agent.exported_env);
        spec.strip_env.extend(exported.cloned());
        spec.strip_env.sort();
        spec.strip_env.dedup();
        Ok(spec)
    }

    /// Whether there is an agent of that name.
    pub(super) fn known(&self, name: &str) -> Result<(), Error> {
        let mut names = self.agents.keys().map(AgentName::as_str);
        let known = names.any(|known| known == name);
        known.then_some(()).ok_or_else(|| self.unknown(name))
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

/// A path that may begin at the user's home.
pub(super) fn at_home(home: &Path, path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => PathBuf::from(path),
    }
}
