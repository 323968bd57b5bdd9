//! Where the credential of an upstream comes from, and how long it lives. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::identity::Token;

/// How a server is told who we are: `auth` of a server's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The header that a bare token goes into as it is; none: `Authorization`,
    /// behind the word `Bearer`.
    pub header: Option<String>,
    pub source: TokenSource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Literal(Token),
    /// A variable, read at each use.
    Env(String),
    /// A file, absolute, read again when it changes.
    File(PathBuf),
    Command(TokenCommand),
}

/// A command that prints a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// How long one run may take.
    pub timeout: Duration,
    /// How old what it printed may become, if that does not say so itself.
    pub refresh_interval: Option<Duration>,
}

impl TokenSource {
    /// The word for it, as `wrapper mcp list` shows it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Literal(_) => "static",
            Self::Env(_) => "env",
            Self::File(_) => "file",
            Self::Command(_) => "command",
        }
    }
}
