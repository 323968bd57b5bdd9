//! Where the messages of open SSE streams go: each endpoint that an upstream
//! announced, under a number of ours, until its stream ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::types::identity::ServerName;
use crate::types::upstream::Endpoint;

/// What is announced now. The agent can post to nothing else.
#[derive(Debug, Default)]
pub(super) struct Mailboxes(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    open: BTreeMap<u64, (ServerName, Endpoint)>,
}

/// An entry that goes with its stream.
#[derive(Debug)]
pub(super) struct Mailbox<'a> {
    of: &'a Mailboxes,
    number: u64,
    /// Path and query that the agent is told.
    pub(super) path: String,
}

impl Mailboxes {
    /// A mailbox of `server` for what is to be posted to `endpoint`. Its query
    /// shows in our path, as clients may want to read the session from it.
    pub(super) fn open(&self, server: &ServerName, endpoint: Endpoint) -> Mailbox<'_> {
        let query = endpoint
            .path
            .find('?')
            .map_or("", |at| &endpoint.path[at..]);
        let mut numbered = self.numbered();
        numbered.last += 1;
        let number = numbered.last;
        let path = format!("/{}/messages/{number}{query}", server.segment());
        numbered.open.insert(number, (server.clone(), endpoint));
        Mailbox {
            of: self,
            number,
            path,
        }
    }

    /// Where the mailbox of `server` that our path calls `number` leads.
    pub(super) fn find(&self, server: &ServerName, number: &str) -> Option<Endpoint> {
        let numbered = self.numbered();
        let (of, endpoint) = numbered.open.get(&number.parse().ok()?)?;
        (of == server).then(|| endpoint.clone())
    }

    fn numbered(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mailbox<'_> {
    fn drop(&mut self) {
        self.of.numbered().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_open_as_long_as_its_stream() {
        let boxes = Mailboxes::default();
        let name = |name: &str| -> ServerName { name.parse().expect("a name") };
        let (one, two) = (name("one"), name("my two"));
        let real = |path| Endpoint::loopback(9, path);
        let first = boxes.open(&one, real("/m/?s=1"));
        let second = boxes.open(&two, real("/m"));
        assert_eq!(first.path, "/one/messages/1?s=1");
        assert_eq!(second.path, "/my%20two/messages/2");
        assert_eq!(boxes.find(&one, "1"), Some(real("/m/?s=1")));
        assert_eq!(boxes.find(&two, "2"), Some(real("/m")));
        for (server, number) in [
            (&one, "2"),
            (&two, "1"),
            (&one, "3"),
            (&one, ""),
            (&one, "x"),
        ] {
            assert_eq!(boxes.find(server, number), None);
        }
        drop(first);
        assert_eq!(boxes.find(&one, "1"), None);
        assert_eq!(boxes.find(&two, "2"), Some(real("/m")));
    }
}
