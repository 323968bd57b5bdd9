//! Other readers of JSON: where a name is there more than once, most take the
//! last value and some the first; one in between may be any. Pure.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How often a name is there at most in one object of `body`; at least 1, or 0
/// if it is no JSON.
pub(super) fn repeats(body: &[u8]) -> usize {
    let most = Cell::new(1);
    let read = Taking {
        nth: 0,
        most: &most,
    }
    .from(body);
    read.map_or(0, |_| most.get())
}

/// The message as each kind of reader has it: by the last of a name's values
/// first, down to the first of `repeats`; none if it is no JSON.
pub(super) fn read(body: &[u8], repeats: usize) -> Vec<Value> {
    let most = Cell::new(1);
    let takings = (0..repeats.max(1)).rev();
    takings
        .filter_map(|nth| Taking { nth, most: &most }.from(body).ok())
        .collect()
}

/// Takes the value at `nth` of those that a name has, or its last.
#[derive(Clone, Copy)]
struct Taking<'a> {
    nth: usize,
    /// The most values that a name had so far.
    most: &'a Cell<usize>,
}

impl Taking<'_> {
    fn from(self, body: &[u8]) -> Result<Value, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let value = self.deserialize(&mut reader)?;
        reader.end().map(|()| value)
    }
}

impl<'de> DeserializeSeed<'de> for Taking<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Taking<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = from.next_element_seed(self)? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut seen = Map::new();
        let mut counts = HashMap::<String, usize>::new();
        while let Some(name) = from.next_key::<String>()? {
            let value = from.next_value_seed(self)?;
            let count = counts.entry(name.clone()).or_default();
            if *count <= self.nth {
                seen.insert(name, value);
            }
            *count += 1;
            self.most.set(self.most.get().max(*count));
        }
        Ok(Value::Object(seen))
    }
}
