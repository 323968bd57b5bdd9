//! JSON-RPC messages, looked at without being taken apart: members keep their
//! order, their duplicates and their place in the text. Pure.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::types::evidence::Step;

/// How the method that calls a tool is spelled, but for escapes.
static CALL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("tools/call"));

/// How the method that lists tools is spelled, but for escapes.
static LIST: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("tools/list"));

/// The members of an object as they stand.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The members of `json`; None if it is no object.
    pub(super) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Every value of `key`, in order: what is not unique must not be trusted
    /// to be read in the same way by the next reader.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.get())
    }

    /// The value that counts for most readers: the last one.
    pub(super) fn last(&self, key: &str) -> Option<&'a str> {
        self.all(key).last()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The messages of a body: itself, or the elements of a batch.
pub(super) fn messages(body: &[u8]) -> Vec<Members<'_>> {
    let Ok(body) = str::from_utf8(body) else {
        return Vec::new();
    };
    if let Some(message) = Members::of(body) {
        return vec![message];
    }
    let batch: Vec<&RawValue> = serde_json::from_str(body).unwrap_or_default();
    batch
        .into_iter()
        .filter_map(|message| Members::of(message.get()))
        .collect()
}

/// The messages of a body that call a tool.
pub(super) fn calls(body: &[u8]) -> Vec<Members<'_>> {
    let may_call = CALL.find(body).is_some() || memchr::memchr(b'\\', body).is_some();
    let mut messages = if may_call { messages(body) } else { Vec::new() };
    messages.retain(is_call);
    messages
}

/// One page of a list that stands under `key` of a result: its elements, each
/// as JSON, and where the next page begins. None if it is no list.
pub(super) fn page(result: &str, key: &str) -> Option<(Vec<String>, Option<String>)> {
    let result = Members::of(result)?;
    let elements: Vec<&RawValue> = serde_json::from_str(result.last(key)?).ok()?;
    let elements = elements.iter().map(|element| element.get().to_owned());
    let next = result.last("nextCursor").filter(|next| *next != "null");
    Some((elements.collect(), next.map(str::to_owned)))
}

/// The text of a JSON string.
pub(super) fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// What may be done twice without harm: nothing is stored by it.
pub(super) fn is_harmless(body: &[u8]) -> bool {
    let messages = messages(body);
    let harmless = |message: &Members<'_>| {
        message.last("method").and_then(text).is_some_and(|method| {
            matches!(method.as_str(), "initialize" | "ping")
                || method.starts_with("notifications/")
                || method.ends_with("/list")
        })
    };
    !messages.is_empty() && messages.iter().all(harmless)
}

/// The steps that the messages of a body take, once they are answered; but for
/// `initialize`, whose answer has to say more than that.
pub(super) fn steps(body: &[u8]) -> Vec<Step> {
    if CALL.find(body).is_none() && LIST.find(body).is_none() {
        return Vec::new();
    }
    let messages = messages(body);
    let steps = messages.iter().filter_map(step);
    steps.filter(|step| *step != Step::Initialized).collect()
}

/// The step that a message takes, once it is answered.
pub(super) fn step(message: &Members<'_>) -> Option<Step> {
    match text(message.last("method")?)?.as_str() {
        "initialize" => Some(Step::Initialized),
        "tools/list" => Some(Step::Listed),
        "tools/call" => Some(Step::Called),
        _ => None,
    }
}

/// Whether the messages of a body tell of a result, or of errors alone; None
/// if there is no answer among them.
pub(super) fn is_well(body: &[u8]) -> Option<bool> {
    let messages = messages(body);
    let has = |key| messages.iter().any(|message| message.last(key).is_some());
    (has("result") || has("error")).then(|| has("result"))
}

/// True if a message asks for a tool to be called.
pub(super) fn is_call(message: &Members<'_>) -> bool {
    message
        .all("method")
        .any(|method| text(method).as_deref() == Some("tools/call"))
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(EachMember)
    }
}

struct EachMember;

impl<'de> Visitor<'de> for EachMember {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            members.push((key, value));
        }
        Ok(Members(members))
    }
}

/// A key, borrowed unless it has escapes in it.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(AKey)
    }
}

struct AKey;

impl<'de> Visitor<'de> for AKey {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_by_their_methods() {
        for (body, taken) in [
            (r#"{"id":1,"method":"initialize"}"#, vec![]),
            (r#"{"id":1,"method":"tools/list"}"#, vec![Step::Listed]),
            (r#"{"id":1,"method":"tools/call"}"#, vec![Step::Called]),
            (
                r#"[{"method":"tools/list"},{"id":2,"method":"tools/call"}]"#,
                vec![Step::Listed, Step::Called],
            ),
            (r#"{"method":"notifications/initialized"}"#, vec![]),
            (r#"{"method":"ping","params":"tools/call"}"#, vec![]),
            ("tools/list", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(steps(body.as_bytes()), taken, "{body}");
        }
        for (answer, is_one) in [
            (r#"{"id":1,"result":{}}"#, Some(true)),
            (r#"{"id":1,"error":{"message":"result"}}"#, Some(false)),
            (r#"{"method":"result"}"#, None),
            ("", None),
        ] {
            assert_eq!(is_well(answer.as_bytes()), is_one, "{answer}");
        }
    }

    #[test]
    fn only_what_stores_nothing_may_be_sent_twice() {
        for (body, harmless) in [
            (r#"{"id":1,"method":"initialize"}"#, true),
            (r#"{"id":1,"method":"ping"}"#, true),
            (r#"{"id":1,"method":"tools/list"}"#, true),
            (r#"{"id":1,"method":"resources/templates/list"}"#, true),
            (r#"{"method":"notifications/cancelled"}"#, true),
            (r#"[{"method":"ping"},{"method":"tools/list"}]"#, true),
            (r#"[{"method":"ping"},{"method":"tools/call"}]"#, false),
            (r#"{"id":1,"method":"tools/call"}"#, false),
            (r#"{"id":1,"method":"ping","method":"tools/call"}"#, false),
            (r#"{"id":1,"method":"sampling/createMessage"}"#, false),
            (r#"{"id":1,"result":{}}"#, false),
            ("[]", false),
            ("", false),
        ] {
            assert_eq!(is_harmless(body.as_bytes()), harmless, "{body}");
        }
    }
}
