//! The servers that a project wants: `mcpServers` of its `.mcp.json`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::document::{self, List};
pub use super::shown::Shown;
use super::spelling::{self, Around, Author, Mistake, Wrong};
use crate::paths::Env;
use crate::types::agent::Dialect;
use crate::types::identity::{BadServerName, ServerName};
use crate::types::jsonc;
use crate::types::server::{ContextLevel, Kind, Origin, Server};
use crate::types::text::one_line;
use crate::types::variables::Unset;

/// The file's name, in the directory where the agent runs.
pub const FILE: &str = ".mcp.json";

/// Servers that a file may name, and bytes of all their names: agents are told
/// of them by arguments, which the system limits.
const MOST: usize = 200;
const MOST_NAMES: usize = 16 << 10;

/// Bytes that one server may have, and all that are handed on.
const MOST_ENTRY: usize = 16 << 10;
const MOST_ENTRIES: usize = 64 << 10;

/// What the project's file says: it never ends a launch, in whatever shape it is.
#[derive(Debug, Default)]
pub struct Reading {
    /// None: it names no servers, or there is no such file.
    pub project: Option<Project>,
    /// Why a file that is there says nothing, for the user. No value is in it.
    pub warning: Option<String>,
}

/// What a project's file asks for. Nothing of it may be used before the user
/// trusts it.
#[derive(Debug)]
pub struct Project {
    pub path: PathBuf,
    pub digest: Digest,
    /// Every server that it names.
    pub names: Vec<String>,
    /// Those that are to be used: none that is switched off, none of our own
    /// name.
    pub entries: Vec<Entry>,
    /// Those that no agent is told of.
    left_out: Vec<LeftOut>,
    /// Agents that read the file by themselves understand it as a whole.
    is_native: bool,
}

/// One server of a project's file.
#[derive(Debug)]
pub struct Entry {
    pub name: ServerName,
    /// For the question of trust.
    pub shown: Shown,
    read: Result<spelling::Entry, Mistake>,
    /// A variable that has no value, wherever it stands.
    unset: Option<Unset>,
    is_command: bool,
    /// Claude itself would read another server.
    is_unusual: bool,
    /// So would the other agents that read the file.
    has_unusual_variable: bool,
}

/// A server of the project that the agent is not told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// As the file has it, fit for a terminal.
    pub name: String,
    pub is_command: bool,
    /// No value of the entry is in it.
    pub why: String,
}

/// What of a project's file can be used, and what cannot.
#[derive(Debug, Default)]
pub struct Usable {
    pub servers: Vec<Server>,
    /// Those that the agent, which reads the file, alone understands.
    pub native: Vec<ServerName>,
    pub left_out: Vec<LeftOut>,
    /// What of an entry is ignored, a line each, for the user.
    pub warnings: Vec<String>,
}

/// The SHA-256 of a file's content, in hex.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        use fmt::Write;
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(content) {
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads `.mcp.json` of `cwd`. `own` is the name of our own server. Variables
/// are replaced from `env`.
#[must_use]
pub fn read(cwd: &Path, own: &ServerName, env: &Env) -> Reading {
    let path = cwd.join(FILE);
    let unusable = |what: String| Reading {
        project: None,
        warning: Some(format!(
            "the servers of {} are left out: {what}",
            path.display()
        )),
    };
    let content = match document::content(&path) {
        Ok(Some(content)) => content,
        Ok(None) => return Reading::default(),
        Err(what) => return unusable(what),
    };
    match project(cwd, &path, &content, own, env) {
        Ok(project) => Reading {
            project,
            warning: None,
        },
        Err(what) => unusable(what),
    }
}

fn project(
    cwd: &Path,
    path: &Path,
    content: &[u8],
    own: &ServerName,
    env: &Env,
) -> Result<Option<Project>, String> {
    let Some(List { servers, is_native }) = document::servers(content)? else {
        return Ok(None);
    };
    let names: Vec<String> = servers.keys().cloned().collect();
    if names.is_empty() {
        return Ok(None);
    }
    if names.len() > MOST || names.iter().map(String::len).sum::<usize>() > MOST_NAMES {
        return Err(format!(
            "they are more than {MOST}, or their names too long"
        ));
    }
    let around = Around {
        env,
        dir: cwd,
        by: Author::Project,
    };
    let mut project = Project {
        path: path.to_owned(),
        digest: Digest::of(content),
        names,
        entries: Vec::new(),
        left_out: Vec::new(),
        is_native: is_native && jsonc::is_strict(content),
    };
    let mut room = MOST_ENTRIES;
    for (text, entry) in &servers {
        if *text != own.as_str()
            && let Err(why) = project.add(text, entry, own, around, &mut room)
        {
            let name = one_line(text, LONGEST_NAME);
            let is_command = entry.get("command").is_some();
            project.left_out.push(LeftOut {
                name,
                is_command,
                why,
            });
        }
    }
    Ok(Some(project))
}

/// Characters of a name that are shown.
const LONGEST_NAME: usize = 128;

impl Project {
    /// Adds an entry, unless it is switched off.
    fn add(
        &mut self,
        text: &str,
        entry: &Value,
        own: &ServerName,
        around: Around<'_>,
        room: &mut usize,
    ) -> Result<(), String> {
        let read = match spelling::parse(entry, around) {
            Ok(None) => return Ok(()),
            Ok(Some(read)) => Ok(read),
            Err(mistake) => Err(mistake),
        };
        let name: ServerName = (text.parse()).map_err(|error: BadServerName| error.to_string())?;
        if is_alike(&name, own) {
            return Err(format!("agents would take it for `{own}`, which is ours"));
        }
        let size = entry.to_string().len();
        if size > MOST_ENTRY {
            return Err(format!("it is larger than {} KiB", MOST_ENTRY >> 10));
        }
        *room = room.checked_sub(size).ok_or_else(|| {
            format!(
                "the servers of a project have {} KiB at most",
                MOST_ENTRIES >> 10
            )
        })?;
        self.entries.push(Entry {
            shown: Shown::of(&name, entry),
            unset: spelling::unset(entry, around.env),
            is_command: entry.get("command").is_some(),
            is_unusual: spelling::is_unusual(entry),
            has_unusual_variable: spelling::has_unusual_variable(entry),
            name,
            read,
        });
        Ok(())
    }

    /// The servers as an agent of that dialect can have them, for a user who
    /// trusts them. What cannot be understood, or lacks a variable, is left out.
    /// An agent that reads the file by itself keeps what it alone understands.
    #[must_use]
    pub fn usable(self, dialect: Dialect) -> Usable {
        let reads = dialect.reads_project() && self.is_native;
        let mut usable = Usable {
            left_out: self.left_out,
            ..Usable::default()
        };
        for entry in self.entries {
            let shown = one_line(entry.name.as_str(), LONGEST_NAME);
            let why = match entry.read {
                Err(Mistake {
                    what: Wrong::Native(_),
                    ..
                }) if reads && entry.unset.is_none() && !entry.has_unusual_variable => {
                    usable.native.push(entry.name);
                    continue;
                }
                Err(Mistake { key, what }) if key.is_empty() => what.to_string(),
                Err(Mistake { key, what }) => format!("`{key}`: {what}"),
                Ok(_) if reads && dialect != Dialect::Claude && entry.has_unusual_variable => {
                    "the agent reads the file by itself, and knows variables as `${NAME}` alone"
                        .to_owned()
                }
                Ok(spelling::Entry { kind, unknown }) => {
                    usable.warnings.extend(unknown.iter().map(|key| {
                        format!(
                            "{}: `mcpServers.{shown}.{key}` is ignored: unknown key",
                            self.path.display()
                        )
                    }));
                    // It is disabled in the file that claude reads, and told by us.
                    let is_ours = !self.is_native || dialect == Dialect::Claude && entry.is_unusual;
                    let origin = if is_ours {
                        Origin::Rewritten
                    } else {
                        Origin::Project
                    };
                    usable.servers.push(server(entry.name, origin, kind));
                    continue;
                }
            };
            usable.left_out.push(LeftOut {
                name: shown,
                is_command: entry.is_command,
                why,
            });
        }
        usable
    }

    /// All of them as left out, for a user who does not trust them.
    #[must_use]
    pub fn all_left_out(&self, why: &str) -> Vec<LeftOut> {
        let left_out = self.entries.iter().map(|entry| LeftOut {
            name: one_line(entry.name.as_str(), LONGEST_NAME),
            is_command: entry.is_command,
            why: why.to_owned(),
        });
        left_out.collect()
    }
}

/// True if some agent makes one name of two in the names of their tools: then
/// an approval of the tools of one would hold for those of the other.
fn is_alike(one: &ServerName, other: &ServerName) -> bool {
    let plain = |name: &ServerName| {
        let word = |c: char| if c.is_alphanumeric() { c } else { '_' };
        let plain: String = name.as_str().to_lowercase().chars().map(word).collect();
        plain.trim_matches('_').to_owned()
    };
    plain(one) == plain(other)
}

fn server(name: ServerName, origin: Origin, kind: Kind) -> Server {
    Server {
        name,
        origin,
        kind,
        context: ContextLevel::default(),
    }
}

#[cfg(test)]
mod tests;
