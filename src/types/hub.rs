//! How a session stands with its hub.

use serde::{Deserialize, Serialize};

/// How a session stands with its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HubState {
    Registered,
    /// It does not answer, or refuses us; we go on trying.
    Connecting,
    /// We were told to do without.
    Offline,
}
