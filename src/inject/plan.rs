//! What an agent is given so that it finds its servers. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dialect;
use super::native;
use super::reach::{self, Link, Reach};
use super::show::Masked;
use crate::types::agent::{AgentSpec, Dialect, Inject, Place};
use crate::types::identity::{ServerName, Token};
use crate::types::server::{KEY_VAR, Kind, Origin, Server, URL_VAR};

/// Arguments, variables and files, and nothing else. Shown by `Display` and as
/// JSON without secrets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InjectPlan {
    /// They stand before the user's own.
    pub args: Vec<OsString>,
    pub env: BTreeMap<String, Masked>,
    pub files: Vec<PlannedFile>,
}

/// A file to be written, or written to.
#[derive(Debug, PartialEq, Eq)]
pub enum PlannedFile {
    /// A file of ours in the session's directory, 0600.
    Owned { path: PathBuf, body: Masked },
    /// A member of the user's file, at these keys from its root. Several may
    /// be of one file.
    Merged {
        path: PathBuf,
        format: Format,
        keys: Vec<String>,
        entry: Value,
    },
}

/// What a settings file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// With comments, where the user has some.
    Json,
    Toml,
}

/// A server that an agent cannot be told of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot tell `{agent}` of the MCP server `{server}`: {why}")]
pub struct Unable {
    agent: String,
    server: String,
    pub why: String,
    /// The way out.
    pub hint: String,
}

/// Plans how `spec`'s agent is told of `servers`, and of the project's file if
/// it reads that by itself.
///
/// # Errors
/// A server that the agent or its mode cannot carry; a mode that goes through
/// the proxy where there is none.
pub fn plan(spec: &AgentSpec, servers: &[Server], link: &Link) -> Result<InjectPlan, Unable> {
    let mut plan = InjectPlan::default();
    let Some(inject) = &spec.inject else {
        let other = servers.iter().find(|server| server.origin != Origin::Hub);
        return match other {
            Some(server) => Err(unable(spec, server, "it has no `mcp_inject`")),
            None => Ok(plan),
        };
    };
    let reach = Reach::new(spec, inject, link);
    let mut secrets = Vec::new();
    let mut entries = Vec::new();
    for server in servers
        .iter()
        .filter(|server| !server.is_left_to(spec.dialect))
    {
        let entry = reach::entry(&reach, server, &mut secrets).and_then(|entry| {
            dialect::check_name(reach.dialect, &server.name)?;
            let is_hub = server.origin == Origin::Hub;
            dialect::entry(spec, reach.dialect, &entry, is_hub)
        });
        let entry = entry.map_err(|what| {
            let why = format!("`{}` cannot {what} (`{}`)", spec.name, inject.mode());
            unable(spec, server, &why)
        })?;
        entries.push((server, entry));
    }
    let carried: Vec<&str> = entries
        .iter()
        .map(|(server, _)| server.name.as_str())
        .collect();
    let answers =
        (link.project.as_ref()).map(|project| native::args(spec.dialect, project, &carried));
    plan.args
        .extend(answers.into_iter().flatten().map(OsString::from));
    if entries.is_empty() {
        return Ok(plan);
    }
    plan.open_proxy(&reach, servers);
    match inject {
        Inject::Flag { flag }
        | Inject::ProxyFile { flag }
        | Inject::Stdio {
            place: Place::Flag(flag),
        } => {
            let path = plan.owned(&reach, &entries, &secrets);
            for path in link.displaced.iter().chain([&path]) {
                plan.args.extend(file_args(spec, flag, path));
            }
        }
        Inject::Env { var } => {
            let path = plan.owned(&reach, &entries, &secrets);
            let path = path.to_string_lossy().into_owned();
            plan.env.insert(var.clone(), Masked::plain(path));
        }
        Inject::EnvContent { var } => {
            let text = document(&reach, &entries).to_string();
            plan.env.insert(var.clone(), Masked::with(text, &secrets));
        }
        Inject::SettingsFile { path }
        | Inject::Stdio {
            place: Place::Settings(path),
        } => {
            let root = dialect::root(reach.dialect);
            plan.files.extend(
                entries
                    .into_iter()
                    .map(|(server, entry)| PlannedFile::Merged {
                        path: path.clone(),
                        format: format(path),
                        keys: vec![root.into(), server.name.to_string()],
                        entry,
                    }),
            );
        }
        Inject::ProxyFlag { template } => {
            let (bare, quoted): (Vec<_>, Vec<_>) = entries
                .into_iter()
                .partition(|(server, _)| server.name.is_slug() || reach.dialect != Dialect::Codex);
            if !quoted.is_empty() {
                let named = quoted
                    .into_iter()
                    .map(|(server, entry)| (server.name.to_string(), entry));
                let table = dialect::codex_table(named.collect());
                plan.args.extend(table.map(OsString::from));
            }
            for (server, entry) in &bare {
                let args = by_template(template, server, entry, &reach)
                    .map_err(|why| unable(spec, server, &why))?;
                plan.args.extend(args.into_iter().map(OsString::from));
            }
        }
    }
    for server in servers.iter().filter(|server| server.origin == Origin::Hub) {
        plan.approve(spec, &server.name, link);
    }
    Ok(plan)
}

/// The settings that hold the entries, on top of those that the user has in
/// the same place.
fn document(reach: &Reach, entries: &[(&Server, Value)]) -> Value {
    let mut document = reach.link.settings.clone();
    let servers = document
        .entry(dialect::root(reach.dialect))
        .or_insert_with(|| json!({}));
    if !servers.is_object() {
        *servers = json!({});
    }
    if let Value::Object(servers) = servers {
        let named = entries
            .iter()
            .map(|(server, entry)| (server.name.to_string(), entry.clone()));
        servers.extend(named);
    }
    Value::Object(document)
}

impl InjectPlan {
    /// Has the hub's tools approved.
    fn approve(&mut self, spec: &AgentSpec, hub: &ServerName, link: &Link) {
        let approvals = dialect::approvals(spec, hub);
        self.args.extend(approvals.into_iter().map(OsString::from));
        if let Some((flag, text)) = dialect::policy(spec, hub) {
            let path = link.dir.join("policy.toml");
            self.args.push(format!("{flag}={}", path.display()).into());
            let body = Masked::plain(text);
            self.files.push(PlannedFile::Owned { path, body });
        }
    }

    /// Adds the file that names the servers; returns its path.
    fn owned(&mut self, reach: &Reach, entries: &[(&Server, Value)], secrets: &[Token]) -> PathBuf {
        let path = reach.link.dir.join("mcp.json");
        let body = format!("{:#}\n", document(reach, entries));
        self.files.push(PlannedFile::Owned {
            path: path.clone(),
            body: Masked::with(body, secrets),
        });
        path
    }

    /// Adds the variables by which entries find the proxy and open it.
    fn open_proxy(&mut self, reach: &Reach, servers: &[Server]) {
        let proxied = servers.iter().any(|server| reach.is_proxied(server));
        if let Some(proxy) = reach.link.proxy.as_ref().filter(|_| proxied) {
            self.env
                .insert(URL_VAR.into(), Masked::plain(proxy.base.clone()));
            let key = Masked::with(proxy.key.expose(), std::slice::from_ref(&proxy.key));
            self.env.insert(KEY_VAR.into(), key);
        }
    }
}

fn format(path: &Path) -> Format {
    match path.extension() {
        Some(extension) if extension == "toml" => Format::Toml,
        _ => Format::Json,
    }
}

/// The arguments that name a file. Claude's flag takes many values: it and its
/// file are one argument, lest the user's prompt be taken for a second file.
fn file_args(spec: &AgentSpec, flag: &str, path: &Path) -> Vec<OsString> {
    let value = dialect::file_value(spec.dialect, path);
    if spec.dialect == Dialect::Claude {
        let mut arg = OsString::from(format!("{flag}="));
        arg.push(value);
        vec![arg]
    } else {
        vec![flag.into(), value]
    }
}

/// A template's words, as a shell splits them, with their places filled.
fn by_template(
    template: &str,
    server: &Server,
    entry: &Value,
    reach: &Reach,
) -> Result<Vec<String>, String> {
    let codex = reach.dialect == Dialect::Codex;
    let Kind::Remote(remote) = &server.kind else {
        return if codex {
            Ok(dialect::codex_settings(&server.name, entry))
        } else {
            Err("`proxy_flag` can name a URL alone, and it is a command".to_owned())
        };
    };
    if server.origin != Origin::Hub && !template.contains("{server}") {
        return Err(
            "`mcp_proxy_flag_template` has no `{server}`: it can name one alone".to_owned(),
        );
    }
    let words = shell_words::split(template)
        .map_err(|error| format!("cannot split `mcp_proxy_flag_template`: {error}"))?;
    let url = reach.url(&server.name, remote);
    let mut args: Vec<String> = words
        .iter()
        .map(|word| fill(word, &server.name, &url))
        .collect();
    if codex && !template.contains("{key_env}") {
        args.extend(dialect::codex_key(&server.name));
    }
    Ok(args)
}

/// Fills a word's places in one pass: what fills them is not looked into.
fn fill(word: &str, server: &ServerName, url: &str) -> String {
    let places = [
        ("{server}", server.as_str()),
        ("{url}", url),
        ("{key_env}", KEY_VAR),
    ];
    let mut filled = String::with_capacity(word.len() + url.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = places.iter().find(|(place, _)| rest.starts_with(place));
        let (length, text) = found.map_or((1, "{"), |(place, text)| (place.len(), *text));
        filled.push_str(text);
        rest = &rest[length..];
    }
    filled + rest
}

fn unable(spec: &AgentSpec, server: &Server, why: &str) -> Unable {
    let hint = match server.origin {
        Origin::Hub => format!(
            "set `mcp_inject` of `[agents.{}]` to another mode",
            spec.name
        ),
        Origin::Project | Origin::Rewritten => format!(
            "leave the project's servers out with `mcp_merge_project = false` under `[agents.{}]`",
            spec.name
        ),
        Origin::Config => format!(
            "name the agents that are to have it: `agents = [\"…\"]` under `[mcp_servers.{}]`",
            server.name
        ),
        Origin::Session => format!(
            "launch without `{}` in `--mcp` or `--mcp-file`",
            server.name
        ),
    };
    Unable {
        agent: spec.name.to_string(),
        server: server.name.to_string(),
        why: why.to_owned(),
        hint,
    }
}

#[cfg(test)]
mod tests;
