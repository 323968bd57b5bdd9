//! Finds and reads the files, and lays environment and options over them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::foreign;
use super::layer::{Layer, Layers};
use super::mistake::Error;
use super::overrides::{
    AGENT_CWD, AGENT_SETTINGS_PATH, options_set, text, variable_path, variables,
};
use super::raw::Raw;
use super::resolve::{Config, Launched};
use crate::paths::{self, Env};
use crate::types::options::Options;
use crate::types::reference::{self, Part};

const BUILT_IN: &str = include_str!("../../config.toml");

/// The configuration, as the environment and the options of a process that
/// runs in `cwd` have it.
///
/// # Errors
/// A file that cannot be read, a named one that does not exist, a mistake in
/// one. Nothing is written.
pub fn load(env: &Env, cwd: &Path, options: &Options) -> Result<Config, Error> {
    let mut layers = Layers::default();
    let mut warnings = Vec::new();
    let mut built_in = parse(Path::new("config.toml"), BUILT_IN)?;
    anchor(&mut built_in, cwd, env)?;
    layers.add(built_in.clone(), &Layer::BuiltIn);

    let named = match &options.config {
        Some(path) => Some(cwd.join(path)),
        None => paths::var(env, "WRAPPER_CONFIG").map(|path| cwd.join(path)),
    };
    let path = named.clone().unwrap_or_else(|| paths::user_config(env));
    match read(&path, env, &mut warnings)? {
        Some(table) => layers.add(table, &Layer::File(path.clone())),
        None if named.is_some() => {
            return Err(Error::new(format_args!(
                "cannot read {}: no such file",
                path.display()
            )));
        }
        None => {}
    }
    let local = path.with_file_name("config.local.toml");
    if local != path
        && let Some(table) = read(&local, env, &mut warnings)?
    {
        warnings.extend(layers.add_agents(table, &local));
    }
    layers.inherit(&built_in);

    let (set, ignored) = variables(env, cwd)?;
    warnings.extend(ignored);
    for (key, value, layer) in set.into_iter().chain(options_set(options, cwd)?) {
        layers.set(key, value, &layer);
    }
    let launched = Launched {
        cwd: variable_path(env, cwd, AGENT_CWD),
        settings_path: variable_path(env, cwd, AGENT_SETTINGS_PATH),
    };
    Config::resolve(layers, launched, env, cwd, warnings)
}

/// A file's table, its paths made absolute; None if there is no such file. Keys of
/// agentchattr's that are not known here are left out with a warning.
fn read(path: &Path, env: &Env, warnings: &mut Vec<String>) -> Result<Option<Table>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(Error::new(format_args!(
                "cannot read {}: {error}",
                path.display()
            )));
        }
    };
    let mut table = match parse(path, &text) {
        Ok(table) => table,
        Err(error) => match foreign::known(path, &text) {
            Some(known) => {
                let (table, warning) = known?;
                warnings.push(warning);
                table
            }
            None => return Err(error),
        },
    };
    anchor(&mut table, path.parent().unwrap_or(path), env)?;
    Ok(Some(table))
}

/// Parses one file, and checks it alone: so that a mistake is shown in its
/// own line, whatever other layers say.
fn parse(path: &Path, text: &str) -> Result<Table, Error> {
    toml::from_str::<Raw>(text)
        .and_then(|_| text.parse())
        .map_err(|error| Error::in_file(path, text, &error))
}

/// Makes the paths in a file's table absolute: they start at the file's
/// directory. A settings path is left to start at the agent's own.
fn anchor(table: &mut Table, dir: &Path, env: &Env) -> Result<(), Error> {
    let anchored = |value: &mut Value, dir: &Path| match value {
        Value::String(path) => {
            *value = text(below(dir, &paths::expand(env, path)))?;
            Ok(())
        }
        _ => Ok(()),
    };
    for (section, key) in [("server", "data_dir"), ("images", "upload_dir")] {
        if let Some(value) = table.get_mut(section).and_then(|table| table.get_mut(key)) {
            anchored(value, dir)?;
        }
    }
    let agents = table.get_mut("agents").and_then(Value::as_table_mut);
    for (_, agent) in agents.into_iter().flatten() {
        for (key, dir) in [
            ("cwd", dir),
            ("command", dir),
            ("mcp_settings_path", Path::new("")),
        ] {
            if let Some(value) = agent.get_mut(key)
                && (key != "command" || value.as_str().is_some_and(|path| path.contains('/')))
            {
                // A home directory may have any name: it is put in at the launch.
                let is_at_home = value.as_str().is_some_and(|path| path.starts_with("~/"));
                anchored(value, dir).or_else(|error| is_at_home.then_some(()).ok_or(error))?;
            }
        }
    }
    let servers = table.get_mut("mcp_servers").and_then(Value::as_table_mut);
    for (_, server) in servers.into_iter().flatten() {
        anchor_server(server, dir, env)?;
    }
    Ok(())
}

/// `path` where it is relative to `dir`, without a `.` on the way.
fn below(dir: &Path, path: &Path) -> PathBuf {
    dir.join(path).components().collect()
}

/// The same for a server. What starts with a variable is absolute once that is
/// replaced.
fn anchor_server(server: &mut Value, dir: &Path, env: &Env) -> Result<(), Error> {
    let is_git = server.get("type").and_then(Value::as_str) == Some("git");
    let anchored = |path: &str| text(below(dir, &paths::expand(env, path)));
    for key in ["path", "cwd", "command", "url"] {
        let Some(value) = server.get_mut(key) else {
            continue;
        };
        let Value::String(path) = value else { continue };
        let is_path = match key {
            "path" | "cwd" => true,
            "command" => path.contains('/'),
            _ => {
                is_git
                    && ["./", "../", "~/"]
                        .iter()
                        .any(|start| path.starts_with(start))
            }
        };
        if is_path && !path.is_empty() && !path.starts_with("${") {
            *value = anchored(path)?;
        }
    }
    if let Some(auth) = server.get_mut("auth") {
        anchor_auth(auth, &anchored)?;
    }
    let headers = server.get_mut("headers").and_then(Value::as_table_mut);
    for (_, value) in headers.into_iter().flatten() {
        if let Some(text) = value.as_str()
            && let Ok(parts) = reference::parts(text)
            && let Some(Part::File(path)) = parts.last()
            && let Value::String(whole) = anchored(path)?
        {
            let before = &text[..text.len() - path.len()];
            *value = Value::String(format!("{before}{whole}"));
        }
    }
    Ok(())
}

/// The same for a file that holds a token, and for a command that prints one
/// and is named by a path.
fn anchor_auth(
    auth: &mut Value,
    anchored: &impl Fn(&str) -> Result<Value, Error>,
) -> Result<(), Error> {
    if let Some(file) = auth.get_mut("file")
        && let Some(path) = file.as_str()
        && !path.is_empty()
        && !path.starts_with("${")
    {
        *file = anchored(path)?;
    }
    let argv = auth.get_mut("command").and_then(Value::as_array_mut);
    if let Some(program) = argv.and_then(|argv| argv.first_mut())
        && let Some(path) = program.as_str()
        && path.contains('/')
        && !path.starts_with("${")
    {
        *program = anchored(path)?;
    }
    Ok(())
}
