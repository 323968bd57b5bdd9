//! One server entry, and the approval of the hub's tools, as each agent spells
//! them. Pure.

use serde_json::{Map, Value, json};

use crate::types::agent::{AgentSpec, Dialect, Inject, Transport};
use crate::types::identity::ServerName;
use crate::types::server::{HUB_TOOLS, KEY_VAR};

/// The object in which agents keep their servers.
pub(super) const SERVERS: &str = "mcpServers";

/// An entry for a file: the server at `url`, opened by `bearer`; either may
/// refer to a variable.
pub(super) fn entry(spec: &AgentSpec, url: &str, bearer: &str) -> Value {
    let gemini = spec.dialect == Dialect::Gemini;
    let in_settings = matches!(spec.inject, Some(Inject::SettingsFile { .. }));
    let http = spec.transport == Transport::Http;
    let key = match &spec.http_key {
        Some(key) => key,
        // What agentchattr writes into settings unless it is told otherwise.
        None if http && (gemini || in_settings && spec.dialect == Dialect::Generic) => "httpUrl",
        None => "url",
    };
    let mut entry = Map::new();
    if !gemini {
        entry.insert("type".into(), if http { "http" } else { "sse" }.into());
    }
    entry.insert(key.into(), url.into());
    entry.insert(
        "headers".into(),
        json!({ "Authorization": format!("Bearer {bearer}") }),
    );
    if spec.approve_tools && (gemini || in_settings) {
        entry.insert("trust".into(), true.into());
    }
    Value::Object(entry)
}

/// Arguments that approve the hub's tools on `server`, and no others.
pub(super) fn approvals(spec: &AgentSpec, server: &ServerName) -> Vec<String> {
    if !spec.approve_tools {
        return Vec::new();
    }
    match spec.dialect {
        Dialect::Claude => {
            let tools = HUB_TOOLS.map(|tool| format!("mcp__{server}__{tool}"));
            // One argument: the flag takes many values, and must not take the
            // user's prompt for one of them.
            vec![format!("--allowedTools={}", tools.join(","))]
        }
        Dialect::Codex => HUB_TOOLS
            .iter()
            .flat_map(|tool| codex(server, &format!("tools.{tool}.approval_mode"), "approve"))
            .collect(),
        _ => Vec::new(),
    }
}

/// Arguments that tell codex which variable has the key.
pub(super) fn codex_key(server: &ServerName) -> [String; 2] {
    codex(server, "bearer_token_env_var", KEY_VAR)
}

/// One setting of codex. A server's name is a bare key of TOML as it is.
fn codex(server: &ServerName, key: &str, value: &str) -> [String; 2] {
    [
        "-c".into(),
        format!("mcp_servers.{server}.{key}=\"{value}\""),
    ]
}
