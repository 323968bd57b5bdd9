//! A document in the form of `.mcp.json`: its bytes, and the servers in it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde_json::{Map, Value};

use super::spelling::keys::URLS;
use crate::types::jsonc;

/// Bytes that a file may have: more is no list of servers.
const LIMIT: u64 = 1 << 20;

/// The bytes of a regular file that is no link, neither huge nor a pipe.
pub(super) fn content(path: &Path) -> Result<Option<Vec<u8>>, String> {
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

/// The servers of a document in the form of `.mcp.json`.
pub(super) struct List {
    pub(super) servers: Map<String, Value>,
    /// They stand under `mcpServers`, where agents look for them.
    pub(super) is_native: bool,
}

/// The servers of a document: those of `mcpServers`, of `servers`, or the
/// document itself. None if it is blank, or `null` stands there.
///
/// # Errors
/// In words: it is no such document.
pub(super) fn servers(content: &[u8]) -> Result<Option<List>, String> {
    let mut root = match jsonc::parse(content)? {
        Value::Null => return Ok(None),
        Value::Object(root) => root,
        _ => return Err("expected an object at line 1".to_owned()),
    };
    for key in ["mcpServers", "servers"] {
        // A bare list may have a server of that name.
        let is_entry = root.get(key).is_some_and(is_server);
        match root.get_mut(key).filter(|_| !is_entry).map(Value::take) {
            None => {}
            Some(Value::Null) => return Ok(None),
            Some(Value::Object(servers)) => {
                return Ok(Some(List {
                    servers,
                    is_native: key == "mcpServers",
                }));
            }
            Some(_) => return Err(format!("`{key}` must be an object")),
        }
    }
    if root.is_empty() {
        return Ok(None);
    }
    if !root.values().any(is_server) {
        return Err("it has no `mcpServers`".to_owned());
    }
    // What an editor puts beside them.
    root.retain(|key, value| is_server(value) || !["$schema", "inputs"].contains(&key.as_str()));
    Ok(Some(List {
        servers: root,
        is_native: false,
    }))
}

/// True for what may be an entry: it says what to run, or where.
fn is_server(value: &Value) -> bool {
    let says = |key: &str| matches!(value.get(key), Some(Value::String(_) | Value::Array(_)));
    says("command") || URLS.iter().any(|key| says(key))
}
