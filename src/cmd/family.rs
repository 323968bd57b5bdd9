//! The other sessions of our base on our hub: found on the roster, asked on
//! their sockets.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::control::protocol::Session;
use crate::control::roster;
use crate::control::{Client, NAME};
use crate::hub;
use crate::presence::{self, Family, Newcomer, Rank, Waiting};
use crate::types::hub::Until;
use crate::types::identity::{AgentName, Identity, InstanceName, SessionId, slot};
use crate::types::upstream::Endpoint;

/// How long a session may take to say whose it is: longer, and it sleeps. And
/// how long to hear from the hub, where nothing depends on that.
const PATIENCE: Duration = Duration::from_millis(500);

/// The other sessions of `base` on the hub at `hub`, below the root of all
/// state. None of them is kept: each question asks who is there.
#[derive(Debug)]
pub(super) struct Siblings {
    root: PathBuf,
    /// Our own session, while there is one.
    us: Option<SessionId>,
    base: AgentName,
    hub: String,
    /// Directories of sessions of other agents or hubs. A session keeps both
    /// for life, so each note is read once: however many sessions there are,
    /// a question costs as much as there are siblings.
    strangers: Mutex<HashSet<PathBuf>>,
}

/// A sibling, and the way to ask it more.
struct Sibling {
    session: Session,
    client: Client,
}

/// Who is there.
#[derive(Default)]
struct Found {
    us: Option<Session>,
    siblings: Vec<Sibling>,
    /// Sessions that do not say whose they are.
    silent: usize,
    /// What those of our base and hub among them were called at their start.
    asleep: Vec<String>,
}

impl Siblings {
    /// The siblings of a session of `base` that is still to begin.
    pub(super) fn new(root: PathBuf, base: AgentName, hub: String) -> Self {
        Self {
            root,
            us: None,
            base,
            hub,
            strangers: Mutex::default(),
        }
    }

    /// The same of a session that runs.
    pub(super) fn of(self, us: SessionId) -> Self {
        let us = Some(us);
        Self { us, ..self }
    }

    /// Gives a newcomer on a hub of agentchattr's the best name that nobody
    /// bears, nor will want back: that of who has just left, most likely. The
    /// others may be called otherwise for it: they hear of that.
    ///
    /// # Errors
    /// If it has no registration any more.
    pub(super) async fn settle(
        &self,
        client: &hub::Client,
        tools: &Endpoint,
        label: Option<&str>,
        newcomer: Identity,
    ) -> Result<Identity, hub::client::Error> {
        if slot(self.base.as_str(), newcomer.name.as_str()) == Some(1) {
            return Ok(newcomer);
        }
        let found = self.look().await;
        let names = found.siblings.iter().map(|one| one.session.name.clone());
        let names: Vec<String> = names.collect();
        let settled = if found.silent == 0 {
            let new = Newcomer {
                client,
                tools,
                base: &self.base,
                label,
            };
            presence::settle(new, newcomer, &names).await?
        } else {
            newcomer
        };
        found.hear().await;
        Ok(settled)
    }

    /// Has the others hear from the hub what they are called.
    pub(super) async fn hear(&self) {
        self.look().await.hear().await;
    }

    async fn look(&self) -> Found {
        let mut asked = JoinSet::new();
        let mut found = Found::default();
        for dir in self.candidates() {
            if self.is_us(&dir)
                && let Some(us) = roster::noted(&dir)
            {
                found.us = Some(us);
                continue;
            }
            asked.spawn(async move {
                let client = Client::new(&dir.join(NAME));
                match timeout(PATIENCE, client.session()).await {
                    Ok(Ok(session)) => Ok(Sibling { session, client }),
                    Ok(Err(error)) => {
                        debug!(%error, dir = %dir.display(), "a session does not say whose it is");
                        Err(None)
                    }
                    Err(_) => Err(roster::noted(&dir)),
                }
            });
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(one)) if self.us.as_ref() == Some(&one.session.id) => {
                    found.us = Some(one.session);
                }
                Ok(Ok(one)) if self.is_sibling(&one.session) => found.siblings.push(one),
                Ok(Ok(_)) => {}
                Ok(Err(Some(noted))) if self.is_sibling(&noted) => {
                    found.silent += 1;
                    found.asleep.push(noted.name);
                }
                Ok(Err(_)) | Err(_) => found.silent += 1,
            }
        }
        found
    }

    /// The living sessions that may be siblings, and ours: all but those that
    /// have written down that they are not.
    fn candidates(&self) -> Vec<PathBuf> {
        let strangers = self.strangers.lock();
        let mut strangers = strangers.unwrap_or_else(PoisonError::into_inner);
        let dirs: HashSet<PathBuf> = roster::dirs(&self.root).into_iter().collect();
        strangers.retain(|dir| dirs.contains(dir));
        dirs.into_iter()
            .filter(|dir| {
                if strangers.contains(dir) {
                    return false;
                }
                if roster::noted(dir).is_some_and(|one| !self.is_sibling(&one)) {
                    strangers.insert(dir.clone());
                    return false;
                }
                roster::is_alive(dir)
            })
            .collect()
    }

    fn is_us(&self, dir: &Path) -> bool {
        let us = self.us.as_ref();
        us.is_some_and(|us| dir.ends_with(us.as_str()))
    }

    fn is_sibling(&self, session: &Session) -> bool {
        session.agent == self.base && session.hub.url.as_ref() == Some(&self.hub)
    }

    fn rank(&self, name: &str, session: &Session) -> Rank {
        Rank::new(&self.base, name, &session.started_at, session.id.as_str())
    }
}

impl Found {
    /// Has all hear from the hub what they are called.
    /// True if the hub knows any of them.
    async fn hear(self) -> bool {
        let mut asked = JoinSet::new();
        for Sibling { client, .. } in self.siblings {
            asked.spawn(async move {
                let checked = client.check(Until::Heard).await;
                checked.map_err(|error| info!(%error, "a sibling has not heard from the hub"))
            });
        }
        let all = timeout(PATIENCE, asked.join_all()).await;
        let all = all.map_err(|_| info!("a sibling has not heard from the hub in time"));
        let mut all = all.into_iter().flatten().flatten();
        all.any(|checked| checked.known)
    }
}

impl Family for Siblings {
    fn go_first<'a>(&'a self, name: &'a InstanceName) -> Waiting<'a, ()> {
        Box::pin(async move {
            let found = self.look().await;
            let own = found.us.map(|us| self.rank(name.as_str(), &us));
            let mut asked = JoinSet::new();
            for Sibling { session, client } in found.siblings {
                let rank = self.rank(&session.name, &session);
                let until = if own.as_ref().is_some_and(|own| rank < *own) {
                    Until::Registered
                } else {
                    Until::Heard
                };
                asked.spawn(async move {
                    match client.check(until).await {
                        Ok(now) => info!(now.name, ?until, "a sibling goes before us"),
                        Err(error) => info!(%error, "a sibling does not go before us"),
                    }
                });
            }
            asked.join_all().await;
        })
    }

    fn are_asleep(&self) -> Waiting<'_, bool> {
        Box::pin(async {
            let found = self.look().await;
            let are_there = found.silent > 0 || !found.siblings.is_empty();
            are_there && !found.hear().await
        })
    }

    fn bears<'a>(&'a self, name: &'a InstanceName) -> Waiting<'a, bool> {
        Box::pin(async {
            let found = self.look().await;
            let mut names = found.siblings.iter().map(|one| one.session.name.as_str());
            names.any(|one| one == name.as_str())
                || found.asleep.iter().any(|one| one == name.as_str())
        })
    }
}
