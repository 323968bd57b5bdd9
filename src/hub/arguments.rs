//! The arguments of a tool call, read with patience: models write `"20"` for
//! 20, and `#dev` for `dev`. Pure.

use serde_json::{Map, Value};

use crate::types::trigger::ChannelName;

/// Messages that one read returns at most.
const MAX_READ: usize = 200;

/// An argument that is missing, or not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadArgument(pub(super) String);

/// The arguments of one call.
pub(super) struct Arguments<'a>(pub(super) &'a Map<String, Value>);

impl Arguments<'_> {
    pub(super) fn required(&self, key: &str) -> Result<&str, BadArgument> {
        match self.0.get(key) {
            None | Some(Value::Null) => Err(BadArgument(format!("{key} is required"))),
            Some(_) => self.text(key),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, BadArgument> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(BadArgument(format!("{key} must be a string"))),
        }
    }

    pub(super) fn whole(&self, key: &str, default: i64) -> Result<i64, BadArgument> {
        let number = match self.0.get(key) {
            None | Some(Value::Null) => return Ok(default),
            Some(Value::Number(number)) => number.as_i64().or_else(|| integral(number.as_f64()?)),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        number.ok_or_else(|| BadArgument(format!("{key} must be a whole number")))
    }

    /// Messages asked for; what is no sensible number is the default.
    pub(super) fn limit(&self, default: usize) -> Result<usize, BadArgument> {
        let limit = self.whole("limit", 0)?;
        Ok(match usize::try_from(limit) {
            Ok(limit) if limit > 0 => limit.min(MAX_READ),
            _ => default,
        })
    }

    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>, BadArgument> {
        let bad = || BadArgument(format!("{key} must be a list of strings"));
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(bad))
                .collect(),
            Some(_) => Err(bad()),
        }
    }

    /// `#dev` is `dev`: that is how prompts and messages spell it.
    pub(super) fn channel(&self) -> Result<Option<ChannelName>, BadArgument> {
        let name = self.text("channel")?.trim();
        let name = name.strip_prefix('#').unwrap_or(name);
        if name.is_empty() {
            return Ok(None);
        }
        let channel = name.parse::<ChannelName>();
        channel
            .map(Some)
            .map_err(|error| BadArgument(error.to_string()))
    }
}

fn integral(number: f64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the range, without fraction"
    )]
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A call whose every argument is `value`.
    fn all(value: &Value) -> Map<String, Value> {
        ["it", "limit", "channel"]
            .map(|key| (key.to_owned(), value.clone()))
            .into_iter()
            .collect()
    }

    #[test]
    fn whole_numbers_come_in_many_forms() {
        for (value, number) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!(" -7 "), Some(-7)),
            (json!(7.0), Some(7)),
            (json!(null), Some(3)),
            (json!(7.5), None),
            (json!("seven"), None),
            (json!(true), None),
            (json!([7]), None),
            (json!(1e300), None),
        ] {
            let read = Arguments(&all(&value)).whole("it", 3).ok();
            assert_eq!(read, number, "{value}");
        }
    }

    #[test]
    fn limits_are_kept_sensible() {
        for (value, limit) in [
            (json!(null), 20),
            (json!(0), 20),
            (json!(-5), 20),
            (json!(5), 5),
            (json!(100_000), MAX_READ),
        ] {
            assert_eq!(Arguments(&all(&value)).limit(20), Ok(limit), "{value}");
        }
    }

    #[test]
    fn channels_may_have_their_sign() {
        for (value, channel) in [
            (json!("dev"), Ok(Some("dev"))),
            (json!(" #dev"), Ok(Some("dev"))),
            (json!(""), Ok(None)),
            (json!(null), Ok(None)),
            (json!("##dev"), Err(())),
            (json!("Dev"), Err(())),
            (json!("x\r!id\r"), Err(())),
            (json!(5), Err(())),
        ] {
            let read = Arguments(&all(&value)).channel().map_err(drop);
            let read = read.map(|name| name.map(String::from));
            assert_eq!(read, channel.map(|name| name.map(str::to_owned)), "{value}");
        }
    }

    #[test]
    fn strings_are_strings() {
        for (value, list) in [
            (json!(["a", "b"]), Ok(2)),
            (json!([]), Ok(0)),
            (json!(null), Ok(0)),
            (json!(["a", 1]), Err(())),
            (json!("a"), Err(())),
        ] {
            let read = Arguments(&all(&value)).strings("it");
            assert_eq!(read.map(|list| list.len()).map_err(drop), list, "{value}");
        }
        for (value, text) in [
            (json!("a"), Ok("a")),
            (json!(null), Err(())),
            (json!(1), Err(())),
        ] {
            let read = Arguments(&all(&value)).required("it").map(str::to_owned);
            assert_eq!(read.map_err(drop), text.map(str::to_owned), "{value}");
        }
    }
}
