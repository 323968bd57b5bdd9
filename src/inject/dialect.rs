//! A server entry, its key and an approval, as each agent spells them. Pure.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::types::agent::{AgentSpec, Dialect, Inject, Transport};
use crate::types::identity::ServerName;
use crate::types::server::{HUB_TOOLS, KEY_VAR};

/// A server as one agent is to see it: by way of the proxy, of the bridge, or
/// as it is.
#[derive(Debug)]
pub(super) enum Entry {
    Remote {
        url: String,
        transport: Transport,
        headers: Vec<(String, String)>,
    },
    Command(Started),
}

/// A command as the agent starts it.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// Variables of the agent's that it is to have, whatever the agent keeps
    /// from the others.
    pub(super) forward: Vec<String>,
    pub(super) cwd: Option<String>,
}

/// What an agent cannot be told, in words that follow "cannot".
pub(super) type Inexpressible = String;

/// The object in which an agent keeps its servers.
pub(super) fn root(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Codex => "mcp_servers",
        Dialect::Opencode => "mcp",
        _ => "mcpServers",
    }
}

/// How a dialect refers to a variable in the values of an entry; none if it
/// cannot. Of an agent that we do not know the usual way is expected.
/// `by_flag`: the entry stands in a file that a flag names.
pub(super) fn reference(dialect: Dialect, by_flag: bool, variable: &str) -> Option<String> {
    match dialect {
        // It replaces them in its settings alone.
        Dialect::Qwen if by_flag => None,
        Dialect::Antigravity
        | Dialect::Claude
        | Dialect::Codebuddy
        | Dialect::Copilot
        | Dialect::Gemini
        | Dialect::Generic
        | Dialect::Qwen => Some(format!("${{{variable}}}")),
        Dialect::Opencode => Some(format!("{{env:{variable}}}")),
        Dialect::Codex | Dialect::Kimi => None,
    }
}

/// True if an agent would read more into a text than what stands there.
pub(super) fn is_replaced(dialect: Dialect, by_flag: bool, text: &str) -> bool {
    match dialect {
        Dialect::Qwen if by_flag => false,
        Dialect::Copilot | Dialect::Gemini | Dialect::Qwen => text.contains('$'),
        Dialect::Opencode => text.contains("{env:") || text.contains("{file:"),
        Dialect::Antigravity | Dialect::Claude | Dialect::Codebuddy | Dialect::Generic => {
            text.contains("${")
        }
        Dialect::Codex | Dialect::Kimi => false,
    }
}

/// True if an entry can say in which directory a command is to run.
pub(super) fn knows_cwd(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::Codex | Dialect::Copilot | Dialect::Gemini | Dialect::Kimi | Dialect::Qwen
    )
}

/// Whether an agent takes a server's name as it is.
pub(super) fn check_name(dialect: Dialect, name: &ServerName) -> Result<(), Inexpressible> {
    // These leave servers of other names out without a word, or their tools.
    // In a document any name stands in quotes.
    let more = match dialect {
        Dialect::Codex => "-_./@:",
        Dialect::Gemini => "-_.",
        _ => return Ok(()),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    if name.as_str().chars().all(fits) {
        Ok(())
    } else {
        Err(format!(
            "have a server named {:?}: letters, digits and `{more}` are all it takes",
            name.as_str()
        ))
    }
}

/// The headers that open the proxy with the key, which `bearer` is or refers to.
pub(super) fn bearer(bearer: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("Bearer {bearer}"))
}

/// An entry for a file. The hub's, and no other, may say that its tools need
/// no approval, for an agent that knows no other way: tools of other servers
/// may stand there later.
pub(super) fn entry(
    spec: &AgentSpec,
    dialect: Dialect,
    entry: &Entry,
    is_hub: bool,
) -> Result<Value, Inexpressible> {
    let mut written = match entry {
        Entry::Remote {
            url,
            transport,
            headers,
        } => remote(spec, dialect, url, *transport, headers)?,
        Entry::Command(started) => command(dialect, started)?,
    };
    match dialect {
        Dialect::Generic if is_hub && trusts_entry(spec) => {
            written.insert("trust".into(), true.into());
        }
        Dialect::Opencode => {
            written.insert("enabled".into(), true.into());
        }
        _ => {}
    }
    Ok(Value::Object(written))
}

/// True if the agent is told to trust whatever tools stand on the hub's entry,
/// as agentchattr does it for agents that have settings: there is no better
/// way that all of them know.
#[must_use]
pub fn trusts_entry(spec: &AgentSpec) -> bool {
    let in_settings = matches!(spec.inject, Some(Inject::SettingsFile { .. }));
    spec.dialect == Dialect::Generic && spec.approve_tools && in_settings
}

fn remote(
    spec: &AgentSpec,
    dialect: Dialect,
    url: &str,
    transport: Transport,
    headers: &[(String, String)],
) -> Result<Map<String, Value>, Inexpressible> {
    let http = transport == Transport::Http;
    let in_settings = matches!(spec.inject, Some(Inject::SettingsFile { .. }));
    let (kind, key) = match dialect {
        Dialect::Codex if !http => return Err("reach a server over SSE".to_owned()),
        Dialect::Codex => (None, "url"),
        Dialect::Opencode => (Some("remote"), "url"),
        Dialect::Gemini | Dialect::Qwen => (None, if http { "httpUrl" } else { "url" }),
        Dialect::Antigravity => (None, "serverURL"),
        // What agentchattr writes into settings unless it is told otherwise.
        Dialect::Generic if in_settings && http => (Some("http"), "httpUrl"),
        Dialect::Claude
        | Dialect::Codebuddy
        | Dialect::Copilot
        | Dialect::Generic
        | Dialect::Kimi => (Some(if http { "http" } else { "sse" }), "url"),
    };
    let mut entry = Map::new();
    if let Some(kind) = kind {
        // Kimi's word for the same.
        let word = if dialect == Dialect::Kimi {
            "transport"
        } else {
            "type"
        };
        entry.insert(word.into(), kind.into());
    }
    entry.insert(spec.http_key.as_deref().unwrap_or(key).into(), url.into());
    if dialect == Dialect::Codex {
        entry.insert("bearer_token_env_var".into(), KEY_VAR.into());
    } else if !headers.is_empty() {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()));
        entry.insert("headers".into(), Value::Object(headers.collect()));
    }
    if dialect == Dialect::Opencode {
        entry.insert("oauth".into(), false.into());
    }
    Ok(entry)
}

fn command(dialect: Dialect, started: &Started) -> Result<Map<String, Value>, Inexpressible> {
    let Started {
        program,
        args,
        env,
        forward,
        cwd,
    } = started;
    let mut entry = Map::new();
    let env: Map<String, Value> = env
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let (env_key, forward_key) = match dialect {
        Dialect::Opencode => ("environment", None),
        Dialect::Codex => ("env", Some("env_vars")),
        _ => ("env", None),
    };
    match dialect {
        Dialect::Opencode => {
            let words: Vec<&String> = std::iter::once(program).chain(args).collect();
            entry.insert("type".into(), "local".into());
            entry.insert("command".into(), json!(words));
        }
        Dialect::Claude | Dialect::Codebuddy | Dialect::Generic => {
            entry.insert("type".into(), "stdio".into());
            entry.insert("command".into(), program.as_str().into());
            entry.insert("args".into(), json!(args));
        }
        Dialect::Copilot => {
            entry.insert("type".into(), "local".into());
            entry.insert("command".into(), program.as_str().into());
            entry.insert("args".into(), json!(args));
        }
        Dialect::Antigravity | Dialect::Codex | Dialect::Gemini | Dialect::Kimi | Dialect::Qwen => {
            entry.insert("command".into(), program.as_str().into());
            entry.insert("args".into(), json!(args));
        }
    }
    if !env.is_empty() {
        entry.insert(env_key.into(), Value::Object(env));
    }
    if let Some(key) = forward_key {
        entry.insert(key.into(), json!(forward));
    }
    match cwd {
        Some(cwd) if knows_cwd(dialect) => {
            entry.insert("cwd".into(), cwd.as_str().into());
            Ok(entry)
        }
        Some(_) => Err("run in a directory of its own".to_owned()),
        None => Ok(entry),
    }
}

/// Arguments that approve the hub's tools on `server`, and no others.
pub(super) fn approvals(spec: &AgentSpec, server: &ServerName) -> Vec<String> {
    if !spec.approve_tools {
        return Vec::new();
    }
    match spec.dialect {
        Dialect::Claude | Dialect::Codebuddy => {
            let tools = HUB_TOOLS.map(|tool| format!("mcp__{server}__{tool}"));
            // One argument: the flag takes many values, and must not take the
            // user's prompt for one of them.
            vec![format!("--allowedTools={}", tools.join(","))]
        }
        Dialect::Codex => HUB_TOOLS
            .iter()
            .flat_map(|tool| {
                let key = format!("tools.{tool}.approval_mode");
                codex_setting(server, &key, &"approve".into())
            })
            .collect(),
        Dialect::Copilot => HUB_TOOLS
            .iter()
            .map(|tool| format!("--allow-tool={server}({tool})"))
            .collect(),
        Dialect::Qwen => {
            let tools = HUB_TOOLS.map(|tool| format!("mcp__{server}__{tool}"));
            vec![format!("--allowed-tools={}", tools.join(","))]
        }
        // Gemini reads a policy; opencode does not ask.
        _ => Vec::new(),
    }
}

/// A policy that approves the hub's tools on `server`, and no others, for an
/// agent that takes them from a file: the flag that names it, and its text.
pub(super) fn policy(spec: &AgentSpec, server: &ServerName) -> Option<(&'static str, String)> {
    if !spec.approve_tools || spec.dialect != Dialect::Gemini {
        return None;
    }
    let rules = HUB_TOOLS.map(|tool| {
        let server = toml_value(&server.as_str().into());
        format!(
            "[[rule]]\nmcpName = {server}\ntoolName = \"{tool}\"\ndecision = \"allow\"\npriority = 500\n"
        )
    });
    Some(("--policy", rules.join("\n")))
}

/// An entry as arguments of codex, a setting each.
pub(super) fn codex_settings(server: &ServerName, entry: &Value) -> Vec<String> {
    let members = entry.as_object().into_iter().flatten();
    members
        .flat_map(|(key, value)| codex_setting(server, key, value))
        .collect()
}

/// Entries of names that are no bare keys, as one argument of codex: it splits
/// a key at every dot, and of two such tables it takes the second alone.
pub(super) fn codex_table(entries: Map<String, Value>) -> [String; 2] {
    let table = toml_value(&Value::Object(entries));
    ["-c".to_owned(), format!("mcp_servers={table}")]
}

/// Arguments that tell codex which variable has the key.
pub(super) fn codex_key(server: &ServerName) -> [String; 2] {
    codex_setting(server, "bearer_token_env_var", &KEY_VAR.into())
}

/// One setting of codex, of a server whose name is a bare key.
fn codex_setting(server: &ServerName, key: &str, value: &Value) -> [String; 2] {
    let value = toml_value(value);
    [
        "-c".to_owned(),
        format!("mcp_servers.{server}.{key}={value}"),
    ]
}

/// A JSON value in TOML, on one line.
fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{} = {}", toml_text(key), toml_value(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::String(text) => toml_text(text),
        plain => plain.to_string(),
    }
}

/// A basic string of TOML: JSON's, but for DEL, which it may not hold.
fn toml_text(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The path of a file as an argument's text.
pub(super) fn file_value(dialect: Dialect, path: &Path) -> std::ffi::OsString {
    match dialect {
        Dialect::Copilot => {
            let mut value = std::ffi::OsString::from("@");
            value.push(path);
            value
        }
        _ => path.into(),
    }
}
