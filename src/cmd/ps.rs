//! `wrapper ps`: the sessions on this machine.

use super::setting::block_on;
use super::table::Table;
use super::{background, burial};
use crate::catalog::shown;
use crate::cli::Ps;
use crate::control::find;
use crate::control::protocol::Session;
use crate::paths;
use crate::report::{self, Failure};
use crate::session::State;
use crate::types::exit::Exit;
use crate::types::text::one_line;

pub(super) fn run(args: &Ps) -> Result<Exit, Failure> {
    let state = paths::state(&paths::env());
    burial::bury(&state, |error| report::warning(format_args!("{error:#}")));
    let found = block_on(Exit::NotDone, async {
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
        // One that starts needs nobody yet.
        if session.state != State::Starting
            && let Some(advice) = background::advice(&session.name, session.state)
        {
            report::note(advice);
        }
        for server in &session.mcp {
            if server.state == shown::State::Unconnected {
                report::warning(format_args!(
                    "`{}` has not connected to its MCP server `{}`",
                    session.name, server.name
                ));
            }
        }
    }
    Ok(Exit::Done)
}

/// How many of its servers a session's agent has.
fn servers(session: &Session) -> String {
    let ready = |server: &&_| matches!(server, shown::State::Ready);
    let states = session.mcp.iter().map(|server| server.state);
    let count = states.collect::<Vec<_>>().iter().filter(ready).count();
    match session.mcp.len() {
        all if all == count => all.to_string(),
        all => format!("{count} of {all}"),
    }
}
