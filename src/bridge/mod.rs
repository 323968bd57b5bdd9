//! A session's MCP server for an agent that starts its servers by command.
//!
//! The entry in the agent's settings is the same for every session and holds
//! no secret: `wrapper bridge NAME` finds its session by environment, and asks
//! it on its control socket for the server. A command is run in our place, so
//! that the agent owns the real server's process; what is remote is spoken to
//! by way of the session's proxy, which has the credentials. Without a session
//! every request is told so; in a session without this server there is an
//! empty one, because a settings file that projects share shows an agent the
//! entries of all of them.
//!
//! *Invariant*: nothing but whole messages, one a line, is written to standard
//! output.

mod above;
mod alone;
mod answer;
mod end;
mod events;
mod find;
mod message;
mod relay;
mod remote;
mod spool;
mod stdio;

use std::path::Path;

use anyhow::Result;
use nix::unistd::Pid;

use crate::control::Client;
use crate::control::protocol::Reach;
use crate::paths::Env;
use crate::types::identity::ServerName;

use alone::Alone;
use end::End;
use find::Lost;

/// Serves an agent until it has enough of us: its end of standard input or
/// output closes, it dies (`parent`), or a signal says so. `control` names the
/// control socket; else `env` does, or that of a process above.
/// Does not return where the server is a command that could be started.
///
/// # Errors
/// If the system refuses threads or signals.
pub async fn run(
    server: &ServerName,
    control: Option<&Path>,
    env: &Env,
    parent: Pid,
) -> Result<()> {
    let env = above::completed(env, parent);
    let found = find::socket(control, &env).map(|socket| Client::new(&socket));
    let reach = match &found {
        Ok(client) => client.reach(server).await.map_err(Lost::from),
        Err(lost) => Err(lost.clone()),
    };
    let alone = match (reach, found) {
        (Ok(Reach::Remote { url, key }), _) => {
            let remote = remote::Remote::new(&url, &key)?;
            return relay::run(remote, End::watch(parent)?).await;
        }
        (Ok(Reach::Local(local)), Ok(client)) => {
            let reason = find::exec(&local);
            if let Err(error) = client.failed(server, &reason).await {
                tracing::warn!(%error, "the session was not told");
            }
            Alone::Broken(format!("`{server}` did not start: {reason}"))
        }
        (Ok(Reach::Local(_)), Err(lost)) | (Err(lost), _) => lost.into(),
    };
    tracing::info!(?alone, "there is no server to speak to");
    alone::serve(&alone, End::watch(parent)?).await
}
