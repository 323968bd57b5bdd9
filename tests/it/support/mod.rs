//! What tests stand on.

pub(crate) mod agentchattr; // the server that plays agentchattr, and its human
pub(crate) mod desk; // a session's socket and proxy without an agent
pub(crate) mod failing; // an MCP server that is struck by every fault
pub(crate) mod forgetful; // an MCP server that forgets its sessions
pub(crate) mod forward; // proxies of the environment
pub(crate) mod guest; // an MCP server that agents have no entry of
pub(crate) mod hub; // a hub of its own, and its callers
pub(crate) mod judge; // what a terminal shows, judged by another emulator
pub(crate) mod mcp; // an MCP server that does all that the protocol allows
pub(crate) mod old; // an MCP server over SSE that loses its sessions
pub(crate) mod pty; // a terminal around a program
pub(crate) mod rig; // a proxy in front of an upstream
pub(crate) mod sender; // who sends prompts to a session
pub(crate) mod source; // a command that gives credentials
pub(crate) mod stranger; // another user of this machine
pub(crate) mod upstream; // an MCP server that misbehaves
pub(crate) mod wire; // HTTP as test servers speak it
pub(crate) mod world; // a user's machine in a directory

use std::future::Future;
use std::time::{Duration, Instant};

/// The one deadline of every wait in these tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Asks `probe` until it has an answer, with a short pause between; panics
/// with `what` after [`DEADLINE`]. For things that send no event.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "not in {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// As [`eventually`], for what tasks of this thread do.
pub(crate) async fn meanwhile<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Waits for a future, at most [`DEADLINE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("not in {DEADLINE:?}: {what}"))
}
