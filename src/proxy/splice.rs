//! Sets members of objects within a JSON text. Pure.
//!
//! *Invariant*: no other byte changes. What is there twice, or spelled with
//! escapes, is set every time, so that no second reader finds another value.

use std::ops::Range;

use super::rpc::Members;

/// Changes to `body`, collected until [`Splice::finish`].
#[derive(Debug)]
pub(super) struct Splice<'a> {
    body: &'a [u8],
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Splice<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            edits: Vec::new(),
        }
    }

    /// Sets `members`, each a name and its value as JSON, in every object that
    /// `outer` (a part of the body) has under `key`, or in a new one. A `key`
    /// that holds something else than an object or null is left alone.
    pub(super) fn set(&mut self, outer: &str, key: &str, members: &[(&str, &str)]) {
        let Some(around) = Members::of(outer) else {
            return;
        };
        let mut inner = around.all(key).peekable();
        if inner.peek().is_none() {
            self.insert(outer, &around, &format!("\"{key}\":{{{}}}", join(members)));
        }
        for inner in inner {
            if inner == "null" {
                let at = self.place(inner);
                self.edits.push((at, format!("{{{}}}", join(members))));
            } else if let Some(present) = Members::of(inner) {
                self.set_in(inner, &present, members);
            }
        }
    }

    /// Puts `text` in the place of `part`, which is a slice of the body.
    pub(super) fn put(&mut self, part: &str, text: String) {
        self.edits.push((self.place(part), text));
    }

    /// The new body; None if all was well as it was.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(at, _)| at.start);
        let mut new = Vec::with_capacity(self.body.len() + 256);
        let mut done = 0;
        for (at, text) in self.edits {
            new.extend_from_slice(&self.body[done..at.start]);
            new.extend_from_slice(text.as_bytes());
            done = at.end;
        }
        new.extend_from_slice(&self.body[done..]);
        Some(new)
    }

    fn set_in(&mut self, object: &str, present: &Members<'_>, members: &[(&str, &str)]) {
        let mut missing = Vec::new();
        for &(name, value) in members {
            let mut found = present.all(name).peekable();
            if found.peek().is_none() {
                missing.push((name, value));
            }
            for other in found.filter(|other| *other != value) {
                self.edits.push((self.place(other), value.to_owned()));
            }
        }
        if !missing.is_empty() {
            self.insert(object, present, &join(&missing));
        }
    }

    /// Puts `text` before the other members of `object`.
    fn insert(&mut self, object: &str, present: &Members<'_>, text: &str) {
        let comma = if present.is_empty() { "" } else { "," };
        let at = self.place(object).start + 1;
        self.edits.push((at..at, format!("{text}{comma}")));
    }

    /// Where in the body its slice `part` is.
    fn place(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr().addr() - self.body.as_ptr().addr();
        start..start + part.len()
    }
}

fn join(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    members.join(",")
}
