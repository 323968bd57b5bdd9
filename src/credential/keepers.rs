//! The credentials of a session, by server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::granted::{Granted, Ungranted};
use super::keeper::{Around, Keeper, Wanted};
use crate::paths::Env;
use crate::types::credential::Auth;
use crate::types::identity::ServerName;
use crate::types::upstream::Endpoint;

/// The most servers whose credentials are kept: far more than a session has.
const MOST_SERVERS: usize = 256;
/// The most of one server: the one in use, and one that is tried out before it
/// takes that one's place.
const MOST_EACH: usize = 2;

/// The credentials of one session. Each is one server's at one place from one
/// source: whatever of these changes, it is asked for anew.
#[derive(Debug, Default)]
pub struct Keepers {
    around: Arc<Around>,
    /// By server, the one used last at the front.
    keepers: Mutex<BTreeMap<ServerName, Vec<Arc<Keeper>>>>,
}

/// What is known of a server's credential, without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// As [`Ungranted::kind`].
    pub kind: &'static str,
    /// None: nobody knows, or there is none yet.
    pub expires_at: Option<SystemTime>,
    /// Why the last try failed.
    pub error: Option<Arc<str>>,
}

impl Keepers {
    /// Commands get `env`, the agent's environment, and the session's
    /// `variables`; `auth = { env = … }` is read from `env`.
    #[must_use]
    pub fn new(env: Env, variables: Vec<(String, String)>) -> Self {
        Self {
            around: Arc::new(Around { env, variables }),
            keepers: Mutex::default(),
        }
    }

    /// The credential of `server`, which is `at` that place. Waits only where
    /// there is none that is valid: one that is to be renewed soon is given all
    /// the same, and renewed beside.
    ///
    /// # Errors
    /// If its source gives none, or has given none within the last minute.
    pub async fn grant(
        &self,
        server: &ServerName,
        at: &Endpoint,
        auth: &Auth,
    ) -> Result<Arc<Granted>, Ungranted> {
        self.keeper(server, at, auth).grant().await
    }

    /// Gets another credential than `used`, which the server refuses; Ok if
    /// [`Keepers::grant`] has one now. However many ask, its source is asked
    /// once.
    ///
    /// # Errors
    /// If its source gives none, or the same again.
    pub async fn renew(
        &self,
        server: &ServerName,
        at: &Endpoint,
        auth: &Auth,
        used: &Granted,
    ) -> Result<(), Ungranted> {
        self.keeper(server, at, auth).renew(used).await
    }

    /// Drops what is known of a server's credential, and ends the command that
    /// runs for it: its next request starts anew.
    pub fn forget(&self, server: &ServerName) {
        self.lock().remove(server);
    }

    /// What is known of a server's credential from `auth`; None if it was not
    /// asked for.
    #[must_use]
    pub fn status(&self, server: &ServerName, auth: &Auth) -> Option<Status> {
        let keepers = self.lock();
        let mut keepers = keepers.get(server)?.iter();
        let keeper = keepers.find(|keeper| keeper.wanted.auth == *auth)?;
        Some(keeper.status())
    }

    fn keeper(&self, server: &ServerName, at: &Endpoint, auth: &Auth) -> Arc<Keeper> {
        let mut all = self.lock();
        if all.len() >= MOST_SERVERS && !all.contains_key(server) {
            all.pop_first();
        }
        let keepers = all.entry(server.clone()).or_default();
        let is_wanted =
            |keeper: &Arc<Keeper>| keeper.wanted.at == *at && keeper.wanted.auth == *auth;
        if let Some(index) = keepers.iter().position(is_wanted) {
            keepers[..=index].rotate_right(1);
        } else {
            let wanted = Wanted {
                server: server.clone(),
                at: at.clone(),
                auth: auth.clone(),
            };
            let keeper = Keeper::new(wanted, Arc::clone(&self.around));
            keepers.insert(0, Arc::new(keeper));
            keepers.truncate(MOST_EACH);
        }
        Arc::clone(&keepers[0])
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerName, Vec<Arc<Keeper>>>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
