//! Calls of guests' tools among what the agent sends to the hub. Pure.
//!
//! *Invariant*: a body that some reader could take for a call of a guest's
//! tool never goes to the hub, and none goes to a guest that could be taken for
//! anything else.

use super::names::Tool;
use crate::proxy::rpc::{self, Members};
use crate::proxy::splice::Splice;

/// What a body for the hub asks of guests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// One call: where it goes, its id as it is spelled, and the body with the
    /// tool's own name.
    Call(Tool, String, Vec<u8>),
    /// A call among others, or one that can be read in two ways.
    Unclear,
}

/// Looks for calls of the tools that `known` knows.
pub(super) fn asked(body: &[u8], known: impl Fn(&str) -> Option<Tool>) -> Asked {
    let calls = rpc::calls(body);
    let names = |call: &Members<'_>| -> Vec<String> {
        let params = call.all("params").filter_map(Members::of);
        params
            .flat_map(|params| params.all("name").filter_map(rpc::text).collect::<Vec<_>>())
            .collect()
    };
    let is_known = |name: &String| known(name).is_some();
    if !calls.iter().flat_map(&names).any(|name| is_known(&name)) {
        return Asked::Nothing;
    }
    single(body, &calls, known).unwrap_or(Asked::Unclear)
}

/// The one call that `body` is, if there is one way to read it.
fn single(
    body: &[u8],
    calls: &[Members<'_>],
    known: impl Fn(&str) -> Option<Tool>,
) -> Option<Asked> {
    let [call] = calls else {
        return None;
    };
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    only(call, "method")?;
    let id = only(call, "id")?;
    let params = Members::of(only(call, "params")?)?;
    let name = only(&params, "name")?;
    let tool = known(&rpc::text(name)?)?;
    let mut splice = Splice::new(body);
    splice.put(
        name,
        serde_json::Value::from(tool.name.as_str()).to_string(),
    );
    Some(Asked::Call(tool, id.to_owned(), splice.finish()?))
}

/// The id of the request that a body says is cancelled, as it is spelled, and
/// all that it says of it.
pub(super) fn cancelled(body: &[u8]) -> Option<(String, String)> {
    // So short that it is read in no time, and no call.
    if body.len() > 4096 || memchr::memmem::find(body, b"cancelled").is_none() {
        return None;
    }
    let message = Members::of(str::from_utf8(body).ok()?)?;
    if rpc::text(message.last("method")?)? != "notifications/cancelled" {
        return None;
    }
    let params = message.last("params")?;
    let id = Members::of(params)?.last("requestId")?.to_owned();
    Some((id, params.to_owned()))
}

fn only<'a>(members: &Members<'a>, key: &str) -> Option<&'a str> {
    let mut all = members.all(key);
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

    fn known(name: &str) -> Option<Tool> {
        let (server, name) = name.split_once("__")?;
        let server = server.parse().ok()?;
        let name = name.to_owned();
        Some(Tool { server, name })
    }

    fn call(params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{params}}}"#)
    }

    #[test]
    fn a_call_goes_under_the_tools_own_name() {
        for (before, after) in [
            (r#"{"name":"docs__a"}"#, r#"{"name":"a"}"#),
            (
                r#"{ "arguments" : {"name":"x__y"} , "name" : "docs__a" }"#,
                r#"{ "arguments" : {"name":"x__y"} , "name" : "a" }"#,
            ),
            (r#"{"name":"docs\u005f_\"é"}"#, r#"{"name":"\"é"}"#),
        ] {
            let Asked::Call(tool, id, body) = asked(call(before).as_bytes(), known) else {
                panic!("{before}");
            };
            assert_eq!(tool.server.as_str(), "docs");
            assert_eq!(id, r#""a\u0062""#);
            assert_eq!(String::from_utf8(body).expect("text"), call(after));
        }
    }

    #[test]
    fn what_is_not_clear_goes_nowhere() {
        let one = call(r#"{"name":"docs__a"}"#);
        let chat = call(r#"{"name":"chat_send"}"#);
        for unclear in [
            format!("[{one}]"),
            format!("[{chat},{one}]"),
            call(r#"{"name":"docs__a","name":"chat_send"}"#),
            call(r#"{"name":"chat_send","name":"docs__a"}"#),
            call(r#"{"name":"docs__a"},"params":{"name":"chat_send"}"#),
            call(r#"{"name":"docs__a"},"method":"ping""#),
            call(r#"{"name":"docs__a"},"id":2"#),
            one.replace(r#""id":"a\u0062","#, ""),
        ] {
            assert_eq!(
                asked(unclear.as_bytes(), known),
                Asked::Unclear,
                "{unclear}"
            );
        }
        for nothing in [
            chat.clone(),
            format!("[{chat}]"),
            call(r#"{"name":"chat_send","arguments":{"name":"docs__a"}}"#),
            call("[]"),
            call(r#"{"name":7}"#),
            one.replace("tools/call", "prompts/get"),
            String::new(),
            "tools/call docs__a".into(),
        ] {
            assert_eq!(
                asked(nothing.as_bytes(), known),
                Asked::Nothing,
                "{nothing}"
            );
        }
    }

    #[test]
    fn cancellations_are_seen() {
        for (body, id) in [
            (
                r#"{"method":"notifications/cancelled","params":{"requestId":7}}"#,
                Some("7"),
            ),
            (
                r#"{"method":"notifications/cancelled","params":{"requestId":"a"}}"#,
                Some("\"a\""),
            ),
            (r#"{"method":"notifications/cancelled"}"#, None),
            (r#"{"method":"x","params":{"requestId":"cancelled"}}"#, None),
        ] {
            let found = cancelled(body.as_bytes()).map(|(id, _)| id);
            assert_eq!(found.as_deref(), id, "{body}");
        }
    }

    #[test]
    fn whatever_comes_the_outcome_is_sound() {
        let own = [
            "\"method\":\"tools/call\"",
            "\"params\":",
            "\"id\":1",
            "\"name\":\"docs__a\"",
            "\"name\":",
            "\"n\\u0061me\":",
        ];
        let (mut dice, mut asks) = (Dice::new(17), 0);
        for _ in 0..20_000 {
            let text = dice.json(&own);
            let around = format!(r#"{{"name":"docs__a","arguments":[{text}]}}"#);
            let bodies = [call(&text), call(&format!("{{{text}}}")), call(&around)];
            for body in bodies.into_iter().chain([text]) {
                if let Asked::Call(tool, _, new) = asked(body.as_bytes(), known) {
                    asks += 1;
                    let read = |json: &[u8]| -> serde_json::Value {
                        serde_json::from_slice(json).expect("JSON")
                    };
                    let mut old = read(body.as_bytes());
                    old["params"]["name"] = tool.name.clone().into();
                    assert_eq!(old, read(&new), "{body}");
                    assert_eq!(asked(&new, known), Asked::Nothing, "{body}");
                }
            }
        }
        assert!(asks > 100, "{asks}");
    }
}
