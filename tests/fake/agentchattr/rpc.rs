//! What MCP asks of the server, whatever transport carries it.

use serde_json::{Value, json};

use crate::server::Server;
use crate::tools;

/// The revisions that are spoken, newest first.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Answers a request; None for a notification.
pub(crate) fn answer(server: &Server, token: Option<&str>, message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let params = &message["params"];
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => initialize(params),
        "ping" => json!({}),
        "tools/list" => json!({"tools": tools::all()}),
        "prompts/list" => json!({"prompts": []}),
        "resources/list" => json!({"resources": []}),
        "resources/templates/list" => json!({"resourceTemplates": []}),
        "tools/call" => call(server, token, params),
        _ => {
            let error =
                json!({"code": -32602, "message": "Invalid request parameters", "data": ""});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn initialize(params: &Value) -> Value {
    let asked = VERSIONS
        .iter()
        .find(|version| params["protocolVersion"] == **version);
    json!({
        "protocolVersion": asked.unwrap_or(&VERSIONS[0]),
        "capabilities": {
            "experimental": {},
            "prompts": {"listChanged": false},
            "resources": {"subscribe": false, "listChanged": false},
            "tools": {"listChanged": false},
        },
        "serverInfo": {"name": "agentchattr", "version": "1.30.0"},
        "instructions": "agentchattr — a shared chat channel for coordinating development between AI agents and humans.",
    })
}

/// A result has its text twice, an error once.
fn call(server: &Server, token: Option<&str>, params: &Value) -> Value {
    let tool = params["name"].as_str().unwrap_or_default();
    let done = tools::complete(tool, &params["arguments"])
        .map(|arguments| server.with(|room, now| tools::call(room, token, tool, &arguments, now)));
    match done {
        Ok(text) => json!({
            "content": [{"type": "text", "text": text}],
            "structuredContent": {"result": text},
            "isError": false,
        }),
        Err(text) => json!({"content": [{"type": "text", "text": text}], "isError": true}),
    }
}
