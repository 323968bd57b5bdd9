//! Whether the user trusts a project's servers: asked once for a directory and
//! a content, and remembered.
//!
//! *Invariant*: `trust.json` is read, changed and replaced under one lock, so
//! that launches at one time do not lose each other's answers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::project::{Digest, Project};
use crate::paths;
use crate::types::text::one_line;

/// What the user said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Yes,
    No,
}

/// Answers of one directory that are kept: a branch's file may come and go.
const KEPT: usize = 20;

/// `trust.json`: by canonical directory, the last answer at the end.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Answers(BTreeMap<PathBuf, Vec<(Digest, Answer)>>);

/// The file of answers in the directory of all state.
#[derive(Debug, Clone)]
pub struct Trust {
    state: PathBuf,
}

impl Trust {
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
        }
    }

    fn path(&self) -> PathBuf {
        self.state.join("trust.json")
    }

    /// What the user said of this content in this directory; none if they were
    /// not asked.
    ///
    /// # Errors
    /// A file that cannot be read or understood: the caller tells, and asks.
    pub fn remembered(&self, dir: &Path, digest: &Digest) -> Result<Option<Answer>> {
        let answers = self.read()?;
        let Ok(dir) = dir.canonicalize() else {
            return Ok(None);
        };
        let of_dir = answers.0.get(&dir).into_iter().flatten();
        Ok(of_dir
            .rev()
            .find(|(known, _)| known == digest)
            .map(|(_, answer)| *answer))
    }

    /// Remembers an answer. What was in a file that could not be understood is
    /// kept beside it, as `trust.json.broken`.
    ///
    /// # Errors
    /// A directory that cannot be named, a file that cannot be read or written.
    pub fn remember(&self, dir: &Path, digest: &Digest, answer: Answer) -> Result<()> {
        let dir = dir
            .canonicalize()
            .with_context(|| format!("cannot find {}", dir.display()))?;
        self.change(|answers| {
            let of_dir = answers.0.entry(dir).or_default();
            of_dir.retain(|(known, _)| known != digest);
            of_dir.push((digest.clone(), answer));
            let excess = of_dir.len().saturating_sub(KEPT);
            of_dir.drain(..excess);
        })
    }

    /// Changes the file, under its lock.
    fn change(&self, change: impl FnOnce(&mut Answers)) -> Result<()> {
        paths::private_dir(&self.state)
            .with_context(|| format!("cannot make {}", self.state.display()))?;
        let lock = self.state.join("trust.lock");
        let turn = paths::private_log(&lock).and_then(|file: File| file.lock().map(|()| file));
        let _turn = turn.with_context(|| format!("cannot lock {}", lock.display()))?;
        let path = self.path();
        let mut answers = match self.read() {
            Ok(answers) => answers,
            Err(error) if error.downcast_ref::<serde_json::Error>().is_some() => {
                let aside = path.with_extension("json.broken");
                fs::rename(&path, &aside).with_context(|| {
                    format!("cannot move {} to {}", path.display(), aside.display())
                })?;
                Answers::default()
            }
            Err(error) => return Err(error),
        };
        change(&mut answers);
        serde_json::to_vec_pretty(&answers)
            .map_err(io::Error::from)
            .and_then(|body| paths::private_file(&path, &body))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// All directories with an answer, each with its last.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn all(&self) -> Result<Vec<(PathBuf, Answer)>> {
        let answers = self.read()?.0.into_iter();
        let last = answers.filter_map(|(dir, of_dir)| Some((dir, of_dir.last()?.1)));
        Ok(last.collect())
    }

    /// Forgets every answer of a directory, which may be gone; false if there
    /// was none.
    ///
    /// # Errors
    /// A file that cannot be read, understood or written.
    pub fn forget(&self, dir: &Path) -> Result<bool> {
        let real = dir.canonicalize();
        let mut forgotten = false;
        self.change(|answers| {
            let names = real.iter().map(PathBuf::as_path).chain([dir]);
            for name in names {
                forgotten |= answers.0.remove(name).is_some();
            }
        })?;
        Ok(forgotten)
    }

    fn read(&self) -> Result<Answers> {
        let path = self.path();
        match fs::read(&path) {
            Ok(body) => serde_json::from_slice(&body)
                .with_context(|| format!("cannot understand {}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Answers::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// Shows what would run and asks; none if there was no answer: the input
/// ended. That counts as no, and is nothing to remember.
///
/// # Errors
/// Those of the terminal.
pub fn ask(
    project: &Project,
    mut input: impl BufRead,
    mut output: impl Write,
) -> io::Result<Option<Answer>> {
    let path = one_line(&project.path.to_string_lossy(), usize::MAX);
    writeln!(output, "{path} wants these MCP servers:")?;
    for entry in &project.entries {
        writeln!(output, "  {}", entry.shown)?;
    }
    loop {
        write!(output, "Use these servers? [y/N] ")?;
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            writeln!(output)?;
            return Ok(None);
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(Some(Answer::Yes)),
            "" | "n" | "no" => return Ok(Some(Answer::No)),
            _ => {}
        }
    }
}
