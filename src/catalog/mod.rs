//! The MCP servers of a running session: set, replaced and removed while the
//! agent runs, and what has been seen of each.
//!
//! *Invariant*: an answer says what was seen. A server counts as applied when
//! it has answered us, and, if it is new to the agent, when the agent has
//! asked for its tools; a change that fails leaves everything as it was.

mod change;
mod entry;
pub mod shown;
mod way;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

pub use self::change::Refusal;
use self::entry::{Entry, Seen};
use self::shown::{Hosted, Listed};
use crate::credential::Keepers;
use crate::hosting::{Hosting, Standing};
use crate::paths::{self, Env};
use crate::proxy::{Ledger, Proxy};
use crate::types::agent::Dialect;
use crate::types::evidence::{Evidence, Step};
use crate::types::identity::ServerName;
use crate::types::owner::Owner;
use crate::types::server::{Command, Kind, Origin, Server};
use crate::types::upstream::{Live, Upstream};

/// What a session has its servers with.
#[derive(Debug)]
pub struct Parts {
    /// The name of the hub's entry, which nobody else may have.
    pub own: ServerName,
    /// Whose spelling the agent reads, and with it which files.
    pub dialect: Dialect,
    /// Whose process the hub may be.
    pub owner: Owner,
    /// The agent speaks to the hub through the proxy, over streamable HTTP.
    pub has_door: bool,
    pub live: watch::Sender<Live>,
    /// None: the agent is told of no servers at all.
    pub proxy: Option<Proxy>,
    pub keepers: Arc<Keepers>,
    pub hosting: Arc<Hosting>,
    pub ledger: Ledger,
    /// What variables in an entry are replaced from.
    pub env: Env,
    /// Where the agent runs.
    pub cwd: PathBuf,
}

/// The servers of one session.
#[derive(Debug)]
pub struct Catalog {
    parts: Parts,
    entries: Mutex<BTreeMap<ServerName, Entry>>,
    /// Those of the project that the agent is not told of.
    left_out: Vec<Listed>,
    /// Held by the one change that is under way.
    turn: tokio::sync::Mutex<()>,
    /// Told whenever an entry may be shown otherwise.
    news: watch::Sender<()>,
}

/// News of a session's servers.
#[derive(Debug)]
pub struct News {
    entries: watch::Receiver<()>,
    seen: watch::Receiver<BTreeMap<ServerName, Evidence>>,
    troubles: watch::Receiver<BTreeMap<ServerName, Arc<str>>>,
}

impl News {
    /// Waits for the next; for ever, once the session is over. Cancel safe.
    pub async fn next(&mut self) {
        let changed = tokio::select! {
            changed = self.entries.changed() => changed,
            changed = self.seen.changed() => changed,
            changed = self.troubles.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// There is no such server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this session has no server `{0}`")]
pub struct Unknown(pub ServerName);

impl Catalog {
    /// A session that starts with `servers`, before its agent does.
    #[must_use]
    pub fn new(parts: Parts, servers: &[Server]) -> Self {
        let entries = servers.iter().map(|server| {
            parts.ledger.note(&server.name, Step::Configured);
            let entry = Entry::at_start(server.clone());
            (server.name.clone(), entry)
        });
        let catalog = Self {
            entries: Mutex::new(entries.collect()),
            left_out: Vec::new(),
            parts,
            turn: tokio::sync::Mutex::default(),
            news: watch::Sender::default(),
        };
        catalog.adopt();
        catalog
    }

    /// The same, which shows these as well.
    #[must_use]
    pub fn without(self, mut left_out: Vec<Listed>) -> Self {
        let now = entry::time(SystemTime::now());
        for server in &mut left_out {
            server.evidence_at.clone_from(&now);
        }
        Self { left_out, ..self }
    }

    /// The servers that the agent is told of at its next start, the hub first:
    /// what waited for it holds from now on.
    pub fn adopt(&self) -> Vec<Server> {
        let mut entries = self.entries();
        entries.retain(|name, entry| {
            let is_new = entry.is_pending();
            let stays = entry.adopt(|server| server.is_left_to(self.parts.dialect));
            if !stays {
                self.parts.hosting.remove(name);
            }
            if !stays || is_new {
                // What was seen of it was seen of another.
                self.parts.ledger.forget(name);
            }
            stays
        });
        drop(entries);
        let servers = self.told();
        for server in &servers {
            self.host(server);
        }
        let upstreams = servers.iter().filter_map(|server| {
            let mut upstream = server.upstream()?;
            if server.origin == Origin::Hub {
                upstream.owner = self.parts.owner.clone();
            }
            Some((server.name.clone(), Arc::new(upstream)))
        });
        let upstreams: Arc<BTreeMap<ServerName, Arc<Upstream>>> = Arc::new(upstreams.collect());
        self.parts
            .live
            .send_modify(|live| live.upstreams = upstreams);
        self.news.send_replace(());
        servers
    }

    /// The servers that the agent was told of when it started, the hub first.
    #[must_use]
    pub fn told(&self) -> Vec<Server> {
        let entries = self.entries();
        let told = entries.values().filter(|entry| entry.is_told);
        let mut servers: Vec<Server> = told.filter_map(|entry| entry.current.clone()).collect();
        servers.sort_by_key(|server| server.origin != Origin::Hub);
        servers
    }

    /// Notes that the agent was started with all that it was to be told.
    pub fn delivered(&self) {
        for name in self.entries().keys() {
            self.parts.ledger.note(name, Step::Delivered);
        }
    }

    /// The servers as they are shown.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let entries = self.entries();
        let listed = entries.iter().map(|(name, entry)| self.shown(name, entry));
        let left_out = self.left_out.iter();
        let left_out = left_out.filter(|server| !entries.contains_key(&server.name));
        listed.chain(left_out.cloned()).collect()
    }

    /// Tells when they may be shown otherwise than now.
    #[must_use]
    pub fn news(&self) -> News {
        News {
            entries: self.news.subscribe(),
            seen: self.parts.ledger.subscribe(),
            troubles: self.parts.ledger.troubles(),
        }
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn get(&self, name: &ServerName) -> Result<Listed, Unknown> {
        let entries = self.entries();
        if let Some(entry) = entries.get(name) {
            return Ok(self.shown(name, entry));
        }
        let left_out = self.left_out.iter().find(|server| server.name == *name);
        left_out.cloned().ok_or_else(|| Unknown(name.clone()))
    }

    /// A command that the agent runs itself.
    #[must_use]
    pub fn command(&self, name: &ServerName) -> Option<Command> {
        match &self.entries().get(name)?.current.as_ref()?.kind {
            Kind::Command(command) if !command.is_hosted => Some(command.clone()),
            _ => None,
        }
    }

    /// Servers that the agent was told to reach through the proxy and has not
    /// connected to; each is told once a life of the agent.
    pub fn unconnected(&self) -> Vec<ServerName> {
        let mut found = Vec::new();
        for (name, entry) in self.entries().iter_mut() {
            if entry.is_proxied() && self.evidence(name).step < Step::Initialized {
                entry.is_late = true;
                found.push(name.clone());
            }
        }
        if !found.is_empty() {
            self.news.send_replace(());
        }
        found
    }

    /// Notes that a command which the agent was to run did not start.
    pub fn failed(&self, name: &ServerName, why: &str) {
        self.parts.ledger.fail(name, why);
    }

    /// What is wrong with a server, by what was seen of it last.
    #[must_use]
    pub fn trouble(&self, name: &ServerName) -> Option<Arc<str>> {
        self.parts.ledger.trouble(name)
    }

    fn shown(&self, name: &ServerName, entry: &Entry) -> Listed {
        let auth = entry.auth();
        let held = auth.and_then(|auth| self.parts.keepers.status(name, auth));
        let hosted = self.parts.hosting.state(name);
        let ended = hosted.as_ref().filter(|hosted| hosted.pids.is_empty());
        let ended = ended.and_then(|hosted| hosted.trouble.clone());
        let trouble = self.parts.ledger.trouble(name);
        let trouble = trouble.map(|why| why.to_string()).or(ended);
        let seen = Seen {
            trouble: trouble.or_else(|| self.missing(entry)),
            is_untold: self.parts.proxy.is_none(),
        };
        Listed {
            hosted: hosted.map(|Standing { pids, trouble, .. }| Hosted { pids, trouble }),
            ..entry.shown(name, self.evidence(name), held, seen)
        }
    }

    /// Why a command that the agent runs itself cannot start, if it is not
    /// there.
    fn missing(&self, entry: &Entry) -> Option<String> {
        let Kind::Command(command) = &entry.current.as_ref()?.kind else {
            return None;
        };
        let cwd = command.cwd.as_deref().unwrap_or(&self.parts.cwd);
        let program = &command.program;
        let is_there = if program.contains('/') {
            cwd.join(program).exists()
        } else {
            // As execvp(3) has it.
            let path = paths::var(&self.parts.env, "PATH").cloned();
            let path = path.unwrap_or_else(|| "/bin:/usr/bin".into());
            std::env::split_paths(&path).any(|dir| cwd.join(dir).join(program).exists())
        };
        if command.is_hosted || is_there {
            return None;
        }
        let shown = if command.is_private {
            "its command"
        } else {
            program
        };
        Some(format!("cannot run `{shown}`: not found"))
    }

    fn evidence(&self, name: &ServerName) -> Evidence {
        let seen = self.parts.ledger.get(name);
        seen.unwrap_or_else(|| Evidence::new(SystemTime::now()))
    }

    /// Has a command that we run ready for its first caller.
    fn host(&self, server: &Server) {
        match &server.kind {
            Kind::Command(command) if command.is_hosted => {
                self.parts.hosting.put(server.name.clone(), command.clone());
            }
            _ => self.parts.hosting.remove(&server.name),
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ServerName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
