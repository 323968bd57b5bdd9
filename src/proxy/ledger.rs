//! What has been seen of each server, kept up to date as it passes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tokio::sync::watch;

use crate::types::evidence::{Evidence, Step};
use crate::types::identity::ServerName;

/// A handle on the evidence of one session; clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct Ledger(watch::Sender<BTreeMap<ServerName, Evidence>>);

impl Ledger {
    /// Notes that `step` was taken just now.
    pub fn note(&self, server: &ServerName, step: Step) {
        let now = SystemTime::now();
        self.0.send_modify(|all| {
            if let Some(evidence) = all.get_mut(server) {
                evidence.note(step, now);
            } else {
                let mut evidence = Evidence::new(now);
                evidence.note(step, now);
                all.insert(server.clone(), evidence);
            }
        });
    }

    /// What has been seen of a server, if anything.
    #[must_use]
    pub fn get(&self, server: &ServerName) -> Option<Evidence> {
        self.0.borrow().get(server).copied()
    }

    /// What has been seen of all servers.
    #[must_use]
    pub fn all(&self) -> BTreeMap<ServerName, Evidence> {
        self.0.borrow().clone()
    }

    /// Tells of every change, for those who wait for a step: the counts tell
    /// a new one from an old one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<ServerName, Evidence>> {
        self.0.subscribe()
    }

    /// Begins anew with a server, as when it is another under the old name.
    pub fn forget(&self, server: &ServerName) {
        self.0.send_if_modified(|all| all.remove(server).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
