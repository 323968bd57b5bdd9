//! What a session leaves that could not deregister: its instance on a hub of
//! ours, which the next launch has back.
//!
//! A note stands in the session's directory while it lives. The launch that
//! finds the directory dead, or that clears it up, moves the note to
//! `<root>/left/`, and so does a session whose hub is away when it ends. No
//! note holds a token: the hub believes it of who has the human's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::roster;
use crate::paths;
use crate::types::identity::{AgentName, SessionId, slot};

/// The note in a session's directory.
const NOTE: &str = "instance.json";

/// Notes that are kept of sessions that are gone, and for how long: a hub keeps
/// mentions no longer.
const KEPT: usize = 64;
const OLD: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Instances that one launch asks for.
const MOST: usize = 16;

/// An instance of a session, as far as its successor has to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The URL of the hub, and where it keeps the human's token.
    pub hub: String,
    pub data_dir: PathBuf,
    /// What the hub calls `identity_id`: no secret.
    pub uid: String,
    pub base: AgentName,
    /// Its name when the session began.
    pub name: String,
    pub cwd: PathBuf,
    /// The `--label` of the launch.
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub team: Option<String>,
}

/// Who looks for an instance to have back.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub hub: &'a str,
    pub base: &'a AgentName,
    pub cwd: &'a Path,
    pub label: Option<&'a str>,
    pub team: Option<&'a str>,
}

/// An instance whose session is gone, and its note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heir {
    pub instance: Instance,
    note: PathBuf,
}

impl Heir {
    /// Removes the note: somebody has the instance, or nobody can.
    pub fn forget(&self) {
        remove(&self.note);
    }
}

/// Writes down in a session's directory which instance it has.
///
/// # Errors
/// If it cannot be written there.
pub fn note(dir: &Path, instance: &Instance) -> Result<()> {
    write(&dir.join(NOTE), instance)
}

/// The instance of a session, as it stands in its directory.
#[must_use]
pub fn noted(dir: &Path) -> Option<Instance> {
    read(&dir.join(NOTE))
}

/// Removes what was written down in `dir`: the hub has heard of the end.
pub fn forget(dir: &Path) {
    remove(&dir.join(NOTE));
}

/// Keeps the note of a session that is gone, in `<root>/left`.
///
/// # Errors
/// If it cannot be written there.
pub fn leave(root: &Path, id: &SessionId, instance: &Instance) -> Result<()> {
    let left = root.join("left");
    paths::private_dir(&left).with_context(|| format!("cannot make {}", left.display()))?;
    write(&left.join(format!("{id}.json")), instance)?;
    let kept = notes(&left);
    for (_, path) in &kept[..kept.len().saturating_sub(KEPT)] {
        remove(path);
    }
    Ok(())
}

/// The instances of sessions that are gone which a launch may have back, the
/// best first: of its directory, of its member of a team, of its label, then
/// the first of the family.
#[must_use]
pub fn heirs(root: &Path, wish: Wish<'_>) -> Vec<Heir> {
    let dead = roster::dead(root).into_iter().map(|dir| dir.join(NOTE));
    let left = notes(&root.join("left")).into_iter().map(|(_, path)| path);
    let mut heirs: Vec<Heir> = (dead.chain(left))
        .filter(|path| is_fresh(path))
        .filter_map(|note| {
            let instance = read(&note)?;
            Some(Heir { instance, note })
        })
        .filter(|heir| heir.instance.hub == wish.hub && heir.instance.base == *wish.base)
        .collect();
    heirs.sort_by_key(|heir| rank(&heir.instance, wish));
    heirs.truncate(MOST);
    heirs
}

/// The lesser, the more alike.
fn rank(one: &Instance, wish: Wish<'_>) -> (bool, bool, bool, u32) {
    (
        one.cwd != wish.cwd,
        one.team.as_deref() != wish.team,
        one.label.as_deref() != wish.label,
        slot(one.base.as_str(), &one.name).unwrap_or(u32::MAX),
    )
}

fn is_fresh(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|meta| meta.modified());
    let age = changed.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    age.is_ok_and(|age| age < OLD)
}

/// The notes in `left`, the oldest first.
fn notes(left: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(left).into_iter().flatten().flatten();
    let mut notes: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    notes.sort();
    notes
}

fn write(path: &Path, instance: &Instance) -> Result<()> {
    let text = serde_json::to_vec(instance)?;
    paths::private_file(path, &text).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> Option<Instance> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(%error, path = %path.display(), "cannot remove a note");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str, cwd: &str) -> Instance {
        Instance {
            hub: "http://127.0.0.1:8300".into(),
            data_dir: "/data".into(),
            uid: format!("uid of {name} in {cwd}"),
            base: "claude".parse().expect("a base"),
            name: name.into(),
            cwd: cwd.into(),
            label: None,
            team: None,
        }
    }

    #[test]
    fn the_next_launch_has_back_what_is_most_like_it() {
        let root = tempfile::tempdir().expect("a directory");
        let base = "claude".parse().expect("a base");
        let wish = |hub, cwd: &'static str| Wish {
            hub,
            base: &base,
            cwd: Path::new(cwd),
            label: None,
            team: None,
        };
        let all = [
            instance("claude-3", "/here"),
            instance("claude", "/there"),
            instance("claude-2", "/here"),
        ];
        for one in &all {
            leave(root.path(), &SessionId::random(), one).expect("kept");
        }
        // One that lives is nobody's to follow.
        let alive = roster::SessionDir::make(root.path(), SessionId::random()).expect("made");
        note(&alive.path, &instance("claude-4", "/here")).expect("noted");
        let names = |wish| -> Vec<String> {
            let heirs = heirs(root.path(), wish).into_iter();
            heirs.map(|heir| heir.instance.name).collect()
        };
        let hub = "http://127.0.0.1:8300";
        let here = ["claude-2", "claude-3", "claude"];
        assert_eq!(names(wish(hub, "/here")), here);
        assert_eq!(names(wish(hub, "/there"))[0], "claude");
        assert_eq!(names(wish("http://127.0.0.1:1", "/here")), [""; 0]);
        heirs(root.path(), wish(hub, "/here"))[0].forget();
        assert_eq!(names(wish(hub, "/here")), here[1..]);
    }

    #[test]
    fn notes_of_the_gone_are_kept_in_number_and_age() {
        let root = tempfile::tempdir().expect("a directory");
        for n in 0..KEPT + 3 {
            let one = instance(&format!("claude-{n}"), "/here");
            leave(root.path(), &SessionId::random(), &one).expect("kept");
        }
        let left = notes(&root.path().join("left"));
        assert_eq!(left.len(), KEPT);
        let old = fs::File::options().write(true).open(&left[0].1);
        let time = SystemTime::now() - OLD;
        old.expect("opened").set_modified(time).expect("dated");
        assert!(!is_fresh(&left[0].1) && is_fresh(&left[1].1));
    }
}
