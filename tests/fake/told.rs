//! What an agent was told of its servers, read as the real agents read it:
//! from a file or a document that a flag names, from `-c` settings, from a
//! variable, from the settings file that `FAKE_SETTINGS` names.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A server as an agent finds it.
pub(crate) enum Told {
    Http {
        url: String,
        headers: Vec<(String, String)>,
        is_sse: bool,
    },
    Command {
        words: Vec<String>,
        env: Vec<(String, String)>,
        cwd: Option<String>,
    },
}

/// Flags that name a file; copilot's with an `@`.
const FLAGS: [&str; 4] = [
    "--mcp-config",
    "--mcp-config-file",
    "--additional-mcp-config",
    "--settings-file",
];

/// Variables that hold a document, or name a file.
const VARIABLES: [&str; 3] = [
    "OPENCODE_CONFIG_CONTENT",
    "KILO_CONFIG_CONTENT",
    "FAKE_SETTINGS",
];

/// Every server, by its name.
pub(crate) fn servers() -> BTreeMap<String, Told> {
    let mut entries = BTreeMap::new();
    for document in documents() {
        for root in ["mcpServers", "mcp", "mcp_servers"] {
            for (name, entry) in document[root].as_object().into_iter().flatten() {
                entries.insert(name.clone(), entry.clone());
            }
        }
    }
    entries
        .into_iter()
        .filter_map(|(name, entry)| Some((name, told(&entry)?)))
        .collect()
}

fn documents() -> Vec<Value> {
    let args: Vec<String> = std::env::args().collect();
    let mut documents = vec![project(&args)];
    for (at, arg) in args.iter().enumerate() {
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (arg.as_str(), args.get(at + 1).map(String::as_str)),
        };
        if let Some(value) = value.filter(|_| FLAGS.contains(&flag)) {
            documents.extend(document(value));
        }
    }
    for name in VARIABLES {
        if let Ok(value) = std::env::var(name) {
            documents.extend(document(&value));
        }
    }
    documents.push(settings(&args));
    documents
}

/// What claude and copilot take of the project's file by themselves.
fn project(args: &[String]) -> Value {
    let mut file = document(".mcp.json").unwrap_or_default();
    let value = |flag: &'static str| args.iter().filter_map(move |arg| arg.strip_prefix(flag));
    let enabled = value("--settings=").next().and_then(document);
    let enabled = enabled.map(|settings| settings["enabledMcpjsonServers"].clone());
    let disabled: Vec<&str> = value("--disable-mcp-server=").collect();
    let is_copilot = args.iter().any(|arg| arg == "--additional-mcp-config");
    if let Some(servers) = file["mcpServers"].as_object_mut() {
        servers.retain(|name, _| match &enabled {
            Some(enabled) => enabled
                .as_array()
                .is_some_and(|all| all.contains(&json!(name))),
            None => is_copilot && !disabled.contains(&name.as_str()),
        });
    }
    file
}

/// The document that `text` is, or that stands in the file that it names.
fn document(text: &str) -> Option<Value> {
    let path = text.trim_start_matches('@');
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| text.to_owned());
    // Settings may have comments and a comma too many.
    let plain: Vec<&str> = text
        .lines()
        .map(|line| line.split("\t//").next().unwrap_or(line))
        .collect();
    serde_json::from_str(&plain.join("\n").replace(",\n}", "\n}")).ok()
}

/// What `-c KEY=VALUE` say, as codex reads it: split at every dot.
fn settings(args: &[String]) -> Value {
    let mut root = json!({});
    for pair in args.windows(2).filter(|pair| pair[0] == "-c") {
        let Some((keys, text)) = pair[1].split_once('=') else {
            continue;
        };
        let value: Value = toml::from_str::<toml::Table>(&format!("x = {text}"))
            .ok()
            .and_then(|table| serde_json::to_value(&table["x"]).ok())
            .unwrap_or_else(|| text.into());
        let mut place = &mut root;
        for key in keys.split('.') {
            place = &mut place[key];
        }
        *place = value;
    }
    root
}

fn told(entry: &Value) -> Option<Told> {
    let pairs = |keys: &[&str]| -> Vec<(String, String)> {
        let objects = keys.iter().filter_map(|key| entry[key].as_object());
        objects
            .flatten()
            .map(|(name, value)| (name.clone(), expand(value.as_str().unwrap_or_default())))
            .collect()
    };
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(texts) => texts
                .iter()
                .filter_map(|text| Some(text.as_str()?.to_owned()))
                .collect(),
            _ => Vec::new(),
        }
    };
    let url = ["url", "httpUrl", "serverURL"]
        .iter()
        .find_map(|key| entry[key].as_str());
    if let Some(url) = url {
        let mut headers = pairs(&["headers", "http_headers"]);
        if let Some(name) = entry["bearer_token_env_var"].as_str() {
            let key = std::env::var(name).unwrap_or_default();
            headers.push(("Authorization".into(), format!("Bearer {key}")));
        }
        return Some(Told::Http {
            url: expand(url),
            headers,
            is_sse: entry["type"] == "sse",
        });
    }
    let words = [texts(&entry["command"]), texts(&entry["args"])].concat();
    (!words.is_empty()).then(|| {
        let mut env = pairs(&["env", "environment"]);
        for name in texts(&entry["env_vars"]) {
            env.extend(std::env::var(&name).ok().map(|value| (name, value)));
        }
        Told::Command {
            words: words.iter().map(|word| expand(word)).collect(),
            env,
            cwd: entry["cwd"].as_str().map(str::to_owned),
        }
    })
}

/// Replaces every `${VAR}` and `{env:VAR}` that is set.
fn expand(text: &str) -> String {
    let mut expanded = text.to_owned();
    for (name, value) in std::env::vars() {
        for reference in [format!("${{{name}}}"), format!("{{env:{name}}}")] {
            expanded = expanded.replace(&reference, &value);
        }
    }
    expanded
}
