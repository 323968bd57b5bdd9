//! `wrapper read`: the chat, as text or as JSON, once or as it goes on.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use chrono::{DateTime, Local, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::setting::{Setting, block_on, hub_failure};
use crate::cli::Read;
use crate::hub::Client;
use crate::hub::api::Message;
use crate::hub::client::Error;
use crate::paths::{self, Env};
use crate::report::{self, Failure};
use crate::types::exit::Exit;
use crate::types::identity::Token;
use crate::types::text;
use crate::types::trigger::ChannelName;

pub(super) fn run(args: &Read) -> Result<Exit, Failure> {
    let channel: Option<ChannelName> = args
        .channel
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error: crate::types::trigger::BadChannel| Failure::new(Exit::NotDone, error))?;
    let setting = Setting::load(&args.options, Exit::NotDone)?;
    let human = setting.human()?;
    let client = setting.client();
    block_on(Exit::NotDone, async {
        let messages = client
            .messages(&human, 0, args.n, channel.as_ref())
            .await
            .map_err(hub_failure)?;
        let mut labels = Labels::of(&client, &human).await;
        if args.json && !args.follow {
            let all = messages.iter().map(|message| as_json(message, &labels));
            report::line(all.collect::<Value>());
            return Ok(Exit::Done);
        }
        let has_colour = has_colour(&setting.env);
        let show = |message: &Message, labels: &Labels| {
            if args.json {
                report::line(as_json(message, labels));
            } else {
                report::line(as_text(message, labels, Local::now(), has_colour));
            }
        };
        for message in &messages {
            show(message, &labels);
        }
        if !args.follow || report::is_lost() {
            return Ok(Exit::Done);
        }
        let mut since = messages.last().map_or(0, |message| message.id);
        let mut is_away = false;
        loop {
            match client.stream(&human, Some(since), channel.as_ref()).await {
                Ok(mut stream) => {
                    if std::mem::take(&mut is_away) {
                        report::note("the hub is back");
                    }
                    // However the stream ends, the next goes on after it.
                    while let Ok(Some(message)) = stream.next().await {
                        since = since.max(message.id);
                        if !labels.0.contains_key(&message.sender) {
                            // It may have registered since.
                            labels = Labels::of(&client, &human).await;
                        }
                        show(&message, &labels);
                        if report::is_lost() {
                            return Ok(Exit::Done);
                        }
                    }
                }
                Err(error @ Error::Unreachable { .. }) => {
                    if !std::mem::replace(&mut is_away, true) {
                        report::note(format_args!("{error}: waiting until it is back"));
                    }
                }
                Err(error) => return Err(hub_failure(error)),
            }
            tokio::time::sleep(AGAIN).await;
        }
    })
}

/// Between two tries to reach a hub that has ended.
const AGAIN: Duration = Duration::from_secs(1);

/// Colour goes to a terminal alone, and where nobody forbids it.
fn has_colour(env: &Env) -> bool {
    io::stdout().is_terminal() && paths::var(env, "NO_COLOR").is_none()
}

fn time(message: &Message) -> DateTime<Utc> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds of this era fit"
    )]
    DateTime::from_timestamp_millis((message.timestamp * 1000.0) as i64).unwrap_or_default()
}

/// What instances are called in the chat.
#[derive(Default)]
struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Of a hub that tells; of another there are none.
    async fn of(client: &Client, human: &Token) -> Self {
        let all = client.status(human).await.unwrap_or_default().into_iter();
        Self(
            all.map(|(name, status)| (name.into(), status.label))
                .collect(),
        )
    }

    /// A label that says more than the name.
    fn telling(&self, name: &str) -> Option<&str> {
        let label = self.0.get(name)?;
        let is_plain = label.replace(' ', "-").eq_ignore_ascii_case(name);
        (!is_plain && !label.is_empty()).then_some(label)
    }
}

fn as_json(message: &Message, labels: &Labels) -> Value {
    json!({
        "id": message.id,
        "sender": message.sender,
        "label": labels.0.get(&message.sender),
        "reply_to": message.reply_to,
        "metadata": message.metadata,
        "text": message.text,
        "channel": message.channel,
        "time": time(message).to_rfc3339_opts(SecondsFormat::Millis, true),
        "type": message.kind,
    })
}

/// One message for a terminal: what another hub let through is not ours to
/// let act on it.
fn as_text(message: &Message, labels: &Labels, now: DateTime<Local>, has_colour: bool) -> String {
    let clean = |text: &str| {
        text.chars()
            .filter(|&c| c == '\n' || c == '\t' || !text::is_control(c))
            .collect::<String>()
    };
    let at = time(message).with_timezone(&Local);
    let form = if at.date_naive() == now.date_naive() {
        "%H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    let clock = at.format(form);
    let said = clean(&message.text).replace('\n', "\n      ");
    let (channel, mut sender) = (clean(&message.channel), clean(&message.sender));
    if let Some(label) = labels.telling(&message.sender) {
        sender = format!("{sender} ({})", text::one_line(label, 60));
    }
    let reply = message.reply_to.map(|id| format!(" (to message {id})"));
    let reply = reply.unwrap_or_default();
    let mut line = if has_colour {
        format!("\x1b[2m{clock} #{channel}\x1b[0m \x1b[1;36m{sender}\x1b[0m{reply}: {said}")
    } else {
        format!("{clock} #{channel} {sender}{reply}: {said}")
    };
    let metadata = message.metadata.as_ref();
    let choices = metadata.and_then(|metadata| metadata["choices"].as_array());
    for choice in choices.into_iter().flatten().filter_map(Value::as_str) {
        line.push_str("\n      - ");
        line.push_str(&text::one_line(choice, 200));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_shows_its_choices_and_a_reply_what_it_answers() {
        let message = |value: Value| -> Message {
            let mut all = json!({
                "id": 3, "sender": "claude-2", "text": "which?", "type": "decision",
                "channel": "general", "timestamp": 0.0,
            });
            let more = value.as_object().expect("an object").clone();
            all.as_object_mut().expect("an object").extend(more);
            serde_json::from_value(all).expect("a message")
        };
        let label = |label: &str| Labels([("claude-2".into(), label.into())].into());
        let asked = message(json!({"metadata": {"choices": ["yes", "no\u{1b}[2J"]}}));
        let shown = as_text(&asked, &label("Reviewer"), Local::now(), false);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[0].ends_with("#general claude-2 (Reviewer): which?"),
            "{shown}"
        );
        assert_eq!(lines[1..], ["      - yes", "      - no[2J"]);
        let reply = message(json!({"reply_to": 2}));
        let shown = as_text(&reply, &label("Claude 2"), Local::now(), false);
        assert!(
            shown.ends_with("#general claude-2 (to message 2): which?"),
            "{shown}"
        );
        let json = as_json(&asked, &label("Reviewer"));
        assert_eq!(json["metadata"]["choices"][0], "yes");
        assert_eq!(json["label"], "Reviewer");
        assert_eq!(as_json(&reply, &label(""))["reply_to"], 2);
    }

    #[test]
    fn a_message_of_another_day_has_its_date() {
        let now = Local::now();
        #[expect(clippy::cast_precision_loss, reason = "seconds of this era fit")]
        let message = |seconds: i64| -> Message {
            let text = json!({
                "id": 1, "uid": "u", "sender": "ann", "text": "hi\u{1b}[2J", "type": "chat",
                "timestamp": (now.timestamp() - seconds) as f64, "time": "", "attachments": [],
                "channel": "general", "reply_to": null, "metadata": null,
            });
            serde_json::from_value(text).expect("a message")
        };
        let today = as_text(&message(0), &Labels::default(), now, false);
        assert!(today[5..].starts_with(" #general ann: hi[2J"), "{today}");
        let before = as_text(&message(3 * 86_400), &Labels::default(), now, false);
        assert!(before[16..].starts_with(" #general ann: hi"), "{before}");
        assert!(before.starts_with("20"), "{before}");
        let coloured = as_text(&message(0), &Labels::default(), now, true);
        assert!(coloured.contains("\x1b[1;36mann\x1b[0m: hi"), "{coloured}");
    }
}
