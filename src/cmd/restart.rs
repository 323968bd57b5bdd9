//! `wrapper restart SESSION`: the agent ends and starts again, in its session.

use super::found;
use super::setting::block_on;
use crate::cli::Restart;
use crate::report::{self, Failure};
use crate::types::exit::Exit;

pub(super) fn run(args: &Restart) -> Result<Exit, Failure> {
    let restarted = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        found.client.restart().await.map_err(found::refused)
    })?;
    if args.json {
        report::json(&restarted);
    } else {
        report::line(format_args!("{} runs again", restarted.name));
    }
    Ok(Exit::Done)
}
