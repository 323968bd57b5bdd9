//! The sender of a tool call is the session's own instance, whatever the agent
//! wrote (the identity proxy of agentchattr's protocol). Pure.
//!
//! *Invariant*: only the identity argument changes, wherever it stands.

use super::rpc::{self, Members};
use super::splice::Splice;

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
    let calls = rpc::calls(body);
    if calls.is_empty() {
        return Stamped::NoCall;
    }
    let name = format!("\"{name}\"");
    let mut splice = Splice::new(body);
    for params in calls.iter().flat_map(|call| call.all("params")) {
        let keys = identity_arguments(params);
        let members: Vec<_> = keys.iter().map(|key| (*key, name.as_str())).collect();
        if !members.is_empty() {
            splice.set(params, "arguments", &members);
        }
    }
    splice.finish().map_or(Stamped::AsIs, Stamped::New)
}

/// The arguments that name the caller of the tool: more than one if the tool
/// has more than one name.
fn identity_arguments(params: &str) -> Vec<&'static str> {
    let Some(members) = Members::of(params) else {
        return Vec::new();
    };
    let mut keys: Vec<&str> = members
        .all("name")
        .filter_map(|tool| identity_argument(&rpc::text(tool)?))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

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
        let own = [
            "\"method\":\"tools/call\"",
            "\"params\":",
            "\"arguments\":",
            "\"sender\":",
            "\"name\":\"chat_send\"",
            "\"name\":",
            "\"\\u0073ender\":",
        ];
        let (mut dice, mut changed) = (Dice::new(7), 0);
        for _ in 0..20_000 {
            let text = dice.json(&own);
            let around = call(
                "chat_send",
                &format!(r#","arguments":{{"a":[{text}],"sender":{text}}}"#),
            );
            for body in [text, around] {
                if let Stamped::New(new) = stamp(body.as_bytes(), "me") {
                    changed += 1;
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
        assert!(changed > 100, "{changed}");
    }
}
