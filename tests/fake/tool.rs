//! A stdio MCP server with one tool, `environment`, which tells its arguments,
//! variables and directory: `fake-agent tool [ARGS…]`. With `--log FILE` among
//! the arguments that also becomes a line of FILE for each connection.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
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
        if message["method"] == "initialize" && log().is_err() {
            return ExitCode::FAILURE;
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
                "inputSchema": {"type": "object", "properties": {}},
                // Some agents ask before they use a tool that may do harm.
                "annotations": {
                    "readOnlyHint": true, "destructiveHint": false, "openWorldHint": false,
                },
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

/// Adds a line to the log, if there is one.
fn log() -> std::io::Result<()> {
    let mut args = std::env::args().skip_while(|arg| arg != "--log");
    let Some(path) = args.nth(1) else {
        return Ok(());
    };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{}", told())
}

fn told() -> Value {
    let env: BTreeMap<String, String> = std::env::vars().collect();
    json!({
        "args": std::env::args().skip(2).collect::<Vec<_>>(),
        "env": env,
        "pid": std::process::id(),
        "cwd": std::env::current_dir().ok(),
        "parent": nix::unistd::getppid().as_raw(),
    })
}
