//! The hub's one state and what may be done to it: the registry, the messages
//! and the triggers, kept in the store.
//!
//! *Invariant*: a change is in the store before anybody is told of it.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::api::{HUMAN, Message, Record, SYSTEM, Status};
use super::registry::{Instance, Life, NoPlace, Registry, default_label};
use super::route::{Author, Hops, Known, route};
use super::store::{Draft, Store};
use crate::types::identity::{AgentName, InstanceName, Token};
use crate::types::text::{is_control, is_message, one_line};
use crate::types::trigger::{ChannelName, Trigger};

/// Bytes of a message.
const MAX_TEXT: usize = 64 * 1024;
/// Characters of a label, and of a role.
const MAX_LABEL: usize = 100;
const MAX_ROLE: usize = 200;
/// Channels of one hub.
const MAX_CHANNELS: usize = 64;

pub(super) struct Chat {
    pub(super) store: Store,
    pub(super) registry: Registry,
    human: Token,
    max_hops: u32,
    news: broadcast::Sender<News>,
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
    #[error("the hub cannot reach its store: {0}")]
    Store(#[from] rusqlite::Error),
}

/// A message to be posted.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) text: String,
    pub(super) kind: &'static str,
    pub(super) channel: ChannelName,
    pub(super) reply_to: Option<u64>,
    pub(super) metadata: Option<Value>,
}

impl Post {
    /// An ordinary message.
    pub(super) fn chat(text: impl Into<String>, channel: ChannelName) -> Self {
        Self {
            text: text.into(),
            kind: "chat",
            channel,
            reply_to: None,
            metadata: None,
        }
    }
}

impl Chat {
    pub(super) fn open(
        store: Store,
        human: Token,
        max_hops: u32,
        news: broadcast::Sender<News>,
        now: Instant,
    ) -> rusqlite::Result<Self> {
        let instances = store.instances(now)?;
        Ok(Self {
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

    pub(super) fn is_human(&self, token: &Token) -> bool {
        self.human == *token
    }

    /// True if this is or was the token of an instance.
    pub(super) fn is_known(&self, token: &Token) -> bool {
        self.registry.by_any_token(token).is_some()
    }

    /// The instance of `previous` once more (under its present name and
    /// token), or a new one.
    pub(super) fn register(
        &mut self,
        base: &str,
        label: Option<&str>,
        previous: Option<&Token>,
        now: Instant,
    ) -> Result<Record, Fault> {
        let base: AgentName = base
            .parse()
            .map_err(|_| Fault::Invalid(format!("unknown base: {}", one_line(base, 64))))?;
        let label = label
            .map(|label| one_line(label, MAX_LABEL))
            .filter(|label| !label.is_empty());
        let known = previous.and_then(|token| self.registry.by_any_token(token));
        let id = match known {
            Some(id) => id,
            None => self.enter(base, label.clone(), now)?,
        };
        let one = self.registry.get_mut(id).ok_or(Fault::NotFound)?;
        one.life.touch(now);
        if let Some(label) = label.filter(|label| *label != one.label) {
            one.label = label;
            self.store.update_instance(one)?;
        }
        Ok(record(one))
    }

    /// Makes a new instance; it inherits what waits for its name.
    fn enter(
        &mut self,
        base: AgentName,
        label: Option<String>,
        now: Instant,
    ) -> Result<i64, Fault> {
        let place = self.registry.place(&base, now)?;
        let mut one = Instance {
            id: 0,
            uid: Token::random().expose().to_owned(),
            label: label.unwrap_or_else(|| default_label(&base, place.slot)),
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
        if let Some(old) = heir {
            self.store.pass_triggers(old, one.id)?;
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

    // What is said.

    /// Keeps a message and wakes whom it mentions.
    pub(super) fn post(&mut self, by: Caller, post: Post, now: Instant) -> Result<Message, Fault> {
        let sender = match by {
            Caller::Human => None,
            Caller::Agent(id) => Some(self.registry.get(id).ok_or(Fault::NotFound)?.name.clone()),
        };
        let hops = self.check(&post)?;
        let routed = route(
            &post.text,
            sender.as_ref().map_or(Author::Human, Author::Agent),
            &self.known(now),
            &self.store.bases()?,
            hops,
            self.max_hops,
        );
        let targets: Vec<&Instance> = routed
            .targets
            .iter()
            .filter_map(|name| self.registry.named(name.as_str()))
            .collect();

        let whole = self.store.begin()?;
        self.store.set_hops(&post.channel, routed.hops)?;
        let message = self.store.add_message(Draft {
            uid: uuid(),
            sender: sender.as_ref().map_or(HUMAN, InstanceName::as_str),
            text: &post.text,
            kind: post.kind,
            timestamp: wall(),
            channel: &post.channel,
            reply_to: post.reply_to,
            metadata: post.metadata,
        })?;
        for one in &targets {
            self.store.add_trigger(one.id, &message)?;
            if !one.life.holds(now) {
                let waits = format!("{} is offline: the mention waits for it.", one.name);
                self.say(&post.channel, &waits)?;
            }
        }
        for base in &routed.absent {
            let nobody = format!("No instance of {base} is registered: nobody was told.");
            self.say(&post.channel, &nobody)?;
        }
        if routed.stopped {
            let stopped = format!(
                "Loop guard: {} agent-to-agent hops reached. Type /continue to resume.",
                self.max_hops
            );
            self.say(&post.channel, &stopped)?;
        }
        whole.commit()?;

        self.tell(News::Message);
        for one in targets {
            self.tell(News::Trigger(one.id));
        }
        Ok(message)
    }

    /// Refuses what no message may be; returns the state of its channel.
    fn check(&self, post: &Post) -> Result<Hops, Fault> {
        let invalid = |why: String| Err(Fault::Invalid(why));
        if post.text.trim().is_empty() {
            return invalid("text is required".into());
        }
        if post.text.len() > MAX_TEXT {
            return invalid(format!("text is longer than {MAX_TEXT} bytes"));
        }
        if !is_message(&post.text) {
            return invalid("text has control characters".into());
        }
        if let Some(id) = post.reply_to
            && !self.store.has_message(id)?
        {
            return invalid(format!("Message #{id} not found."));
        }
        match self.store.hops(&post.channel)? {
            Some(hops) => Ok(hops),
            None if self.store.channels()?.len() < MAX_CHANNELS => Ok(Hops::default()),
            None => invalid(format!("there are {MAX_CHANNELS} channels already")),
        }
    }

    /// A message of the hub's own, which wakes nobody.
    fn say(&self, channel: &ChannelName, text: &str) -> Result<(), Fault> {
        self.store.add_message(Draft {
            uid: uuid(),
            sender: SYSTEM,
            text,
            kind: "system",
            timestamp: wall(),
            channel,
            reply_to: None,
            metadata: None,
        })?;
        Ok(())
    }

    fn known(&self, now: Instant) -> Vec<Known> {
        self.registry
            .instances
            .iter()
            .map(|one| Known {
                name: one.name.clone(),
                base: one.base.clone(),
                online: one.life.holds(now),
            })
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

    fn tell(&self, news: News) {
        // No stream is open: there is nobody to tell.
        let _ = self.news.send(news);
    }
}

pub(super) fn record(one: &Instance) -> Record {
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

/// Seconds since 1970.
fn wall() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |age| age.as_secs_f64())
}

/// A random UUID (version 4, RFC 9562).
fn uuid() -> String {
    let hex = Token::random();
    let hex = hex.expose();
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}
