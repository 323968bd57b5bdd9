//! How an agent ended, how we end, and the exit codes of both.

use serde::{Deserialize, Serialize};

/// How the agent's process ended; as JSON `{"code": 3}` or `{"signal": 9}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentExit {
    /// It called exit with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

impl AgentExit {
    /// True if it ended by itself and without complaint, or of the user's own
    /// Ctrl-C, which reaches it as a signal once it has left raw mode.
    #[must_use]
    pub fn is_clean(self) -> bool {
        const SIGINT: u8 = 2;
        matches!(self, Self::Code(0) | Self::Signal(SIGINT))
    }
}

impl AgentExit {
    /// True if somebody else has ended it: by SIGHUP, SIGKILL or SIGTERM, which
    /// no fault of its own raises.
    #[must_use]
    pub fn is_by_others(self) -> bool {
        matches!(self, Self::Signal(1 | 9 | 15))
    }
}

impl std::fmt::Display for AgentExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// How a verb ended: what the shell is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The verb did what it was asked.
    Done,
    /// It did not.
    NotDone,
    /// The command line itself was wrong.
    Usage,
    /// A launch ran its agent, which ended like this.
    Agent(AgentExit),
    /// We failed before the agent ran: configuration, hub, bind, inject.
    Failed,
    /// The agent's command is there and cannot be run.
    CannotRun,
    /// The agent's command was not found.
    NotFound,
}

impl Exit {
    /// The code for the shell, as env(1), timeout(1) and docker run use them.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotDone => 1,
            Self::Usage => 2,
            Self::Agent(AgentExit::Code(code)) => code,
            Self::Agent(AgentExit::Signal(signal)) => signal.saturating_add(128),
            Self::Failed => 125,
            Self::CannotRun => 126,
            Self::NotFound => 127,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_contract() {
        for (exit, code) in [
            (Exit::Done, 0),
            (Exit::NotDone, 1),
            (Exit::Usage, 2),
            (Exit::Agent(AgentExit::Code(7)), 7),
            (Exit::Agent(AgentExit::Signal(9)), 137),
            (Exit::Agent(AgentExit::Signal(15)), 143),
            (Exit::Failed, 125),
            (Exit::CannotRun, 126),
            (Exit::NotFound, 127),
        ] {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
