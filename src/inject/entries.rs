//! Entries of sessions in one document of the user's: how they get in, and
//! out again, whoever else has some there. Pure.
//!
//! *Invariant*: sessions may come and go in any order; when the last has gone,
//! the document is as the first has found it, edits by others aside.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::document::{self, Refusal};
use super::journal::{Merged, Sibling};
use super::plan::Format;

/// A file of the user's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The file itself, no link.
    pub(super) path: &'a Path,
    pub(super) format: Format,
    /// What it says; none if it does not exist.
    pub(super) text: Option<&'a str>,
    /// The directories that have to be made for it, innermost first.
    pub(super) missing: &'a [PathBuf],
}

/// Puts entries in, each at its keys; returns the document with them, and what
/// undoes them. An entry that stands there for good already is none of ours.
///
/// Where another session's entry stands, what that session found is what this
/// one will leave: whoever ends last restores it.
///
/// # Errors
/// See [`document::check`], [`document::put`] and [`document::verify`].
pub(super) fn enter(
    place: Place,
    entries: &[(&[String], &Value)],
    siblings: &[Sibling],
) -> Result<(String, Vec<Merged>), Refusal> {
    let Place { path, format, .. } = place;
    let others = siblings.iter().flat_map(|sibling| &sibling.journal.merged);
    let others: Vec<&Merged> = others.filter(|other| other.path == path).collect();
    let made_file = match place.text {
        None => Some(place.missing.to_owned()),
        Some(_) => others.iter().find_map(|other| other.made_file.clone()),
    };
    let (found, blank) = match place.text {
        Some(text) if document::is_blank(format, text) => {
            (document::empty(format), Some(text.to_owned()))
        }
        Some(text) => (text, others.iter().find_map(|other| other.blank.clone())),
        None => (document::empty(format), None),
    };
    document::check(format, found)?;
    let mut text = found.to_owned();
    let mut merged: Vec<Merged> = Vec::new();
    for &(keys, entry) in entries {
        let put = document::put(format, &text, keys, entry)?;
        let there = put.previous.as_ref().map(|previous| &previous.value);
        let shared = others
            .iter()
            .find(|other| other.keys == keys && Some(&other.entry) == there)
            .map(|other| Merged {
                entry: entry.clone(),
                ..(*other).clone()
            });
        if there == Some(entry) {
            merged.extend(shared);
            continue;
        }
        let around = others.iter().copied().chain(&merged);
        let made = around.map(|other| made_by(other, keys));
        let made = made.fold(put.made, usize::max);
        merged.push(shared.unwrap_or_else(|| Merged {
            path: path.to_owned(),
            format,
            keys: keys.to_owned(),
            entry: entry.clone(),
            previous: put.previous.map(|previous| previous.text),
            made,
            made_file: made_file.clone(),
            blank: blank.clone(),
        }));
        text = put.text;
    }
    let keys: Vec<&[String]> = entries.iter().map(|(keys, _)| *keys).collect();
    document::verify(format, found, &text, &keys)?;
    Ok((text, merged))
}

/// How many of the objects around `keys` were made for another entry.
fn made_by(other: &Merged, keys: &[String]) -> usize {
    let depth = other.keys.len();
    let mut outermost_first = depth.saturating_sub(other.made)..depth;
    outermost_first
        .find(|&depth| keys.len() > depth && keys[..depth] == other.keys[..depth])
        .map_or(0, |depth| keys.len() - depth)
}

/// Takes one session's entries out of a document, the last first: those that
/// are still its own by value, and that no living session has in the same
/// place. None if nothing is left of a file that was made for them.
///
/// # Errors
/// A document that does not parse.
pub(super) fn leave(
    found: &str,
    merged: &[&Merged],
    siblings: &[Sibling],
) -> Result<Option<String>, Refusal> {
    let alive = siblings.iter().filter(|sibling| sibling.alive);
    let alive: Vec<&Merged> = alive.flat_map(|sibling| &sibling.journal.merged).collect();
    let mut text = found.to_owned();
    let is_blank = |ours: &&Merged| document::is_blank(ours.format, found);
    if merged.first().is_some_and(is_blank) {
        return Ok(Some(text));
    }
    for ours in merged.iter().rev() {
        let Merged { format, keys, .. } = ours;
        if document::get(*format, &text, keys)?.as_ref() != Some(&ours.entry) {
            continue;
        }
        let mut theirs = alive
            .iter()
            .filter(|other| other.path == ours.path && other.keys == *keys);
        if theirs.clone().any(|other| other.entry == ours.entry) {
            continue;
        }
        text = match theirs.next() {
            Some(other) => document::put(*format, &text, keys, &other.entry)?.text,
            None => document::take(*format, &text, keys, ours.previous.as_deref(), ours.made)?,
        };
    }
    let was_made = merged.iter().any(|ours| ours.made_file.is_some());
    let blank = merged.iter().find_map(|ours| ours.blank.clone());
    let nothing = |ours: &&Merged| document::is_empty(ours.format, &text);
    let emptied = text != found && merged.first().is_some_and(nothing);
    Ok(match blank {
        _ if !emptied => Some(text),
        _ if was_made => None,
        Some(blank) => Some(blank),
        None => Some(text),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document::{get, put};
    use super::super::journal::Journal;
    use super::super::random::{BOTH, CASES, edit, keys};
    use super::*;
    use crate::types::dice::Dice;

    /// A file and the journals of the sessions over it, and no disk.
    struct World {
        format: Format,
        /// As the first session finds it.
        before: Option<String>,
        file: Option<String>,
        sessions: Vec<Sibling>,
    }

    impl World {
        fn start(&mut self, dice: &mut Dice) {
            let mut entries = Vec::new();
            for name in ["one", "two", "three"] {
                if dice.below(2) == 0 {
                    entries.push((keys(name), dice.entry()));
                }
            }
            let borrowed: Vec<(&[String], &Value)> = entries
                .iter()
                .map(|(keys, entry)| (keys.as_slice(), entry))
                .collect();
            let place = Place {
                path: Path::new("/f"),
                format: self.format,
                text: self.file.as_deref(),
                missing: &[],
            };
            let (text, merged) = enter(place, &borrowed, &self.sessions).expect("entered");
            for (keys, entry) in &entries {
                assert_eq!(
                    get(self.format, &text, keys).as_ref(),
                    Ok(&Some(entry.clone()))
                );
            }
            if !borrowed.is_empty() {
                self.file = Some(text);
            }
            let owned = Vec::new();
            self.sessions.push(Sibling {
                journal: Journal {
                    owned,
                    merged,
                    drafts: Vec::new(),
                },
                alive: true,
            });
        }

        fn end(&mut self, index: usize) {
            let ended = self.sessions.swap_remove(index);
            let Some(found) = &self.file else { return };
            let merged: Vec<&Merged> = ended.journal.merged.iter().collect();
            let left = leave(found, &merged, &self.sessions).expect(found);
            // What a living session has there, its own first; else the user's.
            let value = |text: &Option<String>, keys: &[String]| {
                let text = text.as_deref().unwrap_or(document::empty(self.format));
                get(self.format, text, keys).expect(text)
            };
            for ours in merged {
                if value(&self.file, &ours.keys).as_ref() != Some(&ours.entry) {
                    continue;
                }
                let alive = self.sessions.iter().filter(|other| other.alive);
                let theirs = alive.flat_map(|other| &other.journal.merged);
                let theirs: Vec<&Value> = theirs
                    .filter(|other| other.keys == ours.keys)
                    .map(|other| &other.entry)
                    .collect();
                let now = value(&left, &ours.keys);
                if theirs.contains(&&ours.entry) {
                    assert_eq!(now.as_ref(), Some(&ours.entry));
                } else if theirs.is_empty() {
                    assert_eq!(now, value(&self.before, &ours.keys));
                } else {
                    assert!(now.is_some_and(|now| theirs.contains(&&now)));
                }
            }
            self.file = left;
        }
    }

    #[test]
    fn sessions_in_any_order_leave_the_file_as_it_was() {
        for format in BOTH {
            let mut dice = Dice::new(1);
            // An edit that changes neither what is around an empty object nor how
            // the last line ends.
            let harmless = if format == Format::Json { 2 } else { 1 };
            for _ in 0..CASES {
                let file = (dice.below(5) > 0).then(|| dice.document(format));
                let text = file.as_deref().unwrap_or(document::empty(format));
                if put(format, text, &keys("one"), &json!({})).is_err() {
                    continue;
                }
                let mut world = World {
                    format,
                    before: file.clone(),
                    file: file.clone(),
                    sessions: Vec::new(),
                };
                let (mut started, mut wanted) = (0, file.clone());
                while started < 3 || !world.sessions.is_empty() {
                    let count = world.sessions.len();
                    match dice.below(6) {
                        0..3 if started < 3 => {
                            world.start(&mut dice);
                            started += 1;
                        }
                        // Ended, or killed before and undone now.
                        3 if count > 0 => world.end(dice.below(count)),
                        4 if count > 0 => world.sessions[dice.below(count)].alive = false,
                        5 if wanted == file && file.is_some() => {
                            wanted = wanted.map(|text| edit(format, harmless, &text));
                            world.file = world.file.map(|text| edit(format, harmless, &text));
                        }
                        _ => {}
                    }
                }
                assert_eq!(world.file, wanted);
            }
        }
    }
}
