//! What has been seen of each server, kept up to date as it passes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use crate::types::evidence::{Evidence, Step};
use crate::types::identity::ServerName;

/// A handle on the evidence of one session; clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    evidence: watch::Sender<BTreeMap<ServerName, Evidence>>,
    /// What was wrong with a server at last, until it answers again.
    troubles: watch::Sender<BTreeMap<ServerName, Arc<str>>>,
}

impl Ledger {
    /// Notes that `step` was taken just now.
    pub fn note(&self, server: &ServerName, step: Step) {
        let now = SystemTime::now();
        if step >= Step::Initialized {
            self.well(server);
        }
        self.evidence.send_modify(|all| {
            if let Some(evidence) = all.get_mut(server) {
                evidence.note(step, now);
            } else {
                let mut evidence = Evidence::new(now);
                evidence.note(step, now);
                all.insert(server.clone(), evidence);
            }
        });
    }

    /// Notes what is wrong with a server, by its last request.
    pub fn fail(&self, server: &ServerName, why: &str) {
        self.troubles.send_if_modified(|all| {
            let is_known = all.get(server).is_some_and(|known| **known == *why);
            if !is_known {
                all.insert(server.clone(), why.into());
            }
            !is_known
        });
    }

    /// Notes that a server has answered.
    pub fn well(&self, server: &ServerName) {
        if !self.troubles.borrow().is_empty() {
            self.troubles
                .send_if_modified(|all| all.remove(server).is_some());
        }
    }

    /// What was wrong with a server at last.
    #[must_use]
    pub fn trouble(&self, server: &ServerName) -> Option<Arc<str>> {
        self.troubles.borrow().get(server).cloned()
    }

    /// Tells of every change of what is wrong.
    #[must_use]
    pub fn troubles(&self) -> watch::Receiver<BTreeMap<ServerName, Arc<str>>> {
        self.troubles.subscribe()
    }

    /// What has been seen of a server, if anything.
    #[must_use]
    pub fn get(&self, server: &ServerName) -> Option<Evidence> {
        self.evidence.borrow().get(server).copied()
    }

    /// What has been seen of all servers.
    #[must_use]
    pub fn all(&self) -> BTreeMap<ServerName, Evidence> {
        self.evidence.borrow().clone()
    }

    /// Tells of every change, for those who wait for a step: the counts tell
    /// a new one from an old one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<ServerName, Evidence>> {
        self.evidence.subscribe()
    }

    /// Begins anew with a server, as when it is another under the old name.
    pub fn forget(&self, server: &ServerName) {
        self.well(server);
        self.evidence
            .send_if_modified(|all| all.remove(server).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_lasts_until_the_server_answers() {
        let ledger = Ledger::default();
        let docs: ServerName = "docs".parse().expect("a name");
        let mut troubles = ledger.troubles();
        ledger.fail(&docs, "away");
        assert!(troubles.has_changed().expect("open"));
        troubles.mark_unchanged();
        ledger.fail(&docs, "away");
        assert!(!troubles.has_changed().expect("open"));
        ledger.note(&docs, Step::Delivered);
        assert_eq!(ledger.trouble(&docs).as_deref(), Some("away"));
        ledger.note(&docs, Step::Listed);
        assert_eq!(ledger.trouble(&docs), None);
    }

    #[test]
    fn who_waits_for_a_step_hears_of_it() {
        let ledger = Ledger::default();
        let docs: ServerName = "docs".parse().expect("a name");
        let mut seen = ledger.clone().subscribe();
        for (step, furthest, listed) in [
            (Step::Configured, Step::Configured, 0),
            (Step::Listed, Step::Listed, 1),
            (Step::Called, Step::Called, 1),
            (Step::Listed, Step::Called, 2),
        ] {
            ledger.note(&docs, step);
            assert!(seen.has_changed().expect("open"));
            let now = seen.borrow_and_update()[&docs];
            assert_eq!((now.step, now.listed), (furthest, listed));
            assert_eq!(ledger.get(&docs), Some(now));
        }
        ledger.forget(&docs);
        assert!(ledger.all().is_empty() && seen.has_changed().expect("open"));
        seen.mark_unchanged();
        ledger.forget(&docs);
        assert!(!seen.has_changed().expect("open"));
    }
}
