//! Where a launch logs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tracing::error;

use super::front::Front;
use super::setting::Setting;
use crate::control::roster;
use crate::logging;
use crate::paths;
use crate::report::{self, Failure};
use crate::types::identity::SessionId;

/// Logs that are kept.
const LOGS: usize = 50;

/// Starts the log of a session; its path.
pub(super) fn open(
    state: &Path,
    id: &SessionId,
    setting: &Setting,
    front: &Front,
) -> anyhow::Result<PathBuf> {
    let log = place(state, id)?;
    if front.is_headless() {
        logging::to_both(&log, setting.log_level())?;
    } else {
        logging::to_file(&log, setting.log_level())?;
    }
    Ok(log)
}

/// Leaves a log of a launch that failed before its session began: what git
/// said has to be found later.
pub(super) fn record(setting: &Setting, failure: &Failure) {
    let state = paths::state(&setting.env);
    let opened = place(&state, &SessionId::random())
        .and_then(|log| logging::to_file(&log, setting.log_level()));
    match opened {
        Ok(()) => error!(error = format!("{:#}", failure.error), "not launched"),
        Err(error) => report::warning(format_args!("{error:#}")),
    }
}

/// Where a session's log goes; the oldest of the others make room.
fn place(state: &Path, id: &SessionId) -> anyhow::Result<PathBuf> {
    let logs = state.join("logs");
    paths::private_dir(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    roster::trim_logs(&logs, LOGS - 1);
    Ok(logs.join(format!("{id}.log")))
}
