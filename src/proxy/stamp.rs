//! The sender of a tool call is the session's own instance, whatever the agent
//! wrote (the identity proxy of agentchattr's protocol). Pure.
//!
//! *Invariant*: only the identity argument changes. Every other byte of the
//! body stays as it was; a second argument of the same name, or one spelled
//! with escapes, is set as well.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::rpc::{self, Members};

/// How the method is spelled, but for escapes.
static METHOD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("tools/call"));

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stamped {
    /// It calls no tool.
    NoCall,
    /// It calls a tool, and goes on as it is.
    AsIs,
    /// It calls a tool, in the name of the instance.
    New(Vec<u8>),
}

/// Sets the identity argument of every `tools/call` in `body` to `name`.
pub(super) fn stamp(body: &[u8], name: &str) -> Stamped {
    let may_call = METHOD.find(body).is_some() || memchr::memchr(b'\\', body).is_some();
    if !may_call {
        return Stamped::NoCall;
    }
    let messages = rpc::messages(body);
    let mut calls = messages
        .iter()
        .filter(|message| rpc::is_call(message))
        .peekable();
    if calls.peek().is_none() {
        return Stamped::NoCall;
    }
    let mut edits = Vec::new();
    for params in calls.flat_map(|call| call.all("params")) {
        stamp_params(body, params, name, &mut edits);
    }
    if edits.is_empty() {
        return Stamped::AsIs;
    }
    Stamped::New(splice(body, edits))
}

/// The argument by which a tool learns who calls it.
fn identity_argument(tool: &str) -> Option<&'static str> {
    match tool {
        "chat_send" | "chat_read" | "chat_resync" | "chat_decision" | "chat_set_hat"
        | "chat_claim" => Some("sender"),
        "chat_join" => Some("name"),
        _ => None,
    }
}

type Edit = (Range<usize>, String);

fn stamp_params(body: &[u8], params: &str, name: &str, edits: &mut Vec<Edit>) {
    let Some(members) = Members::of(params) else {
        return;
    };
    let mut keys: Vec<&str> = members
        .all("name")
        .filter_map(|tool| identity_argument(&rpc::text(tool)?))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return;
    }
    let name = format!("\"{name}\"");
    let fresh = |keys: &[&str]| {
        let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{name}")).collect();
        members.join(",")
    };
    let mut arguments = members.all("arguments").peekable();
    if arguments.peek().is_none() {
        let at = place(body, params).start + 1;
        edits.push((at..at, format!("\"arguments\":{{{}}},", fresh(&keys))));
    }
    for argument in arguments {
        let at = place(body, argument);
        if argument == "null" {
            edits.push((at, format!("{{{}}}", fresh(&keys))));
        } else if let Some(members) = Members::of(argument) {
            let present = keys.iter().flat_map(|key| members.all(key));
            let foreign = present.filter(|value| *value != name);
            edits.extend(foreign.map(|value| (place(body, value), name.clone())));
            let is_missing = |key: &&str| members.all(key).next().is_none();
            let missing: Vec<&str> = keys.iter().copied().filter(is_missing).collect();
            if !missing.is_empty() {
                let comma = if members.is_empty() { "" } else { "," };
                let start = at.start + 1;
                edits.push((start..start, fresh(&missing) + comma));
            }
        }
    }
}

/// Where in `body` its slice `part` is.
fn place(body: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - body.as_ptr().addr();
    start..start + part.len()
}

fn splice(body: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|(at, _)| at.start);
    let mut new = Vec::with_capacity(body.len() + 64);
    let mut done = 0;
    for (at, text) in edits {
        new.extend_from_slice(&body[done..at.start]);
        new.extend_from_slice(text.as_bytes());
        done = at.end;
    }
    new.extend_from_slice(&body[done..]);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::dice::Dice;

    /// A call of `tool` with `rest` after the name.
    fn call(tool: &str, rest: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"{rest}}}}}"#
        )
    }

    fn stamped(body: &str) -> String {
        match stamp(body.as_bytes(), "claude-2") {
            Stamped::New(new) => String::from_utf8(new).expect("still text"),
            Stamped::AsIs => format!("as is: {body}"),
            Stamped::NoCall => "no call".into(),
        }
    }

    #[test]
    fn the_identity_argument_becomes_ours() {
        let set = |tool: &str, before: &str, after: &str| {
            let (before, after) = (call(tool, before), call(tool, after));
            assert_eq!(stamped(&before), after, "{before}");
        };
        for tool in [
            "chat_send",
            "chat_read",
            "chat_resync",
            "chat_decision",
            "chat_set_hat",
            "chat_claim",
        ] {
            set(
                tool,
                r#","arguments":{"sender":"x","message":"hi"}"#,
                r#","arguments":{"sender":"claude-2","message":"hi"}"#,
            );
        }
        set(
            "chat_join",
            r#","arguments":{"name":"x"}"#,
            r#","arguments":{"name":"claude-2"}"#,
        );
        set(
            "chat_send",
            r#" , "arguments" : { "message" : "a b" , "sender" : "x" }"#,
            r#" , "arguments" : { "message" : "a b" , "sender" : "claude-2" }"#,
        );
        set(
            "chat_send",
            r#","arguments":{"m":1}"#,
            r#","arguments":{"sender":"claude-2","m":1}"#,
        );
        set(
            "chat_send",
            r#","arguments":{}"#,
            r#","arguments":{"sender":"claude-2"}"#,
        );
        set(
            "chat_send",
            r#","arguments":{ }"#,
            r#","arguments":{"sender":"claude-2" }"#,
        );
        set(
            "chat_send",
            r#","arguments":null"#,
            r#","arguments":{"sender":"claude-2"}"#,
        );
        for odd in ["null", "7", r#"["a"]"#, r#"{"x":"}"}"#, r#""a\"b""#] {
            let before = format!(r#","arguments":{{"sender":{odd}}}"#);
            set(
                "chat_send",
                &before,
                r#","arguments":{"sender":"claude-2"}"#,
            );
        }
        assert_eq!(
            stamped(&call("chat_read", "")),
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"sender":"claude-2"},"name":"chat_read"}}"#
        );
    }

    #[test]
    fn no_second_reading_of_a_body_has_another_sender() {
        let set = |before: &str, after: &str| {
            let (before, after) = (call("chat_send", before), call("chat_send", after));
            assert_eq!(stamped(&before), after, "{before}");
        };
        set(
            r#","arguments":{"sender":"a","sender":"b"}"#,
            r#","arguments":{"sender":"claude-2","sender":"claude-2"}"#,
        );
        set(
            r#","arguments":{"\u0073ender":"a"}"#,
            r#","arguments":{"\u0073ender":"claude-2"}"#,
        );
        set(
            r#","arguments":{"sender":"a"},"arguments":{}"#,
            r#","arguments":{"sender":"claude-2"},"arguments":{"sender":"claude-2"}"#,
        );
        set(
            r#","name":"chat_join","arguments":{}"#,
            r#","name":"chat_join","arguments":{"name":"claude-2","sender":"claude-2"}"#,
        );
        for method in [r"tools\/call", r"\u0074ools/call"] {
            let body = call("chat_send", r#","arguments":{}"#).replace("tools/call", method);
            assert!(stamped(&body).contains("claude-2"), "{body}");
        }
        let twice = call("chat_send", r#","arguments":{}"#)
            .replace(r#""method""#, r#""method":"ping","method""#);
        assert!(stamped(&twice).contains("claude-2"), "{twice}");
    }

    #[test]
    fn batches_are_stamped_and_the_rest_is_left_alone() {
        let (send, list) = (
            call("chat_send", r#","arguments":{"sender":"x"}"#),
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#,
        );
        assert_eq!(
            stamped(&format!("[ {list},{send} ]")),
            format!("[ {list},{} ]", send.replace(r#""x""#, r#""claude-2""#))
        );
        for calls_none in [
            list,
            "",
            "tools/call",
            "[]",
            "{",
            r#"{"method":"ping","params":"tools/call"}"#,
            r#"{"method":"notifications/x","params":{"a":"\n"}}"#,
        ] {
            assert_eq!(stamped(calls_none), "no call");
        }
        for as_is in [
            call("chat_who", r#","arguments":{"sender":"x"}"#),
            call("chat_send", r#","arguments":{"sender":"claude-2"}"#),
            call("chat_send", r#","arguments":[1]"#),
            r#"{"method":"tools/call"}"#.into(),
            r#"{"method":"tools/call","params":[]}"#.into(),
        ] {
            assert_eq!(stamped(&as_is), format!("as is: {as_is}"));
        }
    }

    #[test]
    fn whatever_comes_the_outcome_is_sound() {
        let words = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"method\":\"tools/call\"",
            "\"params\":",
            "\"arguments\":",
            "\"sender\":",
            "\"name\":\"chat_send\"",
            "\"name\":",
            "\"\\u0073ender\":",
            "null",
            " ",
            "\"é\"",
            "1",
        ];
        let mut dice = Dice::new(7);
        for _ in 0..20_000 {
            let text: String = (0..dice.below(24))
                .map(|_| words[dice.below(words.len())])
                .collect();
            let around = call(
                "chat_send",
                &format!(r#","arguments":{{"a":[{text}],"sender":{text}}}"#),
            );
            for body in [text, around] {
                if let Stamped::New(new) = stamp(body.as_bytes(), "me") {
                    let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json);
                    assert!(read(&new).is_ok(), "{body}");
                    assert_ne!(stamp(&new, "me"), Stamped::NoCall, "{body}");
                    assert!(
                        !matches!(stamp(&new, "me"), Stamped::New(_)),
                        "twice: {body}"
                    );
                }
            }
        }
    }
}
