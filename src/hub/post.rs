//! What is said in the chat, by others and by the hub itself.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tracing::warn;

use super::api::{HUMAN, SYSTEM, Sent};
use super::chat::{Caller, Chat, Fault, News};
use super::life::Life;
use super::registry::{Instance, default_label};
use super::route::{Absent, Author, Hops, Known, route};
use super::store::Draft;
use crate::types::identity::{InstanceName, Token};
use crate::types::text::is_message;
use crate::types::trigger::ChannelName;

/// Bytes of a message.
const MAX_TEXT: usize = 64 * 1024;
/// Channels of one hub.
const MAX_CHANNELS: usize = 64;

/// Mentions that wait for one instance, and for how long.
const MOST_WAITING: u64 = 100;
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Names that are mentioned and have never been there.
const MOST_EXPECTED: usize = 64;

/// A message to be posted.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) text: String,
    pub(super) kind: &'static str,
    pub(super) channel: ChannelName,
    pub(super) reply_to: Option<u64>,
    /// What the reader may answer; none as a rule.
    pub(super) choices: Vec<String>,
}

impl Post {
    /// An ordinary message.
    pub(super) fn chat(text: impl Into<String>, channel: ChannelName) -> Self {
        Self {
            text: text.into(),
            kind: "chat",
            channel,
            reply_to: None,
            choices: Vec::new(),
        }
    }
}

impl Chat {
    /// Keeps a message and wakes whom it mentions.
    pub(super) fn post(&mut self, by: Caller, post: &Post, now: Instant) -> Result<Sent, Fault> {
        let sender = match by {
            Caller::Human => None,
            Caller::Agent(id) => Some(self.registry.get(id).ok_or(Fault::NotFound)?.name.clone()),
        };
        let hops = self.check(post)?;
        let routed = route(
            &post.text,
            sender.as_ref().map_or(Author::Human, Author::Agent),
            &self.known(now),
            &self.store.bases()?,
            hops,
            self.max_hops,
        );
        let mut names = routed.targets;
        let [mut reached, mut waiting, mut refused] = [const { Vec::new() }; 3];
        for absent in routed.absent {
            let name = absent.name.clone();
            if self.expect(absent, now)? {
                names.push(name);
            } else {
                refused.push(name);
            }
        }
        let targets: Vec<&Instance> = names
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
            metadata: (!post.choices.is_empty()).then(|| json!({"choices": post.choices})),
        })?;
        for one in &targets {
            if one.life.holds(now) {
                self.store.add_trigger(one.id, &message)?;
                reached.push(one.name.clone());
                continue;
            }
            self.expire(one)?;
            let name = &one.name;
            let text = if self.store.count_triggers(one.id)? < MOST_WAITING {
                self.store.add_trigger(one.id, &message)?;
                waiting.push(name.clone());
                format!("{name} is offline: the mention waits for it.")
            } else {
                refused.push(name.clone());
                format!(
                    "{name} is offline, and {MOST_WAITING} mentions wait for it: this one does not."
                )
            };
            self.say(&post.channel, &text)?;
        }
        if sender.is_none() && post.text.trim() == "/continue" {
            self.say(&post.channel, &format!("Routing resumed by {HUMAN}."))?;
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
            if let Err(error) = self.hand_over(one.id, now) {
                // The message is there; the mention waits.
                warn!(%error, name = %one.name, "a mention was not written to a queue file");
            }
        }
        Ok(Sent {
            message,
            reached,
            waiting,
            refused,
            unknown: routed.unknown,
        })
    }

    /// Enters an agent that is mentioned and not there, so that what waits for
    /// it has a place. False where too many are expected already.
    fn expect(&mut self, absent: Absent, now: Instant) -> Result<bool, Fault> {
        let is_expected = |one: &&Instance| one.registered_at == 0.0;
        let expected = self.registry.instances.iter().filter(is_expected);
        if expected.count() >= MOST_EXPECTED {
            return Ok(false);
        }
        let Absent { base, slot, name } = absent;
        let mut one = Instance {
            id: 0,
            uid: Token::random().expose().to_owned(),
            label: default_label(&base, None, slot),
            name,
            base,
            slot,
            role: String::new(),
            token: Token::random(),
            stale: Vec::new(),
            channel: ChannelName::general(),
            registered_at: 0.0,
            life: Life::never(now),
        };
        one.id = self.store.add_instance(&one)?;
        self.registry.instances.push(one);
        Ok(true)
    }

    /// Gives up mentions that have waited too long for an instance, and says so
    /// in their channels.
    pub(super) fn expire(&self, one: &Instance) -> Result<(), Fault> {
        let before = wall() - LONGEST_WAIT.as_secs_f64();
        for (channel, count) in self.store.expire_triggers(one.id, before)? {
            let many = if count == 1 { "mention" } else { "mentions" };
            let text = format!(
                "{count} {many} waited for {} for more than 7 days: given up.",
                one.name
            );
            self.say(&channel, &text)?;
        }
        Ok(())
    }

    /// Refuses what no message may be; returns the state of its channel.
    fn check(&self, post: &Post) -> Result<Hops, Fault> {
        let invalid = |why: String| Err(Fault::Invalid(why));
        if post.text.trim().is_empty() {
            return invalid("text is required".into());
        }
        let choices: usize = post.choices.iter().map(String::len).sum();
        if post.text.len() + choices > MAX_TEXT {
            return invalid(format!("text is longer than {MAX_TEXT} bytes"));
        }
        if !is_message(&post.text) || !post.choices.iter().all(|choice| is_message(choice)) {
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
    pub(super) fn say(&self, channel: &ChannelName, text: &str) -> Result<(), Fault> {
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
}

/// Seconds since 1970.
pub(super) fn wall() -> f64 {
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
