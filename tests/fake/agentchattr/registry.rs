//! Who is registered under which name: slots, renames, names that are kept free
//! for a while, and tokens. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{is_of, name_of, slot_in};
use crate::settings::{Base, Rules};

/// A registered instance, as `/api/register` answers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) identity_id: String,
    pub(crate) name: String,
    pub(crate) base: String,
    pub(crate) slot: u32,
    /// Of any type: what the request has is echoed.
    pub(crate) label: Value,
    pub(crate) color: String,
    pub(crate) state: String,
    pub(crate) epoch: u32,
    pub(crate) registered_at: f64,
    pub(crate) token: String,
}

#[derive(Debug)]
pub(crate) struct Registry {
    bases: BTreeMap<String, Base>,
    grace: f64,
    keeps: bool,
    live: Vec<Instance>,
    /// Names of those that left, and until when they are nobody's.
    reserved: BTreeMap<String, f64>,
    /// Instances that come back with their token.
    away: Vec<Instance>,
}

/// An instance that has another name now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// How an instance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// By its own will: for good.
    Deliberate,
    /// Given up: its token may bring it back where instances are kept.
    Lost,
}

impl Registry {
    pub(crate) fn new(rules: &Rules, kept: Vec<Instance>) -> Self {
        Self {
            bases: rules.bases.clone(),
            grace: rules.grace,
            keeps: rules.keeps_registry,
            live: Vec::new(),
            reserved: BTreeMap::new(),
            away: kept,
        }
    }

    /// Registers an instance with the lowest slot that is free. The first of
    /// a family gets a number when there is a second.
    pub(crate) fn register(
        &mut self,
        base: &str,
        label: &Value,
        token: String,
        identity_id: String,
        now: f64,
    ) -> Option<(Instance, Option<Renamed>)> {
        let family = self.bases.get(base)?.clone();
        self.reserved.retain(|_, until| *until > now);
        let is_taken = |slot: &u32| {
            self.live
                .iter()
                .any(|one| one.base == base && one.slot == *slot)
                || self
                    .reserved
                    .keys()
                    .any(|name| slot_in(base, name) == Some(*slot))
        };
        let slot = (1..=u32::MAX).find(|slot| !is_taken(slot))?;
        let renamed = (slot >= 2)
            .then(|| self.number_the_first(base, &family))
            .flatten();
        let instance = Instance {
            identity_id,
            name: name_of(base, slot),
            base: base.to_owned(),
            slot,
            label: if is_truthy(label) {
                label.clone()
            } else {
                label_of(&family, slot).into()
            },
            color: family.color,
            state: "active".into(),
            epoch: 1,
            registered_at: now,
            token,
        };
        self.live.push(instance.clone());
        Some((instance, renamed))
    }

    fn number_the_first(&mut self, base: &str, family: &Base) -> Option<Renamed> {
        let is_first = |one: &Instance| one.slot == 1 && one.base == base && one.name == base;
        let at = self.live.iter().position(is_first)?;
        let mut first = self.live.remove(at);
        first.name = format!("{base}-1");
        first.label = format!("{} 1", family.label).into();
        let to = first.name.clone();
        self.live.push(first);
        Some(Renamed {
            from: base.to_owned(),
            to,
        })
    }

    /// Removes an instance and keeps its name free for the grace period. The
    /// last of a family gets the plain name back.
    pub(crate) fn remove(&mut self, name: &str, how: Leave, now: f64) -> Option<Renamed> {
        let at = self.live.iter().position(|one| one.name == name)?;
        let gone = self.live.remove(at);
        self.reserved.insert(gone.name.clone(), now + self.grace);
        let base = gone.base.clone();
        if how == Leave::Lost && self.keeps {
            self.away.push(gone);
        }
        let family = self.bases.get(&base)?;
        let mut left = self.live.iter_mut().filter(|one| one.base == base);
        let (Some(last), None) = (left.next(), left.next()) else {
            return None;
        };
        let is_numbered = last.name != base && slot_in(&base, &last.name).is_some();
        is_numbered.then(|| {
            last.slot = 1;
            last.label = family.label.clone().into();
            last.color.clone_from(&family.color);
            let from = std::mem::replace(&mut last.name, base.clone());
            Renamed { from, to: base }
        })
    }

    /// Forgets the token of an instance, which is gone with it.
    pub(crate) fn forget(&mut self, name: &str, reserve: bool, now: f64) {
        self.live.retain(|one| one.name != name);
        if reserve {
            self.reserved.insert(name.to_owned(), now + self.grace);
        }
    }

    /// Renames an instance, if nobody else's name or slot is in the way. A name of
    /// one's own choice keeps the slot.
    pub(crate) fn rename(&mut self, name: &str, to: &str) -> Result<(), String> {
        if name == to {
            return Ok(());
        }
        if self.is_registered(to) {
            return Err(format!("Already claimed: {to}"));
        }
        let Some(one) = self.live.iter().find(|one| one.name == name) else {
            return Err(format!("Not found: {name}"));
        };
        let foreign = self
            .bases
            .keys()
            .find(|base| **base != one.base && slot_in(base, to).is_some());
        if let Some(base) = foreign {
            return Err(format!(
                "Name '{to}' conflicts with the {base} agent family"
            ));
        }
        let slot = slot_in(&one.base, to);
        let occupied = |slot: u32| {
            let mut others = self.live.iter().filter(|other| other.name != name);
            others.any(|other| other.base == one.base && other.slot == slot)
        };
        if let Some(slot) = slot.filter(|slot| occupied(*slot)) {
            let base = &one.base;
            return Err(format!("Slot {slot} already occupied in {base} family"));
        }
        let label = match slot {
            Some(slot) => self
                .bases
                .get(&one.base)
                .map(|family| label_of(family, slot)),
            None => Some(to.to_owned()),
        };
        self.reserved.remove(to);
        if let Some(at) = self.live.iter().position(|one| one.name == name) {
            // Entered anew, as the last of all.
            let mut one = self.live.remove(at);
            to.clone_into(&mut one.name);
            one.slot = slot.unwrap_or(one.slot);
            one.label = label.unwrap_or_default().into();
            self.live.push(one);
        }
        Ok(())
    }

    /// The name that belongs to a token. One that is away comes back by it,
    /// unless somebody else has its place.
    pub(crate) fn by_token(&mut self, token: &str) -> Option<String> {
        if let Some(one) = self.live.iter().find(|one| one.token == token) {
            return Some(one.name.clone());
        }
        let at = self.away.iter().position(|one| one.token == token)?;
        let back = self.away.remove(at);
        let is_occupied = self
            .live
            .iter()
            .any(|one| one.name == back.name || (&one.base, one.slot) == (&back.base, back.slot));
        if is_occupied {
            return None;
        }
        let name = back.name.clone();
        self.reserved.remove(&name);
        self.live.push(back);
        Some(name)
    }

    pub(crate) fn is_registered(&self, name: &str) -> bool {
        self.live.iter().any(|one| one.name == name)
    }

    /// True if only a token speaks for this name.
    pub(crate) fn is_family(&self, name: &str) -> bool {
        self.is_registered(name) || self.bases.keys().any(|base| is_of(base, name))
    }

    pub(crate) fn bases(&self) -> impl Iterator<Item = &String> {
        self.bases.keys()
    }

    pub(crate) fn live(&self) -> &[Instance] {
        &self.live
    }

    /// What is to be kept: those that are here, and those that may come back.
    pub(crate) fn kept(&self) -> Option<Vec<&Instance>> {
        self.keeps
            .then(|| self.live.iter().chain(&self.away).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Instance> {
        self.live.iter().find(|one| one.name == name)
    }

    /// The first instance of a base; None if there is none.
    pub(crate) fn first_of(&self, base: &str) -> Option<&Instance> {
        self.live.iter().find(|one| one.base == base)
    }

    /// The name of the instance of a base that has only one.
    pub(crate) fn only_one_of(&self, base: &str) -> Option<String> {
        let mut family = self.live.iter().filter(|one| one.base == base);
        let one = family.next()?;
        family.next().is_none().then(|| one.name.clone())
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Instance> {
        self.live.iter_mut().find(|one| one.name == name)
    }

    /// The instances of the family that an instance belongs to.
    pub(crate) fn siblings(&self, name: &str) -> usize {
        let base = self.get(name).map(|one| &one.base);
        let of_base = |one: &&Instance| Some(&one.base) == base;
        self.live.iter().filter(of_base).count()
    }
}

fn label_of(family: &Base, slot: u32) -> String {
    if slot == 1 {
        family.label.clone()
    } else {
        format!("{} {slot}", family.label)
    }
}

/// As Python has it.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}
