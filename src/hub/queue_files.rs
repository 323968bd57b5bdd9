//! Mentions for instances that take no stream: agentchattr's own wrappers,
//! which look for them in files of the data directory.
//!
//! An instance counts as one of them that did not say at its registration that
//! it opens a stream, has opened none, and is heard of again: its wrapper has
//! emptied its file by then. The file holds one JSON object a line, as
//! agentchattr writes it.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Instant;

use nix::fcntl::OFlag;
use rusqlite::Result;
use serde::Serialize;
use tracing::warn;

use super::api::Message;
use super::chat::{Chat, Fault};
use super::store::Store;

/// One line of a queue file.
#[derive(Serialize)]
struct Line<'a> {
    sender: &'a str,
    text: String,
    time: &'a str,
    channel: &'a str,
}

impl Chat {
    /// A sign of life of an instance that has not opened a stream: it is one
    /// that reads files, and what waits for it goes there.
    pub(super) fn beat_of_reader(&mut self, id: i64, now: Instant) -> Result<(), Fault> {
        if self.streamless.remove(&id) {
            self.store.read_files(id, true)?;
        }
        self.hand_over(id, now)
    }

    /// Writes what waits for an instance into its file, if that is what it
    /// reads and it is there.
    pub(super) fn hand_over(&self, id: i64, now: Instant) -> Result<(), Fault> {
        let Some(one) = self.registry.get(id).filter(|one| one.life.is_online(now)) else {
            return Ok(());
        };
        if !self.store.reads_files(id)? {
            return Ok(());
        }
        let triggers = self.store.triggers(id, 0)?;
        let Some(last) = triggers.last().map(|trigger| trigger.id) else {
            return Ok(());
        };
        let mut lines = String::new();
        for trigger in &triggers {
            let before = trigger.message.saturating_sub(1);
            let found = self.store.messages_after(before, 1, None)?;
            if let Some(message) = found.first().filter(|one| one.id == trigger.message) {
                lines += &line(message);
            }
        }
        let path = self.queue_file(one.name.as_str());
        match append(&path, &lines) {
            Ok(()) => Ok(self.store.ack(id, last)?),
            Err(error) => {
                // It waits, until the instance is heard of again.
                warn!(%error, path = %path.display(), "cannot write a queue file");
                Ok(())
            }
        }
    }

    /// An instance has left: what it has not read is for nobody else.
    pub(super) fn remove_queue(&self, id: i64) -> Result<(), Fault> {
        if let Some(one) = self.registry.get(id)
            && self.store.reads_files(id)?
        {
            let path = self.queue_file(one.name.as_str());
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    warn!(%error, path = %path.display(), "cannot remove a queue file");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn queue_file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}_queue.jsonl"))
    }
}

impl Store {
    /// Notes whether an instance reads files.
    pub(super) fn read_files(&self, id: i64, does: bool) -> Result<()> {
        if does {
            self.run(
                "INSERT OR IGNORE INTO file_readers (instance) VALUES (?)",
                [id],
            )
        } else {
            self.run("DELETE FROM file_readers WHERE instance = ?", [id])
        }
    }

    fn reads_files(&self, id: i64) -> Result<bool> {
        self.db
            .prepare_cached("SELECT 1 FROM file_readers WHERE instance = ?")?
            .exists([id])
    }
}

fn line(message: &Message) -> String {
    let line = Line {
        sender: &message.sender,
        text: format!("{}: {}", message.sender, message.text),
        time: &message.time,
        channel: &message.channel,
    };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

/// In one write: who reads sees whole lines.
fn append(path: &std::path::Path, lines: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    file.write_all(lines.as_bytes())
}
