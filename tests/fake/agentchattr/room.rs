//! All that the server knows, and what follows from what is said to it; what is
//! to be written of that is left in `effects`. Pure: the time comes along, in
//! seconds since the epoch, as does every random number.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::board::{Board, Job};
use crate::post::{Draft, Message};
use crate::registry::{Instance, Leave, Registry, Renamed};
use crate::route::Hops;
use crate::settings::Rules;

/// Seconds for which an instance counts as online after a sign of life.
const ONLINE: f64 = 10.0;

/// Seconds for which it counts as busy after it said so.
const BUSY: f64 = 8.0;

/// Something to be written into the data directory.
#[derive(Debug)]
pub(crate) enum Effect {
    Append { file: String, line: String },
    Keep { file: &'static str, json: Value },
}

/// What a server finds when it starts.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) messages: Vec<Message>,
    pub(crate) roles: BTreeMap<String, String>,
    pub(crate) cursors: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) renames: BTreeMap<String, String>,
    pub(crate) registry: Vec<Instance>,
    pub(crate) board: Board,
    pub(crate) jobs: Vec<Job>,
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) rules: Rules,
    pub(crate) registry: Registry,
    pub(crate) messages: Vec<Message>,
    pub(crate) roles: BTreeMap<String, String>,
    /// Up to which message a name has read a channel.
    pub(crate) cursors: BTreeMap<String, BTreeMap<String, u64>>,
    /// How often in a row a name has read nothing.
    pub(crate) empty_reads: BTreeMap<String, u32>,
    /// The channel or job that a name has last read by its own choice.
    pub(crate) last_read: BTreeMap<String, Place>,
    pub(crate) board: Board,
    pub(crate) jobs: Vec<Job>,
    renames: BTreeMap<String, String>,
    seen: BTreeMap<String, f64>,
    active: BTreeMap<String, f64>,
    pub(crate) hops: BTreeMap<String, Hops>,
    pub(crate) effects: Vec<Effect>,
    /// What was said to the server, for tests.
    pub(crate) told: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Channel(String),
    Job(u64),
}

impl Room {
    pub(crate) fn new(rules: Rules, kept: Kept) -> Self {
        Self {
            registry: Registry::new(&rules, kept.registry),
            rules,
            messages: kept.messages,
            roles: kept.roles,
            cursors: kept.cursors,
            empty_reads: BTreeMap::new(),
            last_read: BTreeMap::new(),
            board: kept.board,
            jobs: kept.jobs,
            renames: kept.renames,
            seen: BTreeMap::new(),
            active: BTreeMap::new(),
            hops: BTreeMap::new(),
            effects: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn register(
        &mut self,
        base: &str,
        label: &Value,
        [token, id]: [String; 2],
        now: f64,
    ) -> Option<Instance> {
        let (instance, renamed) = self.registry.register(base, label, token, id, now)?;
        self.follow(renamed);
        self.touch(&instance.name, now);
        self.keep_registry();
        self.note("register", &instance.name, now, json!({"base": base}));
        Some(instance)
    }

    /// Takes a sign of life.
    pub(crate) fn touch(&mut self, name: &str, now: f64) {
        self.seen.insert(name.to_owned(), now);
    }

    pub(crate) fn set_active(&mut self, name: &str, active: bool, now: f64) {
        if active {
            self.active.insert(name.to_owned(), now);
        } else {
            self.active.remove(name);
        }
    }

    /// The instance that a token belongs to; it shows that it lives.
    pub(crate) fn caller(&mut self, token: &str, now: f64) -> Option<String> {
        let known = self.registry.live().len();
        let name = self.registry.by_token(token)?;
        if self.registry.live().len() != known {
            self.keep_registry();
            self.note("reclaim", &name, now, json!({}));
        }
        self.touch(&name, now);
        Some(name)
    }

    pub(crate) fn remove(&mut self, name: &str, how: Leave, now: f64) {
        let renamed = self.registry.remove(name, how, now);
        self.seen.remove(name);
        self.active.remove(name);
        self.cursors.remove(name);
        self.roles.remove(name);
        self.keep("roles.json", json!(self.roles));
        self.keep("mcp_cursors.json", json!(self.cursors));
        self.follow(renamed);
        if !self.rules.keeps_renames {
            self.renames
                .retain(|from, to| from.as_str() != name && to.as_str() != name);
            self.keep("renames.json", json!(self.renames));
        }
        self.keep_registry();
    }

    /// Gives an instance up that was not heard of.
    pub(crate) fn expire(&mut self, name: &str, now: f64) {
        let channel = if self.rules.keeps_registry {
            self.messages.iter().rfind(|message| message.sender == name)
        } else {
            self.messages.last()
        };
        let channel = channel.map_or_else(|| "general".to_owned(), |last| last.channel.clone());
        self.remove(name, Leave::Lost, now);
        self.note("expire", name, now, json!({}));
        self.post(
            &Draft {
                sender: name,
                text: &format!("{name} disconnected (timeout)"),
                kind: "leave",
                channel: &channel,
                ..Draft::default()
            },
            now,
        );
    }

    /// Gives up at most one: as agentchattr's sweep, which stumbles over the
    /// first that it finds.
    pub(crate) fn sweep(&mut self, now: f64) {
        let lost = self.registry.live().iter().find(|one| {
            let seen = self.seen.get(&one.name).unwrap_or(&one.registered_at);
            now - seen > self.rules.crash_timeout
        });
        if let Some(name) = lost.map(|one| one.name.clone()) {
            self.expire(&name, now);
        }
    }

    /// Moves all that is kept under a name to another, and whoever it was before.
    pub(crate) fn follow(&mut self, renamed: Option<Renamed>) {
        let Some(Renamed { from, to }) = renamed else {
            return;
        };
        move_key(&mut self.seen, &from, &to);
        move_key(&mut self.active, &from, &to);
        move_key(&mut self.cursors, &from, &to);
        move_key(&mut self.roles, &from, &to);
        for message in &mut self.messages {
            if message.sender == from {
                message.sender.clone_from(&to);
            }
        }
        self.note_rename(from, to);
        self.keep("roles.json", json!(self.roles));
        self.keep("mcp_cursors.json", json!(self.cursors));
        self.keep_registry();
    }

    /// Remembers that a name is another now, for heartbeats.
    pub(crate) fn note_rename(&mut self, from: String, to: String) {
        self.renames.insert(from, to);
        self.keep("renames.json", json!(self.renames));
    }

    /// What a heartbeat of `name` is answered. As agentchattr, it follows all
    /// renames that it remembers, even away from a name that somebody bears:
    /// the answer may be another instance. That one counts as heard of, too.
    pub(crate) fn redirected(&mut self, name: &str, now: f64) -> Option<String> {
        let mut followed = BTreeSet::new();
        let mut current = name.to_owned();
        while let Some(to) = self.renames.get(&current)
            && followed.insert(current.clone())
        {
            current.clone_from(to);
        }
        let found = if self.registry.is_registered(&current) {
            Some(current)
        } else {
            let base = name.split('-').next().unwrap_or(name);
            self.registry.only_one_of(base)
        };
        if let Some(found) = &found {
            self.touch(found, now);
        }
        found
    }

    pub(crate) fn append(&mut self, file: &str, line: String) {
        let file = file.to_owned();
        self.effects.push(Effect::Append { file, line });
    }

    pub(crate) fn keep(&mut self, file: &'static str, json: Value) {
        self.effects.push(Effect::Keep { file, json });
    }

    pub(crate) fn keep_registry(&mut self) {
        if let Some(kept) = self.registry.kept() {
            let json = json!(kept);
            self.keep("registry.json", json);
        }
    }

    pub(crate) fn online(&self, now: f64) -> Vec<&str> {
        let online = self.seen.iter().filter(|(_, seen)| now - **seen < ONLINE);
        online.map(|(name, _)| name.as_str()).collect()
    }

    /// What `/api/status` answers.
    pub(crate) fn status(&self, now: f64) -> Value {
        let within = |times: &BTreeMap<String, f64>, name: &str, limit: f64| {
            times.get(name).is_some_and(|time| now - time < limit)
        };
        let mut all = json!({});
        for one in self.registry.live() {
            all[&one.name] = json!({
                "available": within(&self.seen, &one.name, ONLINE),
                "busy": within(&self.active, &one.name, BUSY),
                "label": one.label,
                "color": one.color,
                "role": self.roles.get(&one.name).map_or("", String::as_str),
            });
        }
        all["paused"] = self.hops.values().any(|hops| hops.paused).into();
        all
    }

    /// Remembers what was said to the server.
    pub(crate) fn note(&mut self, what: &str, name: &str, now: f64, more: Value) {
        let mut entry = json!({"what": what, "name": name, "at": now});
        if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
            entry.extend(more);
        }
        self.told.push(entry);
    }
}

fn move_key<T>(map: &mut BTreeMap<String, T>, from: &str, to: &str) {
    if let Some(value) = map.remove(from) {
        map.insert(to.to_owned(), value);
    }
}
