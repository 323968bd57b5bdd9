//! Plans as tables: what each mode gives.

mod agents;
mod ways;

use serde_json::{Map, json};

use super::*;
use crate::inject::{Project, Proxy};
use crate::types::agent::{Pacing, Restart, Transport};
use crate::types::server::{Command, ContextLevel, HUB_TOOLS, Remote};

fn spec(name: &str, inject: Inject) -> AgentSpec {
    AgentSpec {
        own_label: None,
        name: name.parse().expect(name),
        command: name.into(),
        args: Vec::new(),
        cwd: "/src".into(),
        label: None,
        color: None,
        env: BTreeMap::new(),
        strip_env: Vec::new(),
        inject: Some(inject),
        dialect: Dialect::of(name),
        transport: Transport::Http,
        http_key: None,
        merge_project: true,
        approve_tools: false,
        restart: Restart::Never,
        conversations: crate::types::conversation::Ways::default(),
        session_env_prefix: Vec::new(),
        pacing: Pacing::default(),
    }
}

fn remote(name: &str, origin: Origin, url: &str, secret: &str) -> Server {
    let header = ("Authorization".to_owned(), Token::new(secret));
    Server {
        name: name.parse().expect(name),
        origin,
        kind: Kind::Remote(Remote {
            endpoint: url.parse().expect(url),
            transport: Transport::Http,
            headers: if secret.is_empty() {
                Vec::new()
            } else {
                vec![header]
            },
            auth: None,
        }),
        context: ContextLevel::Id,
    }
}

fn hub() -> Server {
    remote(
        "chat",
        Origin::Hub,
        "http://127.0.0.1:8200/mcp",
        "Bearer hub-secret",
    )
}

fn docs() -> Server {
    remote(
        "docs",
        Origin::Config,
        "https://docs.example/mcp?k=v",
        "docs-secret",
    )
}

fn command(name: &str, env: &[(&str, &str)]) -> Server {
    Server {
        name: name.parse().expect(name),
        origin: Origin::Config,
        kind: Kind::Command(Command {
            program: "node".into(),
            args: vec!["a b.js".into()],
            env: env
                .iter()
                .map(|(key, value)| ((*key).into(), Token::new(*value)))
                .collect(),
            cwd: None,
            is_private: false,
            is_hosted: false,
        }),
        context: ContextLevel::Id,
    }
}

fn context() -> Vec<(String, String)> {
    vec![("WRAPPER_SESSION_ID".into(), "7".into())]
}

/// A session of whose proxy the key is `key-secret`.
fn link(context: &[(String, String)]) -> Link<'_> {
    Link {
        proxy: Some(Proxy {
            base: "http://127.0.0.1:4711".into(),
            key: Token::new("key-secret"),
        }),
        program: Path::new("/bin/wrapper"),
        context,
        dir: Path::new("/run/my session"),
        project: None,
        displaced: None,
        settings: Map::new(),
    }
}

fn planned(spec: &AgentSpec, servers: &[Server]) -> Result<InjectPlan, Unable> {
    plan(spec, servers, &link(&context()))
}

/// A plan with its secrets, as JSON: arguments, variables, documents.
fn exposed(plan: &InjectPlan) -> Value {
    let args: Vec<_> = plan.args.iter().filter_map(|arg| arg.to_str()).collect();
    let env: BTreeMap<_, _> = plan
        .env
        .iter()
        .map(|(key, value)| (key, value.expose()))
        .collect();
    let files: Vec<Value> = plan
        .files
        .iter()
        .map(|file| match file {
            PlannedFile::Owned { body, .. } => {
                serde_json::from_str(body.expose()).expect("a document")
            }
            PlannedFile::Merged {
                path, keys, entry, ..
            } => {
                json!({ "path": path, "keys": keys, "entry": entry })
            }
        })
        .collect();
    json!({ "args": args, "env": env, "files": files })
}

fn shown(spec: &AgentSpec, servers: &[Server]) -> Value {
    let plan = planned(spec, servers).expect("a plan");
    let json = serde_json::to_string(&plan).expect("JSON");
    for shown in [&plan.to_string(), &json, &format!("{plan:?}{plan:#?}")] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    exposed(&plan)
}

fn flag() -> String {
    "--mcp".into()
}

fn variables() -> Value {
    json!({ "WRAPPER_MCP_KEY": "key-secret", "WRAPPER_MCP_URL": "http://127.0.0.1:4711" })
}

fn with_variable(name: &str, value: &str) -> Value {
    let mut variables = variables();
    variables[name] = value.into();
    variables
}

const FILE: &str = "/run/my session/mcp.json";

#[test]
fn each_mode_has_its_plan() {
    let chat = |key: &str| {
        json!({ "type": "http", "url": "http://127.0.0.1:4711/chat/mcp",
                "headers": { "Authorization": format!("Bearer {key}") } })
    };
    let tool = json!({ "type": "stdio", "command": "node", "args": ["a b.js"],
                       "env": { "WRAPPER_SESSION_ID": "7" } });
    let bridged = |name: &str| {
        json!({ "type": "stdio", "command": "/bin/wrapper", "args": ["bridge", name],
                "env": { "WRAPPER_SESSION_ID": "7" } })
    };
    let referred = json!({ "WRAPPER_SESSION_ID": "${WRAPPER_SESSION_ID}" });
    let servers = [hub(), command("tool", &[])];
    let table = [
        (
            Inject::Flag { flag: flag() },
            json!({ "args": ["--mcp", FILE], "env": {}, "files": [{ "mcpServers": {
                "chat": { "type": "http", "url": "http://127.0.0.1:8200/mcp",
                          "headers": { "Authorization": "Bearer hub-secret" } },
                "tool": tool } }] }),
        ),
        (
            Inject::ProxyFile { flag: flag() },
            json!({ "args": ["--mcp", FILE], "env": variables(), "files": [{ "mcpServers": {
                "chat": chat("${WRAPPER_MCP_KEY}"), "tool": tool } }] }),
        ),
        (
            Inject::Env {
                var: "SETTINGS".into(),
            },
            json!({ "args": [], "env": with_variable("SETTINGS", FILE), "files": [{ "mcpServers": {
                "chat": chat("${WRAPPER_MCP_KEY}"), "tool": tool } }] }),
        ),
        (
            Inject::EnvContent {
                var: "SETTINGS".into(),
            },
            json!({ "args": [], "files": [], "env": with_variable("SETTINGS",
                &json!({ "mcpServers": { "chat": chat("${WRAPPER_MCP_KEY}"), "tool": tool } }).to_string()) }),
        ),
        (
            Inject::SettingsFile {
                path: "/home/u/settings.json".into(),
            },
            json!({ "args": [], "env": variables(), "files": [
                { "path": "/home/u/settings.json", "keys": ["mcpServers", "chat"], "entry": {
                    "type": "http", "httpUrl": "${WRAPPER_MCP_URL}/chat/mcp",
                    "headers": { "Authorization": "Bearer ${WRAPPER_MCP_KEY}" } } },
                { "path": "/home/u/settings.json", "keys": ["mcpServers", "tool"], "entry": {
                    "type": "stdio", "command": "/bin/wrapper", "args": ["bridge", "tool"], "env": referred } } ] }),
        ),
        (
            Inject::SettingsFile {
                path: "/src/.x/settings.json".into(),
            },
            json!({ "args": [], "env": variables(), "files": [
                { "path": "/src/.x/settings.json", "keys": ["mcpServers", "chat"], "entry": {
                    "type": "http", "httpUrl": "${WRAPPER_MCP_URL}/chat/mcp",
                    "headers": { "Authorization": "Bearer ${WRAPPER_MCP_KEY}" } } },
                { "path": "/src/.x/settings.json", "keys": ["mcpServers", "tool"], "entry": {
                    "type": "stdio", "command": "node", "args": ["a b.js"], "env": referred } } ] }),
        ),
        (
            Inject::Stdio {
                place: Place::Flag(flag()),
            },
            json!({ "args": ["--mcp", FILE], "env": {}, "files": [{ "mcpServers": {
                "chat": bridged("chat"), "tool": tool } }] }),
        ),
        (
            Inject::Stdio {
                place: Place::Settings("/home/u/s.json".into()),
            },
            json!({ "args": [], "env": {}, "files": [
                { "path": "/home/u/s.json", "keys": ["mcpServers", "chat"], "entry": {
                    "type": "stdio", "command": "/bin/wrapper", "args": ["bridge", "chat"], "env": referred } },
                { "path": "/home/u/s.json", "keys": ["mcpServers", "tool"], "entry": {
                    "type": "stdio", "command": "/bin/wrapper", "args": ["bridge", "tool"], "env": referred } } ] }),
        ),
    ];
    for (inject, expected) in table {
        let mode = inject.mode();
        assert_eq!(shown(&spec("other", inject), &servers), expected, "{mode}");
    }
}

#[test]
fn templates_are_split_as_a_shell_does_and_filled_once() {
    let template = "-c 'mcp_servers.{server}.url=\"{url}\"' --dir 'a b' --key {key_env} {x}";
    let spec = spec(
        "other",
        Inject::ProxyFlag {
            template: template.into(),
        },
    );
    assert_eq!(
        shown(&spec, &[hub(), docs()])["args"],
        json!([
            "-c",
            "mcp_servers.chat.url=\"http://127.0.0.1:4711/chat/mcp\"",
            "--dir",
            "a b",
            "--key",
            "WRAPPER_MCP_KEY",
            "{x}",
            "-c",
            "mcp_servers.docs.url=\"http://127.0.0.1:4711/docs/mcp\"",
            "--dir",
            "a b",
            "--key",
            "WRAPPER_MCP_KEY",
            "{x}",
        ])
    );
}

#[test]
fn the_users_own_settings_in_a_variable_stay() {
    let spec = spec("opencode", Inject::EnvContent { var: "V".into() });
    let own = json!({ "theme": "dark", "mcp": { "mine": { "enabled": false }, "docs": 1 } });
    let link = Link {
        settings: own.as_object().cloned().expect("an object"),
        ..link(&[])
    };
    let plan = plan(&spec, &[docs(), command("tool", &[("A_MODE", "x")])], &link).expect("a plan");
    let document: Value = serde_json::from_str(plan.env["V"].expose()).expect("a document");
    assert_eq!(
        document,
        json!({ "theme": "dark", "mcp": {
        "mine": { "enabled": false },
        "docs": { "type": "remote", "url": "http://127.0.0.1:4711/docs/mcp",
                  "headers": { "Authorization": "Bearer {env:WRAPPER_MCP_KEY}" },
                  "oauth": false, "enabled": true },
        "tool": { "type": "local", "command": ["node", "a b.js"],
                  "environment": { "A_MODE": "x" }, "enabled": true },
    } })
    );
}
