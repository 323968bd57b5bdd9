//! `wrapper who`: who is online.

use serde_json::{Value, json};

use super::setting::{Setting, block_on, hub_failure};
use crate::cli::Who;
use crate::report::{self, Failure};
use crate::types::exit::Exit;
use crate::types::text::one_line;

pub(super) fn run(args: &Who) -> Result<Exit, Failure> {
    let setting = Setting::load(&args.options, Exit::NotDone)?;
    let human = setting.human()?;
    let all = block_on(Exit::NotDone, async {
        setting.client().status(&human).await.map_err(hub_failure)
    })?;
    if args.json {
        let list = all.iter().map(|(name, status)| {
            json!({
                "name": name,
                "base": status.base,
                "label": status.label,
                "online": status.available,
                "busy": status.busy,
            })
        });
        report::line(list.collect::<Value>());
        return Ok(Exit::Done);
    }
    let width = all
        .iter()
        .map(|(name, _)| name.as_str().len())
        .max()
        .unwrap_or_default();
    for (name, status) in &all {
        let state = match (status.available, status.busy) {
            (false, _) => "away",
            (true, true) => "busy",
            (true, false) => "online",
        };
        report::line(format_args!(
            "{name:width$}  {state:6}  {}",
            one_line(&status.label, 60)
        ));
    }
    if all.is_empty() {
        report::note("nobody is registered");
    }
    Ok(Exit::Done)
}
