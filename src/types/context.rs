//! What tells one session from another, for the agent and for every server.

use std::path::PathBuf;

use super::identity::{AgentName, SessionId};

/// The variable that names the control socket.
pub const CONTROL_VAR: &str = "WRAPPER_CONTROL";

/// A session as it is known to what runs in it. Nothing here is a secret, and
/// nothing here proves anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionContext {
    pub id: SessionId,
    /// The agent's label, else the name.
    pub title: String,
    /// The instance's name at the start.
    pub name: String,
    pub agent: AgentName,
    /// The control socket.
    pub control: PathBuf,
}

impl SessionContext {
    /// The variables that the agent, every server that is a command, and every
    /// command that gives a credential get; `PREFIX_SESSION_ID` and
    /// `PREFIX_SESSION_TITLE` for each of `prefixes` as well.
    #[must_use]
    pub fn variables(&self, prefixes: &[String]) -> Vec<(String, String)> {
        let mut variables = vec![
            ("WRAPPER_SESSION_ID".to_owned(), self.id.to_string()),
            ("WRAPPER_SESSION_TITLE".to_owned(), self.title.clone()),
            ("WRAPPER_SESSION_NAME".to_owned(), self.name.clone()),
            ("WRAPPER_AGENT".to_owned(), self.agent.to_string()),
            (
                CONTROL_VAR.to_owned(),
                self.control.to_string_lossy().into_owned(),
            ),
        ];
        for prefix in prefixes {
            variables.push((format!("{prefix}_SESSION_ID"), self.id.to_string()));
            variables.push((format!("{prefix}_SESSION_TITLE"), self.title.clone()));
        }
        variables
    }
}
