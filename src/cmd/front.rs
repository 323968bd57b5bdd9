//! Where a launch shows itself: in a terminal, to nobody, or to a service
//! manager; and who is told once its agent has started.

use std::path::Path;
use std::sync::Once;

use serde::{Deserialize, Serialize};

use super::background;
use super::notify::Notifier;
use crate::cli::Run;
use crate::paths::Env;
use crate::report::{self, Failure};
use crate::session::State;
use crate::types::context::SessionContext;
use crate::types::exit::AgentExit;
use crate::types::identity::SessionId;

/// What an agent takes its terminal for where nobody has said so: the screen's
/// model is one of these.
const TERM: &str = "xterm-256color";

/// Where a launch shows itself.
#[derive(Debug)]
pub(super) enum Front {
    Terminal,
    Background,
    Headless(Notifier),
}

/// What whoever detached a session is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Detached {
    pub(super) name: String,
    pub(super) id: SessionId,
    /// The session's own process.
    pub(super) pid: u32,
    /// The path of its control socket.
    #[serde(default)]
    pub(super) socket: String,
    /// What the agent does by then.
    pub(super) state: State,
}

/// The same, as the session says it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    #[serde(flatten)]
    pub(super) detached: Detached,
    /// Its end, if there is no session any more.
    pub(super) ended: Option<Ended>,
}

/// How an agent ended that was never ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) exit: AgentExit,
    /// The last rows of its screen.
    pub(super) words: Vec<String>,
    pub(super) log: String,
}

/// A front that is told once how the agent has started.
#[derive(Debug)]
pub(super) struct Ready {
    front: Front,
    once: Once,
}

impl Front {
    /// What the command line asks for. `env` is made that of an agent there.
    pub(super) fn of(args: &Run, env: &mut Env) -> Self {
        if !args.detached && !args.headless {
            return Self::Terminal;
        }
        let known = env.get("TERM".as_ref() as &std::ffi::OsStr);
        if known.is_none_or(|term| term.is_empty() || term == "dumb") {
            env.insert("TERM".into(), TERM.into());
        }
        let notifier = Notifier::take(env);
        if args.headless {
            Self::Headless(notifier)
        } else {
            Self::Background
        }
    }

    /// Leaves the caller's terminal, if it is to be left; what had to be asked
    /// there has been asked.
    pub(super) fn leave(&self) -> Result<(), Failure> {
        match self {
            Self::Background => background::leave(),
            Self::Terminal | Self::Headless(_) => Ok(()),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal)
    }

    pub(super) fn is_headless(&self) -> bool {
        matches!(self, Self::Headless(_))
    }

    /// Tells a service manager of a change.
    pub(super) fn tell(&self, lines: &str) {
        if let Self::Headless(notifier) = self {
            notifier.tell(lines);
        }
    }
}

impl Ready {
    pub(super) fn new(front: Front) -> Self {
        Self {
            front,
            once: Once::new(),
        }
    }

    pub(super) fn front(&self) -> &Front {
        &self.front
    }

    /// The agent has come so far.
    pub(super) fn tell(&self, session: &SessionContext, state: State) {
        self.once.call_once(|| match &self.front {
            Front::Terminal => {}
            Front::Headless(notifier) => notifier.tell("READY=1"),
            Front::Background => say(session, state, None),
        });
    }

    /// The agent has ended, perhaps before it came to anything.
    pub(super) fn ended(
        &self,
        session: &SessionContext,
        exit: AgentExit,
        words: Vec<String>,
        log: &Path,
    ) {
        self.once.call_once(|| {
            if let Front::Background = &self.front {
                let log = log.to_string_lossy().into_owned();
                say(session, State::Exited, Some(Ended { exit, words, log }));
            }
        });
    }
}

/// Says it to the process that has started us, and lets go of what we share.
fn say(session: &SessionContext, state: State, ended: Option<Ended>) {
    let detached = Detached {
        name: session.name.clone(),
        id: session.id.clone(),
        pid: std::process::id(),
        socket: session.control.to_string_lossy().into_owned(),
        state,
    };
    report::json(&Told { detached, ended });
    background::fall_silent();
}
