//! Bodies of JSON-RPC: who speaks in a call, what is told with it, what is
//! left alone, and what we answer. Pure.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::proxy::context::{Telling, Told};
use crate::proxy::headers::Content;
use crate::proxy::stamp::{Stamped, stamp};
use crate::proxy::{absent, answer, rpc as messages, stale};
use crate::types::context::SessionContext;
use crate::types::server::ContextLevel;

use super::reader::{read, repeats};

const NAME: &str = "claude-2";
const SESSION: &str = "0123456789ab";

/// Tries a body.
///
/// # Panics
/// If something does not hold.
pub fn rpc(body: &[u8]) {
    let before = read(body, repeats(body));
    if before.is_empty() && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        // A number that no double holds is JSON, and more than we can judge.
        return;
    }
    let calls = before.iter().any(|value| !calls(value).is_empty());
    messages::is_harmless(body);
    for whole in [false, true] {
        stale::judge(Content::Json, body, whole);
    }
    match stamp(body, NAME) {
        Stamped::New(new) => {
            let after = read(&new, before.len());
            assert_eq!(after.len(), before.len(), "it was JSON, and is: {new:?}");
            assert!(calls, "it called nothing");
            assert_eq!(stamp(&new, NAME), Stamped::AsIs, "once is enough");
            same_but_for(&before, &after, "arguments", &|name| {
                ["sender", "name"].contains(&name)
            });
            spoken_by_us(&after);
        }
        Stamped::AsIs => spoken_by_us(&before),
        Stamped::NoCall => assert!(!calls, "a call without its sender"),
    }
    if let Some(told) = telling().at(ContextLevel::Full) {
        marked(told, body, &before, calls);
    }
    answered(body, before.first());
}

fn marked(told: &Told, body: &[u8], before: &[Value], calls_any: bool) {
    let new = told.mark(body);
    let after = new
        .as_ref()
        .map_or_else(|| before.to_vec(), |new| read(new, before.len()));
    if let Some(new) = &new {
        assert_eq!(after.len(), before.len(), "it was JSON, and is: {new:?}");
        assert!(calls_any, "it called nothing");
        assert_eq!(told.mark(new), None, "once is enough");
        same_but_for(before, &after, "_meta", &|name| {
            name.starts_with("wrapper/session-")
        });
    }
    for value in &after {
        for call in calls(value) {
            let params = &call["params"];
            let is_open = params["_meta"].is_object() || params["_meta"].is_null();
            if params.is_object() && is_open {
                assert_eq!(params["_meta"]["wrapper/session-id"], SESSION, "{call}");
            }
        }
    }
}

/// Whoever reads it, every call of a tool that wants a sender has ours.
fn spoken_by_us(readings: &[Value]) {
    for value in readings {
        for call in calls(value) {
            let params = &call["params"];
            let arguments = &params["arguments"];
            let is_open = arguments.is_object() || arguments.is_null();
            if let (Some(key), true, true) = (identity(params), params.is_object(), is_open) {
                assert_eq!(arguments[key], NAME, "{call}");
            }
        }
    }
}

/// Nothing is another but members of `key` in parameters that `are_ours`.
fn same_but_for(before: &[Value], after: &[Value], key: &str, are_ours: &dyn Fn(&str) -> bool) {
    let bare = |value: &Value| {
        let mut value = value.clone();
        let all = match &mut value {
            Value::Array(all) => all.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        for message in all.iter_mut().filter(|message| message.is_object()) {
            // Parameters and what is in them may be there for ours alone.
            if let Some(params) = message.get_mut("params").and_then(Value::as_object_mut) {
                let inner = params.entry(key).or_insert_with(|| json!({}));
                if inner.is_null() {
                    *inner = json!({});
                }
                if let Some(inner) = inner.as_object_mut() {
                    inner.retain(|name, _| !are_ours(name));
                }
            }
        }
        value
    };
    for (before, after) in before.iter().zip(after) {
        assert_eq!(bare(before), bare(after));
    }
}

/// Our answers can be read, and there is one for each request.
fn answered(body: &[u8], read: Option<&Value>) {
    let is_request =
        |one: &&Value| one.is_object() && one.get("id").is_some() && one.get("method").is_some();
    let requests = match read {
        Some(Value::Array(all)) => all.iter().filter(is_request).count(),
        Some(one) => usize::from(is_request(&one)),
        None => 0,
    };
    for text in [
        answer::unable(body, "a \"why\"", true),
        absent::welcome(body, "a \"why\"", true),
    ] {
        let end = memchr::memmem::find(&text, b"\r\n\r\n").map(|end| end + 4);
        let (head, content) = text.split_at(end.unwrap_or(text.len()));
        let head = String::from_utf8_lossy(head);
        let length = format!("\r\nContent-Length: {}\r\n", content.len());
        assert!(head.contains(&length), "{head}");
        if head.contains("application/json") {
            let answers: Result<Value, _> = serde_json::from_slice(content);
            let count = match &answers {
                Ok(Value::Array(all)) => all.len(),
                Ok(Value::Object(_)) => 1,
                other => panic!("{other:?}: {}", String::from_utf8_lossy(content)),
            };
            assert_eq!(count, requests, "{}", String::from_utf8_lossy(content));
        }
    }
}

/// The messages that call a tool.
fn calls(value: &Value) -> Vec<&Value> {
    let all = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let is_call = |one: &&Value| one.is_object() && one["method"] == "tools/call";
    all.iter().filter(is_call).collect()
}

/// The argument that names the sender, as the hub's tools have it.
fn identity(params: &Value) -> Option<&'static str> {
    match params.get("name")?.as_str()? {
        "chat_join" => Some("name"),
        "chat_send" | "chat_read" | "chat_claim" => Some("sender"),
        _ => None,
    }
}

fn telling() -> Telling {
    let (Ok(id), Ok(agent)) = (SESSION.parse(), "claude".parse()) else {
        unreachable!("they are well formed")
    };
    Telling::new(&SessionContext {
        id,
        title: "A \"title\"".into(),
        name: NAME.into(),
        agent,
        control: "control.sock".into(),
    })
}
