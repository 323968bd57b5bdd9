//! Why a hub did not do what it was asked. Pure.

use std::io;

use crate::loopback::Stranger;

/// Why a hub did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers there, or not in time.
    #[error("cannot reach the hub at {url}: {why}")]
    Unreachable { url: String, why: io::ErrorKind },
    /// A process of another user answers, or one of a user that cannot be told:
    /// nothing was sent to it.
    #[error("cannot use the hub at {url}: {stranger}")]
    Foreign { url: String, stranger: Stranger },
    /// Something answers, but nothing that a hub would say.
    #[error("what answers at {url} is no hub")]
    NotAHub { url: String },
    /// The token is stale: register again.
    #[error("the hub no longer knows this session")]
    Conflict,
    /// We are registered under a name that could not stand in a path.
    #[error("the hub calls this session by a name that is none")]
    BadName,
    #[error("the hub refuses the token: {text}")]
    Unauthorized { text: String },
    #[error("the hub refuses: {text} (status {status})")]
    Refused { status: u16, text: String },
    /// The hub has no such endpoint: it is not one of ours.
    #[error("the hub has no such service")]
    Unsupported,
}

impl Error {
    /// What we were given cannot be sent.
    pub(super) fn unusable(what: &str) -> Self {
        Self::Refused {
            status: 400,
            text: format!("{what} cannot be sent"),
        }
    }
}
