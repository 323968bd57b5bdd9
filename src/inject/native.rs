//! Agents that read the project's `.mcp.json` by themselves: how they are kept
//! from connecting twice or asking again. Pure.

use serde_json::json;

use crate::types::agent::Dialect;

/// The project's file, for agents that read it as well as we do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Every server in it, also those that nobody wants.
    pub names: Vec<String>,
    /// Those that the user wants.
    pub wanted: Vec<String>,
}

/// Arguments that answer the agent's own question as the user has answered
/// ours, `carried` being the servers that it has from us.
pub(super) fn args(dialect: Dialect, project: &Project, carried: &[&str]) -> Vec<String> {
    let is_its_own =
        |name: &&String| project.wanted.contains(name) && !carried.contains(&name.as_str());
    let (enabled, disabled): (Vec<_>, Vec<_>) = project.names.iter().partition(is_its_own);
    match dialect {
        Dialect::Claude | Dialect::Codebuddy if !project.names.is_empty() => {
            let settings = json!({
                "enabledMcpjsonServers": enabled,
                "disabledMcpjsonServers": disabled,
            });
            vec![format!("--settings={settings}")]
        }
        // Ours of the same name would go as well.
        Dialect::Copilot => disabled
            .into_iter()
            .filter(|name| !carried.contains(&name.as_str()))
            .map(|name| format!("--disable-mcp-server={name}"))
            .collect(),
        _ => Vec::new(),
    }
}
