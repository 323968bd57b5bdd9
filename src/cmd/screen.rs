//! `wrapper screen SESSION`: what the agent shows, as text.

use super::found;
use super::setting::block_on;
use crate::cli::Screen;
use crate::report::{self, Failure};
use crate::session::State;
use crate::types::exit::Exit;
use crate::types::text;

pub(super) fn run(args: &Screen) -> Result<Exit, Failure> {
    let screen = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        if found.session.state == State::Suspended {
            return Err(found::suspended(&found));
        }
        found.client.screen().await.map_err(found::refused)
    })?;
    if args.json {
        report::json(&screen);
        return Ok(Exit::Done);
    }
    for row in screen.text.lines() {
        // The agent's own terminal may have been told of it; this one was not.
        let shown = row.chars().filter(|c| !text::is_control(*c));
        report::line(shown.collect::<String>());
    }
    Ok(Exit::Done)
}
