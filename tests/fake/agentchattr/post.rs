//! Messages, and whom they wake. Pure.

use chrono::{DateTime, Local};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::python::dumps;
use crate::room::Room;
use crate::route::{resolve, route};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: u64,
    uid: String,
    pub(crate) sender: String,
    pub(crate) text: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    timestamp: f64,
    pub(crate) time: String,
    attachments: Vec<Value>,
    pub(crate) channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

/// A message that is to be.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub(crate) sender: &'a str,
    pub(crate) text: &'a str,
    /// `chat`, if empty.
    pub(crate) kind: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) reply_to: Option<i64>,
    pub(crate) metadata: Option<Value>,
}

impl Room {
    /// Stores a message, and wakes those whom it mentions.
    pub(crate) fn post(&mut self, draft: &Draft<'_>, now: f64) -> Message {
        let id = self.messages.last().map_or(0, |last| last.id + 1);
        let message = Message {
            id,
            uid: uid(id, now),
            sender: draft.sender.to_owned(),
            text: draft.text.to_owned(),
            kind: if draft.kind.is_empty() {
                "chat"
            } else {
                draft.kind
            }
            .to_owned(),
            timestamp: now,
            time: clock(now),
            attachments: Vec::new(),
            channel: draft.channel.to_owned(),
            reply_to: draft.reply_to,
            metadata: draft.metadata.clone(),
        };
        self.messages.push(message.clone());
        self.append("agentchattr_log.jsonl", dumps(&message));
        if message.sender != "system" && ["chat", "decision"].contains(&message.kind.as_str()) {
            let more = json!({"id": id, "channel": &message.channel, "text": &message.text});
            self.note("send", draft.sender, now, more);
            self.wake(draft.sender, draft.text, draft.channel, &json!({}), now);
        }
        message
    }

    /// Writes a message into the queues of those whom it mentions, with `more`.
    pub(crate) fn wake(&mut self, sender: &str, text: &str, channel: &str, more: &Value, now: f64) {
        let hops = self.hops.entry(channel.to_owned()).or_default();
        let routed = route(
            sender,
            text,
            &self.registry,
            &self.rules.unaddressed,
            hops,
            self.rules.max_hops,
        );
        if routed.stopped {
            let hops = self.rules.max_hops;
            let text = format!(
                "Loop guard: {hops} agent-to-agent hops reached. Type /continue to resume."
            );
            self.say(&text, "system", channel, now);
        }
        let said = format!("{sender}: {text}");
        for target in routed.targets {
            if !self.enqueue(&target, &said, channel, more, now) {
                let text = format!("{target} appears offline — message queued.");
                self.say(&text, "system", channel, now);
            }
        }
    }

    /// A word of the server's own.
    pub(crate) fn say(&mut self, text: &str, kind: &str, channel: &str, now: f64) {
        let sender = "system";
        self.post(
            &Draft {
                sender,
                text,
                kind,
                channel,
                ..Draft::default()
            },
            now,
        );
    }

    /// Wakes whoever is meant by a name; their names.
    pub(crate) fn trigger(
        &mut self,
        name: &str,
        text: &str,
        channel: &str,
        more: &Value,
        now: f64,
    ) -> Vec<String> {
        let targets = resolve(name, &self.registry);
        for target in &targets {
            self.enqueue(target, text, channel, more, now);
        }
        targets
    }

    /// Writes into the queue of an instance; false if there is none.
    fn enqueue(&mut self, name: &str, text: &str, channel: &str, more: &Value, now: f64) -> bool {
        if !self.registry.is_registered(name) {
            return false;
        }
        let sender = text.split_once(':').map_or("?", |(sender, _)| sender);
        let mut entry =
            json!({"sender": sender, "text": text, "time": clock(now), "channel": channel});
        for (key, value) in more.as_object().into_iter().flatten() {
            entry[key] = value.clone();
        }
        self.append(&format!("{name}_queue.jsonl"), dumps(&entry));
        true
    }
}

/// The time of day in this machine's time zone.
pub(crate) fn clock(now: f64) -> String {
    let time = DateTime::from_timestamp_micros(micros(now)).unwrap_or_default();
    time.with_timezone(&Local).format("%H:%M:%S").to_string()
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of this age fit")]
fn micros(now: f64) -> i64 {
    (now * 1e6) as i64
}

/// An id in the form of a UUID: no two messages have both this number and time.
pub(crate) fn uid(id: u64, now: f64) -> String {
    let time = micros(now).cast_unsigned();
    format!(
        "{:08x}-{:04x}-4000-8000-{:012x}",
        time >> 32,
        (time >> 16) & 0xffff,
        ((time & 0xffff) << 32) | (id & 0xffff_ffff)
    )
}
