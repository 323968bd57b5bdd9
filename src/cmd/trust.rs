//! `wrapper trust`: what the user has said of projects' servers, and how it is
//! taken back.

use anyhow::Context;
use serde_json::{Value, json};

use super::table::Table;
use crate::cli::{Trust as Verb, TrustForget, TrustList};
use crate::paths;
use crate::report::{self, Failure};
use crate::servers::trust::Trust;
use crate::types::exit::Exit;
use crate::types::text::one_line;

/// Characters of a directory that are shown.
const LONGEST: usize = 400;

pub(super) fn run(verb: &Verb) -> Result<Exit, Failure> {
    let trust = Trust::new(&paths::state(&paths::env()));
    match verb {
        Verb::List(args) => list(&trust, args),
        Verb::Forget(args) => forget(&trust, args),
    }
    .map_err(|error| Failure::new(Exit::NotDone, error))
}

fn list(trust: &Trust, args: &TrustList) -> anyhow::Result<Exit> {
    let all = trust.all()?;
    if args.json {
        let list = all
            .iter()
            .map(|(dir, answer)| json!({"directory": dir.to_string_lossy(), "answer": answer}));
        report::line(list.collect::<Value>());
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        report::note("nothing was asked about any project's servers yet");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["ANSWER", "DIRECTORY"]);
    for (dir, answer) in &all {
        table.row([
            report::word(answer),
            one_line(&dir.to_string_lossy(), LONGEST),
        ]);
    }
    table.print();
    Ok(Exit::Done)
}

fn forget(trust: &Trust, args: &TrustForget) -> anyhow::Result<Exit> {
    let here = std::env::current_dir().context("cannot tell the current directory")?;
    let dir = paths::expand(&paths::env(), &args.dir.to_string_lossy());
    let dir = here.join(dir);
    let forgotten = trust.forget(&dir)?;
    let shown = one_line(&dir.to_string_lossy(), LONGEST);
    match (args.json, forgotten) {
        (true, _) => report::json(&json!({"directory": shown, "forgotten": forgotten})),
        (false, true) => report::line(format_args!(
            "forgotten: the next launch in {shown} asks again"
        )),
        (false, false) => report::note(format_args!("nothing was said of the servers in {shown}")),
    }
    Ok(if forgotten { Exit::Done } else { Exit::NotDone })
}
