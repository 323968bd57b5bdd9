//! The MCP sessions of the agent, found by the ids that it knows them by. Pure.
//!
//! *Invariant*: two sessions of one server never have the same id, whatever
//! ids the server gives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::identity::{ServerName, Token};

use super::session::Session;

/// The most sessions that are known; the one used longest ago is forgotten for
/// one more.
const MOST: usize = 256;

/// The sessions, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Vec<Arc<Session>>>);

impl Sessions {
    /// The session of `server` that the agent calls `id`; the one without an
    /// id if it names none.
    pub(super) fn find(&self, server: &ServerName, id: Option<&str>) -> Option<Arc<Session>> {
        let mut known = self.lock();
        let at = known.iter().rposition(|one| one.is(server, id))?;
        if at + 1 < known.len() {
            let found = known.remove(at);
            known.push(found);
        }
        known.last().cloned()
    }

    /// Takes in a session that has just begun. It keeps the id that its server
    /// gave, unless another one has that.
    pub(super) fn open(&self, mut session: Session) -> Arc<Session> {
        let mut known = self.lock();
        let id = session.id.as_deref();
        if id.is_none() {
            // The agent began anew: requests without an id are of this one now.
            known.retain(|one| !one.is(&session.server, None));
        } else if known.iter().any(|one| one.is(&session.server, id)) {
            session.id = Some(Token::random().expose().to_owned());
        }
        if known.len() == MOST {
            known.remove(0);
        }
        let session = Arc::new(session);
        known.push(Arc::clone(&session));
        session
    }

    /// True if one of `server`'s sessions is called `id` by it.
    pub(super) fn has(&self, server: &ServerName, id: &str) -> bool {
        let known = self.lock();
        let is_it = |one: &Arc<Session>| {
            one.server == *server && one.standing().place.theirs.as_deref() == Some(id)
        };
        known.iter().any(is_it)
    }

    /// Ends a session, and the streams that are open for it.
    pub(super) fn close(&self, session: &Arc<Session>) {
        self.lock().retain(|one| !Arc::ptr_eq(one, session));
        session.end();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::greeting::Greeting;
    use crate::proxy::session::Message;
    use crate::types::upstream::Endpoint;

    fn session(server: &ServerName, id: Option<&str>) -> Session {
        let at = Endpoint::loopback(1, "/mcp");
        Session::new(server, Message::default(), &at, id, Greeting::default())
    }

    #[test]
    fn a_session_is_found_by_its_server_and_id() {
        let sessions = Sessions::default();
        let name = |name: &str| -> ServerName { name.parse().expect("a name") };
        let (one, two) = (name("one"), name("two"));
        let first = sessions.open(session(&one, Some("a")));
        assert_eq!(first.id.as_deref(), Some("a"));
        let other = sessions.open(session(&two, Some("a")));
        assert_eq!(other.id.as_deref(), Some("a"));
        // Its server has begun to count anew.
        let minted = sessions.open(session(&one, Some("a")));
        let id = minted.id.as_deref().expect("an id");
        assert!(id.len() == 32 && minted.standing().place.theirs.as_deref() == Some("a"));
        for (server, id, found) in [
            (&one, Some("a"), Some(&first)),
            (&two, Some("a"), Some(&other)),
            (&one, Some(id), Some(&minted)),
            (&one, None, None),
            (&two, Some(id), None),
        ] {
            let same = match (sessions.find(server, id), found) {
                (Some(one), Some(other)) => Arc::ptr_eq(&one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            assert!(same, "{server} {id:?}");
        }
        sessions.close(&first);
        assert!(first.is_over() && sessions.find(&one, Some("a")).is_none());
        let (old, new) = (
            sessions.open(session(&one, None)),
            sessions.open(session(&one, None)),
        );
        let found = sessions.find(&one, None).expect("a session");
        assert!(Arc::ptr_eq(&found, &new) && !Arc::ptr_eq(&found, &old));
    }

    #[test]
    fn the_one_used_longest_ago_is_forgotten() {
        let sessions = Sessions::default();
        let server: ServerName = "one".parse().expect("a name");
        for i in 0..MOST {
            sessions.open(session(&server, Some(&i.to_string())));
        }
        assert!(sessions.find(&server, Some("0")).is_some());
        sessions.open(session(&server, Some("more")));
        assert!(sessions.find(&server, Some("0")).is_some());
        assert!(sessions.find(&server, Some("1")).is_none());
        assert_eq!(sessions.lock().len(), MOST);
    }
}
