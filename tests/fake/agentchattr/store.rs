//! The data directory: what is read from it at the start, and written into it
//! as the room's effects say.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use crate::post::Message;
use crate::python::dumps;
use crate::room::{Effect, Kept};

/// What the room is told of [`crate::registry`] and the rest.
pub(crate) fn load(dir: &Path, keeps_registry: bool) -> Result<Kept> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let log = fs::read_to_string(dir.join("agentchattr_log.jsonl")).unwrap_or_default();
    let messages: Result<Vec<Message>, _> = log.lines().map(serde_json::from_str).collect();
    Ok(Kept {
        messages: messages.context("the log is no log")?,
        roles: read(dir, "roles.json")?,
        cursors: read(dir, "mcp_cursors.json")?,
        renames: read(dir, "renames.json")?,
        registry: if keeps_registry {
            read(dir, "registry.json")?
        } else {
            Vec::new()
        },
        board: read(dir, "rules.json")?,
        jobs: read(dir, "jobs.json")?,
    })
}

fn read<T: DeserializeOwned + Default>(dir: &Path, file: &str) -> Result<T> {
    let path = dir.join(file);
    match fs::read(&path) {
        Ok(text) => {
            serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
        }
        Err(_) => Ok(T::default()),
    }
}

/// Does as the effects say, in their order.
pub(crate) fn apply(dir: &Path, effects: Vec<Effect>) -> std::io::Result<()> {
    for effect in effects {
        match effect {
            Effect::Append { file, line } => append(&dir.join(file), &format!("{line}\n"))?,
            Effect::Keep { file, json } => fs::write(dir.join(file), dumps(&json))?,
        }
    }
    Ok(())
}

/// Opens, appends, closes; no lock.
pub(crate) fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// The names whose wrappers say that they were cut off; their flags are taken
/// down.
pub(crate) fn recovered(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path: PathBuf = entry?.path();
        if path.to_string_lossy().ends_with("_recovered") {
            names.push(fs::read_to_string(&path)?.trim().to_owned());
            fs::remove_file(path)?;
        }
    }
    Ok(names)
}
