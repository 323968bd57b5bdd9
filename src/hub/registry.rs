//! Who is registered, under which name, and until when. Pure: time comes in.
//!
//! *Invariant*: no two instances bear one name, in any case of letters. A
//! name belongs to its instance as long as its lease runs, which every sign
//! of life renews; after that it stays with it until somebody else needs it.

use std::time::Instant;

use super::life::Life;
use crate::types::identity::{AgentName, InstanceName, Token, slot};
use crate::types::trigger::ChannelName;

/// Instances of one base.
const MAX_SLOTS: u32 = 64;

/// Words that mean something else in a mention, as a sender, or in a status.
const RESERVED: [&str; 5] = ["all", "both", "user", "system", "paused"];

/// One registered agent process.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) id: i64,
    /// What the wire calls `identity_id`.
    pub(super) uid: String,
    pub(super) name: InstanceName,
    pub(super) base: AgentName,
    pub(super) slot: u32,
    pub(super) label: String,
    pub(super) role: String,
    pub(super) token: Token,
    /// Earlier tokens: they open nothing, but tell whose registration it is.
    pub(super) stale: Vec<Token>,
    /// The channel that it read or wrote last.
    pub(super) channel: ChannelName,
    /// Seconds since 1970; 0 for one that is mentioned and has never been
    /// there.
    pub(super) registered_at: f64,
    pub(super) life: Life,
}

/// Where a new instance goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: InstanceName,
    pub(super) slot: u32,
    /// Instances whose lease ran out and whose name or slot is now needed.
    pub(super) evicts: Vec<i64>,
}

/// Why there is no place, or no such name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    #[error("`{0}` is reserved")]
    Reserved(String),
    #[error("`{0}` is too long for a base: its instances would have no names")]
    TooLong(AgentName),
    #[error("{MAX_SLOTS} instances of `{0}` are registered")]
    Full(AgentName),
    #[error("Already claimed: {0}")]
    Taken(InstanceName),
    #[error("Name '{0}' conflicts with the {1} agent family")]
    Family(InstanceName, AgentName),
    #[error("Slot {0} already occupied in {1} family")]
    Slot(u32, AgentName),
}

/// All instances, in the order of their registration.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) instances: Vec<Instance>,
}

impl Registry {
    pub(super) fn get(&self, id: i64) -> Option<&Instance> {
        self.instances.iter().find(|one| one.id == id)
    }

    pub(super) fn get_mut(&mut self, id: i64) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|one| one.id == id)
    }

    pub(super) fn remove(&mut self, id: i64) {
        self.instances.retain(|one| one.id != id);
    }

    /// The instance that the wire knows by this `identity_id`.
    pub(super) fn by_uid(&self, uid: &str) -> Option<&Instance> {
        self.instances.iter().find(|one| one.uid == uid)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Instance> {
        self.instances
            .iter()
            .find(|one| one.name.as_str().eq_ignore_ascii_case(name))
    }

    /// Whose valid token this is. Every token is compared, each in constant
    /// time.
    pub(super) fn by_token(&self, token: &Token) -> Option<i64> {
        self.instances.iter().fold(None, |found, one| {
            if one.token == *token {
                Some(one.id)
            } else {
                found
            }
        })
    }

    /// Whose token this is or was.
    pub(super) fn by_any_token(&self, token: &Token) -> Option<i64> {
        self.by_token(token).or_else(|| {
            self.instances
                .iter()
                .find(|one| one.stale.contains(token))
                .map(|one| one.id)
        })
    }

    /// The lowest slot of the base that nobody holds.
    pub(super) fn place(&self, base: &AgentName, now: Instant) -> Result<Place, NoPlace> {
        refuse_reserved(base.as_str())?;
        for slot in 1..=MAX_SLOTS {
            let name = name_of(base, slot).ok_or_else(|| NoPlace::TooLong(base.clone()))?;
            let mut in_the_way = self.instances.iter().filter(|one| {
                same(one.name.as_str(), name.as_str())
                    || (one.slot == slot && same(one.base.as_str(), base.as_str()))
            });
            if in_the_way.clone().all(|one| !one.life.holds(now)) {
                let evicts = in_the_way.by_ref().map(|one| one.id).collect();
                return Ok(Place { name, slot, evicts });
            }
        }
        Err(NoPlace::Full(base.clone()))
    }

    /// The slot that instance `id` has after it takes the name `name`.
    pub(super) fn claim(
        &self,
        id: i64,
        name: &InstanceName,
        bases: &[AgentName],
    ) -> Result<u32, NoPlace> {
        refuse_reserved(name.as_str())?;
        let Some(me) = self.get(id) else {
            return Err(NoPlace::Taken(name.clone()));
        };
        if self.named(name.as_str()).is_some_and(|one| one.id != id) {
            return Err(NoPlace::Taken(name.clone()));
        }
        let Some((family, slot)) = bases
            .iter()
            .find_map(|base| Some((base, slot_in(base, name)?)))
        else {
            return Ok(me.slot);
        };
        if !same(family.as_str(), me.base.as_str()) {
            return Err(NoPlace::Family(name.clone(), family.clone()));
        }
        let occupied = self.instances.iter().any(|one| {
            one.id != id && one.slot == slot && same(one.base.as_str(), family.as_str())
        });
        if occupied {
            return Err(NoPlace::Slot(slot, family.clone()));
        }
        Ok(slot)
    }
}

/// What an instance is called where nobody said: `Claude`, `Claude 2`; with
/// the word of its family, if that has one.
pub(super) fn default_label(base: &AgentName, family: Option<&str>, slot: u32) -> String {
    let mut label = family.unwrap_or(base.as_str()).to_owned();
    if family.is_none() {
        label[..1].make_ascii_uppercase();
    }
    if slot > 1 {
        label = format!("{label} {slot}");
    }
    label
}

fn refuse_reserved(name: &str) -> Result<(), NoPlace> {
    match RESERVED.iter().find(|word| same(word, name)) {
        Some(word) => Err(NoPlace::Reserved((*word).to_owned())),
        None => Ok(()),
    }
}

/// `claude`, `claude-2`, …; None if that is too long for a name.
pub(super) fn name_of(base: &AgentName, slot: u32) -> Option<InstanceName> {
    if slot == 1 {
        base.as_str().parse().ok()
    } else {
        format!("{base}-{slot}").parse().ok()
    }
}

/// The slot that a name means within a family, in any case of letters.
fn slot_in(base: &AgentName, name: &InstanceName) -> Option<u32> {
    let [base, name] = [base.as_str(), name.as_str()].map(str::to_ascii_lowercase);
    slot(&base, &name)
}

/// The slot that an instance of `base` can have, if a word means one.
pub(super) fn slot_of(base: &AgentName, word: &str) -> Option<u32> {
    let slot = slot_in(base, &word.parse().ok()?)?;
    (slot <= MAX_SLOTS).then_some(slot)
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::super::life::LEASE;
    use super::*;

    fn base(text: &str) -> AgentName {
        text.parse().expect("a base")
    }

    fn name(text: &str) -> InstanceName {
        text.parse().expect("a name")
    }

    impl Registry {
        /// Registers as the hub does, without its storage.
        fn enter(&mut self, text: &str, now: Instant) -> (i64, String) {
            let place = self.place(&base(text), now).expect("a place");
            for id in &place.evicts {
                self.remove(*id);
            }
            let id = self.instances.last().map_or(1, |one| one.id + 1);
            self.instances.push(Instance {
                id,
                uid: String::new(),
                name: place.name.clone(),
                base: base(text),
                slot: place.slot,
                label: String::new(),
                role: String::new(),
                token: Token::random(),
                stale: Vec::new(),
                channel: ChannelName::general(),
                registered_at: 0.0,
                life: Life::new(now, true),
            });
            (id, place.name.into())
        }
    }

    #[test]
    fn names_are_the_lowest_free_ones() {
        let (mut registry, now) = (Registry::default(), Instant::now());
        let (first, one) = registry.enter("claude", now);
        assert_eq!(one, "claude");
        assert_eq!(registry.enter("claude", now).1, "claude-2");
        assert_eq!(registry.enter("claude", now).1, "claude-3");
        assert_eq!(registry.enter("codex", now).1, "codex");
        registry.remove(first);
        assert_eq!(registry.enter("claude", now).1, "claude");
        assert_eq!(registry.enter("claude-2", now).1, "claude-2-2");
        assert_eq!(registry.enter("CLAUDE", now).1, "CLAUDE-4");
    }

    #[test]
    fn a_name_is_given_away_only_after_its_lease() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        let (id, _) = registry.enter("claude", start);
        let late = start + LEASE;
        let early = start + LEASE.mul_f64(0.99);
        assert_eq!(
            registry
                .place(&base("claude"), early)
                .expect("a place")
                .slot,
            2
        );
        let after = registry.place(&base("claude"), late).expect("a place");
        assert_eq!((after.slot, after.evicts), (1, vec![id]));
        let life = &mut registry.get_mut(id).expect("there").life;
        life.touch(late);
        assert_eq!(
            registry.place(&base("claude"), late).expect("a place").slot,
            2
        );
    }

    #[test]
    fn a_base_takes_64_instances_and_no_reserved_word() {
        let (mut registry, now) = (Registry::default(), Instant::now());
        for _ in 0..64 {
            registry.enter("claude", now);
        }
        assert_eq!(
            registry.place(&base("claude"), now),
            Err(NoPlace::Full(base("claude")))
        );
        for word in ["all", "Both", "user", "system"] {
            assert!(registry.place(&base(word), now).is_err(), "{word}");
        }
        let long = base(&"x".repeat(64));
        registry.enter(long.as_str(), now);
        assert_eq!(registry.place(&long, now), Err(NoPlace::TooLong(long)));
    }

    #[test]
    fn tokens_tell_whose_they_are() {
        let (mut registry, now) = (Registry::default(), Instant::now());
        let (id, _) = registry.enter("claude", now);
        let (other, _) = registry.enter("codex", now);
        let me = registry.get_mut(id).expect("there");
        let old = std::mem::replace(&mut me.token, Token::random());
        me.stale.push(old.clone());
        assert_eq!(registry.by_token(&old), None);
        assert_eq!(registry.by_any_token(&old), Some(id));
        let fresh = registry.get(other).expect("there").token.clone();
        assert_eq!(registry.by_token(&fresh), Some(other));
        assert_eq!(registry.by_any_token(&Token::random()), None);
    }

    #[test]
    fn names_can_be_claimed_unless_they_are_somebodys() {
        let (mut registry, now) = (Registry::default(), Instant::now());
        let (first, _) = registry.enter("claude", now);
        let (second, _) = registry.enter("claude", now);
        let bases = [base("claude"), base("codex")];
        let claim = |registry: &Registry, to: &str| {
            registry
                .claim(second, &name(to), &bases)
                .map_err(|error| error.to_string())
        };
        for (to, answer) in [
            ("music", Ok(2)),
            ("claude-2", Ok(2)),
            ("claude-7", Ok(7)),
            ("claude", Err("Already claimed: claude")),
            (
                "codex",
                Err("Name 'codex' conflicts with the codex agent family"),
            ),
            (
                "codex-3",
                Err("Name 'codex-3' conflicts with the codex agent family"),
            ),
            // Another name, not the first slot.
            ("claude-01", Ok(2)),
            ("all", Err("`all` is reserved")),
        ] {
            assert_eq!(claim(&registry, to), answer.map_err(str::to_owned), "{to}");
        }
        registry.get_mut(first).expect("there").name = name("music");
        assert_eq!(
            claim(&registry, "claude"),
            Err("Slot 1 already occupied in claude family".to_owned())
        );
    }

    #[test]
    fn labels_are_made_from_the_base() {
        assert_eq!(default_label(&base("claude"), None, 1), "Claude");
        assert_eq!(default_label(&base("claude"), None, 2), "Claude 2");
        assert_eq!(default_label(&base("7"), None, 1), "7");
        assert_eq!(default_label(&base("cc"), Some("épée"), 2), "épée 2");
    }
}
