//! `wrapper mcp …`: a session's MCP servers, live.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::entry;
use super::found;
use super::setting::block_on;
use super::table::Table;
use crate::catalog::shown::{Listed, Outcome, State, Verdict};
use crate::cli::{Mcp, McpList, McpServer, McpSet};
use crate::paths;
use crate::report::{self, Failure};
use crate::types::exit::Exit;
use crate::types::identity::Token;

/// The longest credential that is read, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;
/// How long a change may take before that is said.
const PROGRESS: Duration = Duration::from_secs(1);

pub(super) fn run(verb: &Mcp) -> Result<Exit, Failure> {
    match verb {
        Mcp::List(args) => list(args),
        Mcp::Get(args) => get(args),
        Mcp::Set(args) => set(args),
        Mcp::Rm(args) => remove(args),
        Mcp::Token(args) => token(args),
    }
}

fn list(args: &McpList) -> Result<Exit, Failure> {
    let servers = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        found.client.servers().await.map_err(found::refused)
    })?;
    if args.json {
        report::json(&servers);
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["NAME", "SOURCE", "ROUTE", "STATE", "EVIDENCE", "WHERE"]);
    for server in &servers {
        table.row([
            server.name.to_string(),
            report::word(&server.source),
            report::word(&server.route),
            report::word(&server.state),
            report::word(&server.evidence),
            place(server).to_owned(),
        ]);
    }
    table.print();
    for server in &servers {
        let is_well = matches!(server.state, State::Ready | State::Unseen | State::Waiting);
        if let (Some(reason), false) = (&server.reason, is_well) {
            report::note(format_args!("{}: {reason}", server.name));
        }
    }
    Ok(Exit::Done)
}

fn place(server: &Listed) -> &str {
    let place = server.url.as_deref().or(server.command.as_deref());
    let left_out = (server.reason.as_deref()).filter(|_| server.state == State::LeftOut);
    place.or(left_out).unwrap_or_default()
}

fn get(args: &McpServer) -> Result<Exit, Failure> {
    let server = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        (found.client.server(&args.server).await).map_err(found::refused)
    })?;
    if args.json {
        report::json(&server);
        return Ok(Exit::Done);
    }
    let none = || "-".to_owned();
    let credential = server.credential.as_ref().map_or_else(none, |credential| {
        let until = credential.expires_at.as_ref();
        let until = until.map_or_else(String::new, |until| format!(", until {until}"));
        let error = credential.error.as_ref();
        let error = error.map_or_else(String::new, |error| format!("; {error}"));
        format!("{}{until}{error}", credential.kind)
    });
    let is_well = matches!(server.state, State::Ready | State::PendingRestart);
    let outcome = server.outcome.as_ref().map_or_else(none, |outcome| {
        let is_its = is_well || *outcome == Outcome::Failed;
        let reason = server.reason.as_ref().filter(|_| is_its);
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        report::word(outcome) + &reason
    });
    let state = match server.reason.as_ref().filter(|_| !is_well) {
        Some(reason) => format!("{}: {reason}", report::word(&server.state)),
        None => report::word(&server.state),
    };
    let (initialized, listed, called) = (server.initialized, server.listed, server.called);
    let hosted = server.hosted.as_ref().map_or_else(none, |hosted| {
        let pids: Vec<String> = hosted.pids.iter().map(ToString::to_string).collect();
        let trouble = hosted.trouble.as_ref();
        let trouble = trouble.map_or_else(String::new, |trouble| format!("; {trouble}"));
        let pids = if pids.is_empty() {
            none()
        } else {
            pids.join(", ")
        };
        format!("pid {pids}{trouble}")
    });
    for (what, value) in [
        ("name", server.name.to_string()),
        ("where", place(&server).to_owned()),
        ("hosted", hosted),
        ("source", report::word(&server.source)),
        ("route", report::word(&server.route)),
        ("credential", credential),
        ("state", state),
        ("last change", outcome),
        (
            "evidence",
            format!(
                "{} since {}",
                report::word(&server.evidence),
                server.evidence_at
            ),
        ),
        (
            "counts",
            format!("initialized {initialized}, listed {listed}, called {called}"),
        ),
    ] {
        report::line(format_args!("{what:12} {value}"));
    }
    Ok(Exit::Done)
}

fn set(args: &McpSet) -> Result<Exit, Failure> {
    let entry = entry::of(args, &paths::env())?;
    let verdict = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        let set = found.client.set(&args.server, &entry);
        waiting(set).await.map_err(found::refused)
    })?;
    Ok(tell(&verdict, args.json))
}

fn remove(args: &McpServer) -> Result<Exit, Failure> {
    let verdict = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        (found.client.remove(&args.server).await).map_err(found::refused)
    })?;
    Ok(tell(&verdict, args.json))
}

fn token(args: &McpServer) -> Result<Exit, Failure> {
    let token = read_token().map_err(|error| Failure::new(Exit::NotDone, error))?;
    let verdict = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        let replaced = found.client.token(&args.server, token);
        waiting(replaced).await.map_err(found::refused)
    })?;
    Ok(tell(&verdict, args.json))
}

/// Waits for a change, and says so when it takes long.
async fn waiting<T>(change: impl Future<Output = T>) -> T {
    let mut change = std::pin::pin!(change);
    tokio::select! {
        done = &mut change => return done,
        () = tokio::time::sleep(PROGRESS) => {
            report::note("waiting for the server's first answer, for 30 s at most");
        }
    }
    change.await
}

/// One line of standard input; what is wrong with any other is said by the
/// session, which knows what it can send.
fn read_token() -> anyhow::Result<Token> {
    let mut text = String::new();
    std::io::stdin()
        .take(LONGEST_TOKEN)
        .read_to_string(&mut text)
        .context("cannot read a credential from standard input")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(anyhow!(
            "cannot read a credential from standard input: there is none"
        ));
    }
    Ok(Token::new(line))
}

fn tell(verdict: &Verdict, json: bool) -> Exit {
    if json {
        report::json(verdict);
    } else {
        let reason = verdict.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        report::line(format_args!("{}{reason}", report::word(&verdict.outcome)));
        for key in &verdict.ignored {
            report::warning(format_args!("`{key}` means nothing here: it is left out"));
        }
    }
    match verdict.outcome {
        Outcome::Applied => Exit::Done,
        Outcome::PendingRestart | Outcome::Failed => Exit::NotDone,
    }
}
