//! A credential as it is sent, or why there is none. Pure.

use std::sync::Arc;
use std::time::SystemTime;

use crate::types::server::Headers;

/// A credential, ready to be sent. Shared: a rotation makes another.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    pub headers: Headers,
    /// None: its source does not say.
    pub expires_at: Option<SystemTime>,
}

impl Granted {
    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Why there is no credential. One line, which repeats nothing of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Ungranted {
    /// The kind of its source, [`TokenSource::kind`].
    ///
    /// [`TokenSource::kind`]: crate::types::credential::TokenSource::kind
    pub kind: &'static str,
    pub why: Arc<str>,
}
