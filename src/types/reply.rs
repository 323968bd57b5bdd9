//! Replies of JSON-RPC that we give in a server's place. Pure.

use serde_json::{Value, json};

/// A reply to the request whose id is spelled `id`: its `result` or `error`,
/// and the value of that.
#[must_use]
pub fn spelled(id: &str, (member, value): (&str, Value)) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{value}}}"#)
}

/// What a request comes to that has failed: a failed tool call for the call of
/// a tool, so that the agent's model reads `why`; an error for another.
#[must_use]
pub fn failure(is_call: bool, why: &str) -> (&'static str, Value) {
    if is_call {
        let content = json!([{ "type": "text", "text": why }]);
        ("result", json!({ "content": content, "isError": true }))
    } else {
        ("error", json!({ "code": -32000, "message": why }))
    }
}
