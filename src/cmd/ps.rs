//! `wrapper ps`: the sessions on this machine.

use super::setting::block_on;
use super::table::Table;
use super::{background, burial};
use crate::catalog::shown;
use crate::cli::Ps;
use crate::control::find;
use crate::control::protocol::{Prompts, Session};
use crate::paths;
use crate::report::{self, Failure};
use crate::session::State;
use crate::types::exit::Exit;
use crate::types::text::one_line;

/// From so many milliseconds on it is said that a prompt waits.
const LONG: u64 = 10_000;

pub(super) fn run(args: &Ps) -> Result<Exit, Failure> {
    let state = paths::state(&paths::env());
    let buried = burial::bury(&state, |error| report::warning(format_args!("{error:#}")));
    burial::settle(&state, report::warning);
    for (name, hub) in &buried.online {
        report::note(format_args!(
            "`{name}` was killed: {hub} shows it online until that gives it up"
        ));
    }
    let found = block_on(Exit::NotDone, async {
        buried.tell().await;
        Ok(find::everyone(&state, None).await)
    })?;
    let sessions: Vec<Session> = found.into_iter().map(|found| found.session).collect();
    if args.json {
        report::json(&sessions);
        return Ok(Exit::Done);
    }
    if sessions.is_empty() {
        report::note("no session is running");
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        "NAME",
        "LABEL",
        "AGENT",
        "STATE",
        "RESTARTS",
        "ATTACHED",
        "HUB",
        "SERVERS",
        "ID",
        "DIRECTORY",
    ]);
    for session in &sessions {
        table.row([
            session.name.clone(),
            label(session),
            session.agent.to_string(),
            report::word(&session.state),
            session.restarts.to_string(),
            if session.attached { "yes" } else { "no" }.to_owned(),
            report::word(&session.hub.state),
            servers(session),
            session.id.to_string(),
            one_line(&session.cwd, 200),
        ]);
    }
    table.print();
    for session in &sessions {
        let Prompts {
            waiting,
            reason,
            waited_ms,
        } = &session.prompts;
        if *waiting > 0 && waited_ms.is_some_and(|ms| ms >= LONG) {
            let why = reason.as_deref().unwrap_or("it does not say why");
            report::warning(format_args!(
                "`{}`: prompts that wait: {waiting}, for: {}",
                session.name,
                one_line(why, 200)
            ));
        }
        // One that starts needs nobody yet.
        if session.state != State::Starting
            && let Some(advice) = background::advice(&session.name, session.state)
        {
            report::note(advice);
        }
        for server in &session.mcp {
            let why = server.reason.as_deref().unwrap_or_default();
            match server.state {
                shown::State::Unconnected => report::warning(format_args!(
                    "`{}` has not connected to its MCP server `{}`",
                    session.name, server.name
                )),
                shown::State::Failed => report::warning(format_args!(
                    "the MCP server `{}` of `{}` does not work: {why}",
                    server.name, session.name
                )),
                _ => {}
            }
        }
    }
    Ok(Exit::Done)
}

/// Its label, and its name in a team where that is another.
fn label(session: &Session) -> String {
    let label = one_line(&session.label, 40);
    match session.member() {
        Some(member) if member != label => format!("{label} ({member})"),
        _ => label,
    }
}

/// How many of its servers a session's agent has.
fn servers(session: &Session) -> String {
    let ready = |server: &&_| matches!(server, shown::State::Ready | shown::State::Unseen);
    let states = session.mcp.iter().map(|server| server.state);
    let told = |state: &_| !matches!(state, shown::State::LeftOut);
    let states: Vec<shown::State> = states.filter(told).collect();
    let count = states.iter().filter(ready).count();
    match states.len() {
        all if all == count => all.to_string(),
        all => format!("{count} of {all}"),
    }
}
