//! By what way an agent reaches a server: the proxy, the bridge, or straight.
//! Pure.
//!
//! *Invariant*: no credential stands on a command line, in a file of the
//! user's, or, where the proxy could keep it out, in a file at all. What would
//! break that goes by way of the bridge, which asks the session for it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::dialect::{self, Entry, Inexpressible, Started};
use super::native::Project;
use crate::types::agent::{AgentSpec, Dialect, Inject, Place, Route, Transport};
use crate::types::identity::{ServerName, Token};
use crate::types::secret;
use crate::types::server::{Command, ContextLevel, KEY_VAR, Kind, Remote, Server, URL_VAR};

/// How what the agent speaks to and starts finds the session.
#[derive(Debug)]
pub struct Link<'a> {
    /// None: there is no proxy.
    pub proxy: Option<Proxy>,
    /// Our own program, for entries that start the bridge.
    pub program: &'a Path,
    /// The session's variables.
    pub context: &'a [(String, String)],
    /// The session's directory, where files of ours go.
    pub dir: &'a Path,
    /// The project's file, unless the agent is to be left alone with it.
    pub project: Option<Project>,
    /// A file of the user's that a flag of ours would displace: kimi reads its
    /// own servers only if it is told of no others.
    pub displaced: Option<PathBuf>,
    /// What the user has in the place of an `env` or `env_content` document.
    pub settings: Map<String, Value>,
}

/// The session's proxy as an agent knows it.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    pub key: Token,
}

/// What decides by what way a server is reached.
pub(super) struct Reach<'a> {
    pub(super) dialect: Dialect,
    pub(super) link: &'a Link<'a>,
    route: Route,
    inject: &'a Inject,
    /// Entries stand where sessions of other projects see them.
    is_shared: bool,
    /// Entries stand in a file of ours that a flag names.
    by_flag: bool,
}

impl<'a> Reach<'a> {
    pub(super) fn new(spec: &AgentSpec, inject: &'a Inject, link: &'a Link<'a>) -> Self {
        let settings = match inject {
            Inject::SettingsFile { path }
            | Inject::Stdio {
                place: Place::Settings(path),
            } => Some(path),
            _ => None,
        };
        // There is no other dialect of TOML.
        let is_toml =
            settings.is_some_and(|path| path.extension().is_some_and(|ext| ext == "toml"));
        Self {
            dialect: if is_toml {
                Dialect::Codex
            } else {
                spec.dialect
            },
            link,
            route: inject.route(),
            inject,
            by_flag: matches!(
                inject,
                Inject::Flag { .. }
                    | Inject::ProxyFile { .. }
                    | Inject::Stdio {
                        place: Place::Flag(_)
                    }
            ),
            is_shared: settings.is_some_and(|path| !path.starts_with(&spec.cwd)),
        }
    }

    /// The agent reaches `server` through the proxy, by its URL there.
    pub(super) fn is_proxied(&self, server: &Server) -> bool {
        let Kind::Remote(remote) = &server.kind else {
            return false;
        };
        !self.is_bridged() && (self.route != Route::Direct || remote.needs_proxy())
    }

    /// Remote servers are reached by way of the bridge: in a file that sessions
    /// share, also where an entry cannot refer to the address of each.
    fn is_bridged(&self) -> bool {
        let can_refer = || self.variable(URL_VAR).is_some();
        self.route == Route::Bridge || self.in_settings() && !can_refer()
    }

    /// The URL under which the agent has a server.
    pub(super) fn url(&self, name: &ServerName, remote: &Remote) -> String {
        let base = self.in_settings().then(|| self.variable(URL_VAR)).flatten();
        let base = base.or_else(|| self.link.proxy.as_ref().map(|proxy| proxy.base.clone()));
        let path = format!("/{}/{}", name.segment(), remote.transport.path());
        base.unwrap_or_default() + &path
    }

    /// How an entry refers to a variable, if it can.
    fn variable(&self, name: &str) -> Option<String> {
        dialect::reference(self.dialect, self.by_flag, name)
    }

    /// True for a command that may not, or cannot, be written out.
    fn needs_bridge(&self, command: &Command) -> bool {
        let set = !command.env.is_empty();
        let mut env = command.env.iter();
        let private =
            command.is_private || env.any(|(name, value)| secret::is_likely(name, value.expose()));
        let exposed = match self.inject {
            // The file holds a token anyway.
            Inject::Flag { .. } => false,
            // Arguments are for everybody to read.
            Inject::ProxyFlag { .. } => set || command.is_private,
            _ if self.in_settings() => set || command.is_private,
            _ => private,
        };
        let texts = std::iter::once(&command.program).chain(&command.args);
        let values = command.env.values().map(Token::expose);
        let mut texts = texts.map(String::as_str).chain(values);
        self.is_shared
            || exposed
            || command.cwd.is_some() && !dialect::knows_cwd(self.dialect)
            || texts.any(|text| dialect::is_replaced(self.dialect, self.by_flag, text))
    }

    /// Entries stand in a file of the user's, where no session may leave more
    /// than every other would.
    fn in_settings(&self) -> bool {
        matches!(
            self.inject,
            Inject::SettingsFile { .. }
                | Inject::Stdio {
                    place: Place::Settings(_)
                }
        )
    }

    /// The entry that starts the bridge to a server.
    fn bridge(&self, name: &ServerName) -> Entry {
        Entry::Command(Started {
            program: self.link.program.to_string_lossy().into_owned(),
            args: vec!["bridge".into(), name.to_string()],
            env: self.context(),
            forward: self.forwarded(),
            cwd: None,
        })
    }

    /// The session's variables as an entry sets them: by value in what is the
    /// session's own, by reference in what sessions share.
    fn context(&self) -> Vec<(String, String)> {
        let variables = self.link.context.iter();
        match self.dialect {
            // It passes them by name.
            Dialect::Codex => Vec::new(),
            _ if !self.in_settings() => variables.cloned().collect(),
            dialect => variables
                .filter_map(|(name, _)| {
                    let reference = dialect::reference(dialect, self.by_flag, name)?;
                    Some((name.clone(), reference))
                })
                .collect(),
        }
    }

    /// The session's variables by name.
    fn forwarded(&self) -> Vec<String> {
        self.link
            .context
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// How the agent is to see `server`; the secrets in it are added to `secrets`.
pub(super) fn entry(
    reach: &Reach,
    server: &Server,
    secrets: &mut Vec<Token>,
) -> Result<Entry, Inexpressible> {
    match (&server.kind, reach.route) {
        (Kind::Remote(remote), Route::Direct) if !remote.needs_proxy() => {
            secrets.extend(remote.headers.iter().map(|(_, value)| value.clone()));
            let headers = remote.headers.iter();
            Ok(Entry::Remote {
                url: remote.endpoint.href(),
                transport: remote.transport,
                headers: headers
                    .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                    .collect(),
            })
        }
        (Kind::Remote(remote), _) if reach.is_bridged() => match remote.transport {
            Transport::Http => Ok(reach.bridge(&server.name)),
            Transport::Sse => Err("be bridged to a server over SSE".to_owned()),
        },
        (Kind::Remote(remote), _) => {
            let Some(proxy) = &reach.link.proxy else {
                return Err("be reached: there is no proxy".to_owned());
            };
            let key = reach.variable(KEY_VAR).unwrap_or_else(|| {
                secrets.push(proxy.key.clone());
                proxy.key.expose().to_owned()
            });
            Ok(Entry::Remote {
                url: reach.url(&server.name, remote),
                transport: remote.transport,
                headers: vec![dialect::bearer(&key)],
            })
        }
        (Kind::Command(command), _) if reach.needs_bridge(command) => {
            Ok(reach.bridge(&server.name))
        }
        (Kind::Command(command), _) => {
            secrets.extend(command.env.values().cloned());
            let mut env: Vec<(String, String)> = command
                .env
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect();
            if server.context != ContextLevel::None {
                env.extend(reach.context());
            }
            Ok(Entry::Command(Started {
                program: command.program.clone(),
                args: command.args.clone(),
                env,
                forward: reach.forwarded(),
                cwd: (command.cwd.as_ref()).map(|cwd| cwd.to_string_lossy().into_owned()),
            }))
        }
    }
}
