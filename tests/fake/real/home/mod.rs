//! A home in which an agent has nothing left to ask at its first start, the
//! variables by which it finds the scripted model, and servers from everywhere.

mod chat_api;
mod own_api;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::world::World;

/// The servers besides the hub's, with the tool that each has: the user's own
/// in the agent's settings, two of the project, two of our configuration.
pub(crate) const SERVERS: [(&str, &str); 5] = [
    ("own", "word"),
    ("web", "word"),
    ("shed", "environment"),
    ("tracker", "word"),
    ("vault", "environment"),
];

/// What `vault` has in its environment, and nobody else.
pub(crate) const VAULT_TOKEN: &str = "the-secret-of-the-vault";

/// What `tracker` wants in a header, and nobody else knows.
pub(crate) const TRACKER_KEY: &str = "the-secret-of-the-tracker";

/// What the project's file sends to `web`.
pub(crate) const PROJECT: &str = "of-the-project";

/// What an agent needs of its user.
pub(crate) struct Home {
    pub(crate) env: Vec<(&'static str, String)>,
    /// Arguments for the agent.
    pub(crate) args: Vec<String>,
    pub(crate) kept: Vec<Kept>,
}

/// A file of the user's that has to be the same at the end.
pub(crate) struct Kept {
    path: PathBuf,
    /// Only this member of it, as the agent itself writes into the others.
    member: Option<&'static str>,
}

/// Where a home is, and what its agent is to find.
struct Place<'a> {
    home: PathBuf,
    project: PathBuf,
    /// The scripted model.
    model: String,
    /// The user's own server.
    own: String,
    world: &'a World,
}

impl Home {
    /// Furnishes the home of a world for an agent, and the project.
    pub(crate) fn furnish(agent: &str, world: &World) -> Result<Self> {
        let place = Place {
            home: world.dir("home"),
            project: world.dir("project"),
            model: format!("http://127.0.0.1:{}", world.model),
            own: world.servers.url("own"),
            world,
        };
        let mut home = match agent {
            "claude" => own_api::claude(&place)?,
            "codex" => own_api::codex(&place)?,
            "gemini" => own_api::gemini(&place)?,
            "qwen" => chat_api::qwen(&place)?,
            "copilot" => chat_api::copilot(&place)?,
            "opencode" | "kilo" => chat_api::opencode(agent, &place)?,
            _ => bail!("no such agent here"),
        };
        home.kept
            .extend([place.project_servers()?, place.configuration()?]);
        Ok(home)
    }

    /// What is to be the same at the end.
    pub(crate) fn content(&self) -> Result<Vec<String>> {
        self.kept.iter().map(Kept::content).collect()
    }
}

impl Kept {
    pub(crate) fn content(&self) -> Result<String> {
        let path = self.path.display();
        let text = fs::read_to_string(&self.path).with_context(|| format!("cannot read {path}"))?;
        let Some(member) = self.member else {
            return Ok(format!("{path}\n{text}"));
        };
        let root: Value = serde_json::from_str(&text).with_context(|| path.to_string())?;
        Ok(format!("{path}: {member}\n{}", root[member]))
    }
}

impl Place<'_> {
    /// Writes a file of the user's that has to stay as it is.
    fn keep(&self, path: &str, text: &str) -> Result<Kept> {
        write(&self.home.join(path), text)
    }

    /// The arguments of a server that is a command.
    fn tool(&self, server: &str) -> (PathBuf, [String; 3]) {
        let log = self.world.tool_log(server).display().to_string();
        (
            self.world.tool(),
            ["tool".to_owned(), "--log".to_owned(), log],
        )
    }

    fn project_servers(&self) -> Result<Kept> {
        let (program, args) = self.tool("shed");
        let servers = json!({"mcpServers": {
            "web": {
                "type": "http",
                "url": self.world.servers.url("web"),
                "headers": {"X-Project": PROJECT},
            },
            "shed": {"type": "stdio", "command": program, "args": args},
        }});
        write(&self.project.join(".mcp.json"), &servers.to_string())
    }

    fn configuration(&self) -> Result<Kept> {
        let (program, args) = self.tool("vault");
        let url = self.world.servers.url("tracker");
        let text = format!(
            r#"[mcp_servers.vault]
command = "{}"
args = {args:?}
env = {{ VAULT_TOKEN = "{VAULT_TOKEN}" }}

[mcp_servers.tracker]
type = "remote"
url = "{url}"
headers = {{ X-Tracker-Key = "{TRACKER_KEY}" }}
"#,
            program.display()
        );
        self.keep(".config/wrapper/config.toml", &text)
    }
}

fn write(path: &Path, text: &str) -> Result<Kept> {
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Kept {
        path: path.to_owned(),
        member: None,
    })
}
