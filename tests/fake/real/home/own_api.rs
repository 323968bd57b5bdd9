//! Agents that speak the API of their own maker: claude, codex, gemini.

use anyhow::Result;
use serde_json::json;

use super::{Home, Kept, Place, SERVERS};
use crate::live::FRESH;

pub(super) fn claude(place: &Place) -> Result<Home> {
    let own = json!({
        "hasCompletedOnboarding": true,
        "mcpServers": {"own": {"type": "http", "url": place.own}},
        "projects": {place.project.to_string_lossy(): {"hasTrustDialogAccepted": true}},
    });
    // It counts its starts in there, and much more.
    let own = Kept {
        member: Some("mcpServers"),
        ..place.keep(".claude.json", &format!("{own:#}\n"))?
    };
    let mut allowed = SERVERS.map(|(server, _)| format!("mcp__{server}")).to_vec();
    allowed.push(format!("mcp__agentchattr__{FRESH}__word"));
    let settings = json!({"permissions": {"allow": allowed}});
    let settings = place.keep(".claude/settings.json", &format!("{settings:#}\n"))?;
    Ok(Home {
        env: vec![
            ("ANTHROPIC_BASE_URL", place.model.clone()),
            // With an API key it would ask whether to use it.
            ("ANTHROPIC_AUTH_TOKEN", "scripted".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ],
        // By itself it would let a model decide.
        args: vec!["--permission-mode=default".to_owned()],
        kept: vec![own, settings],
    })
}

pub(super) fn codex(place: &Place) -> Result<Home> {
    let settings = format!(
        r#"# Mine.
model = "scripted"
model_provider = "scripted"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "{}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"

[analytics]
enabled = false

[mcp_servers.own]  # mine as well
url = "{}"

# What it would write in here by itself.
[tui]
screen_reader_detection_done = true
show_tooltips = false

[projects."{}"]
trust_level = "trusted"
"#,
        place.model,
        place.own,
        place.project.display()
    );
    Ok(Home {
        env: vec![("SCRIPTED_KEY", "scripted".to_owned())],
        // That its tools do no harm is enough for it.
        args: Vec::new(),
        kept: vec![place.keep(".codex/config.toml", &settings)?],
    })
}

pub(super) fn gemini(place: &Place) -> Result<Home> {
    let settings = format!(
        r#"{{
    // Mine.
    "security": {{"auth": {{"selectedType": "gemini-api-key"}}}},
    "privacy": {{"usageStatisticsEnabled": false}},
    "general": {{"enableAutoUpdate": false, "enableAutoUpdateNotification": false}},
    "mcpServers": {{
        "own": {{ "httpUrl": "{}" }}   // mine as well
    }}
}}
"#,
        place.own
    );
    let trusted = json!({place.project.to_string_lossy(): "TRUST_FOLDER"});
    let allow = |server: &str, tool: &str| {
        format!(
            "[[rule]]\nmcpName = \"{server}\"\ntoolName = \"{tool}\"\n\
             decision = \"allow\"\npriority = 500\n"
        )
    };
    let mut policy = SERVERS.map(|(server, _)| allow(server, "*")).concat();
    policy += &allow("agentchattr", &format!("{FRESH}__word"));
    let kept = vec![
        place.keep(".gemini/settings.json", &settings)?,
        place.keep(".gemini/trustedFolders.json", &trusted.to_string())?,
        place.keep("policy.toml", &policy)?,
    ];
    Ok(Home {
        env: vec![
            ("GEMINI_API_KEY", "scripted".to_owned()),
            ("GOOGLE_GEMINI_BASE_URL", place.model.clone()),
        ],
        args: vec![format!(
            "--policy={}",
            place.home.join("policy.toml").display()
        )],
        kept,
    })
}
