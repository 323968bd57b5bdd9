//! The hub's `SQLite` file: how it is opened and asked, its messages and its
//! channels.
//!
//! *Invariant*: used from one thread only, the desk's.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, params};

use super::api::Message;
use super::route::Hops;
use crate::types::trigger::ChannelName;

/// What `PRAGMA user_version` says of a file with our tables.
const VERSION: i64 = 1;

/// Who reads its mentions in files. Earlier versions did not have it, and need
/// not know it.
const FILE_READERS: &str = "CREATE TABLE IF NOT EXISTS file_readers (
    instance INTEGER PRIMARY KEY REFERENCES instances (id) ON DELETE CASCADE
)";

/// How long the store waits for another program that locks it: less than its
/// callers wait for an answer.
const LOCKED: Duration = Duration::from_secs(3);

pub(super) struct Store {
    pub(super) db: Connection,
    /// An earlier version made it, which told any process at the hub's port its
    /// token.
    pub(super) is_old: bool,
}

/// A message before it has an id.
pub(super) struct Draft<'a> {
    pub(super) uid: String,
    pub(super) sender: &'a str,
    pub(super) text: &'a str,
    pub(super) kind: &'a str,
    pub(super) timestamp: f64,
    pub(super) channel: &'a ChannelName,
    pub(super) reply_to: Option<u64>,
    pub(super) metadata: Option<serde_json::Value>,
}

impl Store {
    /// Opens the file, which must exist (empty is fine): `SQLite` gives its
    /// journals the mode that the file has.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let db = Connection::open(path)?;
        db.busy_timeout(LOCKED)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        anyhow::ensure!(
            version <= VERSION,
            "a newer version of this program made it"
        );
        if version == 0 {
            let whole = db.unchecked_transaction()?;
            whole.execute_batch(include_str!("schema.sql"))?;
            whole.pragma_update(None, "user_version", VERSION)?;
            whole.commit()?;
        }
        let has_readers = db
            .prepare("SELECT 1 FROM sqlite_master WHERE name = 'file_readers'")?
            .exists([])?;
        db.execute_batch(FILE_READERS)?;
        let is_old = version > 0 && !has_readers;
        Ok(Self { db, is_old })
    }

    /// Starts a transaction: dropped, it is undone.
    pub(super) fn begin(&self) -> Result<Transaction<'_>> {
        self.db.unchecked_transaction()
    }

    // Messages.

    pub(super) fn add_message(&self, draft: Draft<'_>) -> Result<Message> {
        self.run(
            "INSERT INTO messages (uid, sender, text, kind, timestamp, channel, reply_to, metadata)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                draft.uid,
                draft.sender,
                draft.text,
                draft.kind,
                draft.timestamp,
                draft.channel.as_str(),
                draft.reply_to.map(signed),
                draft.metadata.as_ref().map(ToString::to_string),
            ],
        )?;
        Ok(Message {
            id: unsigned(self.db.last_insert_rowid()),
            uid: draft.uid,
            sender: draft.sender.into(),
            text: draft.text.into(),
            kind: draft.kind.into(),
            timestamp: draft.timestamp,
            time: clock_time(draft.timestamp),
            attachments: Vec::new(),
            channel: draft.channel.to_string(),
            reply_to: draft.reply_to,
            metadata: draft.metadata,
        })
    }

    pub(super) fn has_message(&self, id: u64) -> Result<bool> {
        self.db
            .prepare_cached("SELECT 1 FROM messages WHERE id = ?")?
            .exists([signed(id)])
    }

    /// Messages with ids above `since`, oldest first, at most `limit`.
    pub(super) fn messages_after(
        &self,
        since: u64,
        limit: usize,
        channel: Option<&ChannelName>,
    ) -> Result<Vec<Message>> {
        let only = only(channel);
        self.list(
            &format!("SELECT * FROM messages WHERE id > ?1 AND {only} ORDER BY id LIMIT ?3"),
            params![signed(since), channel.map(ChannelName::as_str), rows(limit)],
            message,
        )
    }

    /// The newest `limit` messages, oldest first.
    pub(super) fn last_messages(
        &self,
        limit: usize,
        channel: Option<&ChannelName>,
    ) -> Result<Vec<Message>> {
        let only = only(channel);
        let newest = format!("SELECT * FROM messages WHERE {only} ORDER BY id DESC LIMIT ?1");
        self.list(
            &format!("SELECT * FROM ({newest}) ORDER BY id"),
            params![rows(limit), channel.map(ChannelName::as_str)],
            message,
        )
    }

    /// How many messages stand above `since`.
    pub(super) fn count_after(&self, since: u64, channel: Option<&ChannelName>) -> Result<u64> {
        let only = only(channel);
        self.one(
            &format!("SELECT count(*) FROM messages WHERE id > ?1 AND {only}"),
            params![signed(since), channel.map(ChannelName::as_str)],
        )
        .map(unsigned)
    }

    /// The newest id; 0 where there is none.
    pub(super) fn last_id(&self) -> Result<u64> {
        self.one("SELECT coalesce(max(id), 0) FROM messages", [])
            .map(unsigned)
    }

    // Channels.

    pub(super) fn channels(&self) -> Result<Vec<ChannelName>> {
        self.list("SELECT name FROM channels ORDER BY rowid", [], |row| {
            parsed(row, "name")
        })
    }

    pub(super) fn hops(&self, channel: &ChannelName) -> Result<Option<Hops>> {
        self.db
            .prepare_cached("SELECT hops, paused FROM channels WHERE name = ?")?
            .query_row([channel.as_str()], |row| {
                Ok(Hops {
                    count: row.get(0)?,
                    paused: row.get(1)?,
                })
            })
            .optional()
    }

    /// Keeps the state of a channel, which is made if need be.
    pub(super) fn set_hops(&self, channel: &ChannelName, hops: Hops) -> Result<()> {
        self.run(
            "INSERT INTO channels (name, hops, paused) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET hops = ?2, paused = ?3",
            params![channel.as_str(), hops.count, hops.paused],
        )
    }

    pub(super) fn any_paused(&self) -> Result<bool> {
        self.db
            .prepare_cached("SELECT 1 FROM channels WHERE paused")?
            .exists([])
    }

    pub(super) fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.db.prepare_cached(sql)?.execute(params).map(drop)
    }

    fn one(&self, sql: &str, params: impl rusqlite::Params) -> Result<i64> {
        self.db
            .prepare_cached(sql)?
            .query_row(params, |row| row.get(0))
    }

    pub(super) fn list<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        row: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.db
            .prepare_cached(sql)?
            .query_map(params, row)?
            .collect()
    }
}

/// The condition on the second parameter: a channel, or none. Two statements,
/// so that each has its own index.
fn only(channel: Option<&ChannelName>) -> &'static str {
    match channel {
        Some(_) => "channel = ?2",
        None => "?2 IS NULL",
    }
}

fn message(row: &Row<'_>) -> Result<Message> {
    let timestamp = row.get("timestamp")?;
    Ok(Message {
        id: unsigned(row.get("id")?),
        uid: row.get("uid")?,
        sender: row.get("sender")?,
        text: row.get("text")?,
        kind: row.get("kind")?,
        timestamp,
        time: clock_time(timestamp),
        attachments: Vec::new(),
        channel: row.get("channel")?,
        reply_to: row.get::<_, Option<i64>>("reply_to")?.map(unsigned),
        metadata: row
            .get::<_, Option<String>>("metadata")?
            .and_then(|text| serde_json::from_str(&text).ok()),
    })
}

/// A column whose text is one of our words.
pub(super) fn parsed<T>(row: &Row<'_>, column: &str) -> Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let index = row.as_ref().column_index(column)?;
    row.get::<_, String>(index)?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// `HH:MM:SS` where the hub is.
fn clock_time(timestamp: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "seconds fit for ever")]
    let time = chrono::DateTime::from_timestamp(timestamp as i64, 0).unwrap_or_default();
    time.with_timezone(&chrono::Local)
        .format("%H:%M:%S")
        .to_string()
}

/// `SQLite`'s integers have a sign, our ids have none.
pub(super) fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
