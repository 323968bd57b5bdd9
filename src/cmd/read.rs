//! `wrapper read`: the chat, as text or as JSON, once or as it goes on.

use chrono::{DateTime, Local, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::setting::{Setting, block_on, hub_failure};
use crate::cli::Read;
use crate::hub::api::Message;
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
        let show = |message: &Message| {
            if args.json {
                report::line(as_json(message));
            } else {
                report::line(as_text(message));
            }
        };
        messages.iter().for_each(show);
        if !args.follow || report::is_lost() {
            return Ok(Exit::Done);
        }
        let since = messages.last().map_or(0, |message| message.id);
        let mut stream = client
            .stream(&human, Some(since), channel.as_ref())
            .await
            .map_err(hub_failure)?;
        while let Some(message) = stream.next().await.map_err(hub_failure)? {
            show(&message);
            if report::is_lost() {
                return Ok(Exit::Done);
            }
        }
        Err(Failure::new(
            Exit::NotDone,
            anyhow::anyhow!("the hub has ended"),
        ))
    })
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
fn as_text(message: &Message) -> String {
    let clean = |text: &str| {
        text.chars()
            .filter(|&c| c == '\n' || c == '\t' || !text::is_control(c))
            .collect::<String>()
    };
    let clock = time(message).with_timezone(&Local).format("%H:%M");
    let said = clean(&message.text).replace('\n', "\n      ");
    format!(
        "{clock} #{} {}: {said}",
        clean(&message.channel),
        clean(&message.sender)
    )
}
