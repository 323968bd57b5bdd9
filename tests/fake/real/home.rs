//! A home in which an agent has nothing left to ask at its first start, and
//! the variables by which it finds the scripted model.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

/// What an agent needs of its user.
pub(crate) struct Home {
    pub(crate) env: Vec<(&'static str, String)>,
    /// A file of the user's that has to be the same at the end.
    pub(crate) kept: Option<PathBuf>,
}

/// Furnishes `home` for an agent that works in `project`.
pub(crate) fn furnish(agent: &str, home: &Path, project: &Path, model: u16) -> Result<Home> {
    let url = format!("http://127.0.0.1:{model}");
    let mut kept = None;
    let env = match agent {
        "claude" => {
            let seen = json!({
                "hasCompletedOnboarding": true,
                "projects": {project.to_string_lossy(): {"hasTrustDialogAccepted": true}},
            });
            write(&home.join(".claude.json"), &format!("{seen:#}\n"))?;
            vec![
                ("ANTHROPIC_BASE_URL", url),
                // With an API key it would ask whether to use it.
                ("ANTHROPIC_AUTH_TOKEN", "scripted".to_owned()),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ]
        }
        "codex" => {
            write(&home.join(".codex/config.toml"), &codex(project, &url))?;
            vec![("SCRIPTED_KEY", "scripted".to_owned())]
        }
        "gemini" => {
            let settings = json!({
                "security": {"auth": {"selectedType": "gemini-api-key"}},
                "privacy": {"usageStatisticsEnabled": false},
                "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
            });
            let path = home.join(".gemini/settings.json");
            write(&path, &format!("{settings:#}\n"))?;
            let trusted = json!({project.to_string_lossy(): "TRUST_FOLDER"});
            write(
                &home.join(".gemini/trustedFolders.json"),
                &trusted.to_string(),
            )?;
            kept = Some(path);
            vec![
                ("GEMINI_API_KEY", "scripted".to_owned()),
                ("GOOGLE_GEMINI_BASE_URL", url),
            ]
        }
        _ => bail!("no such agent here: claude, codex, gemini"),
    };
    Ok(Home { env, kept })
}

fn codex(project: &Path, url: &str) -> String {
    format!(
        r#"model = "scripted"
model_provider = "scripted"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"

[analytics]
enabled = false

[projects."{}"]
trust_level = "trusted"
"#,
        project.display()
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
