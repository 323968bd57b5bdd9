//! `wrapper say`: posts to the chat as the human.

use std::io::Read;

use anyhow::Context;
use serde_json::json;

use super::setting::{Setting, block_on, hub_failure};
use crate::cli::Say;
use crate::hub::api::Sent;
use crate::report::{self, Failure};
use crate::types::exit::Exit;
use crate::types::identity::{AgentName, InstanceName};
use crate::types::trigger::ChannelName;

pub(super) fn run(args: &Say) -> Result<Exit, Failure> {
    let not_done = |error: anyhow::Error| Failure::new(Exit::NotDone, error);
    let channel: ChannelName = args
        .channel
        .parse()
        .map_err(|error: crate::types::trigger::BadChannel| not_done(error.into()))?;
    let setting = Setting::load(&args.options, Exit::NotDone)?;
    let text = if args.text == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")
            .map_err(not_done)?;
        text.trim_end().to_owned()
    } else {
        args.text.clone()
    };
    let human = setting.human()?;
    let agents: Vec<AgentName> = setting.config.agents().cloned().collect();
    let sent = block_on(Exit::NotDone, async {
        setting
            .client()
            .say(&human, &text, &channel, &agents)
            .await
            .map_err(hub_failure)
    })?;
    if args.json {
        report::line(json!({
            "id": sent.message.id,
            "channel": sent.message.channel,
            "reached": sent.reached,
            "waiting": sent.waiting,
            "refused": sent.refused,
            "unknown": sent.unknown,
        }));
    } else {
        for line in fates(&sent) {
            report::note(line);
        }
    }
    Ok(Exit::Done)
}

/// What becomes of the mentions, a line for each fate.
fn fates(sent: &Sent) -> Vec<String> {
    let names = |names: &[InstanceName]| {
        let names: Vec<&str> = names.iter().map(InstanceName::as_str).collect();
        names.join(", ")
    };
    let unknown: Vec<String> = sent.unknown.iter().map(|word| format!("@{word}")).collect();
    let told = [
        (names(&sent.reached), "told: ", ""),
        (
            names(&sent.waiting),
            "not running: ",
            " (the mention waits until it is, at most 7 days)",
        ),
        (
            names(&sent.refused),
            "not told: ",
            " (not running, and too many mentions wait for it)",
        ),
        (
            unknown.join(", "),
            "not known: ",
            " (no agent of the configuration, and nobody who is registered)",
        ),
    ];
    let told = told.into_iter().filter(|(names, ..)| !names.is_empty());
    told.map(|(names, before, after)| format!("{before}{names}{after}"))
        .collect()
}
