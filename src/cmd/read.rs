//! `wrapper read`: the chat, as text or as JSON, once or as it goes on.

use std::io::{self, IsTerminal};
use std::time::Duration;

use chrono::{DateTime, Local, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::setting::{Setting, block_on, hub_failure};
use crate::cli::Read;
use crate::hub::api::Message;
use crate::hub::client::Error;
use crate::paths::{self, Env};
use crate::report::{self, Failure};
use crate::types::exit::Exit;
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
        if args.json && !args.follow {
            report::line(messages.iter().map(as_json).collect::<Value>());
            return Ok(Exit::Done);
        }
        let has_colour = has_colour(&setting.env);
        let show = |message: &Message| {
            if args.json {
                report::line(as_json(message));
            } else {
                report::line(as_text(message, Local::now(), has_colour));
            }
        };
        messages.iter().for_each(show);
        if !args.follow {
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
                        show(&message);
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

fn as_json(message: &Message) -> Value {
    json!({
        "id": message.id,
        "sender": message.sender,
        "text": message.text,
        "channel": message.channel,
        "time": time(message).to_rfc3339_opts(SecondsFormat::Millis, true),
        "type": message.kind,
    })
}

/// One message for a terminal: what another hub let through is not ours to
/// let act on it.
fn as_text(message: &Message, now: DateTime<Local>, has_colour: bool) -> String {
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
    let (channel, sender) = (clean(&message.channel), clean(&message.sender));
    if has_colour {
        format!("\x1b[2m{clock} #{channel}\x1b[0m \x1b[1;36m{sender}\x1b[0m: {said}")
    } else {
        format!("{clock} #{channel} {sender}: {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let today = as_text(&message(0), now, false);
        assert!(today[5..].starts_with(" #general ann: hi[2J"), "{today}");
        let before = as_text(&message(3 * 86_400), now, false);
        assert!(before[16..].starts_with(" #general ann: hi"), "{before}");
        assert!(before.starts_with("20"), "{before}");
        let coloured = as_text(&message(0), now, true);
        assert!(coloured.contains("\x1b[1;36mann\x1b[0m: hi"), "{coloured}");
    }
}
