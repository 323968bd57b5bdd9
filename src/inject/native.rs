//! Agents that read the project's `.mcp.json` by themselves: what is left to
//! them, and how they are kept from connecting twice or asking again. Pure.

use serde_json::json;

use crate::types::agent::Dialect;
use crate::types::server::{Kind, Origin, Server};

/// The project's file, for agents that read it as well as we do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Every server in it, also those that nobody wants.
    pub names: Vec<String>,
    /// Those that the user wants.
    pub wanted: Vec<String>,
}

/// True if an agent reads `.mcp.json` by itself.
#[must_use]
pub fn reads_project(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::Claude | Dialect::Codebuddy | Dialect::Copilot
    )
}

/// True if the agent connects to `server` by itself. Claude takes a remote one
/// from us, but for what it may have to log in to, as only claude can do that.
/// The others would connect to the project's server where ours has its name.
pub(super) fn is_left(dialect: Dialect, server: &Server) -> bool {
    let is_left = match (&server.kind, dialect) {
        (Kind::Remote(remote), Dialect::Claude) => {
            remote.endpoint.is_tls() && remote.headers.is_empty() && remote.auth.is_none()
        }
        _ => true,
    };
    reads_project(dialect) && server.origin == Origin::Project && is_left
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
