//! What a server that is not the hub is told of the session: headers, and the
//! same in `params._meta` of tool calls. Correlation, not authentication. Pure.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::types::context::SessionContext;
use crate::types::server::ContextLevel;

use super::rpc;
use super::splice::Splice;

/// What is not sent as it is in a header: controls, everything beyond ASCII,
/// and the sign of the encoding itself (as gRPC has it for `grpc-message`).
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// What a server is told, in both spellings.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Header lines, each with its end.
    pub(super) lines: String,
    /// Names in `_meta`, and values as JSON.
    members: Vec<(&'static str, String)>,
}

/// What there is to tell, at each level.
#[derive(Debug)]
pub(super) struct Telling {
    id: Told,
    full: Told,
}

impl Telling {
    pub(super) fn new(context: &SessionContext) -> Self {
        let id = ("wrapper/session-id", "Id", context.id.as_str());
        let title = ("wrapper/session-title", "Title", context.title.as_str());
        let name = ("wrapper/session-name", "Name", context.name.as_str());
        Self {
            id: Told::new(&[id]),
            full: Told::new(&[id, title, name]),
        }
    }

    /// What a server of this level is told, if anything.
    pub(super) fn at(&self, level: ContextLevel) -> Option<&Told> {
        match level {
            ContextLevel::None => None,
            ContextLevel::Id => Some(&self.id),
            ContextLevel::Full => Some(&self.full),
        }
    }
}

impl Told {
    fn new(parts: &[(&'static str, &str, &str)]) -> Self {
        let mut told = Self::default();
        for &(member, header, text) in parts {
            let json = serde_json::Value::from(text).to_string();
            told.members.push((member, json));
            // Blanks around a header's value are no part of it.
            let value = utf8_percent_encode(text.trim_matches(' '), ENCODED).to_string();
            for part in ["Wrapper-Session-", header, ": ", &value, "\r\n"] {
                told.lines.push_str(part);
            }
        }
        told
    }

    /// `body` with this in every call of a tool, in place of what the agent
    /// may have written there; None if nothing is to be changed.
    pub(super) fn mark(&self, body: &[u8]) -> Option<Vec<u8>> {
        let calls = rpc::calls(body);
        let members: Vec<(&str, &str)> = self
            .members
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut splice = Splice::new(body);
        for params in calls.iter().flat_map(|call| call.all("params")) {
            splice.set(params, "_meta", &members);
        }
        splice.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::types::dice::Dice;

    fn telling(title: &str) -> Telling {
        Telling::new(&SessionContext {
            id: "0123456789ab".parse().expect("an id"),
            title: title.into(),
            name: "claude-2".into(),
            agent: "claude".parse().expect("a name"),
            control: "/run/control.sock".into(),
        })
    }

    const ID: &str = r#""wrapper/session-id":"0123456789ab""#;

    fn call(params: &str) -> String {
        format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#)
    }

    fn marked(level: ContextLevel, body: &str) -> Option<String> {
        let new = telling("A \"title\"").at(level)?.mark(body.as_bytes());
        new.map(|new| String::from_utf8(new).expect("still text"))
    }

    #[test]
    fn headers_carry_any_title_on_one_line() {
        for (title, value) in [
            ("Claude Code", "Claude Code"),
            (" a ", "a"),
            ("100%", "100%25"),
            ("é\u{2028}", "%C3%A9%E2%80%A8"),
            ("a\r\nX: y\0\u{7f}", "a%0D%0AX: y%00%7F"),
            ("", ""),
        ] {
            let telling = telling(title);
            let lines = |level| telling.at(level).map(|told| told.lines.as_str());
            assert_eq!(lines(ContextLevel::None), None);
            let id = "Wrapper-Session-Id: 0123456789ab\r\n";
            assert_eq!(lines(ContextLevel::Id), Some(id));
            let full =
                format!("{id}Wrapper-Session-Title: {value}\r\nWrapper-Session-Name: claude-2\r\n");
            assert_eq!(lines(ContextLevel::Full), Some(full.as_str()));
        }
    }

    #[test]
    fn calls_are_marked_and_nothing_else_changes() {
        for (before, after) in [
            ("{}", format!(r#"{{"_meta":{{{ID}}}}}"#)),
            (
                r#"{ "name" : "t" }"#,
                format!(r#"{{"_meta":{{{ID}}}, "name" : "t" }}"#),
            ),
            (
                r#"{"name":"t","_meta":{"progressToken":1e2}}"#,
                format!(r#"{{"name":"t","_meta":{{{ID},"progressToken":1e2}}}}"#),
            ),
            (
                r#"{"_meta":null,"name":"t"}"#,
                format!(r#"{{"_meta":{{{ID}}},"name":"t"}}"#),
            ),
            (r#"{"_meta":{ }}"#, format!(r#"{{"_meta":{{{ID} }}}}"#)),
            (
                r#"{"_meta":{"wrapper/session-id":"forged"}}"#,
                format!(r#"{{"_meta":{{{ID}}}}}"#),
            ),
            (
                r#"{"_meta":{"wrapper\/session-id":[1],"a":2,"wrapper/session-id":{}}}"#,
                r#"{"_meta":{"wrapper\/session-id":"0123456789ab","a":2,"wrapper/session-id":"0123456789ab"}}"#
                    .into(),
            ),
            (
                r#"{"_meta":{},"\u005fmeta":{"a":1}}"#,
                format!(r#"{{"_meta":{{{ID}}},"\u005fmeta":{{{ID},"a":1}}}}"#),
            ),
        ] {
            let (before, after) = (call(before), call(&after));
            assert_eq!(marked(ContextLevel::Id, &before), Some(after.clone()));
            assert_eq!(marked(ContextLevel::None, &before), None);
            assert_eq!(marked(ContextLevel::Id, &after), None, "twice: {after}");
            let (one, two) = (format!("[{before}, 1]"), format!("[{after}, 1]"));
            assert_eq!(marked(ContextLevel::Id, &one), Some(two));
        }
        for alone in [
            r#"{"id":1,"method":"tools/list","params":{}}"#,
            r#"{"method":"notifications/x","params":{"a":"tools/call"}}"#,
            r#"{"id":1,"method":"tools/call"}"#,
            &call("[]"),
            &call(r#"{"_meta":7}"#),
            "tools/call",
            "",
        ] {
            assert_eq!(marked(ContextLevel::Full, alone), None, "{alone}");
        }
    }

    #[test]
    fn the_full_level_tells_title_and_name() {
        let body = marked(ContextLevel::Full, &call(r#"{"name":"t"}"#)).expect("marked");
        let read: Value = serde_json::from_str(&body).expect("JSON");
        let meta = serde_json::json!({
            "wrapper/session-id": "0123456789ab",
            "wrapper/session-title": "A \"title\"",
            "wrapper/session-name": "claude-2",
        });
        assert_eq!(read["params"]["_meta"], meta);
    }

    #[test]
    fn whatever_comes_the_outcome_is_sound() {
        let own = [
            "\"method\":\"tools/call\"",
            "\"params\":",
            "\"_meta\":",
            "\"\\u005fmeta\":",
            "\"wrapper/session-id\":",
            "\"wrapper\\/session-name\":",
        ];
        let mut dice = Dice::new(11);
        let mut changed = 0;
        for _ in 0..20_000 {
            let text = dice.json(&own);
            let around = call(&format!(r#"{{"a":[{text}],"_meta":{{"b":{text}}}}}"#));
            let inside = call(&format!(r#"{{"_meta":{text},"name":"t"}}"#));
            for body in [text, around, inside] {
                let telling = telling("t");
                let told = telling.at(ContextLevel::Full).expect("told");
                let Some(new) = told.mark(body.as_bytes()) else {
                    continue;
                };
                changed += 1;
                // Sound, done once, and without ours the same as before.
                let mut read: Value = serde_json::from_slice(&new).expect(&body);
                assert_eq!(told.mark(&new), None, "twice: {body}");
                let mut was: Value = serde_json::from_str(&body).expect(&body);
                for value in [&mut read, &mut was] {
                    strip(value);
                }
                assert_eq!(read, was, "{body}");
            }
        }
        assert!(changed > 100, "{changed}");
    }

    /// Takes away what is ours, and a `_meta` that holds nothing else.
    fn strip(value: &mut Value) {
        if let Value::Array(values) = value {
            values.iter_mut().for_each(strip);
        }
        let Some(params) = value.get_mut("params").and_then(Value::as_object_mut) else {
            return;
        };
        if let Some(meta) = params.get_mut("_meta").and_then(Value::as_object_mut) {
            meta.retain(|name, _| !name.starts_with("wrapper/"));
        }
        let is_bare = |meta: &Value| {
            meta.is_null() || meta.as_object().is_some_and(serde_json::Map::is_empty)
        };
        if params.get("_meta").is_some_and(is_bare) {
            params.remove("_meta");
        }
    }
}
