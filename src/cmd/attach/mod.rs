//! `wrapper attach SESSION`: a session in another terminal.

mod keys;
mod look;

use anyhow::anyhow;

use super::caught::{caught, said};
use super::found;
use super::setting::block_on;
use super::signals::Signals;
use crate::cli::Attach;
use crate::control::protocol::Session;
use crate::paths;
use crate::report::{self, Failure};
use crate::terminal::{DevTty, Tty, foreground};
use crate::types::exit::{AgentExit, Exit};
use look::Look;

/// How a look at a session ends.
enum Outcome {
    /// The user has left.
    Detached,
    /// The session has ended.
    Ended(Option<AgentExit>),
    /// Its process is gone, or does not keep to the protocol.
    Gone(String),
    /// This signal ended us.
    Signal(AgentExit),
    /// Our terminal has gone.
    HungUp,
}

pub(super) fn run(args: &Attach) -> Result<Exit, Failure> {
    let failed = |error| Failure::new(Exit::NotDone, error);
    if !foreground() {
        let error = anyhow!("cannot attach to `{}`: there is no terminal", args.session);
        let hint = "`wrapper screen SESSION` prints what it shows";
        return Err(failed(error).hint(hint));
    }
    let (name, outcome) = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        if is_within(&found.session) {
            let name = found.session.name;
            let error = anyhow!("cannot attach to `{name}`: this terminal is the agent's own");
            return Err(failed(error).hint("it would show itself, without end"));
        }
        let signals = Signals::catch().map_err(failed)?;
        let tty = DevTty::open().map_err(failed)?;
        let attached = found.client.attach(tty.size()).await;
        let attached = attached.map_err(found::refused)?;
        let name = found.session.name;
        let outcome = caught(Look::new(tty, attached).follow(signals)).await;
        let outcome = outcome.map_err(|panic| {
            let error = anyhow!(
                "an error of our own ended the look at `{name}`: {}",
                said(&*panic)
            );
            failed(error).hint(format!("it runs on; `wrapper attach {name}` comes back"))
        })?;
        Ok((name, outcome))
    })?;
    match outcome {
        Outcome::Detached => report::note(format_args!(
            "detached from {name}; `wrapper attach {name}` comes back"
        )),
        Outcome::Ended(Some(exit)) => {
            report::note(format_args!("{name} has ended: the agent {exit}"));
        }
        Outcome::Ended(None) => report::note(format_args!("{name} has ended")),
        Outcome::Gone(why) => {
            return Err(failed(anyhow!("the session `{name}` is gone: {why}")));
        }
        Outcome::Signal(exit) => return Ok(Exit::Agent(exit)),
        Outcome::HungUp => {}
    }
    Ok(Exit::Done)
}

/// True if we were started by the session's agent.
fn is_within(session: &Session) -> bool {
    let env = paths::env();
    let within = paths::var(&env, "WRAPPER_SESSION_ID");
    within.is_some_and(|id| id.as_os_str() == session.id.as_str())
}
