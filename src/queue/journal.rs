//! How far each taken file was delivered, in a file that is only appended to.
//!
//! A line is `FILE OFFSET`: all of file FILE before OFFSET is done. It is
//! written in one go, so whatever kills the process leaves a whole number of
//! them; a line that a power cut tore does not count.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use crate::paths;

/// The highest offset of each file.
pub(super) type Offsets = BTreeMap<u64, u64>;

/// The journal of a living wrapper.
#[derive(Debug)]
pub(super) struct Journal(Arc<File>);

impl Journal {
    /// Opens the journal of a new spool.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(paths::private_log(path)?)))
    }

    /// Appends, so that it outlives the process.
    pub(super) fn note(&self, offsets: &Offsets) -> io::Result<()> {
        let mut lines = Vec::new();
        for (file, offset) in offsets {
            writeln!(lines, "{file} {offset}")?;
        }
        (&*self.0).write_all(&lines)
    }

    /// Waits until what was noted outlives the machine as well, elsewhere than
    /// on this thread: a disk may take its time, and a terminal is served here.
    pub(super) async fn sync(&self) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || file.sync_data())
            .await
            .map_err(io::Error::other)?
    }
}

/// Reads a journal; none there is an empty one.
pub(super) fn read(path: &Path) -> io::Result<Offsets> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Offsets::new()),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Offsets {
    let mut offsets = Offsets::new();
    for line in text.split_inclusive('\n') {
        let noted = line
            .strip_suffix('\n')
            .and_then(|line| line.split_once(' '))
            .and_then(|(file, offset)| Some((file.parse().ok()?, offset.parse().ok()?)));
        if let Some((file, offset)) = noted {
            let known = offsets.entry(file).or_insert(offset);
            *known = offset.max(*known);
        }
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_offset_counts_and_a_torn_line_does_not() {
        for (text, offsets) in [
            ("", &[][..]),
            ("1 10\n2 5\n1 30\n1 20\n", &[(1, 30), (2, 5)]),
            ("1 10\n1 2", &[(1, 10)]),
            ("1 10\nx\n\0\0\n-1 5\n2 9\n", &[(1, 10), (2, 9)]),
        ] {
            assert_eq!(parse(text), offsets.iter().copied().collect(), "{text:?}");
        }
    }

    #[test]
    fn what_was_noted_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("acked");
        assert_eq!(read(&path).expect("read"), Offsets::new());
        let journal = Journal::open(&path).expect("opened");
        for offsets in [Offsets::from([(1, 7)]), Offsets::from([(1, 9), (2, 3)])] {
            journal.note(&offsets).expect("noted");
        }
        let noted = read(&path).expect("read");
        assert_eq!(noted, Offsets::from([(1, 9), (2, 3)]));
    }
}
