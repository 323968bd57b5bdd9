//! The sender of a tool call is the session's own instance, whatever the agent
//! wrote (the identity proxy of agentchattr's protocol). Pure.
//!
//! *Invariant*: only the identity argument changes. Every other byte of the
//! body stays as it was; a second argument of the same name, or one spelled
//! with escapes, is set as well.

use std::ops::Range;

use memchr::memmem;

use super::rpc::{self, Members};

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
    // Only with an escape in it is the method spelled otherwise.
    let may_call =
        memmem::find(body, b"tools/call").is_some() || memchr::memchr(b'\\', body).is_some();
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
    let fresh: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{name}")).collect();
    let fresh = fresh.join(",");
    let mut arguments = members.all("arguments").peekable();
    if arguments.peek().is_none() {
        let at = place(body, params).start + 1;
        edits.push((at..at, format!("\"arguments\":{{{fresh}}},")));
    }
    for argument in arguments {
        let at = place(body, argument);
        if argument == "null" {
            edits.push((at, format!("{{{fresh}}}")));
        } else if let Some(members) = Members::of(argument) {
            for key in &keys {
                let mut found = false;
                for value in members.all(key) {
                    found = true;
                    if value != name {
                        edits.push((place(body, value), name.clone()));
                    }
                }
                if !found {
                    let comma = if members.is_empty() { "" } else { "," };
                    edits.push((
                        at.start + 1..at.start + 1,
                        format!("\"{key}\":{name}{comma}"),
                    ));
                }
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
