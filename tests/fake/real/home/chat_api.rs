//! Agents that speak Chat Completions: qwen, copilot, opencode, kilo.

use anyhow::Result;
use serde_json::json;

use super::{Home, Place, SERVERS};

pub(super) fn qwen(place: &Place) -> Result<Home> {
    let settings = format!(
        r#"{{
    // Mine. With another version it would write this anew.
    "$version": 4,
    "security": {{"auth": {{"selectedType": "openai"}}}},
    "privacy": {{"usageStatisticsEnabled": false}},
    "general": {{"enableAutoUpdate": false}},
    "mcpServers": {{ "own": {{ "httpUrl": "{}" }} }}   // mine as well
}}
"#,
        place.own
    );
    let allowed = SERVERS.map(|(server, _)| format!("mcp__{server}"));
    Ok(Home {
        env: vec![
            ("OPENAI_BASE_URL", format!("{}/v1", place.model)),
            ("OPENAI_API_KEY", "scripted".to_owned()),
            ("OPENAI_MODEL", "scripted".to_owned()),
        ],
        args: vec![
            format!("--allowed-tools={}", allowed.join(",")),
            // By itself it would let a model decide.
            "--approval-mode=default".to_owned(),
        ],
        kept: vec![place.keep(".qwen/settings.json", &settings)?],
    })
}

pub(super) fn copilot(place: &Place) -> Result<Home> {
    // Its own spelling, to the byte: it would write anything else anew.
    let config = format!(
        r#"// User settings belong in settings.json.
// This file is managed automatically.
{{
  "trustedFolders": [
    "{}"
  ],
  "firstLaunchAt": "2026-03-11T00:00:00.000Z",
  "appTipShown": true,
  "reasoningSummariesCleanupDone": true
}}
"#,
        place.project.display()
    );
    let servers = json!({"mcpServers": {
        "own": {"type": "http", "url": place.own, "tools": ["*"]},
    }});
    let kept = vec![
        place.keep(".copilot/config.json", config.trim_end())?,
        place.keep(".copilot/mcp-config.json", &format!("{servers:#}\n"))?,
    ];
    Ok(Home {
        env: vec![
            ("COPILOT_PROVIDER_BASE_URL", format!("{}/v1", place.model)),
            ("COPILOT_PROVIDER_TYPE", "openai".to_owned()),
            ("COPILOT_PROVIDER_API_KEY", "scripted".to_owned()),
            ("COPILOT_MODEL", "scripted".to_owned()),
            ("COPILOT_OFFLINE", "true".to_owned()),
            ("COPILOT_AUTO_UPDATE", "false".to_owned()),
        ],
        args: SERVERS
            .map(|(server, _)| format!("--allow-tool={server}"))
            .into(),
        kept,
    })
}

/// Kilo is a fork, and calls everything by its own name.
pub(super) fn opencode(agent: &str, place: &Place) -> Result<Home> {
    let settings = format!(
        r#"{{
    // Mine. Without the schema it would write this anew.
    "$schema": "https://opencode.ai/config.json",
    "model": "scripted/scripted",
    "small_model": "scripted/scripted",
    "autoupdate": false,
    "share": "disabled",
    "provider": {{ "scripted": {{
        "npm": "@ai-sdk/openai-compatible",
        "name": "Scripted",
        "options": {{"baseURL": "{}/v1", "apiKey": "scripted"}},
        "models": {{ "scripted": {{
            "name": "scripted", "tool_call": true, "limit": {{"context": 200000, "output": 8000}},
        }} }}
    }} }},
    "mcp": {{ "own": {{"type": "remote", "url": "{}", "oauth": false}} }},   // mine as well
}}
"#,
        place.model, place.own
    );
    let dir = format!(".config/{agent}");
    let kept = vec![place.keep(&format!("{dir}/{agent}.json"), &settings)?];
    let switched_off: &[_] = if agent == "kilo" {
        // Without this mark it writes a permission into its settings.
        place.keep(&format!("{dir}/.bash-permission-migrated"), "")?;
        &[
            "KILO_DISABLE_AUTOUPDATE",
            "KILO_DISABLE_MODELS_FETCH",
            "KILO_DISABLE_LSP_DOWNLOAD",
            "KILO_DISABLE_DEFAULT_PLUGINS",
            "KILO_DISABLE_SHARE",
        ]
    } else {
        &[
            "OPENCODE_DISABLE_AUTOUPDATE",
            "OPENCODE_DISABLE_MODELS_FETCH",
            "OPENCODE_DISABLE_LSP_DOWNLOAD",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS",
            "OPENCODE_DISABLE_SHARE",
        ]
    };
    Ok(Home {
        env: switched_off
            .iter()
            .map(|name| (*name, "1".to_owned()))
            .collect(),
        args: Vec::new(),
        kept,
    })
}
