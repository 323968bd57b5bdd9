//! A conversation and its answer, whatever API they came by. Pure.

use serde_json::Value;

/// A request of any API.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) turns: Vec<Turn>,
    pub(crate) tools: Vec<Tool>,
    /// The answer has to be JSON of this schema.
    pub(crate) schema: Option<Value>,
}

/// A piece of a conversation.
#[derive(Debug, PartialEq)]
pub(crate) enum Turn {
    User(String),
    Model(String),
    Call { tool: String, input: Value },
    Result(String),
}

/// A tool that the agent offers.
#[derive(Debug, Default)]
pub(crate) struct Tool {
    /// As the model calls it; in a namespace, the part behind that.
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    /// The schema of its input.
    pub(crate) input: Value,
    /// It was not offered: a search has shown its schema.
    pub(crate) is_deferred: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Text(String),
    Call {
        tool: String,
        namespace: Option<String>,
        input: Value,
    },
}

impl Request {
    /// What the tool said that was called last, if nothing was answered since.
    /// Agents put reminders of their own behind it, as words of the user.
    pub(crate) fn result(&self) -> Option<&str> {
        let last = self.turns.iter().rev();
        let mut last = last.skip_while(|turn| matches!(turn, Turn::User(_)));
        match last.next()? {
            Turn::Result(text) => Some(text),
            _ => None,
        }
    }
}

impl Tool {
    /// The name with its namespace before it.
    pub(crate) fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}__{}", self.name),
            None => self.name.clone(),
        }
    }

    /// True if this is `tool` of the MCP server `server`. Agents put the
    /// server's name before the tool's, each with signs of its own between.
    pub(crate) fn is_of(&self, server: &str, tool: &str) -> bool {
        let wanted = format!("{server}_{tool}");
        words(&self.full_name()).ends_with(&words(&wanted))
    }
}

fn words(name: &str) -> Vec<&str> {
    let words = name.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).collect()
}
