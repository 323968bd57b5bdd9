//! A stdio MCP server with one tool, `environment`, which tells its arguments,
//! variables and directory: `fake-agent tool [ARGS…]`.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

pub(crate) fn serve() -> ExitCode {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let id = &message["id"];
        if id.is_null() {
            continue;
        }
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "tool", "version": "1"},
            }),
            Some("tools/list") => json!({"tools": [{
                "name": "environment",
                "description": "What this server was started with",
                "inputSchema": {"type": "object"},
            }]}),
            Some("tools/call") => {
                json!({"content": [{"type": "text", "text": told().to_string()}]})
            }
            _ => json!({}),
        };
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{answer}")
            .and_then(|()| out.flush())
            .is_err()
        {
            break;
        }
    }
    ExitCode::SUCCESS
}

fn told() -> Value {
    let env: BTreeMap<String, String> = std::env::vars().collect();
    json!({
        "args": std::env::args().skip(2).collect::<Vec<_>>(),
        "env": env,
        "cwd": std::env::current_dir().ok(),
        "parent": nix::unistd::getppid().as_raw(),
    })
}
