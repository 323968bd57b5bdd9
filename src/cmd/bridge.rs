//! `wrapper bridge NAME`: an MCP server of the session, on standard input and
//! output.

use nix::unistd::getppid;

use super::setting::block_on;
use crate::bridge;
use crate::cli::Bridge;
use crate::logging;
use crate::paths;
use crate::report::Failure;
use crate::types::exit::Exit;

pub(super) fn run(args: &Bridge) -> Result<Exit, Failure> {
    let parent = getppid();
    let env = paths::env();
    let failed = |error| Failure::new(Exit::NotDone, error);
    // An agent may show its user what a server says on standard error.
    if let Some(level) = paths::var(&env, "WRAPPER_LOG") {
        logging::to_stderr(level.to_str()).map_err(failed)?;
    }
    let control = args.control.as_deref();
    block_on(Exit::NotDone, async {
        bridge::run(&args.server, control, &env, parent)
            .await
            .map_err(failed)
    })?;
    Ok(Exit::Done)
}
