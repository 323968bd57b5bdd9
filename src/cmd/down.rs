//! `wrapper down [FILE]`: ends the sessions that `up` started for a team file,
//! those of members that have gone from it as well.

use super::setting::block_on;
use super::stop;
use super::team::TeamFile;
use crate::cli::{Down, Stop};
use crate::paths;
use crate::report::{self, Failure};
use crate::types::exit::Exit;

pub(super) fn run(args: Down) -> Result<Exit, Failure> {
    let file = TeamFile::find(args.file.as_deref())?;
    let state = paths::state(&paths::env());
    let found = block_on(Exit::NotDone, async { Ok(file.sessions(&state).await) })?;
    let ids = found.iter().map(|found| found.session.id.to_string());
    let sessions: Vec<String> = ids.collect();
    if sessions.is_empty() && !args.json {
        report::note(format_args!(
            "no session of {} is running",
            file.0.display()
        ));
        return Ok(Exit::Done);
    }
    stop::run(&Stop {
        sessions,
        all: false,
        grace: args.grace,
        json: args.json,
        options: args.options,
    })
}
