//! `wrapper who`: who is online.

use serde_json::{Value, json};

use super::setting::{Setting, block_on, hub_failure};
use super::table::Table;
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
    if all.is_empty() {
        report::note("nobody is registered");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["NAME", "STATE", "LABEL"]);
    for (name, status) in &all {
        let state = match (status.available, status.busy) {
            (false, _) => "away",
            (true, true) => "busy",
            (true, false) => "online",
        };
        table.row([
            name.to_string(),
            state.to_owned(),
            one_line(&status.label, 60),
        ]);
    }
    table.print();
    Ok(Exit::Done)
}
