//! A server that a session does not have: one without anything in it. A
//! settings file may be shared by sessions of several projects, and no agent
//! should show an error for a server that is not its own. Pure.

use serde_json::{Value, json};

/// The version of the protocol for a client that names none.
const VERSION: &str = "2025-06-18";

/// JSON-RPC's code for a method that is not there.
pub const NO_METHOD: i32 = -32601;

/// The result of a request; none for what such a server does not know, which
/// is an error with [`NO_METHOD`]. `version` is the protocol's as the client
/// has it, `why` says which server is missing.
#[must_use]
pub fn result(method: &str, version: Option<&str>, why: &str) -> Option<Value> {
    // Some clients ask for lists that were not offered to them, and take an
    // error for the end of the server.
    Some(match method {
        "initialize" => json!({
            "protocolVersion": version.unwrap_or(VERSION),
            "capabilities": {},
            "serverInfo": { "name": "wrapper", "version": env!("CARGO_PKG_VERSION") },
            "instructions": why,
        }),
        "ping" => json!({}),
        "tools/list" => json!({ "tools": [] }),
        "prompts/list" => json!({ "prompts": [] }),
        "resources/list" => json!({ "resources": [] }),
        "resources/templates/list" => json!({ "resourceTemplates": [] }),
        _ => return None,
    })
}
