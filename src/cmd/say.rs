//! `wrapper say`: posts to the chat as the human.

use std::io::Read;

use anyhow::Context;
use serde_json::json;

use super::setting::{Setting, block_on, hub_failure};
use crate::cli::Say;
use crate::report::{self, Failure};
use crate::types::exit::Exit;
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
    let message = block_on(Exit::NotDone, async {
        setting
            .client()
            .send(&human, &text, &channel)
            .await
            .map_err(hub_failure)
    })?;
    if args.json {
        report::line(json!({"id": message.id, "channel": message.channel}));
    }
    Ok(Exit::Done)
}
