//! `wrapper doctor`: tests what a launch would need, by what a launch does, and
//! says what is wrong and the cure.
//!
//! *Invariant*: it registers nobody, asks nothing, starts no agent but for its
//! version, and what it makes is gone when it ends. What an agent does when it is
//! asked for its version (copilot unpacks itself) is the agent's.

mod agent;
mod machine;

use serde::Serialize;

use super::setting::{Setting, block_on};
use crate::cli::{Doctor, Run};
use crate::report::{self, Failure};
use crate::types::exit::Exit;
use crate::types::options::AgentOptions;
use crate::types::text::one_line;

/// Characters of a line.
const LONGEST: usize = 400;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// `hub`, `claude`, `claude: docs`.
    name: String,
    state: State,
    text: String,
    /// What to do about it.
    cure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Something will not work, or not as well as it might.
    Warning,
    /// A launch would fail.
    Problem,
}

pub(super) fn run(args: &Doctor) -> Result<Exit, Failure> {
    let mut checks = Checks {
        all: Vec::new(),
        is_printed: !args.json,
    };
    match Setting::load(&args.options, Exit::NotDone) {
        Ok(setting) => {
            checks.ok(
                "configuration",
                "it is valid: `wrapper config --origin` shows it",
            );
            block_on(Exit::NotDone, async {
                examine(&setting, args, &mut checks).await;
                Ok(())
            })?;
        }
        Err(failure) => checks.failure("configuration", &failure),
    }
    if args.json {
        report::json(&checks.all);
    }
    let is_well = checks.all.iter().all(|check| check.state != State::Problem);
    Ok(if is_well { Exit::Done } else { Exit::NotDone })
}

async fn examine(setting: &Setting, args: &Doctor, checks: &mut Checks) {
    let dir = machine::state(setting, checks);
    machine::hub(setting, checks).await;
    machine::terminal(setting, checks);
    machine::tmux(checks).await;
    let launch = |agent: &str| Run {
        agent: agent.to_owned(),
        // Asks nothing, fetches nothing.
        dry_run: true,
        options: args.options.clone(),
        ..Run::default()
    };
    if let Some(agent) = &args.agent {
        agent::examine(setting, &launch(agent), dir.as_ref(), checks).await;
        return;
    }
    let mut found = false;
    for name in setting.config.agents() {
        let spec = setting
            .config
            .agent(name.as_str(), &AgentOptions::default());
        if spec.is_ok_and(|spec| agent::find(&spec, setting).is_ok()) {
            found = true;
            agent::examine(setting, &launch(name.as_str()), dir.as_ref(), checks).await;
        }
    }
    if !found {
        checks.add(
            "agents",
            State::Warning,
            "none of the configured agents is installed",
            Some(
                "install one, or set its `command`: `wrapper doctor AGENT` says what is looked for",
            ),
        );
    }
}

/// What was found so far; told as it is found.
struct Checks {
    all: Vec<Check>,
    is_printed: bool,
}

impl Checks {
    fn ok(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.add(name, State::Ok, text, None::<String>);
    }

    fn failure(&mut self, name: impl Into<String>, failure: &Failure) {
        let text = format!("{:#}", failure.error);
        self.add(name, State::Problem, text, failure.hint.clone());
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        state: State,
        text: impl Into<String>,
        cure: Option<impl Into<String>>,
    ) {
        let check = Check {
            name: name.into(),
            state,
            text: one_line(&text.into(), LONGEST),
            cure: cure.map(|cure| one_line(&cure.into(), LONGEST)),
        };
        if self.is_printed {
            let (state, name, text) = (report::word(&check.state), &check.name, &check.text);
            let cure = check.cure.as_ref();
            let cure = cure.map_or_else(String::new, |cure| format!("; {cure}"));
            report::line(format_args!("{state:<7}  {name}: {text}{cure}"));
        }
        self.all.push(check);
    }
}
