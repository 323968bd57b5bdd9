//! Which tools an agent knows of. Pure.

use sha2::{Digest, Sha256};

/// Which tools an agent was shown, whatever their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Of the pages so far.
    sum: u128,
    /// Of a list that was shown to its end.
    whole: Option<u128>,
    is_asked: bool,
}

impl Shown {
    /// The agent asks; `is_first`: from the start.
    pub(super) fn ask(&mut self, is_first: bool) {
        self.is_asked = true;
        if is_first {
            self.sum = 0;
        }
    }

    /// The agent was shown a page of `tools`, each as JSON.
    pub(super) fn page(&mut self, tools: &[String], is_last: bool) {
        self.sum = self.sum.wrapping_add(sum(tools));
        if is_last {
            self.whole = Some(self.sum);
        }
    }

    /// True if it has asked at all.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// True if it may know other tools than these.
    pub(super) fn differs(&self, tools: &[String]) -> bool {
        self.is_asked && self.whole != Some(sum(tools))
    }
}

fn sum(tools: &[String]) -> u128 {
    let digest = |tool: &String| {
        let digest = Sha256::digest(tool.as_bytes());
        digest
            .iter()
            .take(16)
            .fold(0, |sum, byte| sum << 8 | u128::from(*byte))
    };
    tools.iter().map(digest).fold(0, u128::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_whatever_their_order() {
        let tools = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let mut shown = Shown::default();
        assert!(!shown.differs(&tools(&["a"])), "it knows of none");
        shown.ask(true);
        assert!(shown.differs(&tools(&["a"])), "it may have seen some");
        shown.page(&tools(&["a"]), false);
        shown.ask(false);
        shown.page(&tools(&["b"]), true);
        for (names, differs) in [
            (&["a", "b"][..], false),
            (&["b", "a"], false),
            (&["a"], true),
            (&["a", "b", "c"], true),
            (&["a", "b", "b"], true),
        ] {
            assert_eq!(shown.differs(&tools(names)), differs, "{names:?}");
        }
        shown.ask(true);
        shown.page(&tools(&["a"]), true);
        assert!(!shown.differs(&tools(&["a"])));
    }
}
