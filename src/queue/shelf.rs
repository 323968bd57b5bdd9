//! The files that were taken, the entries that were handed out of them, and
//! what has become of both.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use tracing::warn;

use super::entry::{self, Entry, Parsed};
use super::journal::Offsets;
use super::taken::{Line, Rest, Stale, Taken};

/// About how many bytes of lines are read at once: on the thread that serves
/// the terminal, whose keys are not to wait for it.
const BATCH: u64 = 64 * 1024;

/// How long a writer may need to go that was heard going.
const CLOSING: Duration = Duration::from_secs(1);

/// How far a queue has been delivered; later is greater.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

/// An entry that waits to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What acknowledges it, and all that were handed out before it.
    pub position: Position,
    pub entry: Entry,
    /// It is not to be typed, and why.
    pub stale: Option<Stale>,
}

/// Taken files by their numbers.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    files: BTreeMap<u64, Taken>,
    /// What was handed out and not acknowledged, oldest first.
    handed: VecDeque<Handed>,
    last: Position,
}

/// An entry that was handed out.
#[derive(Debug)]
struct Handed {
    position: Position,
    /// The files that it stands in, and how far: two if a line was torn.
    ends: Vec<(u64, u64)>,
}

/// What the world is like while the files are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    /// Others may write from other machines.
    pub(super) is_remote: bool,
    /// How long ago somebody was heard writing.
    pub(super) quiet: Duration,
}

/// What one look at the files came to.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) batch: Vec<Waiting>,
    /// When to look again, whatever happens.
    pub(super) again: Option<Duration>,
}

impl Look {
    /// Asks for another look after `time`.
    fn again_in(&mut self, time: Duration) {
        self.again = Some(self.again.map_or(time, |again| again.min(time)));
    }
}

impl Shelf {
    pub(super) fn put(&mut self, files: impl IntoIterator<Item = (u64, Taken)>) {
        self.files.extend(files);
    }

    /// Looks at every file once: hands out what is new, removes what is done
    /// with.
    pub(super) fn look(&mut self, scene: Scene) -> Look {
        let mut look = Look::default();
        let mut room = BATCH;
        let numbers: Vec<u64> = self.files.keys().copied().collect();
        for &number in &numbers {
            let looked = self
                .read(number, &mut room, &mut look)
                .and_then(|()| self.settle(number, scene, &mut look));
            if let Err(error) = looked
                && let Some(file) = self.files.remove(&number)
            {
                // It stays where it is, for whoever can read it.
                warn!(%error, path = %file.path.display(), "cannot read a queue file");
            }
        }
        if room == 0 {
            look.again_in(Duration::ZERO);
        }
        look
    }

    /// Acknowledges; tells how far the files are done.
    pub(super) fn ack(&mut self, upto: Position) -> Offsets {
        let mut offsets = Offsets::new();
        while self.handed.front().is_some_and(|at| at.position <= upto) {
            let ends = self.handed.pop_front().map(|handed| handed.ends);
            for (number, end) in ends.unwrap_or_default() {
                if let Some(file) = self.files.get_mut(&number) {
                    file.waiting -= 1;
                    offsets.insert(number, end);
                }
            }
        }
        offsets
    }

    /// Hands out what is new in a file.
    fn read(&mut self, number: u64, room: &mut u64, look: &mut Look) -> io::Result<()> {
        let Some(file) = self.files.get_mut(&number).filter(|_| *room > 0) else {
            return Ok(());
        };
        let (lines, mut skipped) = file.lines(room)?;
        for line in lines {
            if !self.line(number, &line, look) && !line.bytes.trim_ascii().is_empty() {
                skipped += 1;
            }
        }
        if skipped > 0 {
            warn!(skipped, "lines of the queue that are no entries");
        }
        Ok(())
    }

    /// Hands out one line; false if it is no entry.
    fn line(&mut self, number: u64, line: &Line, look: &mut Look) -> bool {
        if let Some(parsed) = entry::parse(&line.bytes) {
            self.hand_out(parsed, vec![(number, line.end)], look);
            return true;
        }
        line.is_first && self.mend(number, line, look)
    }

    /// Puts the first line of a file and the end of an earlier one together: a
    /// writer that closes and opens between two halves finds another file.
    fn mend(&mut self, number: u64, line: &Line, look: &mut Look) -> bool {
        let Some(name) = self.files.get(&number).map(|file| file.name.clone()) else {
            return false;
        };
        let mut earlier = self.files.range_mut(..number).rev();
        let torn = earlier.find(|(_, file)| file.name == name && file.tail > 0);
        let Some((&first, file)) = torn else {
            return false;
        };
        // If that file cannot be read its own turn tells.
        let torn = file.torn().unwrap_or_default();
        let Some(parsed) = entry::parse(&[&torn[..], &line.bytes].concat()) else {
            return false;
        };
        let end = file.pass_tail();
        self.hand_out(parsed, vec![(first, end), (number, line.end)], look);
        true
    }

    fn hand_out(&mut self, parsed: Parsed, ends: Vec<(u64, u64)>, look: &mut Look) {
        if parsed.is_cut {
            warn!("an entry of the queue was too long and is cut");
        }
        let mut stale = None;
        for (number, _) in &ends {
            if let Some(file) = self.files.get_mut(number) {
                file.waiting += 1;
                stale = stale.or(file.stale(parsed.entry.prompt.is_some()));
            }
        }
        self.last.0 += 1;
        let position = self.last;
        self.handed.push_back(Handed { position, ends });
        look.batch.push(Waiting {
            position,
            entry: parsed.entry,
            stale,
        });
    }

    /// Removes a file that is done with, and decides about its torn end.
    fn settle(&mut self, number: u64, scene: Scene, look: &mut Look) -> io::Result<()> {
        let Some(file) = self.files.get(&number) else {
            return Ok(());
        };
        if file.waiting > 0 && file.tail == 0 {
            return Ok(());
        }
        let length = match file.rest(scene.is_remote)? {
            Rest::Final(length) => length,
            Rest::After(time) => {
                look.again_in(time);
                return Ok(());
            }
            Rest::Written => {
                // The event comes a moment before the writer is gone.
                if let Some(left) = CLOSING.checked_sub(scene.quiet) {
                    look.again_in(left);
                }
                return Ok(());
            }
        };
        if length > file.read + file.tail {
            look.again_in(Duration::ZERO);
            return Ok(());
        }
        if file.tail > 0 {
            self.settle_torn(number, look)?;
        }
        let is_done = |file: &Taken| file.waiting == 0 && file.tail == 0;
        if self.files.get(&number).is_some_and(is_done)
            && let Some(file) = self.files.remove(&number)
        {
            file.remove()?;
        }
        Ok(())
    }

    /// What becomes of an end without a line feed that nobody continues: an
    /// entry if it is whole, nothing if the server has begun anew, else it
    /// waits.
    fn settle_torn(&mut self, number: u64, look: &mut Look) -> io::Result<()> {
        let mut later = self.files.range_mut(number..);
        let Some((_, file)) = later.next() else {
            return Ok(());
        };
        if let Some(parsed) = entry::parse(&file.torn()?) {
            let end = file.pass_tail();
            self.hand_out(parsed, vec![(number, end)], look);
        } else if later.any(|(_, later)| later.name == file.name && later.read > 0) {
            file.pass_tail();
            warn!("a line of the queue was never finished");
        }
        Ok(())
    }
}
