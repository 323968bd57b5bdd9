//! The hub's one state and what may be done to it: the registry, the messages
//! and the triggers, kept in the store.
//!
//! *Invariant*: a change is in the store before anybody is told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::api::{Record, Register, Status};
use super::life::Life;
use super::post::wall;
use super::registry::{Instance, NoPlace, Registry, default_label};
use super::store::Store;
use crate::types::identity::{AgentName, InstanceName, Token};
use crate::types::text::{is_control, one_line};
use crate::types::trigger::{ChannelName, Trigger};

/// Characters of a label, and of a role.
const MAX_LABEL: usize = 100;
const MAX_ROLE: usize = 200;

pub(super) struct Chat {
    pub(super) store: Store,
    pub(super) registry: Registry,
    human: Token,
    pub(super) max_hops: u32,
    news: broadcast::Sender<News>,
    /// The data directory.
    pub(super) dir: PathBuf,
    /// Who did not say that it opens a stream, and has opened none.
    pub(super) streamless: BTreeSet<i64>,
}

/// What streams wait for. A wake-up: they read the store themselves, so one
/// that missed some has lost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// There are new messages.
    Message,
    /// This instance has new triggers.
    Trigger(i64),
    /// This instance's token is no longer good.
    Ended(i64),
}

/// Whose token a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Human,
    Agent(i64),
}

/// Why the chat refuses.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Invalid(String),
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    #[error("{0:#}")]
    Token(anyhow::Error),
    #[error("the hub cannot reach its store: {0}")]
    Store(#[from] rusqlite::Error),
}

impl Chat {
    pub(super) fn open(
        store: Store,
        human: Token,
        max_hops: u32,
        news: broadcast::Sender<News>,
        now: Instant,
    ) -> anyhow::Result<Self> {
        let instances = store.instances(now)?;
        let dir = store.db.path().and_then(|path| Path::new(path).parent());
        Ok(Self {
            dir: dir.unwrap_or(Path::new("")).to_owned(),
            streamless: BTreeSet::new(),
            store,
            registry: Registry { instances },
            human,
            max_hops,
            news,
        })
    }

    // Who is there.

    /// Whose token this is; a sign of life of its instance.
    pub(super) fn caller(&mut self, token: &Token, now: Instant) -> Option<Caller> {
        if self.human == *token {
            return Some(Caller::Human);
        }
        let id = self.registry.by_token(token)?;
        self.registry.get_mut(id)?.life.touch(now);
        Some(Caller::Agent(id))
    }

    pub(super) fn set_human(&mut self, human: Token) {
        self.human = human;
    }

    pub(super) fn is_human(&self, token: &Token) -> bool {
        self.human == *token
    }

    /// True for the human's token, and for the present one of an instance.
    pub(super) fn is_good(&self, token: &Token) -> bool {
        self.is_human(token) || self.registry.by_token(token).is_some()
    }

    /// True if this is or was the token of an instance.
    pub(super) fn is_known(&self, token: &Token) -> bool {
        self.registry.by_any_token(token).is_some()
    }

    /// The instance of `previous` once more (under its present name and
    /// token), that of a dead session, or a new one.
    pub(super) fn register(
        &mut self,
        wish: &Register,
        previous: Option<&Token>,
        now: Instant,
    ) -> Result<Record, Fault> {
        let base: AgentName = wish
            .base
            .parse()
            .map_err(|_| Fault::Invalid(format!("unknown base: {}", one_line(&wish.base, 64))))?;
        let clean = |label: &Option<String>| {
            let label = label.as_ref().map(|label| one_line(label, MAX_LABEL));
            label.filter(|label| !label.is_empty())
        };
        let (label, family) = (clean(&wish.label), clean(&wish.family));
        let known = previous.and_then(|token| self.registry.by_any_token(token));
        let mut succeeded = None;
        let id = match known {
            Some(id) => id,
            None => match self.succeed(&base, &wish.succeeds)? {
                Some((id, uid)) => {
                    succeeded = Some(uid);
                    id
                }
                None => self.enter(base, label.clone(), family.as_deref(), now)?,
            },
        };
        let one = self.registry.get_mut(id).ok_or(Fault::NotFound)?;
        one.life.touch(now);
        // A label of the dead one's own is not its successor's.
        let plain = || default_label(&one.base, family.as_deref(), one.slot);
        let label = label.or_else(|| succeeded.is_some().then(plain));
        if let Some(label) = label.filter(|label| *label != one.label) {
            one.label = label;
            self.store.update_instance(one)?;
        }
        let record = record(one);
        Ok(Record {
            succeeded,
            ..record
        })
    }

    /// Gives the first of these instances that is still registered to who
    /// follows its dead session: its name, and all that waits for it. Another
    /// that asks for the same comes too late.
    fn succeed(
        &mut self,
        base: &AgentName,
        dead: &[String],
    ) -> Result<Option<(i64, String)>, Fault> {
        let is_of = |one: &&Instance| one.base.as_str().eq_ignore_ascii_case(base.as_str());
        let mut found = dead.iter().filter_map(|uid| self.registry.by_uid(uid));
        let Some((id, before)) = found.find(is_of).map(|one| (one.id, one.uid.clone())) else {
            return Ok(None);
        };
        let (uid, token) = (uid(), Token::random());
        let whole = self.store.begin()?;
        if let Some(one) = self.registry.get(id) {
            self.expire(one)?;
        }
        self.store.pass_on(id, &uid, &token)?;
        whole.commit()?;
        if let Some(one) = self.registry.get_mut(id) {
            one.stale.clear();
            (one.uid, one.token) = (uid, token);
        }
        self.tell(News::Ended(id));
        Ok(Some((id, before)))
    }

    /// The session of an instance is dead: it is offline, and what waits for
    /// it waits for the next launch.
    pub(super) fn die(&mut self, uid: &str, now: Instant) -> Result<(), Fault> {
        let id = self.registry.by_uid(uid).ok_or(Fault::NotFound)?.id;
        let one = self.registry.get_mut(id).ok_or(Fault::NotFound)?;
        one.life.die(now);
        Ok(())
    }

    /// Makes a new instance; it inherits what waits for its name.
    fn enter(
        &mut self,
        base: AgentName,
        label: Option<String>,
        family: Option<&str>,
        now: Instant,
    ) -> Result<i64, Fault> {
        let place = self.registry.place(&base, now)?;
        let mut one = Instance {
            id: 0,
            uid: uid(),
            label: label.unwrap_or_else(|| default_label(&base, family, place.slot)),
            name: place.name,
            base,
            slot: place.slot,
            role: String::new(),
            token: Token::random(),
            stale: Vec::new(),
            channel: ChannelName::general(),
            registered_at: wall(),
            life: Life::new(now, true),
        };
        let heir = place.evicts.iter().copied().find(|id| {
            self.registry
                .get(*id)
                .is_some_and(|old| old.name.as_str().eq_ignore_ascii_case(one.name.as_str()))
        });
        let whole = self.store.begin()?;
        for id in &place.evicts {
            self.store.free_name(*id)?;
        }
        one.id = self.store.add_instance(&one)?;
        if let Some(old) = heir.and_then(|id| self.registry.get(id)) {
            self.expire(old)?;
            self.store.pass_triggers(old.id, one.id)?;
        }
        for id in &place.evicts {
            self.bury(*id)?;
        }
        whole.commit()?;
        for id in place.evicts {
            self.registry.remove(id);
            self.tell(News::Ended(id));
        }
        let id = one.id;
        self.registry.instances.push(one);
        self.tell(News::Message);
        Ok(id)
    }

    /// Takes an instance out of the store, and says what it leaves undone.
    fn bury(&self, id: i64) -> Result<(), Fault> {
        let mut undone: BTreeMap<ChannelName, usize> = BTreeMap::new();
        for trigger in self.store.triggers(id, 0)? {
            *undone.entry(trigger.channel).or_default() += 1;
        }
        if let Some(one) = self.registry.get(id) {
            for (channel, count) in undone {
                let many = if count == 1 { "mention" } else { "mentions" };
                self.say(
                    &channel,
                    &format!("{} left: {count} {many} undelivered.", one.name),
                )?;
            }
        }
        Ok(self.store.remove_instance(id)?)
    }

    /// Ends a registration for good: its name is free, its token dead.
    pub(super) fn leave(&mut self, id: i64) -> Result<(), Fault> {
        let whole = self.store.begin()?;
        self.remove_queue(id)?;
        self.bury(id)?;
        whole.commit()?;
        self.registry.remove(id);
        self.tell(News::Ended(id));
        self.tell(News::Message);
        Ok(())
    }

    /// Makes the token of an instance stale; its next registration gets
    /// another.
    pub(super) fn rotate(&mut self, name: &str) -> Result<InstanceName, Fault> {
        let id = self.registry.named(name).ok_or(Fault::NotFound)?.id;
        let one = self.registry.get_mut(id).ok_or(Fault::NotFound)?;
        let fresh = Token::random();
        let whole = self.store.begin()?;
        self.store.replace_token(id, &one.token, &fresh)?;
        whole.commit()?;
        let old = std::mem::replace(&mut one.token, fresh);
        one.stale.push(old);
        let name = one.name.clone();
        self.tell(News::Ended(id));
        Ok(name)
    }

    /// Gives an instance another name; what it has read, and what waits for
    /// it, stay its own.
    pub(super) fn claim(&mut self, id: i64, name: &InstanceName) -> Result<(), Fault> {
        let slot = self.registry.claim(id, name, &self.store.bases()?)?;
        let one = self.registry.get(id).ok_or(Fault::NotFound)?;
        let renamed = Instance {
            name: name.clone(),
            slot,
            ..one.clone()
        };
        self.store.update_instance(&renamed)?;
        if let Some(one) = self.registry.get_mut(id) {
            *one = renamed;
        }
        Ok(())
    }

    /// Sets what an instance is for; empty clears. Returns it trimmed.
    pub(super) fn set_role(&mut self, name: &str, role: &str) -> Result<String, Fault> {
        let role = role.trim();
        if role.chars().count() > MAX_ROLE || role.chars().any(is_control) {
            return Err(Fault::Invalid(format!(
                "a role is one line of at most {MAX_ROLE} characters"
            )));
        }
        let id = self.registry.named(name).ok_or(Fault::NotFound)?.id;
        let one = self.registry.get_mut(id).ok_or(Fault::NotFound)?;
        role.clone_into(&mut one.role);
        self.store.update_instance(one)?;
        Ok(role.to_owned())
    }

    pub(super) fn roles(&self) -> BTreeMap<&str, &str> {
        self.registry
            .instances
            .iter()
            .filter(|one| !one.role.is_empty())
            .map(|one| (one.name.as_str(), one.role.as_str()))
            .collect()
    }

    /// The answer of `GET /api/status`.
    pub(super) fn status(&self, now: Instant) -> Result<Value, Fault> {
        let mut all: serde_json::Map<String, Value> = self
            .registry
            .instances
            .iter()
            .map(|one| (one.name.to_string(), json!(status(one, now))))
            .collect();
        all.insert("paused".into(), self.store.any_paused()?.into());
        Ok(all.into())
    }

    /// The names of all who are online.
    pub(super) fn online(&self, now: Instant) -> Vec<&str> {
        self.registry
            .instances
            .iter()
            .filter(|one| one.life.is_online(now))
            .map(|one| one.name.as_str())
            .collect()
    }

    /// What waits above `after` for the instance of this token; None if the
    /// token is not good (any more).
    pub(super) fn triggers(
        &self,
        token: &Token,
        after: u64,
    ) -> Result<Option<Vec<Trigger>>, Fault> {
        match self.registry.by_token(token) {
            Some(id) => Ok(Some(self.store.triggers(id, after)?)),
            None => Ok(None),
        }
    }

    pub(super) fn tell(&self, news: News) {
        // No stream is open: there is nobody to tell.
        let _ = self.news.send(news);
    }
}

/// An `identity_id`: 32 hex digits, as agentchattr's.
fn uid() -> String {
    Token::random().expose().to_owned()
}

fn record(one: &Instance) -> Record {
    Record {
        identity_id: one.uid.clone(),
        name: one.name.clone(),
        base: one.base.to_string(),
        slot: one.slot,
        label: one.label.clone(),
        color: COLOR.into(),
        state: "active".into(),
        epoch: 1,
        registered_at: one.registered_at,
        token: one.token.clone(),
        mcp_port: None,
        succeeded: None,
        sse_port: None,
    }
}

/// The hub has no list of agents, so it knows no colours of theirs.
const COLOR: &str = "#888";

fn status(one: &Instance, now: Instant) -> Status {
    Status {
        available: one.life.is_online(now),
        busy: one.life.is_busy(now),
        label: one.label.clone(),
        color: COLOR.into(),
        role: one.role.clone(),
        base: Some(one.base.clone()),
    }
}

#[cfg(test)]
mod tests;
