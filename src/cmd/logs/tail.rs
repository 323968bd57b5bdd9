//! The lines of a file that grows, and that others may move away or cut.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// Between two looks where there are no file events.
const POLL: Duration = Duration::from_millis(500);

/// A file and how far it was read.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Of a line whose end is not there yet.
    rest: Vec<u8>,
    events: Option<events::Events>,
}

impl Tail {
    /// From its beginning; it need not be there.
    ///
    /// # Panics
    /// If not in a runtime.
    pub(super) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            rest: Vec::new(),
            // Before the first look, so that no change falls between the two.
            events: path.parent().and_then(events::of),
        }
    }

    /// The whole lines that are new.
    pub(super) fn lines(&mut self) -> Result<Vec<String>> {
        let tried = || format!("cannot read {}", self.path.display());
        loop {
            if let Some(file) = &mut self.file {
                // One that was cut is read from its beginning.
                if file.stream_position()? > file.metadata().with_context(tried)?.len() {
                    file.seek(SeekFrom::Start(0)).with_context(tried)?;
                }
                file.read_to_end(&mut self.rest).with_context(tried)?;
            }
            let named = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error).with_context(tried),
            };
            let is_it = |file: &File| -> io::Result<bool> {
                let (it, named) = (file.metadata()?, named.metadata()?);
                Ok((it.dev(), it.ino()) == (named.dev(), named.ino()))
            };
            match &self.file {
                Some(file) if is_it(file).with_context(tried)? => break,
                // Another has its name by now; a last line may have had no end.
                Some(_) if self.rest.last().is_some_and(|byte| *byte != b'\n') => {
                    self.rest.push(b'\n');
                    self.file = Some(named);
                }
                _ => self.file = Some(named),
            }
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let rest = self.rest.split_off(whole.map_or(0, |end| end + 1));
        let lines = std::mem::replace(&mut self.rest, rest);
        let lines = String::from_utf8_lossy(&lines);
        Ok(lines.lines().map(str::to_owned).collect())
    }

    /// Waits until there may be more. Cancel safe.
    pub(super) async fn changed(&mut self) {
        let Some(events) = &mut self.events else {
            return tokio::time::sleep(POLL).await;
        };
        if !events::heard(events).await {
            self.events = None;
        }
    }
}

#[cfg(target_os = "linux")]
mod events {
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use tokio::net::unix::pipe::Receiver;

    /// Events as bytes; to the runtime their descriptor is a pipe.
    pub(super) type Events = Receiver;

    /// The events of what is in `dir`, if this user may have more.
    pub(super) fn of(dir: &Path) -> Option<Events> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        let wanted =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY;
        inotify.add_watch(dir, wanted).ok()?;
        Receiver::from_file_unchecked(OwnedFd::from(inotify).into()).ok()
    }

    /// Waits for events and takes all there are; false if there will be none.
    pub(super) async fn heard(events: &mut Events) -> bool {
        let ready = events.readable().await.is_ok();
        let mut buf = [0; 4096];
        while matches!(events.try_read(&mut buf), Ok(1..)) {}
        ready
    }
}

/// Others have events of another kind, which are not used yet.
#[cfg(not(target_os = "linux"))]
mod events {
    use std::path::Path;

    pub(super) enum Events {}

    pub(super) fn of(_: &Path) -> Option<Events> {
        None
    }

    pub(super) async fn heard(events: &mut Events) -> bool {
        match *events {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn lines_are_read_once_whatever_becomes_of_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.log");
        let mut tail = Tail::of(&path);
        let append = |text: &str| {
            let file = File::options().create(true).append(true).open(&path);
            file.expect("open")
                .write_all(text.as_bytes())
                .expect("written");
        };
        assert!(tail.lines().expect("read").is_empty(), "absent");
        append("one\ntw");
        tail.changed().await;
        assert_eq!(tail.lines().expect("read"), ["one"]);
        append("o\nthree\n");
        tail.changed().await;
        assert_eq!(tail.lines().expect("read"), ["two", "three"]);
        // Moved away between two looks, with a last line in the old one.
        append("four");
        fs::rename(&path, dir.path().join("x.log.1")).expect("moved");
        append("five\n");
        assert_eq!(tail.lines().expect("read"), ["four", "five"]);
        // Cut.
        fs::write(&path, "6\n").expect("written");
        assert_eq!(tail.lines().expect("read"), ["6"]);
        fs::remove_file(&path).expect("removed");
        assert!(tail.lines().expect("read").is_empty());
        append("seven\n");
        assert_eq!(tail.lines().expect("read"), ["seven"]);
    }
}
