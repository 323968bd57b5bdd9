//! The queue of one instance: takes its files, hands out their entries, and
//! forgets them when they are acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tokio::time::Instant;
use tracing::{info, warn};

use super::names::Owner;
use super::shelf::{Look, Position, Scene, Shelf, Waiting};
use super::spool::Spool;
use super::watch::Watch;
use crate::types::identity::{AgentName, InstanceName, SessionId};

/// Between two takes: a server that appends without end would fill a file with
/// each line else.
const GAP: Duration = Duration::from_millis(20);

/// How long the file of a former name is taken as well. What the server had
/// begun to append there is there by then; later the name may be somebody
/// else's, and not every wrapper says so in a spool. agentchattr reserves a
/// name that was given up for as long.
const FORMER: Duration = Duration::from_secs(30);

/// How long after its start a wrapper may still get the name of the one that
/// it follows, by claiming it. Whoever gets a name later is somebody else.
const SETTLING: Duration = Duration::from_secs(60);

/// Within this time we hear that the server has given us a name.
const HEARD: Duration = Duration::from_secs(15);

/// Between two tries when something is in the way.
const RETRY: Duration = Duration::from_secs(1);

/// The mentions of one instance, from its queue files.
#[derive(Debug)]
pub struct Queue {
    data_dir: PathBuf,
    session: SessionId,
    spool: Spool,
    former: Vec<Former>,
    shelf: Shelf,
    watch: Watch,
    opened: Instant,
    last_take: Option<Instant>,
    /// When the last event came.
    stirred: Instant,
    /// When to look again without one.
    due: Option<Instant>,
    /// It was said already that something is in the way.
    is_troubled: bool,
    /// What is there now was written before we were.
    is_opening: bool,
}

/// A name that we had.
#[derive(Debug)]
struct Former {
    name: InstanceName,
    since: u64,
    until: Instant,
}

impl Queue {
    /// Takes what waits for `name` in `data_dir`, and what dead wrappers of
    /// that instance of `base` have left there; watches for more.
    ///
    /// # Errors
    /// If `data_dir` is no directory, or no spool can be made in it.
    ///
    /// # Panics
    /// If not in a runtime.
    pub fn open(
        data_dir: &Path,
        session: &SessionId,
        base: &AgentName,
        name: &InstanceName,
    ) -> Result<Self> {
        Self::watching(data_dir, session, base, name, Watch::on)
    }

    fn watching(
        data_dir: &Path,
        session: &SessionId,
        base: &AgentName,
        name: &InstanceName,
        watch: impl FnOnce(&Path, &Path) -> Watch,
    ) -> Result<Self> {
        let data_dir = std::path::absolute(data_dir)
            .and_then(|dir| fs::read_dir(&dir).map(|_| dir))
            .with_context(|| format!("cannot take mentions from `{}`", data_dir.display()))?;
        let owner = Owner::new(base.clone(), name.clone(), now());
        let spool = Spool::make(&data_dir, session, owner)?;
        // Before the first look, so that nothing falls between.
        let watch = watch(&data_dir, &spool.taken());
        let mut queue = Self {
            data_dir,
            session: session.clone(),
            spool,
            former: Vec::new(),
            shelf: Shelf::default(),
            watch,
            opened: Instant::now(),
            last_take: None,
            stirred: Instant::now(),
            due: None,
            is_troubled: false,
            is_opening: true,
        };
        queue.shelf.put(queue.spool.adopt());
        queue.take();
        queue.is_opening = false;
        Ok(queue)
    }

    /// Why the queue is looked at every second, where events alone would not
    /// tell of every change.
    #[must_use]
    pub fn polls(&self) -> Option<&str> {
        self.watch.polls()
    }

    /// Waits for entries: those that are there, in the order in which their
    /// files were taken, adopted ones first; never none, and each one once.
    /// About 64 KiB at most: the rest is there at the next call. Cancel
    /// safe.
    pub async fn next(&mut self) -> Vec<Waiting> {
        loop {
            let batch = self.collect();
            if !batch.is_empty() {
                return batch;
            }
            let due = self.due;
            let alarm = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.watch.changed() => self.stirred = Instant::now(),
                () = alarm => {}
            }
        }
    }

    /// Notes that the entries up to a position were delivered: they are not
    /// handed out again, neither to us nor to whoever comes after us. That is
    /// so from the moment of the call if only this process is killed; it also
    /// outlives the machine when the call returns. Cancel safe.
    ///
    /// # Errors
    /// If it cannot be written down. Until this process ends they count as
    /// delivered all the same.
    pub async fn ack(&mut self, upto: Position) -> Result<()> {
        let offsets = self.shelf.ack(upto);
        if offsets.is_empty() {
            return Ok(());
        }
        let noted = || "cannot note what was delivered";
        self.spool.journal.note(&offsets).with_context(noted)?;
        // The server does not sync its lines, so a power cut may lose some;
        // but it shall not bring back what an agent has answered long ago.
        self.spool.journal.sync().await.with_context(noted)
    }

    /// Follows the instance to another name. The file of the former one is
    /// taken for a while longer, unless another wrapper has that name now.
    ///
    /// # Errors
    /// If other wrappers cannot be told. The queue has the new name even so.
    pub fn rename(&mut self, name: &InstanceName) -> Result<()> {
        if *name == self.spool.owner.name {
            return Ok(());
        }
        self.former.retain(|former| former.name != *name);
        self.former.push(Former {
            name: self.spool.owner.name.clone(),
            since: self.spool.owner.since,
            until: Instant::now() + FORMER,
        });
        let told = self.spool.rename(name.clone(), now());
        if self.opened.elapsed() < SETTLING {
            self.shelf.put(self.spool.adopt());
        }
        told
    }

    /// Looks once: takes, reads, and removes what is done with.
    fn collect(&mut self) -> Vec<Waiting> {
        self.due = None;
        self.take();
        let look = self.look();
        if let Some(time) = look.again {
            self.look_in(time);
        }
        look.batch
    }

    fn look(&mut self) -> Look {
        self.shelf.look(Scene {
            is_remote: self.watch.is_remote(),
            quiet: self.stirred.elapsed(),
        })
    }

    /// Takes the files of our names that are ours to take.
    fn take(&mut self) {
        let now = Instant::now();
        self.former.retain(|former| now < former.until);
        let owner = &self.spool.owner;
        let names: Vec<(InstanceName, u64)> = self
            .former
            .iter()
            .map(|former| (former.name.clone(), former.since))
            .chain([(owner.name.clone(), owner.since)])
            .collect();
        let pause = self.last_take.map(|last| (last + GAP).duration_since(now));
        for (name, since) in names {
            let path = self.data_dir.join(format!("{name}_queue.jsonl"));
            let Ok(meta) = fs::symlink_metadata(&path) else {
                continue;
            };
            if self.spool.is_superseded(&name, since) {
                continue;
            }
            if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
                self.look_in(pause);
                continue;
            }
            if !meta.is_file() {
                self.trouble(&path, "not a regular file");
                continue;
            }
            match self.spool.take(&path, &name) {
                Ok(Some((number, mut taken))) => {
                    if self.is_opening || is_older(&meta, since) {
                        taken.inherit();
                    }
                    self.shelf.put([(number, taken)]);
                    self.last_take = Some(now);
                    self.is_troubled = false;
                }
                Ok(None) => {}
                Err(error) => self.trouble(&path, &error.to_string()),
            }
        }
    }

    /// Something is in the way: says so once, and tries again.
    fn trouble(&mut self, path: &Path, error: &str) {
        if !std::mem::replace(&mut self.is_troubled, true) {
            warn!(path = %path.display(), error, "cannot take a queue file");
        }
        self.look_in(RETRY);
        if self.spool.is_there() {
            return;
        }
        let owner = self.spool.owner.clone();
        match Spool::make(&self.data_dir, &self.session, owner) {
            Ok(mut spool) => {
                spool.follows(&self.spool);
                warn!("the spool was removed: what was in it is lost");
                self.watch = Watch::on(&self.data_dir, &spool.taken());
                self.spool = spool;
            }
            Err(error) => warn!("the spool was removed: {error:#}"),
        }
    }

    fn look_in(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl Drop for Queue {
    /// Leaves what was not acknowledged to whoever gets the name next.
    fn drop(&mut self) {
        self.look();
        if self.spool.is_spent() {
            self.spool.remove();
        } else {
            info!("entries of the queue are left to the next of its name");
        }
    }
}

/// True if a file was last written to long before we got its name at `since`:
/// the server may have given the name a while before we heard of it.
fn is_older(meta: &fs::Metadata, since: u64) -> bool {
    let written = meta.modified().ok();
    let written = written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    written.is_some_and(|at| at + HEARD < Duration::from_micros(since))
}

/// Microseconds of the Unix time: what wrappers compare.
fn now() -> u64 {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(unix.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn without_events_the_clock_tells() {
        let dir = tempfile::tempdir().expect("a directory");
        let (base, name) = ("claude".parse(), "claude".parse());
        let (base, name) = (base.expect("an agent"), name.expect("a name"));
        let polling = |_: &Path, _: &Path| Watch::polling("as the test wants it".into());
        let session = SessionId::random();
        let queue = Queue::watching(dir.path(), &session, &base, &name, polling);
        let mut queue = queue.expect("opened");
        assert_eq!(queue.polls(), Some("as the test wants it"));
        let path = dir.path().join("claude_queue.jsonl");
        let (batch, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(20), queue.next()),
            async {
                // The first look is over.
                let mut file = fs::File::create(&path).expect("made");
                file.write_all(b"{\"text\":\"one\"}\n").expect("written");
            }
        );
        assert_eq!(batch.expect("in time")[0].entry.text, "one");
    }
}
