//! `wrapper up [FILE]`: starts the sessions of a team file that do not run yet,
//! all at once, in the background.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::front::Detached;
use super::setting::{self, Setting, block_on};
use super::team::{TeamFile, failed};
use super::{background, gather};
use crate::cli::{Run, Up};
use crate::config::{self, Member};
use crate::control;
use crate::control::Client;
use crate::control::protocol::Prompt;
use crate::paths;
use crate::report::{self, Failure};
use crate::session::{State, Word};
use crate::types::exit::Exit;
use crate::types::identity::SessionId;
use crate::types::options::{AgentOptions, Options};
use crate::types::text::one_line;

/// Characters of what a launch says when it fails.
const LONGEST: usize = 400;

/// What became of a member.
#[derive(Debug, Serialize)]
struct Told {
    /// The member's name in its file.
    member: String,
    agent: String,
    outcome: Outcome,
    /// The session's, if it runs.
    name: Option<String>,
    id: Option<SessionId>,
    pid: Option<u32>,
    /// What its agent does.
    state: Option<State>,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Started,
    /// It was there before.
    Running,
    Failed,
}

pub(super) fn run(args: &Up) -> Result<Exit, Failure> {
    let setting = Setting::load(&args.options, Exit::NotDone)?;
    let file = TeamFile::find(args.file.as_deref())?;
    let _turn = file.hold().map_err(failed)?;
    let text = fs::read_to_string(&file.0)
        .with_context(|| format!("cannot read {}", file.0.display()))
        .map_err(failed)?;
    let members = config::team(&file.0, &text, &setting.config, &setting.env)
        .map_err(|error| setting::failure(Exit::NotDone, error))?;
    let mut told = block_on(Exit::NotDone, async {
        Ok(start_all(&setting, &file, &members, args).await)
    })?;
    let place = |one: &Told| members.iter().position(|member| member.name == one.member);
    told.sort_by_key(place);
    if args.json {
        report::json(&told);
    }
    let all = told.iter().all(|one| one.outcome != Outcome::Failed);
    Ok(if all { Exit::Done } else { Exit::NotDone })
}

async fn start_all(setting: &Setting, file: &TeamFile, members: &[Member], args: &Up) -> Vec<Told> {
    let state: Arc<Path> = paths::state(&setting.env).into();
    let found = file.sessions(&state).await;
    let running: BTreeMap<&str, _> = (found.iter())
        .filter_map(|found| Some((file.member(&found.session)?, &found.session)))
        .collect();
    let mut told = Vec::new();
    let mut say = |one: Told| {
        if !args.json {
            line(&one);
        }
        told.push(one);
    };
    let mut wanted = Vec::new();
    for member in members {
        if let Some(session) = running.get(member.name.as_str()) {
            say(Told {
                member: member.name.clone(),
                agent: member.agent.clone(),
                outcome: Outcome::Running,
                name: Some(session.name.clone()),
                id: Some(session.id.clone()),
                pid: Some(session.pid),
                state: Some(session.state),
                reason: None,
            });
        } else if !member.cwd.is_dir() {
            say(failure_of(member, &member.no_cwd));
        } else if let Err(failure) = ask_first(setting, member, &args.options) {
            say(failure_of(member, &format!("{:#}", failure.error)));
        } else {
            wanted.push(member.clone());
        }
    }
    let options = args.options.words();
    let progress = MultiProgress::new();
    let mut starting = JoinSet::new();
    for member in wanted {
        let bar = progress.add(spinner(&member.name));
        let mut command = launch(&member, &file.mark(&member.name), &options);
        let state = Arc::clone(&state);
        starting.spawn(async move {
            let one = match command.as_mut() {
                Ok(command) => start(&member, command, &state).await,
                Err(error) => Err(anyhow!("{error}")),
            };
            bar.finish_and_clear();
            one.unwrap_or_else(|error| failure_of(&member, &format!("{error:#}")))
        });
    }
    while let Some(started) = starting.join_next().await {
        let one = started.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
        progress.suspend(|| say(one));
    }
    told
}

/// What a launch would ask is asked before, one after the other: several would
/// ask at once.
fn ask_first(setting: &Setting, member: &Member, options: &Options) -> Result<(), Failure> {
    let launch = Run {
        agent: member.agent.clone(),
        of_agent: AgentOptions {
            cwd: Some(member.cwd.clone()),
            ..AgentOptions::default()
        },
        options: options.clone(),
        ..Run::default()
    };
    let spec = setting.config.agent(&launch.agent, &launch.of_agent);
    let spec = spec.map_err(|error| setting::failure(Exit::NotDone, error))?;
    gather::gather(setting, &spec, &launch).map(drop)
}

/// The command that launches a member in the background.
fn launch(member: &Member, mark: &str, options: &[OsString]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["run", &member.agent, "-d", "--json", "--team", mark])
        .arg("--cwd")
        .arg(&member.cwd)
        .args(options);
    // What the chat shows: the name in the file, where there is no better word.
    let label = member.label.as_deref().unwrap_or(member.name.as_str());
    command.arg(format!("--label={label}"));
    if let Some(restart) = &member.restart {
        command.args(["--restart", &report::word(restart)]);
    }
    command
        .arg("--")
        .args(&member.args)
        .envs(&member.env)
        .stdin(Stdio::null());
    Ok(command)
}

/// Launches a member, and sends it its prompt.
async fn start(member: &Member, command: &mut Command, state: &Path) -> anyhow::Result<Told> {
    let output = command.output().await.context("cannot start a launch")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let (error, hint) = report::told(&said);
        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
        return Err(anyhow!("{error}{hint}"));
    }
    let launched: Detached =
        serde_json::from_slice(&output.stdout).context("cannot read what the launch says")?;
    let mut told = Told {
        member: member.name.clone(),
        agent: member.agent.clone(),
        outcome: Outcome::Started,
        name: Some(launched.name),
        id: Some(launched.id.clone()),
        pid: Some(launched.pid),
        state: Some(launched.state),
        reason: None,
    };
    if let Some(text) = &member.prompt {
        let place = state.join("sessions").join(launched.id.as_str());
        let prompt = Prompt {
            text: text.clone(),
            no_wait: true,
            ..Prompt::default()
        };
        let sent = Client::new(&place.join(control::NAME))
            .prompt(&prompt)
            .await;
        let refused = match sent {
            Ok(receipt) if receipt.outcome == Word::Refused => receipt.reason,
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = refused {
            told.outcome = Outcome::Failed;
            told.reason = Some(one_line(
                &format!("it runs, without its prompt: {why}"),
                LONGEST,
            ));
        }
    }
    Ok(told)
}

fn failure_of(member: &Member, why: &str) -> Told {
    Told {
        member: member.name.clone(),
        agent: member.agent.clone(),
        outcome: Outcome::Failed,
        name: None,
        id: None,
        pid: None,
        state: None,
        reason: Some(one_line(why, LONGEST)),
    }
}

fn line(told: &Told) {
    let (member, outcome) = (&told.member, report::word(&told.outcome));
    match (&told.name, &told.reason) {
        (_, Some(why)) => report::line(format_args!("{outcome:<7}  {member}: {why}")),
        (Some(name), None) if name != member => {
            report::line(format_args!("{outcome:<7}  {member}, as {name}"));
        }
        _ => report::line(format_args!("{outcome:<7}  {member}")),
    }
    if let (Some(name), Some(state)) = (&told.name, told.state)
        && let Some(advice) = background::advice(name, state)
    {
        report::note(advice);
    }
}

/// Moves on a terminal alone.
fn spinner(member: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(format!("{member} starts"));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
