//! The entry of a server that `wrapper mcp set` and `--mcp` speak of.

use std::fs;

use anyhow::{Context, anyhow};
use serde_json::{Map, Value, json};

use crate::cli::McpSet;
use crate::paths::{self, Env};
use crate::report::Failure;
use crate::types::exit::Exit;
use crate::types::reference::{self, Part};
use crate::types::variables;

/// The entry in our own spelling: values are read here, where the user is.
pub(super) fn of(args: &McpSet, env: &Env) -> Result<Value, Failure> {
    let entry = match &args.url {
        Some(url) => remote(args, url, env),
        None => command(args, env),
    };
    entry.map_err(|error| Failure::new(Exit::NotDone, error))
}

fn remote(args: &McpSet, url: &str, env: &Env) -> anyhow::Result<Value> {
    let mut headers = Map::new();
    for header in &args.header {
        let (name, value) = header
            .split_once(':')
            .context("a `--header` is no `K: V`: it has no colon")?;
        let value = value_of(value.trim(), env)
            .with_context(|| format!("cannot read `--header '{}: …'`", name.trim()))?;
        headers.insert(name.trim().to_owned(), value.into());
    }
    let kind = args.transport.as_deref().unwrap_or("http");
    let mut entry = json!({ "type": kind, "url": url, "headers": headers });
    if let Some(command) = &args.auth_command {
        let words = shell_words::split(command).context("cannot split `--auth-command`")?;
        entry["auth"] = json!({ "command": words });
    }
    Ok(entry)
}

fn command(args: &McpSet, env: &Env) -> anyhow::Result<Value> {
    let mut variables = Map::new();
    for setting in &args.env {
        let (name, value) = setting
            .split_once('=')
            .context("an `--env` is no `K=V`: it has no `=`")?;
        let value =
            value_of(value, env).with_context(|| format!("cannot read `--env {name}=…`"))?;
        variables.insert(name.to_owned(), value.into());
    }
    let [program, rest @ ..] = args.command.as_slice() else {
        return Err(anyhow!("there is no command"));
    };
    let cwd = std::env::current_dir().context("cannot tell the current directory")?;
    // A path is meant from where the user is, the server runs where the agent is.
    let program = if program.contains('/') {
        cwd.join(paths::expand(env, program))
            .to_string_lossy()
            .into_owned()
    } else {
        program.clone()
    };
    Ok(json!({ "type": "stdio", "command": program, "args": rest, "env": variables }))
}

/// A value in which `@env:VAR` and `@file:PATH` are read. The session replaces
/// variables in it, and so what is read may have none.
fn value_of(value: &str, env: &Env) -> anyhow::Result<String> {
    let parts = reference::parts(value).map_err(anyhow::Error::msg)?;
    parts.into_iter().map(|part| part_of(part, env)).collect()
}

fn part_of(part: Part<'_>, env: &Env) -> anyhow::Result<String> {
    let read = match part {
        Part::Text(text) => return Ok(text.to_owned()),
        Part::Env(name) => {
            let value = paths::var(env, name).with_context(|| format!("`{name}` is not set"))?;
            let text = value.to_str();
            text.with_context(|| format!("`{name}` is no text"))?
                .to_owned()
        }
        Part::File(path) => {
            let path = paths::expand(env, path);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
    };
    if variables::has_any(&read) {
        return Err(anyhow!("its value would be taken for a variable"));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_within_a_value_is_read_where_the_user_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("my token");
        fs::write(&file, "t2\r\n").expect("written");
        let env = Env::from([("TOKEN".into(), "t1".into()), ("ODD".into(), "${X}".into())]);
        let read = |value: &str| value_of(value, &env).map_err(|error| format!("{error:#}"));
        assert_eq!(read("Bearer @env:TOKEN"), Ok("Bearer t1".to_owned()));
        let by_file = format!("Bearer @file:{}", file.display());
        assert_eq!(read(&by_file), Ok("Bearer t2".to_owned()));
        assert_eq!(
            read("me@env:TOKEN ${X}"),
            Ok("me@env:TOKEN ${X}".to_owned())
        );
        for (value, says) in [
            ("Bearer @env:NONE", "`NONE` is not set"),
            ("Bearer @env:", "neither a variable nor a file"),
            ("Bearer @file:/no/such", "cannot read /no/such"),
            ("@env:ODD", "taken for a variable"),
        ] {
            let said = read(value).expect_err(value);
            assert!(said.contains(says), "{said}");
        }
    }
}
