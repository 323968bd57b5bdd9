//! The servers that a project wants: `mcpServers` of its `.mcp.json`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use super::shown::Shown;
use super::spelling::{self, Around, Author, Mistake, Wrong};
use crate::paths::Env;
use crate::types::identity::ServerName;
use crate::types::server::{ContextLevel, Kind, Origin, Server};
use crate::types::text::one_line;

/// The file's name, in the directory where the agent runs.
pub const FILE: &str = ".mcp.json";

/// Bytes that a file may have: more is no list of servers.
const LIMIT: u64 = 1 << 20;

/// The way out of every error here.
pub const HINT: &str =
    "repair it, or set `mcp_merge_project = false` for the agent to go without its servers";

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
}

/// One server of a project's file.
#[derive(Debug)]
pub struct Entry {
    pub name: ServerName,
    /// For the question of trust.
    pub shown: Shown,
    read: Result<spelling::Entry, Mistake>,
}

/// What of a project's file can be used, and what cannot.
#[derive(Debug, Default)]
pub struct Usable {
    pub servers: Vec<Server>,
    /// What is left out and why, a line each, for the user.
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

/// A file that cannot be used: which, and what is wrong, without any value of
/// it. [`HINT`] is the way out.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the servers of {}: {what}", .path.display())]
pub struct Error {
    path: PathBuf,
    what: String,
}

/// Reads `.mcp.json` of `cwd`; none if there is none, or it names no servers.
/// `own` is the name of our own server. Variables are replaced from `env`.
///
/// # Errors
/// A file that cannot be read, is no regular one, or is no JSON object with an
/// object of servers.
pub fn read(cwd: &Path, own: &ServerName, env: &Env) -> Result<Option<Project>, Error> {
    let path = cwd.join(FILE);
    let bad = |what: String| Error {
        path: path.clone(),
        what,
    };
    let Some(content) = content(&path).map_err(bad)? else {
        return Ok(None);
    };
    let Some(servers) = servers(&content).map_err(bad)? else {
        return Ok(None);
    };
    let mut entries = Vec::new();
    for (name, entry) in &servers {
        let name: ServerName =
            (name.clone().try_into()).map_err(|error| bad(format!("`mcpServers`: {error}")))?;
        if name == *own {
            continue;
        }
        let around = Around {
            env,
            dir: cwd,
            by: Author::Project,
        };
        let read = match spelling::parse(entry, around) {
            Ok(None) => continue,
            Ok(Some(read)) => Ok(read),
            Err(mistake) => Err(mistake),
        };
        entries.push(Entry {
            shown: Shown::of(&name, entry),
            name,
            read,
        });
    }
    let digest = Digest::of(&content);
    Ok((!servers.is_empty()).then(|| Project {
        path,
        digest,
        names: servers.keys().cloned().collect(),
        entries,
    }))
}

impl Project {
    /// The servers, for a user who trusts them. One that lacks a variable is
    /// left out with a warning, as agents do it. An agent that `reads` the file
    /// by itself is left alone with whatever we cannot hand on.
    ///
    /// # Errors
    /// Entries that cannot be understood or handed on: all of them.
    pub fn usable(self, reads: bool) -> Result<Usable, Error> {
        let mut usable = Usable::default();
        let mut wrong = Vec::new();
        for Entry { name, read, .. } in self.entries {
            let at = |key: &str| {
                let dot = if key.is_empty() { "" } else { "." };
                format!("`mcpServers.{}{dot}{key}`", one_line(name.as_str(), 128))
            };
            match read {
                Ok(spelling::Entry { kind, unknown }) => {
                    usable.warnings.extend(unknown.iter().map(|key| {
                        format!(
                            "{}: {} is ignored: unknown key",
                            self.path.display(),
                            at(key)
                        )
                    }));
                    usable.servers.push(server(name, kind));
                }
                Err(_) if reads => {}
                Err(Mistake {
                    key,
                    what: what @ Wrong::Unset(_),
                }) => usable.warnings.push(format!(
                    "{}: the server `{}` is left out: {}: {what}",
                    self.path.display(),
                    one_line(name.as_str(), 128),
                    at(&key),
                )),
                Err(Mistake { key, what }) => wrong.push(format!("{}: {what}", at(&key))),
            }
        }
        if wrong.is_empty() {
            Ok(usable)
        } else {
            Err(Error {
                path: self.path,
                what: wrong.join("; "),
            })
        }
    }
}

fn server(name: ServerName, kind: Kind) -> Server {
    Server {
        name,
        origin: Origin::Project,
        kind,
        context: ContextLevel::default(),
    }
}

/// The bytes of a regular file that is no link, neither huge nor a pipe.
fn content(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Err("it is a symbolic link, which may point anywhere".to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    let read = |file: File| -> io::Result<Result<Vec<u8>, &str>> {
        if !file.metadata()?.is_file() {
            return Ok(Err("it is no regular file"));
        }
        let mut content = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut content)?;
        if content.len() as u64 > LIMIT {
            return Ok(Err("it is larger than 1 MiB"));
        }
        Ok(Ok(content))
    };
    match read(file) {
        Ok(Ok(content)) => Ok(Some(content)),
        Ok(Err(what)) => Err(what.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The object of servers; none if there is none.
pub(super) fn servers(content: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    match serde_json::from_slice(content).map_err(|error| error.to_string())? {
        Value::Object(mut root) => match root.remove("mcpServers") {
            None => Ok(None),
            Some(Value::Object(servers)) => Ok(Some(servers)),
            Some(_) => Err("`mcpServers` must be an object".to_owned()),
        },
        _ => Err("expected an object at line 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha_256() {
        assert_eq!(
            Digest::of(b"abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
