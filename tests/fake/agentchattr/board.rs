//! The rules that agents are told, and jobs. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rules that there may be.
const MAX_RULES: usize = 50;

/// Characters of a rule.
const MAX_RULE: usize = 160;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Board {
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    rules: Vec<Rule>,
    /// The epoch that each agent says it was told.
    #[serde(skip)]
    synced: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rule {
    id: usize,
    text: String,
    author: String,
    reason: String,
    /// `active`: agents are told of it.
    status: String,
}

impl Board {
    /// Takes a proposal; its number and text.
    pub(crate) fn propose(
        &mut self,
        text: &str,
        author: &str,
        reason: &str,
    ) -> Result<(usize, String), &'static str> {
        let text: String = text.trim().chars().take(MAX_RULE).collect();
        if text.is_empty() {
            return Err("Error: rule text is required.");
        }
        if self.rules.len() >= MAX_RULES {
            return Err("Error: too many rules.");
        }
        let id = self.rules.last().map_or(1, |last| last.id + 1);
        self.rules.push(Rule {
            id,
            text: text.clone(),
            author: author.to_owned(),
            reason: reason.to_owned(),
            status: "pending".into(),
        });
        Ok((id, text))
    }

    fn active(&self) -> Vec<&str> {
        let active = self.rules.iter().filter(|rule| rule.status == "active");
        active.map(|rule| rule.text.as_str()).collect()
    }

    /// As `chat_rules` lists them.
    pub(crate) fn listing(&self) -> String {
        let active = self.active();
        if active.is_empty() {
            return "No active rules.".into();
        }
        let lines = active
            .iter()
            .zip(1..)
            .map(|(text, n)| format!("\n{n}. {text}"));
        format!(
            "Active rules (epoch {}):{}",
            self.epoch,
            lines.collect::<String>()
        )
    }

    /// As `/api/rules/active` has them.
    pub(crate) fn for_agents(&self) -> Value {
        json!({"epoch": self.epoch, "rules": self.active(), "refresh_interval": 10})
    }

    pub(crate) fn all(&self) -> Value {
        json!(self.rules)
    }

    pub(crate) fn sync(&mut self, name: &str, epoch: Value) {
        self.synced.insert(name.to_owned(), epoch);
    }

    pub(crate) fn freshness(&self) -> Value {
        let mut agents = json!({});
        for (name, epoch) in &self.synced {
            let is_fresh = epoch.as_u64().is_some_and(|epoch| epoch >= self.epoch);
            let status = if is_fresh { "fresh" } else { "stale" };
            agents[name] = json!({"last_epoch": epoch, "status": status});
        }
        json!({"epoch": self.epoch, "agents": agents})
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) uid: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) status: String,
    pub(crate) channel: String,
    pub(crate) created_by: String,
    pub(crate) assignee: String,
    pub(crate) anchor_msg_id: Value,
    pub(crate) messages: Vec<Value>,
    pub(crate) created_at: f64,
    pub(crate) updated_at: f64,
    pub(crate) sort_order: u64,
}

impl Job {
    /// What `chat_read` tells of it before its messages.
    pub(crate) fn header(&self) -> Value {
        json!({
            "id": -1,
            "sender": "system",
            "type": "job_header",
            "text": format!("Job: {}\nDescription: {}", self.title, self.body),
            "title": self.title,
            "body": self.body,
            "status": self.status,
            "channel": self.channel,
            "created_by": self.created_by,
            "assignee": self.assignee,
        })
    }
}
