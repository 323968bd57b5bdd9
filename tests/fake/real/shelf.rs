//! The terminals in which an agent's screens are written down, and the files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::time::{sleep, timeout};
use wrapper::terminal::Launch;
use wrapper::types::size::TermSize;

use crate::outer::Outer;
use crate::wait::{SETTLED, until};
use crate::world::World;

/// The terminals, by their names in the files.
pub(crate) const TERMINALS: [Terminal; 3] = [
    Terminal("wide", size(40, 120), Outer::sized),
    Terminal("narrow", size(20, 60), Outer::sized),
    Terminal("answering", size(40, 120), Outer::answering),
];

/// A name, a size, and how such a terminal is opened.
pub(crate) struct Terminal(
    pub(crate) &'static str,
    pub(crate) TermSize,
    pub(crate) fn(&Launch, TermSize) -> Result<Outer>,
);

/// The longest that a screen is given to stay as it is; one with a spinner never does.
const RESTLESS: u32 = 12;

const fn size(rows: u16, cols: u16) -> TermSize {
    TermSize::new(rows, cols)
}

/// Where the screens of one run go.
pub(crate) struct Shelf<'a> {
    dir: &'a Path,
    size: &'a str,
    /// The directory of the run, and as long a name that is always the same.
    root: (String, String),
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(dir: &'a Path, size: &'a str, world: &World) -> Self {
        let project = world.dir("project");
        let root = project.parent().and_then(Path::file_name);
        let root = root.unwrap_or_default().to_string_lossy().into_owned();
        let same = format!(".{}", "0".repeat(root.chars().count().saturating_sub(1)));
        Self {
            dir,
            size,
            root: (root, same),
        }
    }

    /// Output in which the directory of the run has the name that is always
    /// the same.
    pub(crate) fn same(&self, output: &[u8]) -> Vec<u8> {
        let (name, same) = (self.root.0.as_bytes(), self.root.1.as_bytes());
        let mut output = output.to_vec();
        while let Some(at) = output.windows(name.len()).position(|part| part == name) {
            output[at..at + name.len()].copy_from_slice(same);
        }
        output
    }

    /// Writes down what is shown now.
    pub(crate) fn keep(&self, what: &str, outer: &Outer) -> Result<()> {
        let picture = outer.picture();
        let (row, column) = picture.cursor;
        let text = format!("cursor {row} {column}\n{}\n", picture.rows.join("\n"));
        let path: PathBuf = self.dir.join(format!("{what}.{}.txt", self.size));
        fs::write(&path, text.replace(&self.root.0, &self.root.1))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Waits until what is shown stays, or is seen not to.
pub(crate) async fn settled(outer: &Outer) {
    let still = until(|| async {
        let before = outer.text();
        sleep(SETTLED).await;
        Ok((outer.text() == before).then_some(()))
    });
    // A spinner is no reason to wait for ever.
    let _ = timeout(RESTLESS * SETTLED, still).await;
}
