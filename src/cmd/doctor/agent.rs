//! What one agent needs: its program, what it is told, and every server that it
//! is told of, asked by the way that a session would go.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::gather::{self, Told};
use super::super::gear::Gear;
use super::super::plan::{self, Wiring};
use super::super::program::{self, environment};
use super::super::setting::{self, Setting};
use super::machine::Lent;
use super::{Checks, State};
use crate::cli::Run;
use crate::paths;
use crate::proxy::Seen;
use crate::report::{self, Failure};
use crate::types::agent::{AgentSpec, Dialect};
use crate::types::exit::Exit;
use crate::types::identity::ServerName;
use crate::types::server::{Kind, Server};
use crate::types::text::one_line;
use crate::types::upstream::Live;

/// How long an agent may take to tell its version.
const VERSION: Duration = Duration::from_secs(20);

/// How long a server may take to tell its tools: one that is a command may have
/// to be fetched.
const PATIENCE: Duration = Duration::from_secs(35);
/// How long they may take before that is said.
const PROGRESS: Duration = Duration::from_secs(1);

/// The versions that `scripts/real-agents` drives, by their programs.
const TRIED: [(&str, &str); 7] = [
    ("claude", "2.1.332"),
    ("codex", "0.171.0"),
    ("copilot", "1.0.102"),
    ("gemini", "0.61.0"),
    ("kilo", "7.7.7"),
    ("opencode", "1.18.33"),
    ("qwen", "0.24.4"),
];

pub(super) async fn examine(
    setting: &Setting,
    launch: &Run,
    dir: Option<&Lent>,
    checks: &mut Checks,
) {
    let name = launch.agent.as_str();
    let spec = setting.config.agent(name, &launch.of_agent);
    let spec = match spec.map_err(|error| setting::failure(Exit::NotDone, error)) {
        Ok(spec) => spec,
        Err(failure) => return checks.failure(name, &failure),
    };
    match find(&spec, setting) {
        Ok((spec, program)) => version(setting, &spec, &program, checks).await,
        Err(failure) => return checks.failure(name, &failure),
    }
    let told = match told(setting, &spec, launch) {
        Ok(told) => told,
        Err(failure) => return checks.failure(format!("{name}: inject"), &failure),
    };
    for warning in &told.warnings {
        checks.add(
            format!("{name}: servers"),
            State::Warning,
            warning,
            None::<String>,
        );
    }
    let how = match &spec.inject {
        Some(inject) => format!("it is told of its servers by `{}`", inject.mode()),
        None => "it is told of no servers: it has no `mcp_inject`".to_owned(),
    };
    checks.ok(format!("{name}: inject"), how);
    if let Some(dir) = dir
        && let Err(error) = servers(setting, &spec, told, dir, checks).await
    {
        checks.failure(
            format!("{name}: servers"),
            &Failure::new(Exit::NotDone, error),
        );
    }
}

/// The agent's own program, which may stand behind `env`; the agent as if that
/// were its command.
pub(super) fn find(spec: &AgentSpec, setting: &Setting) -> Result<(AgentSpec, PathBuf), Failure> {
    let mut spec = spec.clone();
    if spec.command.file_name().is_some_and(|name| name == "env")
        && let Some(own) = spec.args.iter().find(|arg| !arg.contains('='))
    {
        spec.command = own.into();
    }
    program::find(&spec, setting).map(|program| (spec, program))
}

/// What the agent would be told, once it is certain that it can be.
fn told(setting: &Setting, spec: &AgentSpec, launch: &Run) -> Result<Arc<Told>, Failure> {
    let failed = |error| Failure::new(Exit::NotDone, error);
    let told = Arc::new(gather::find(setting, spec, launch)?);
    let wiring = plan::rehearse(spec, setting, &told, launch.offline).map_err(failed)?;
    let refused = |error| plan::refused(spec, Exit::NotDone, error);
    wiring.plan(spec)?.check().map_err(refused)?;
    Ok(told)
}

/// Where the program is, and whether its version is one that was tried.
async fn version(setting: &Setting, spec: &AgentSpec, program: &Path, checks: &mut Checks) {
    let (name, at) = (spec.name.as_str(), program.display());
    let stem = spec.command.file_stem().unwrap_or_default();
    // What an agent of the user's own does with `--version`, nobody knows.
    if Dialect::of(&stem.to_string_lossy()) == Dialect::Generic {
        return checks.ok(name, format!("{at}"));
    }
    let said = match ask_version(setting, spec, program).await {
        Ok(said) => said,
        Err(error) => {
            let text = format!("cannot ask {at} for its version: {error:#}");
            return checks.add(
                name,
                State::Warning,
                text,
                Some("run it so by hand to see why"),
            );
        }
    };
    let tried = TRIED.iter().find(|(program, _)| stem == *program);
    match (numbers(&said), tried) {
        (Some(found), Some((_, tried))) if Some(&found) < numbers(tried).as_ref() => checks.add(
            name,
            State::Warning,
            format!("{at}, {said}: older than {tried}, which was tried"),
            Some("update it if it does not work as it should"),
        ),
        (Some(_), Some((_, tried))) => {
            checks.ok(name, format!("{at}, {said} (tried with {tried})"));
        }
        _ => checks.ok(name, format!("{at}, {said}")),
    }
}

async fn ask_version(setting: &Setting, spec: &AgentSpec, program: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .env_clear()
        .envs(environment(spec, &setting.env))
        .current_dir(&spec.cwd)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(VERSION, command.output()).await;
    let output = output.context("it does not answer")??;
    ensure!(output.status.success(), "it ended with {}", output.status);
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find(|line| !line.trim().is_empty());
    Ok(one_line(line.context("it says nothing")?, 80))
}

/// The first version in a text, as numbers.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.find_map(|word| {
        let word = word.trim_end_matches('.');
        let numbers: Option<Vec<u64>> = word.split('.').map(|part| part.parse().ok()).collect();
        numbers.filter(|numbers| numbers.len() > 1)
    })
}

/// Asks every server but the hub for its tools, through a proxy of its own,
/// with the credentials and the commands that a session would use.
async fn servers(
    setting: &Setting,
    spec: &AgentSpec,
    told: Arc<Told>,
    lent: &Lent,
    checks: &mut Checks,
) -> Result<()> {
    let (Some(id), Some(dir), false) = (lent.id(), lent.path(), told.servers.is_empty()) else {
        return Ok(());
    };
    let context = plan::context(spec, id.clone(), spec.name.as_str(), dir);
    let mut wiring = Wiring::new(told, None, context, dir)?;
    let live = watch::Sender::new(Live::default());
    let gear = Gear::new(spec, setting, &mut wiring, &live, Arc::new(Notify::new()))?;
    let sources = paths::state(&setting.env).join("sources");
    let mut asked = JoinSet::new();
    for server in &wiring.servers {
        let check = format!("{}: {}", spec.name, server.name);
        if is_unfetched(server, &sources) {
            let text = "its repository is not here yet";
            checks.add(
                check,
                State::Warning,
                text,
                Some("the first launch fetches it"),
            );
            continue;
        }
        let (catalog, name) = (Arc::clone(&gear.catalog), server.name.clone());
        asked.spawn(async move {
            let seen = timeout(PATIENCE, catalog.probe(&name)).await;
            let seen = seen.unwrap_or_else(|_| Err("it does not answer".to_owned()));
            (check, name, seen)
        });
    }
    let mut is_said = asked.is_empty();
    loop {
        let answer = match timeout(PROGRESS, asked.join_next()).await {
            Ok(Some(answer)) => answer,
            Ok(None) => break,
            Err(_) => {
                if !is_said {
                    is_said = true;
                    report::note("waiting for the servers' first answers, for 30 s at most");
                }
                continue;
            }
        };
        let (check, name, seen) = answer.context("cannot ask a server")?;
        match seen {
            Ok(seen) => checks.ok(check, shown(&seen)),
            // The agent starts without it.
            Err(why) => checks.add(check, State::Warning, why, Some(cure(&wiring, &name))),
        }
    }
    gear.hosting.end().await;
    Ok(())
}

fn is_unfetched(server: &Server, sources: &Path) -> bool {
    let Kind::Command(command) = &server.kind else {
        return false;
    };
    let words = std::iter::once(&command.program).chain(&command.args);
    let paths = words.map(Path::new).chain(command.cwd.as_deref());
    let mut ours = paths.filter(|path| path.starts_with(sources));
    ours.any(|path| !path.exists())
}

fn shown(seen: &Seen) -> String {
    let name = seen.name.as_deref().unwrap_or("it");
    let version = seen.version.as_deref().map(|version| format!(" {version}"));
    let version = version.unwrap_or_default();
    match seen.tools.len() {
        1 => format!("{name}{version} answers, with a tool"),
        many => format!("{name}{version} answers, with {many} tools"),
    }
}

fn cure(wiring: &Wiring, name: &ServerName) -> String {
    let server = wiring.servers.iter().find(|server| server.name == *name);
    match server.map(|server| &server.kind) {
        Some(Kind::Remote(remote)) if remote.auth.is_some() => {
            format!("look at `auth` and `url` of `[mcp_servers.{name}]`")
        }
        Some(Kind::Remote(_)) => "is it up, and are its `url` and `headers` right?".to_owned(),
        _ => "run its command by hand to see what it lacks".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (text, read) in [
            ("2.1.197 (Claude Code)", Some(vec![2, 1, 197])),
            ("codex-cli 0.169.0", Some(vec![0, 169, 0])),
            ("v1.18.33", Some(vec![1, 18, 33])),
            ("GitHub Copilot CLI 1.0.102.", Some(vec![1, 0, 102])),
            ("build 7", None),
            ("", None),
        ] {
            assert_eq!(numbers(text), read, "{text}");
        }
        assert!(numbers("2.10.0") > numbers("2.9.9"));
    }

    #[test]
    fn the_versions_are_those_that_are_driven() {
        let script = include_str!("../../../scripts/real-agents");
        for (program, version) in TRIED {
            let line = script
                .lines()
                .find(|line| line.trim().starts_with(&format!("{program})")));
            let line = line.expect(program);
            assert!(line.contains(&format!("@{version} ;;")), "{line}");
        }
    }
}
