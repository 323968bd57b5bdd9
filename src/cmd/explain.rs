//! `wrapper explain`: why an agent's state is what it is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::found;
use super::manifest;
use super::setting::block_on;
use crate::cli::Explain;
use crate::control::explain::{Explained, Reason};
use crate::paths;
use crate::report::{self, Failure};
use crate::session::detect::View;
use crate::session::{Judged, State};
use crate::types::exit::Exit;

pub(super) fn run(args: &Explain) -> Result<Exit, Failure> {
    let explained = match (&args.session, &args.screen, &args.agent) {
        (Some(session), _, _) => block_on(Exit::NotDone, async {
            let found = found::session(session).await?;
            if found.session.state == State::Suspended {
                return Ok(Explained::suspended());
            }
            found.client.explain().await.map_err(found::refused)
        })?,
        (None, Some(file), Some(agent)) => of_file(file, agent)?,
        (None, ..) => return Err(Failure::new(Exit::Usage, anyhow!("name a session"))),
    };
    if args.json {
        report::json(&explained);
    } else {
        tell(&explained);
    }
    Ok(Exit::Done)
}

/// What a screen that was written down shows, to an agent that has written
/// nothing for a long time.
fn of_file(file: &Path, agent: &str) -> Result<Explained, Failure> {
    let failed = |error| Failure::new(Exit::NotDone, error);
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(failed)?;
    let Some(view) = View::read(&text) else {
        let file = file.display();
        let error = anyhow!("cannot read {file}: line 1 is not `cursor ROW COLUMN`");
        let hint = "`wrapper explain SESSION --json` has such a text in its `screen`";
        return Err(failed(error).hint(hint));
    };
    let (manifest, unused) = manifest::of(&paths::env(), agent, Path::new(agent));
    if let Some(why) = unused {
        report::warning(why);
    }
    let verdict = manifest.judge(&view);
    Ok(Explained::from(Judged {
        state: verdict.state(view.bracketed_paste, Duration::MAX, Duration::MAX),
        waits_for: verdict.waits_for(),
        stash: manifest.stash().map(<[u8]>::to_vec),
        verdict,
        view,
    }))
}

fn tell(explained: &Explained) {
    let line = |what: &str, text: &str| report::line(format_args!("{what:8} {text}"));
    line("state", &report::word(&explained.state));
    let mut rules = explained.rules.iter();
    match rules.next() {
        Some(rule) => reason("rule", rule),
        None if explained.state == State::Suspended => {}
        None if explained.manifest => line("rule", "none: no rule knows this screen"),
        None => line(
            "rule",
            "none: this agent has no manifest, and its silence decides",
        ),
    }
    rules.for_each(|rule| reason("also", rule));
    let would = explained.waits_for.as_ref();
    let would = would.map_or_else(
        || "would be typed now".to_owned(),
        |why| format!("would wait: {why}"),
    );
    line("prompt", &would);
}

fn reason(what: &str, rule: &Reason) {
    let rows: Vec<String> = rule.rows.iter().map(ToString::to_string).collect();
    report::line(format_args!(
        "{what:8} {name}: {state}, priority {priority}, by row {rows} of the {region}",
        name = rule.rule,
        state = report::word(&rule.state),
        priority = rule.priority,
        rows = rows.join(", "),
        region = report::word(&rule.region).replace('_', " "),
    ));
    for text in &rule.text {
        report::line(format_args!("{:8} | {text}", ""));
    }
}
