//! The tools that agents call, under agentchattr's names.
//!
//! Answers are text that every agent reads: a sentence, or a JSON *object*
//! (gemini fails on any other JSON). Who calls is told by the token alone:
//! `sender` and `name` are there for agentchattr's sake, and not looked at.

use std::sync::LazyLock;
use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::api::{Message, STALE};
use super::arguments::{Arguments, BadArgument};
use super::chat::{Caller, Chat, Fault};
use super::post::Post;
use crate::types::identity::{InstanceName, Token};
use crate::types::trigger::ChannelName;

/// The feed of reads that name no channel.
const ALL: &str = "*";

/// What a tool says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// The answer of `tools/list`.
#[expect(clippy::expect_used, reason = "a test reads the compiled-in file")]
pub(super) fn listing() -> &'static RawValue {
    static LISTING: LazyLock<Box<RawValue>> = LazyLock::new(|| {
        let text = include_str!("tools.json").to_owned();
        RawValue::from_string(text).expect("the tools are JSON")
    });
    &LISTING
}

/// Calls a tool as the owner of a token.
pub(super) fn call(
    chat: &mut Chat,
    token: Option<&Token>,
    tool: &str,
    arguments: &Map<String, Value>,
    now: Instant,
) -> Said {
    let plain = |text: &str| Said {
        text: text.into(),
        is_error: false,
    };
    let Some(token) = token else {
        return plain("Error: authenticated agent session required.");
    };
    let Some(Caller::Agent(id)) = chat.caller(token, now) else {
        return plain(STALE);
    };
    let mut desk = Turn { chat, id, now };
    let arguments = Arguments(arguments);
    let done = match tool {
        "chat_send" => desk.send(&arguments),
        "chat_read" => desk.read(&arguments),
        "chat_resync" => desk.resync(&arguments),
        "chat_join" => desk.join(&arguments),
        "chat_who" => Ok(desk.who()),
        "chat_channels" => desk.channels(),
        "chat_claim" => desk.claim(&arguments),
        _ => Err(Failure::Unknown),
    };
    match done {
        Ok(text) => plain(&text),
        Err(Failure::Unknown) => Said {
            text: format!("Unknown tool: {tool}"),
            is_error: true,
        },
        Err(Failure::Arguments(why)) => Said {
            text: format!("Error executing tool {tool}: {why}"),
            is_error: true,
        },
        Err(Failure::Fault(Fault::Store(error))) => {
            tracing::error!(%error, tool, "the store failed");
            Said {
                text: format!("Error executing tool {tool}: the hub cannot reach its store"),
                is_error: true,
            }
        }
        Err(Failure::Fault(fault)) => plain(&format!("Error: {fault}")),
    }
}

enum Failure {
    Unknown,
    Arguments(BadArgument),
    Fault(Fault),
}

impl From<BadArgument> for Failure {
    fn from(bad: BadArgument) -> Self {
        Self::Arguments(bad)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// One call of one instance.
struct Turn<'a> {
    chat: &'a mut Chat,
    id: i64,
    now: Instant,
}

impl Turn<'_> {
    fn send(&mut self, arguments: &Arguments<'_>) -> Result<String, Failure> {
        let text = arguments.required("message")?.replace("\r\n", "\n");
        let choices = arguments.strings("choices")?;
        let job = arguments.whole("job_id", 0)?;
        if job != 0 {
            return Ok(format!("Error: job #{job} not found."));
        }
        if !arguments.text("image_path")?.is_empty() {
            return Ok("Error: this hub takes no images.".into());
        }
        if text.trim().is_empty() {
            return Ok("Empty message, not sent.".into());
        }
        let reply_to = u64::try_from(arguments.whole("reply_to", -1)?)
            .ok()
            .filter(|id| *id > 0);
        if let Some(id) = reply_to
            && !self.chat.store.has_message(id)?
        {
            return Ok(format!("Message #{id} not found."));
        }
        let channel = match arguments.channel()? {
            Some(channel) => channel,
            None => self.own_channel(),
        };
        let unread = [
            self.unread(ALL, None)?,
            self.unread(channel.as_str(), Some(&channel))?,
        ];
        let sent = self.chat.post(
            Caller::Agent(self.id),
            &Post {
                text,
                kind: if choices.is_empty() {
                    "chat"
                } else {
                    "decision"
                },
                channel: channel.clone(),
                reply_to,
                choices,
            },
            self.now,
        )?;
        // One's own message is read, unless others stand unread before it.
        for (feed, unread) in [ALL, channel.as_str()].into_iter().zip(unread) {
            if unread == Some(0) {
                self.chat.store.set_cursor(self.id, feed, sent.message.id)?;
            }
        }
        self.remember(&channel)?;
        Ok(format!("Sent (id={})", sent.message.id))
    }

    fn read(&mut self, arguments: &Arguments<'_>) -> Result<String, Failure> {
        let job = arguments.whole("job_id", 0)?;
        if job != 0 {
            return Ok(format!("Error: job #{job} not found."));
        }
        let limit = arguments.limit(20)?;
        let since = u64::try_from(arguments.whole("since_id", 0)?).unwrap_or(0);
        let channel = arguments.channel()?;
        let feed = channel.as_ref().map_or(ALL, ChannelName::as_str).to_owned();
        let cursor = self.chat.store.cursor(self.id, &feed)?;
        let store = &self.chat.store;
        let messages = match cursor {
            _ if since > 0 => store.messages_after(since, limit, channel.as_ref())?,
            Some(cursor) => store.messages_after(cursor, limit, channel.as_ref())?,
            None => store.last_messages(limit, channel.as_ref())?,
        };
        if let Some(channel) = &channel {
            self.remember(channel)?;
        }
        let Some(last) = messages.last().map(|message| message.id) else {
            return Ok(self.nothing_new());
        };
        // A jump ahead leaves what it jumped over unread.
        let jumped = since > 0 && cursor.is_none_or(|cursor| since > cursor || last < cursor);
        if !jumped {
            self.chat.store.set_cursor(self.id, &feed, last)?;
        }
        if let Some(one) = self.chat.registry.get_mut(self.id) {
            one.life.empty_reads = 0;
        }
        let left = self.chat.store.count_after(last, channel.as_ref())?;
        Ok(self.show(&messages, left))
    }

    fn resync(&mut self, arguments: &Arguments<'_>) -> Result<String, Failure> {
        let limit = arguments.limit(50)?;
        let channel = arguments.channel()?;
        let messages = self.chat.store.last_messages(limit, channel.as_ref())?;
        if let Some(last) = messages.last() {
            let feed = channel.as_ref().map_or(ALL, ChannelName::as_str);
            self.chat.store.set_cursor(self.id, feed, last.id)?;
        }
        Ok(self.show(&messages, 0))
    }

    fn join(&mut self, arguments: &Arguments<'_>) -> Result<String, Failure> {
        let channel = arguments.channel()?.unwrap_or_else(ChannelName::general);
        let text = format!("{} joined", self.name());
        let post = Post {
            kind: "join",
            ..Post::chat(text, channel)
        };
        self.chat.post(Caller::Agent(self.id), &post, self.now)?;
        Ok(format!("Joined. {}", self.who()))
    }

    fn who(&self) -> String {
        let online = self.chat.online(self.now);
        if online.is_empty() {
            "Nobody online.".into()
        } else {
            format!("Online: {}", online.join(", "))
        }
    }

    fn channels(&self) -> Result<String, Failure> {
        let names = self.chat.store.channels()?;
        Ok(json!({"channels": names}).to_string())
    }

    fn claim(&mut self, arguments: &Arguments<'_>) -> Result<String, Failure> {
        let wish = arguments.text("name")?.trim();
        if !wish.is_empty() && wish != self.name() {
            let name: InstanceName = wish
                .parse()
                .map_err(|error| BadArgument(format!("{error}")))?;
            self.chat.claim(self.id, &name)?;
        }
        let one = self.chat.registry.get(self.id).ok_or(Fault::NotFound)?;
        Ok(json!({
            "confirmed_name": one.name,
            "label": one.label,
            "base": one.base,
        })
        .to_string())
    }

    fn name(&self) -> &str {
        self.chat
            .registry
            .get(self.id)
            .map_or("", |one| one.name.as_str())
    }

    /// Where this instance was last.
    fn own_channel(&self) -> ChannelName {
        let one = self.chat.registry.get(self.id);
        one.map_or_else(ChannelName::general, |one| one.channel.clone())
    }

    fn remember(&mut self, channel: &ChannelName) -> Result<(), Fault> {
        let one = self.chat.registry.get_mut(self.id).ok_or(Fault::NotFound)?;
        if one.channel != *channel {
            one.channel = channel.clone();
            self.chat.store.update_instance(one)?;
        }
        Ok(())
    }

    /// How many messages of a feed this instance has not read; None if it
    /// never read the feed.
    fn unread(&self, feed: &str, channel: Option<&ChannelName>) -> Result<Option<u64>, Fault> {
        let store = &self.chat.store;
        match store.cursor(self.id, feed)? {
            Some(cursor) => Ok(Some(store.count_after(cursor, channel)?)),
            None => Ok(None),
        }
    }

    /// Messages as an object: what one of them says cannot pass for another.
    fn show(&self, messages: &[Message], left: u64) -> String {
        let list: Vec<Value> = messages.iter().map(line).collect();
        let mut answer = json!({"you": self.name(), "messages": list});
        if left > 0 {
            answer["unread"] = left.into();
            answer["hint"] = "call chat_read again for the next ones".into();
        }
        answer.to_string()
    }

    /// Ever firmer, for agents that poll.
    fn nothing_new(&mut self) -> String {
        let Some(one) = self.chat.registry.get_mut(self.id) else {
            return String::new();
        };
        one.life.empty_reads += 1;
        match one.life.empty_reads {
            1 => "No new messages. Do not poll — wait for your next prompt.",
            2 => {
                "No new messages. You have read with no results twice — stop polling and wait for a trigger."
            }
            _ => {
                "No new messages. STOP. Repeated empty reads waste tokens. Wait for your next prompt."
            }
        }
        .into()
    }
}

/// A message as agents see it.
fn line(message: &Message) -> Value {
    let mut line = json!({
        "id": message.id,
        "sender": message.sender,
        "text": message.text,
        "type": message.kind,
        "time": message.time,
        "channel": message.channel,
    });
    if let Some(id) = message.reply_to {
        line["reply_to"] = id.into();
    }
    if let Some(metadata) = &message.metadata {
        line["metadata"] = metadata.clone();
    }
    line
}
