//! What the store keeps of instances: who they are, what they have read, and
//! what waits for them.

use std::time::Instant;

use rusqlite::{OptionalExtension, Result, params};

use super::api::Message;
use super::life::Life;
use super::registry::Instance;
use super::store::{Store, parsed, signed, unsigned};
use crate::types::identity::{AgentName, Token};
use crate::types::trigger::{ChannelName, Trigger};

/// Agents that are remembered.
const MOST_BASES: u32 = 256;

impl Store {
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
        for one in all.iter_mut().filter(|one| one.registered_at == 0.0) {
            one.life = Life::never(now);
        }
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

    /// Gives an instance to a successor: the tokens that it had are nobody's.
    pub(super) fn pass_on(&self, id: i64, uid: &str, token: &Token) -> Result<()> {
        self.run("DELETE FROM stale_tokens WHERE instance = ?", [id])?;
        self.run(
            "UPDATE instances SET uid = ?, token = ? WHERE id = ?",
            params![uid, token.expose(), id],
        )
    }

    pub(super) fn bases(&self) -> Result<Vec<AgentName>> {
        self.list("SELECT name FROM bases", [], |row| parsed(row, "name"))
    }

    /// Remembers agents, so that a mention of one is answered truthfully: as
    /// many as anybody will configure.
    pub(super) fn know(&self, agents: &[AgentName]) -> Result<()> {
        for agent in agents {
            self.run(
                "INSERT OR IGNORE INTO bases (name)
                 SELECT ? WHERE (SELECT count(*) FROM bases) < ?",
                params![agent.as_str(), MOST_BASES],
            )?;
        }
        Ok(())
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

    pub(super) fn count_triggers(&self, instance: i64) -> Result<u64> {
        self.db
            .prepare_cached("SELECT count(*) FROM triggers WHERE instance = ?")?
            .query_row([instance], |row| row.get(0))
            .map(unsigned)
    }

    /// Gives up what has waited for an instance since before a time in seconds
    /// since 1970: channels, and how many mentions in each.
    pub(super) fn expire_triggers(
        &self,
        instance: i64,
        before: f64,
    ) -> Result<Vec<(ChannelName, u64)>> {
        const OLD: &str = "FROM triggers WHERE instance = ?1 AND message IN
             (SELECT id FROM messages WHERE timestamp < ?2)";
        let counted = format!("SELECT channel, count(*) AS count {OLD} GROUP BY channel");
        let expired = self.list(&counted, params![instance, before], |row| {
            Ok((parsed(row, "channel")?, unsigned(row.get("count")?)))
        })?;
        if !expired.is_empty() {
            self.run(&format!("DELETE {OLD}"), params![instance, before])?;
        }
        Ok(expired)
    }

    pub(super) fn ack(&self, instance: i64, upto: u64) -> Result<()> {
        self.run(
            "DELETE FROM triggers WHERE instance = ? AND id <= ?",
            [instance, signed(upto)],
        )
    }
}
