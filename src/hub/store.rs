//! The hub's `SQLite` file: statements, and the rows as values.
//!
//! *Invariant*: used from one thread only, the desk's.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, params};

use super::api::Message;
use super::life::Life;
use super::registry::Instance;
use super::route::Hops;
use crate::types::identity::{AgentName, Token};
use crate::types::trigger::{ChannelName, Trigger};

/// What `PRAGMA user_version` says of a file with our tables.
const VERSION: i64 = 1;

pub(super) struct Store {
    db: Connection,
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
        Ok(Self { db })
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
        self.list(
            "SELECT * FROM messages WHERE id > ?1 AND (?2 IS NULL OR channel = ?2)
             ORDER BY id LIMIT ?3",
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
        self.list(
            "SELECT * FROM (SELECT * FROM messages WHERE ?1 IS NULL OR channel = ?1
             ORDER BY id DESC LIMIT ?2) ORDER BY id",
            params![channel.map(ChannelName::as_str), rows(limit)],
            message,
        )
    }

    /// How many messages stand above `since`.
    pub(super) fn count_after(&self, since: u64, channel: Option<&ChannelName>) -> Result<u64> {
        self.one(
            "SELECT count(*) FROM messages WHERE id > ?1 AND (?2 IS NULL OR channel = ?2)",
            params![signed(since), channel.map(ChannelName::as_str)],
        )
        .map(unsigned)
    }

    /// The newest id; 0 where there is none.
    pub(super) fn last_id(&self) -> Result<u64> {
        self.one("SELECT coalesce(max(id), 0) FROM messages", [])
            .map(unsigned)
    }

    // Instances.

    pub(super) fn instances(&self, now: Instant) -> Result<Vec<Instance>> {
        let mut all = self.list("SELECT * FROM instances ORDER BY id", [], |row| {
            Ok(Instance {
                id: row.get("id")?,
                uid: row.get("uid")?,
                name: parsed(row, "name")?,
                base: parsed(row, "base")?,
                slot: row.get("slot")?,
                label: row.get("label")?,
                role: row.get("role")?,
                token: Token::new(row.get::<_, String>("token")?),
                stale: Vec::new(),
                channel: parsed(row, "channel")?,
                registered_at: row.get("registered_at")?,
                life: Life::new(now, false),
            })
        })?;
        for one in &mut all {
            one.stale = self.list(
                "SELECT token FROM stale_tokens WHERE instance = ?",
                [one.id],
                |row| row.get::<_, String>(0).map(Token::new),
            )?;
        }
        Ok(all)
    }

    /// Keeps a new instance (its id is ignored), and returns its id.
    pub(super) fn add_instance(&self, one: &Instance) -> Result<i64> {
        self.run(
            "INSERT INTO instances (uid, name, base, slot, label, token, registered_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                one.uid,
                one.name.as_str(),
                one.base.as_str(),
                one.slot,
                one.label,
                one.token.expose(),
                one.registered_at,
            ],
        )?;
        let id = self.db.last_insert_rowid();
        self.run(
            "INSERT OR IGNORE INTO bases (name) VALUES (?)",
            [one.base.as_str()],
        )?;
        Ok(id)
    }

    /// Frees the name of an instance that is about to go, while its triggers
    /// are still there to be passed on.
    pub(super) fn free_name(&self, id: i64) -> Result<()> {
        self.run("UPDATE instances SET name = '#' || id WHERE id = ?", [id])
    }

    pub(super) fn pass_triggers(&self, from: i64, to: i64) -> Result<()> {
        self.run(
            "UPDATE triggers SET instance = ? WHERE instance = ?",
            [to, from],
        )
    }

    pub(super) fn remove_instance(&self, id: i64) -> Result<()> {
        self.run("DELETE FROM instances WHERE id = ?", [id])
    }

    /// Keeps what may have changed of an instance.
    pub(super) fn update_instance(&self, one: &Instance) -> Result<()> {
        self.run(
            "UPDATE instances SET name = ?, slot = ?, label = ?, role = ?, channel = ? WHERE id = ?",
            params![
                one.name.as_str(),
                one.slot,
                one.label,
                one.role,
                one.channel.as_str(),
                one.id
            ],
        )
    }

    pub(super) fn replace_token(&self, id: i64, old: &Token, new: &Token) -> Result<()> {
        self.run(
            "INSERT INTO stale_tokens (instance, token) VALUES (?, ?)",
            params![id, old.expose()],
        )?;
        self.run(
            "UPDATE instances SET token = ? WHERE id = ?",
            params![new.expose(), id],
        )
    }

    pub(super) fn bases(&self) -> Result<Vec<AgentName>> {
        self.list("SELECT name FROM bases", [], |row| parsed(row, "name"))
    }

    // Cursors.

    pub(super) fn cursor(&self, instance: i64, feed: &str) -> Result<Option<u64>> {
        self.db
            .prepare_cached("SELECT message FROM cursors WHERE instance = ? AND feed = ?")?
            .query_row(params![instance, feed], |row| row.get(0))
            .optional()
            .map(|id| id.map(unsigned))
    }

    pub(super) fn set_cursor(&self, instance: i64, feed: &str, message: u64) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO cursors (instance, feed, message) VALUES (?, ?, ?)",
            params![instance, feed, signed(message)],
        )
    }

    // Triggers.

    pub(super) fn add_trigger(&self, instance: i64, message: &Message) -> Result<()> {
        self.run(
            "INSERT INTO triggers (instance, channel, sender, message) VALUES (?, ?, ?, ?)",
            params![
                instance,
                message.channel,
                message.sender,
                signed(message.id)
            ],
        )
    }

    /// What waits for an instance with ids above `after`.
    pub(super) fn triggers(&self, instance: i64, after: u64) -> Result<Vec<Trigger>> {
        self.list(
            "SELECT * FROM triggers WHERE instance = ? AND id > ? ORDER BY id",
            [instance, signed(after)],
            |row| {
                Ok(Trigger {
                    id: unsigned(row.get("id")?),
                    channel: parsed(row, "channel")?,
                    sender: row.get("sender")?,
                    message: unsigned(row.get("message")?),
                })
            },
        )
    }

    pub(super) fn ack(&self, instance: i64, upto: u64) -> Result<()> {
        self.run(
            "DELETE FROM triggers WHERE instance = ? AND id <= ?",
            [instance, signed(upto)],
        )
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

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.db.prepare_cached(sql)?.execute(params).map(drop)
    }

    fn one(&self, sql: &str, params: impl rusqlite::Params) -> Result<i64> {
        self.db
            .prepare_cached(sql)?
            .query_row(params, |row| row.get(0))
    }

    fn list<T>(
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
fn parsed<T>(row: &Row<'_>, column: &str) -> Result<T>
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
fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn unsigned(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
