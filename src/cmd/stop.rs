//! `wrapper stop SESSION…`: ends sessions, and waits until they have ended.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::burial;
use super::found;
use super::setting::block_on;
use crate::cli::Stop;
use crate::control::client;
use crate::control::find::{self, Found};
use crate::control::roster;
use crate::paths;
use crate::report::{self, Failure};
use crate::types::exit::{AgentExit, Exit};
use crate::types::identity::SessionId;

/// What a session may take to leave, once its agent has ended.
const LEAVE: Duration = Duration::from_secs(20);

/// What came of one.
#[derive(Debug, Serialize)]
struct Told {
    id: Option<SessionId>,
    name: String,
    outcome: Word,
    /// How its agent ended, if it ran.
    exit: Option<AgentExit>,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Stopped,
    Failed,
}

pub(super) fn run(args: &Stop) -> Result<Exit, Failure> {
    let outcomes = block_on(Exit::NotDone, async { Ok(stop(args).await) })?;
    if args.json {
        report::json(&outcomes);
    } else if outcomes.is_empty() {
        report::note("no session is running");
    }
    let all = outcomes.iter().all(|one| one.outcome == Word::Stopped);
    Ok(if all { Exit::Done } else { Exit::NotDone })
}

/// All at once; each is told of as it ends.
async fn stop(args: &Stop) -> Vec<Told> {
    let (mut outcomes, mut under_way) = (Vec::new(), JoinSet::new());
    let mut sessions = Vec::new();
    if args.all {
        sessions = find::everyone(&paths::state(&paths::env()), None).await;
    }
    for asked in &args.sessions {
        match found::session(asked).await {
            Ok(found) => sessions.push(found),
            Err(failure) => outcomes.push(failed(None, asked.clone(), &failure)),
        }
    }
    // Asked for twice, by name and by id.
    sessions.sort_by(|one, other| one.dir.cmp(&other.dir));
    sessions.dedup_by(|one, other| one.dir == other.dir);
    let grace = args.grace;
    for found in sessions {
        under_way.spawn(async move {
            let (id, name) = (found.session.id.clone(), found.session.name.clone());
            (id, name, end(found, grace).await)
        });
    }
    while let Some(ended) = under_way.join_next().await {
        let (id, name, result) = ended.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
        outcomes.push(match result {
            Ok(exit) => {
                if !args.json {
                    match exit {
                        Some(exit) => {
                            report::line(format_args!("{name} {exit}"));
                        }
                        None => report::line(format_args!("{name} has ended")),
                    }
                }
                Told {
                    id: Some(id),
                    name,
                    outcome: Word::Stopped,
                    exit,
                    reason: None,
                }
            }
            Err(failure) => failed(Some(id), name, &failure),
        });
    }
    outcomes
}

fn failed(id: Option<SessionId>, name: String, failure: &Failure) -> Told {
    report::failure(failure);
    Told {
        id,
        name,
        outcome: Word::Failed,
        exit: None,
        reason: Some(format!("{:#}", failure.error)),
    }
}

/// Ends one; how its agent ended, if the session could still say so.
async fn end(found: Found, grace: Duration) -> Result<Option<AgentExit>, Failure> {
    if found.is_silent {
        return force(found, grace).await;
    }
    let exit = match found.client.stop(grace).await {
        Ok(stopped) => stopped.exit,
        // It was ending already; its directory says when it has.
        Err(client::Error::Ended { .. } | client::Error::Silent { .. }) => None,
        Err(error) => return Err(found::refused(error)),
    };
    if left(found.dir, LEAVE).await? {
        return Ok(exit);
    }
    let name = &found.session.name;
    Err(Failure::new(
        Exit::NotDone,
        anyhow!(
            "`{name}` has not ended in time: its process {} is still there",
            found.session.pid
        ),
    )
    .hint(format!("`wrapper logs {name}` may say why")))
}

/// Ends a session that does not answer by its process. That is the one that
/// holds the directory, so nobody else has its id; and its agent does not
/// outlive it.
async fn force(found: Found, grace: Duration) -> Result<Option<AgentExit>, Failure> {
    let pid = Pid::from_raw(found.session.pid.cast_signed());
    for signal in [Signal::SIGCONT, Signal::SIGTERM] {
        // It may have ended since.
        let _ = kill(pid, signal);
    }
    if left(found.dir.clone(), grace).await? {
        return Ok(None);
    }
    let _ = kill(pid, Signal::SIGKILL);
    if left(found.dir.clone(), LEAVE).await? {
        // It could not clear up after itself.
        burial::deregister(&found.dir).await;
        let state = paths::state(&paths::env());
        let buried = burial::bury(&state, |error| report::warning(format_args!("{error:#}")));
        for (name, hub) in &buried.online {
            report::note(format_args!(
                "`{name}` had to be killed: {hub} shows it online until that gives it up"
            ));
        }
        buried.tell().await;
        return Ok(None);
    }
    let error = anyhow!(
        "`{}` does not answer, and its process {pid} does not end",
        found.session.name
    );
    Err(Failure::new(Exit::NotDone, error))
}

/// Waits until nobody holds a session's directory. False if that takes longer.
async fn left(dir: PathBuf, patience: Duration) -> Result<bool, Failure> {
    let gone = tokio::task::spawn_blocking(move || roster::outlast(&dir));
    match timeout(patience, gone).await {
        Err(_) => Ok(false),
        Ok(waited) => waited
            .context("cannot wait for the session's end")
            .and_then(|waited| waited)
            .map(|()| true)
            .map_err(|error| Failure::new(Exit::NotDone, error)),
    }
}
