//! Changes of a session's servers, one at a time: tried out, made, and seen to
//! hold.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use tracing::{info, warn};

use super::shown::{Outcome, Verdict};
use super::way::{Agent, Way, way};
use super::{Catalog, Unknown};
use crate::proxy::{Proxy, Seen};
use crate::servers::spelling::{self, Around, Author};
use crate::types::bearer;
use crate::types::credential::{Auth, TokenSource};
use crate::types::evidence::Step;
use crate::types::identity::{ServerName, Token};
use crate::types::secret;
use crate::types::server::{Command, ContextLevel, Kind, Origin, Server};
use crate::types::source::is_header_value;
use crate::types::upstream::Upstream;

/// How long a server may take to answer for the first time: a command may have
/// to be fetched before it runs, a function may start cold. Agents give as much.
const TRIAL: Duration = Duration::from_secs(30);

/// How long an agent may take to ask for its tools again. Those that do so do
/// it within a second.
const NOTICE: Duration = Duration::from_secs(5);

/// Why a change of a server that is past the proxy waits.
const ITS_OWN: &str = "the agent connects to this server itself";

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// It is not for callers to change.
    #[error("{0}")]
    Conflict(String),
    /// The request makes no sense.
    #[error("{0}")]
    Bad(String),
}

impl Catalog {
    /// Adds a server, or puts another in its place: `entry` in any agent's
    /// spelling, with `session_context` and `auth` if it is ours.
    ///
    /// # Errors
    /// An entry that is none, and the hub's name.
    pub async fn set(&self, name: &ServerName, entry: &Value) -> Result<Verdict, Refusal> {
        let proxy = self.changeable(name)?;
        let (server, ignored) = self.server(name, entry)?;
        let _turn = self.turn.lock().await;
        let verdict = self.put(proxy, server).await;
        Ok(Verdict { ignored, ..verdict })
    }

    /// Gives a remote server another credential, in the header that has it now.
    ///
    /// # Errors
    /// No such server, one without credentials, and what is no token.
    pub async fn token(&self, name: &ServerName, token: Token) -> Result<Verdict, Refusal> {
        let proxy = self.changeable(name)?;
        if token.expose().is_empty() || !is_header_value(token.expose()) {
            return Err(Refusal::Bad(
                "a credential is one line of text, without control characters".into(),
            ));
        }
        let _turn = self.turn.lock().await;
        let current = self
            .entries()
            .get(name)
            .and_then(|entry| entry.current.clone());
        let mut server = current.ok_or_else(|| Unknown(name.clone()))?;
        let Kind::Remote(remote) = &mut server.kind else {
            return Err(Refusal::Conflict(format!(
                "`{name}` is a command: its credentials are its variables, set it anew"
            )));
        };
        let header = if let Some(auth) = &remote.auth {
            auth.header.clone()
        } else {
            let likely = |(name, value): &(String, Token)| secret::is_likely(name, value.expose());
            let old = remote.headers.iter().position(likely);
            let (name, _) = old.map(|old| remote.headers.remove(old)).unzip();
            name.filter(|name| !name.eq_ignore_ascii_case("authorization"))
        };
        if header.is_none() {
            let refused = |why| Refusal::Bad(format!("this is no token: {why}"));
            bearer::check(token.expose()).map_err(refused)?;
        }
        let source = TokenSource::Literal(token);
        remote.auth = Some(Auth { header, source });
        Ok(self.put(proxy, server).await)
    }

    /// Takes a server away.
    ///
    /// # Errors
    /// No such server, and the hub's.
    pub async fn remove(&self, name: &ServerName) -> Result<Verdict, Refusal> {
        self.changeable(name)?;
        let _turn = self.turn.lock().await;
        let entry = self.entries().get(name).cloned();
        let entry = entry.ok_or_else(|| Unknown(name.clone()))?;
        let is_behind_us = |server: &Server| !entry.is_left && server.upstream().is_some();
        let is_ours = entry.current.as_ref().is_some_and(is_behind_us);
        if entry.current.is_some() && !is_ours {
            let later = if entry.is_left {
                ITS_OWN
            } else {
                "the agent runs this server itself"
            };
            return Ok(self.settle(name, None, Outcome::PendingRestart, Some(later.into())));
        }
        self.forward(name, None);
        self.parts.hosting.remove(name);
        self.parts.keepers.forget(name);
        self.parts.ledger.forget(name);
        self.entries().remove(name);
        self.news.send_replace(());
        info!(server = %name, "a server was removed");
        // Calls to it are refused from now on; an entry that the agent has
        // leads to a server without tools.
        Ok(verdict(name, Outcome::Applied, None))
    }

    /// Tries out a server as it is, beside whoever uses it: what it shows of
    /// itself.
    ///
    /// # Errors
    /// Why it does not answer, or that there is none; one line.
    pub async fn probe(&self, name: &ServerName) -> Result<Seen, String> {
        let entry = self.entries().get(name).cloned();
        let server = entry.and_then(|entry| entry.current);
        let server = server.ok_or_else(|| Unknown(name.clone()).to_string())?;
        let proxy = self.changeable(name).map_err(|error| error.to_string())?;
        self.try_out(proxy, &server).await
    }

    /// Puts `server` in the place of what has its name.
    async fn put(&self, proxy: &Proxy, server: Server) -> Verdict {
        let name = server.name.clone();
        let seen = match self.try_out(proxy, &server).await {
            Ok(seen) => seen,
            Err(why) => {
                warn!(server = %name, why, "a change of a server failed");
                if let Some(entry) = self.entries().get_mut(&name) {
                    entry.verdict = Some((Outcome::Failed, Some(why.clone())));
                }
                self.news.send_replace(());
                return verdict(&name, Outcome::Failed, Some(why));
            }
        };
        let entry = self.entries().get(&name).cloned();
        let current = entry.as_ref().and_then(|entry| entry.current.as_ref());
        let is_told = entry.as_ref().is_some_and(|entry| entry.is_told);
        let is_left = entry.as_ref().is_some_and(|entry| entry.is_left);
        let has_door = self.parts.has_door;
        let way = if is_left {
            Way::Later(ITS_OWN)
        } else {
            way(current, is_told, &server, Agent { has_door })
        };
        match way {
            Way::Later(why) => self.settle(
                &name,
                Some(server),
                Outcome::PendingRestart,
                Some(why.into()),
            ),
            Way::Replace => {
                self.host(&server);
                self.forward(&name, server.upstream());
                self.settle_now(&name, server, true)
            }
            Way::Guest if seen.is_stateless => {
                let why =
                    "it speaks MCP 2026-07-28 alone, and the agent has to connect to it itself";
                self.settle(
                    &name,
                    Some(server),
                    Outcome::PendingRestart,
                    Some(why.into()),
                )
            }
            Way::Guest => self.invite(server).await,
            // Its tools are the same: it has answered with this credential.
            Way::Renew => {
                self.forward(&name, guest(&server));
                self.settle_now(&name, server, false)
            }
        }
    }

    /// Shows a server's tools beside the hub's, and sees whether the agent
    /// takes notice.
    async fn invite(&self, server: Server) -> Verdict {
        let name = server.name.clone();
        let before = self.evidence(&name).listed;
        self.host(&server);
        self.settle_now(&name, server.clone(), false);
        if let Some(entry) = self.entries().get_mut(&name) {
            entry.listed_before = before;
        }
        let mut seen = self.parts.ledger.subscribe();
        self.forward(&name, guest(&server));
        let listed = seen.wait_for(|all| all.get(&name).is_some_and(|seen| seen.listed > before));
        if timeout(NOTICE, listed).await.is_ok_and(|seen| seen.is_ok()) {
            return self.settle(&name, Some(server), Outcome::Applied, None);
        }
        let why = "the agent has not asked for its tools again";
        self.settle(
            &name,
            Some(server),
            Outcome::PendingRestart,
            Some(why.into()),
        )
    }

    /// Asks a server for its tools before anything depends on it.
    async fn try_out(&self, proxy: &Proxy, server: &Server) -> Result<Seen, String> {
        let Kind::Command(command) = &server.kind else {
            return self.look(proxy, server, TRIAL).await;
        };
        // Under a name of its own: the old one works until this one does.
        let trial = ServerName::random();
        let command = Command {
            is_hosted: true,
            ..command.clone()
        };
        self.parts.hosting.put(trial.clone(), command.clone());
        let named = Server {
            name: trial.clone(),
            kind: Kind::Command(command),
            ..server.clone()
        };
        let seen = self.look(proxy, &named, TRIAL).await;
        self.parts.hosting.remove(&trial);
        seen.map_err(|why| why.replace(trial.as_str(), server.name.as_str()))
    }

    async fn look(
        &self,
        proxy: &Proxy,
        server: &Server,
        patience: Duration,
    ) -> Result<Seen, String> {
        let upstream = Arc::new(server.upstream().ok_or("there is no way to it")?);
        proxy.try_out(&server.name, &upstream, patience).await
    }

    /// Has the proxy forward to `upstream` under that name from now on.
    fn forward(&self, name: &ServerName, upstream: Option<Upstream>) {
        self.parts.live.send_modify(|live| {
            let upstreams = Arc::make_mut(&mut live.upstreams);
            match upstream {
                Some(upstream) => upstreams.insert(name.clone(), Arc::new(upstream)),
                None => upstreams.remove(name),
            };
        });
    }

    /// Notes that `server` is what is used now.
    fn settle_now(&self, name: &ServerName, server: Server, is_told: bool) -> Verdict {
        let mut entries = self.entries();
        let entry = entries
            .entry(name.clone())
            .or_insert_with(|| super::Entry::at_start(server.clone()));
        entry.current = Some(server.clone());
        entry.is_told = is_told;
        drop(entries);
        self.settle(name, Some(server), Outcome::Applied, None)
    }

    /// Notes what the agent is told at its next start, and what came of the
    /// change.
    fn settle(
        &self,
        name: &ServerName,
        next: Option<Server>,
        outcome: Outcome,
        reason: Option<String>,
    ) -> Verdict {
        info!(server = %name, ?outcome, reason, "a server was changed");
        let mut entries = self.entries();
        if let Some(next) = next.clone() {
            if !entries.contains_key(name) {
                self.parts.ledger.note(name, Step::Configured);
            }
            entries
                .entry(name.clone())
                .or_insert_with(|| super::Entry::at_start(next));
        }
        if let Some(entry) = entries.get_mut(name) {
            entry.next = next;
            entry.verdict = Some((outcome, reason.clone()));
        }
        drop(entries);
        self.news.send_replace(());
        verdict(name, outcome, reason)
    }

    /// The proxy, if a server of this name may be changed.
    fn changeable(&self, name: &ServerName) -> Result<&Proxy, Refusal> {
        if *name == self.parts.own {
            return Err(Refusal::Conflict(format!(
                "`{name}` is the hub: its entry is not for others"
            )));
        }
        self.parts.proxy.as_ref().ok_or_else(|| {
            Refusal::Conflict("this agent is told of no servers: it has no `mcp_inject`".into())
        })
    }

    /// The server that an entry speaks of, and its keys that mean nothing.
    fn server(&self, name: &ServerName, entry: &Value) -> Result<(Server, Vec<String>), Refusal> {
        let bad = |key: &str, what: String| {
            let at = if key.is_empty() {
                String::new()
            } else {
                format!(" `{key}`:")
            };
            Refusal::Bad(format!("cannot read the entry of `{name}`:{at} {what}"))
        };
        let mut entry = entry.clone();
        let level = entry
            .as_object_mut()
            .and_then(|entry| entry.remove("session_context"));
        let context = match level {
            None => ContextLevel::default(),
            Some(level) => serde_json::from_value(level)
                .map_err(|_| bad("session_context", "it is none of none, id and full".into()))?,
        };
        let around = Around {
            env: &self.parts.env,
            dir: &self.parts.cwd,
            by: Author::Live,
        };
        let parsed = spelling::parse(&entry, around)
            .map_err(|mistake| bad(&mistake.key, mistake.what.to_string()))?;
        let parsed = parsed.ok_or_else(|| bad("", "it is switched off".into()))?;
        let server = Server {
            name: name.clone(),
            origin: Origin::Session,
            kind: parsed.kind,
            context,
        };
        Ok((server, parsed.unknown))
    }
}

/// The way to a server whose tools stand beside the hub's.
fn guest(server: &Server) -> Option<Upstream> {
    let upstream = server.upstream()?;
    Some(Upstream {
        is_guest: true,
        ..upstream
    })
}

fn verdict(name: &ServerName, outcome: Outcome, reason: Option<String>) -> Verdict {
    Verdict {
        name: name.clone(),
        outcome,
        reason,
        ignored: Vec::new(),
    }
}
