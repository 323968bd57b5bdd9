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

/// What a session waits for that asks another how it stands with the hub; the
/// lesser comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// It has heard from the hub what it is called, or that it is not known.
    Heard,
    /// The hub knows it.
    Registered,
}
