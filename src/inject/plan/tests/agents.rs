//! What single agents are given.

use serde_json::json;

use super::*;

#[test]
fn each_agent_has_its_documents() {
    let proxied = |key: &str, url: &str, key_text: &str| json!({ key: url, "headers": { "Authorization": format!("Bearer {key_text}") } });
    let url = "http://127.0.0.1:4711/docs/mcp";
    let with = |mut entry: Value, more: Value| {
        let more = more.as_object().cloned().unwrap_or_default();
        entry.as_object_mut().expect("an object").extend(more);
        entry
    };
    let set = json!({ "WRAPPER_SESSION_ID": "7" });
    let expanded = "${WRAPPER_MCP_KEY}";
    let table = [
        (
            "claude",
            with(json!({ "type": "http" }), proxied("url", url, expanded)),
            json!({ "type": "stdio", "command": "node", "args": ["a b.js"], "env": set }),
        ),
        (
            "codebuddy",
            with(json!({ "type": "http" }), proxied("url", url, expanded)),
            json!({ "type": "stdio", "command": "node", "args": ["a b.js"], "env": set }),
        ),
        (
            "gemini",
            proxied("httpUrl", url, expanded),
            json!({ "command": "node", "args": ["a b.js"], "env": set }),
        ),
        (
            "copilot",
            with(json!({ "type": "http" }), proxied("url", url, expanded)),
            json!({ "type": "local", "command": "node", "args": ["a b.js"], "env": set }),
        ),
        (
            "qwen",
            proxied("httpUrl", url, "key-secret"),
            json!({ "command": "node", "args": ["a b.js"], "env": set }),
        ),
        (
            "kimi",
            with(
                json!({ "transport": "http" }),
                proxied("url", url, "key-secret"),
            ),
            json!({ "command": "node", "args": ["a b.js"], "env": set }),
        ),
        (
            "antigravity",
            proxied("serverURL", url, expanded),
            json!({ "command": "node", "args": ["a b.js"], "env": set }),
        ),
    ];
    for (name, docs_entry, tool_entry) in table {
        let spec = spec(name, Inject::ProxyFile { flag: flag() });
        let plan = shown(&spec, &[docs(), command("tool", &[])]);
        let servers = &plan["files"][0]["mcpServers"];
        assert_eq!(servers["docs"], docs_entry, "{name}");
        assert_eq!(servers["tool"], tool_entry, "{name}");
    }
}

#[test]
fn codex_gets_arguments_that_hold_no_secret() {
    let template = "-c mcp_servers.{server}.url=\"{url}\"".to_owned();
    let spec = spec("codex", Inject::ProxyFlag { template });
    let mut dotted = docs();
    dotted.name = "docs.example".parse().expect("a name");
    let servers = [
        hub(),
        dotted,
        command("tool", &[]),
        command("private", &[("A", "b")]),
    ];
    let plan = shown(&spec, &servers);
    assert_eq!(
        plan["args"],
        json!([
            "-c",
            "mcp_servers={\"docs.example\" = {\"url\" = \"http://127.0.0.1:4711/docs.example/mcp\", \
                   \"bearer_token_env_var\" = \"WRAPPER_MCP_KEY\"}}",
            // agentchattr's own template knows of no key.
            "-c",
            "mcp_servers.chat.url=http://127.0.0.1:4711/chat/mcp",
            "-c",
            "mcp_servers.chat.bearer_token_env_var=\"WRAPPER_MCP_KEY\"",
            "-c",
            "mcp_servers.tool.command=\"node\"",
            "-c",
            "mcp_servers.tool.args=[\"a b.js\"]",
            "-c",
            "mcp_servers.tool.env_vars=[\"WRAPPER_SESSION_ID\"]",
            "-c",
            "mcp_servers.private.command=\"/bin/wrapper\"",
            "-c",
            "mcp_servers.private.args=[\"bridge\", \"private\"]",
            "-c",
            "mcp_servers.private.env_vars=[\"WRAPPER_SESSION_ID\"]",
        ])
    );
    for arg in plan["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let value = arg.split_once('=').map(|(_, value)| format!("x = {value}"));
        if let Some(value) = value.filter(|value| !value.starts_with("x = http")) {
            assert!(value.parse::<toml::Table>().is_ok(), "{value}");
        }
    }
}

#[test]
fn approvals_are_of_the_hubs_tools_and_no_others() {
    let mut claude = spec("claude", Inject::ProxyFile { flag: flag() });
    claude.approve_tools = true;
    let args = shown(&claude, &[hub(), docs()])["args"].clone();
    let approved = args[1]
        .as_str()
        .and_then(|arg| arg.strip_prefix("--allowedTools="));
    let approved: Vec<&str> = approved.expect("approvals").split(',').collect();
    assert_eq!(approved, HUB_TOOLS.map(|tool| format!("mcp__chat__{tool}")));

    let mut codex = spec(
        "codex",
        Inject::ProxyFlag {
            template: "{server}={url}".into(),
        },
    );
    codex.approve_tools = true;
    let plan = planned(&codex, &[hub(), docs()]).expect("a plan");
    let args = plan.args.iter().filter_map(|arg| arg.to_str());
    let approved: Vec<&str> = args.filter(|arg| arg.contains("approval")).collect();
    assert_eq!(approved.len(), HUB_TOOLS.len());
    for (arg, tool) in approved.iter().zip(HUB_TOOLS) {
        let table: toml::Table = arg.parse().expect(arg);
        let tool = &table["mcp_servers"]["chat"]["tools"][tool];
        assert_eq!(tool["approval_mode"].as_str(), Some("approve"));
    }

    let mut qwen = spec("qwen", Inject::ProxyFile { flag: flag() });
    qwen.approve_tools = true;
    let plan = planned(&qwen, &[hub(), docs()]).expect("a plan");
    let args = plan.args.iter().filter_map(|arg| arg.to_str());
    let approved = args.filter_map(|arg| arg.strip_prefix("--allowed-tools="));
    let approved: Vec<&str> = approved.flat_map(|tools| tools.split(',')).collect();
    assert_eq!(approved, HUB_TOOLS.map(|tool| format!("mcp__chat__{tool}")));

    let path = PathBuf::from("/home/.gemini/settings.json");
    let mut gemini = spec("gemini", Inject::SettingsFile { path });
    gemini.approve_tools = true;
    let plan = planned(&gemini, &[hub(), docs()]).expect("a plan");
    let PlannedFile::Owned { path, body } = plan.files.last().expect("a policy") else {
        panic!("{:?}", plan.files);
    };
    let named = format!("--policy={}", path.display());
    assert!(
        plan.args.iter().any(|arg| *arg == *named),
        "{:?}",
        plan.args
    );
    let policy: toml::Table = body.expose().parse().expect("TOML");
    let rules = policy["rule"].as_array().expect("rules");
    let allowed = rules.iter().map(|rule| {
        assert_eq!(
            (rule["mcpName"].as_str(), rule["decision"].as_str()),
            (Some("chat"), Some("allow"))
        );
        rule["toolName"].as_str().expect("a tool")
    });
    assert_eq!(allowed.collect::<Vec<_>>(), HUB_TOOLS);
}

#[test]
fn claude_reads_the_projects_file_itself_and_does_not_ask_again() {
    let project = |name: &str, kind: Kind| Server {
        name: name.parse().expect(name),
        origin: Origin::Project,
        kind,
        context: ContextLevel::Id,
    };
    let servers = [
        project("local", command("x", &[]).kind),
        project("open", remote("x", Origin::Project, "https://h/", "").kind),
        project(
            "keyed",
            remote("x", Origin::Project, "https://h/", "secret").kind,
        ),
        project(
            "near",
            remote("x", Origin::Project, "http://127.0.0.1:9/", "").kind,
        ),
    ];
    let spec = spec("claude", Inject::ProxyFile { flag: flag() });
    let answered = |servers: &[Server]| {
        let link = Link {
            project: Some(Project {
                names: ["local", "open", "keyed", "near", "chat"]
                    .map(str::to_owned)
                    .to_vec(),
                wanted: servers
                    .iter()
                    .map(|server| server.name.to_string())
                    .collect(),
            }),
            ..link(&[])
        };
        let mut servers = servers.to_vec();
        servers.insert(0, hub());
        let plan = exposed(&plan(&spec, &servers, &link).expect("a plan"));
        let arg = plan["args"][0]
            .as_str()
            .and_then(|arg| arg.strip_prefix("--settings="));
        let settings: Value = serde_json::from_str(arg.expect("settings")).expect("JSON");
        let carried = plan["files"][0]["mcpServers"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        (settings, carried.keys().cloned().collect::<Vec<_>>())
    };
    let (settings, carried) = answered(&servers);
    assert_eq!(
        settings,
        json!({ "enabledMcpjsonServers": ["local", "open"],
                                 "disabledMcpjsonServers": ["keyed", "near", "chat"] })
    );
    assert_eq!(carried, ["chat", "keyed", "near"]);
    let (settings, carried) = answered(&[]);
    assert_eq!(settings["enabledMcpjsonServers"], json!([]));
    assert_eq!(carried, ["chat"]);
}

#[test]
fn kimi_is_told_of_its_users_own_file_too() {
    let spec = spec("kimi", Inject::ProxyFile { flag: flag() });
    let link = Link {
        displaced: Some("/home/u/.kimi/mcp.json".into()),
        ..link(&[])
    };
    let plan = plan(&spec, &[hub()], &link).expect("a plan");
    assert_eq!(
        plan.args,
        ["--mcp", "/home/u/.kimi/mcp.json", "--mcp", FILE]
    );
}

#[test]
fn settings_that_know_no_variables_name_the_bridge() {
    for (name, path, root, env_key) in [
        (
            "codex",
            "/home/u/.codex/config.toml",
            "mcp_servers",
            "env_vars",
        ),
        ("kimi", "/home/u/.kimi/mcp.json", "mcpServers", "env"),
    ] {
        let spec = spec(name, Inject::SettingsFile { path: path.into() });
        let plan = shown(&spec, &[hub()]);
        assert_eq!(plan["env"], json!({}), "{name}");
        let file = &plan["files"][0];
        assert_eq!(file["keys"], json!([root, "chat"]), "{name}");
        let mut entry = file["entry"].clone();
        let told = entry
            .as_object_mut()
            .and_then(|entry| entry.remove(env_key));
        let forwarded = (name == "codex").then(|| json!(["WRAPPER_SESSION_ID"]));
        assert_eq!(told, forwarded, "{name}");
        let bridge = json!({ "command": "/bin/wrapper", "args": ["bridge", "chat"] });
        assert_eq!(entry, bridge, "{name}");
    }
}
