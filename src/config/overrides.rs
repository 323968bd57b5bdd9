//! Environment and options as keys of the configuration. Pure.

use std::path::{Path, PathBuf};

use toml::Value;

use super::layer::Layer;
use super::mistake::Error;
use crate::paths::{self, Env};
use crate::types::options::Options;

/// The two keys of the launched agent that an environment may set: a file of
/// variables that comes with a repository must not choose what is run.
pub(super) const AGENT_CWD: &str = "AGENTCHATTR_AGENT_CWD";
pub(super) const AGENT_SETTINGS_PATH: &str = "AGENTCHATTR_AGENT_MCP_SETTINGS_PATH";

/// A key, its value, and who set it.
type Override = (&'static str, Value, Layer);

/// What the environment sets, and what of it is ignored, with the reason.
pub(super) fn variables(env: &Env, cwd: &Path) -> Result<(Vec<Override>, Vec<String>), Error> {
    let mut set = Vec::new();
    let mut ignored = Vec::new();
    for (name, key) in [
        ("AGENTCHATTR_DATA_DIR", "server.data_dir"),
        ("AGENTCHATTR_UPLOAD_DIR", "images.upload_dir"),
    ] {
        if let Some(path) = variable_path(env, cwd, name) {
            set.push((key, text(path)?, Layer::Variable(name)));
        }
    }
    for (name, key) in [
        ("AGENTCHATTR_PORT", "server.port"),
        ("AGENTCHATTR_MCP_HTTP_PORT", "mcp.http_port"),
        ("AGENTCHATTR_MCP_SSE_PORT", "mcp.sse_port"),
    ] {
        let Some(value) = paths::var(env, name) else {
            continue;
        };
        match value
            .to_str()
            .and_then(|text| text.trim().parse::<u16>().ok())
        {
            Some(port) => set.push((key, Value::from(i64::from(port)), Layer::Variable(name))),
            None => ignored.push(format!("{name} is ignored: {} is no port", value.display())),
        }
    }
    for name in env.keys().filter_map(|name| name.to_str()) {
        if name.starts_with("AGENTCHATTR_AGENT_")
            && ![AGENT_CWD, AGENT_SETTINGS_PATH].contains(&name)
            && paths::var(env, name).is_some()
        {
            ignored.push(format!(
                "{name} is ignored: the environment may not set that key"
            ));
        }
    }
    Ok((set, ignored))
}

/// What the options set.
pub(super) fn options_set(options: &Options, cwd: &Path) -> Result<Vec<Override>, Error> {
    let mut set = Vec::new();
    for (name, key, path) in [
        ("--data-dir", "server.data_dir", &options.data_dir),
        ("--upload-dir", "images.upload_dir", &options.upload_dir),
    ] {
        if let Some(path) = path {
            set.push((key, text(cwd.join(path))?, Layer::Option(name)));
        }
    }
    for (name, key, port) in [
        ("--port", "server.port", options.port),
        ("--mcp-http-port", "mcp.http_port", options.mcp_http_port),
        ("--mcp-sse-port", "mcp.sse_port", options.mcp_sse_port),
    ] {
        if let Some(port) = port {
            set.push((key, Value::from(i64::from(port)), Layer::Option(name)));
        }
    }
    Ok(set)
}

/// The path in a variable, absolute.
pub(super) fn variable_path(env: &Env, cwd: &Path, name: &str) -> Option<PathBuf> {
    paths::var(env, name).map(|path| match path.to_str() {
        Some(path) => cwd.join(paths::expand(env, path)),
        None => cwd.join(path),
    })
}

/// A path as a value of TOML.
pub(super) fn text(path: PathBuf) -> Result<Value, Error> {
    match path.into_os_string().into_string() {
        Ok(path) => Ok(Value::String(path)),
        Err(path) => Err(Error::new(format_args!(
            "cannot use {}: the path is no UTF-8",
            path.display()
        ))),
    }
}
