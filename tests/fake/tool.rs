//! A stdio MCP server with one tool, `environment`, which tells its arguments,
//! variables and directory: `fake-agent tool [ARGS…]`. With `--log FILE` among
//! the arguments that also becomes a line of FILE for each connection, as does
//! every notification. With `--stubborn` it ends by no word or signal but the
//! last; with `--broken` it ends at once.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::tricks;

pub(crate) fn serve() -> ExitCode {
    let has = |switch: &str| std::env::args().any(|arg| arg == switch);
    if has("--broken") {
        complain("no license found");
        return ExitCode::from(7);
    }
    if has("--stubborn") {
        let _ = nix::sys::signal::SigSet::all().thread_set_mask();
    }
    // Not locked: a trick reads as well.
    let lines = std::iter::from_fn(|| {
        let mut line = String::new();
        let n = std::io::stdin().lock().read_line(&mut line).ok()?;
        (n > 0).then_some(line)
    });
    for line in lines {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let id = &message["id"];
        if id.is_null() {
            if log(&message).is_err() {
                return ExitCode::FAILURE;
            }
            continue;
        }
        if message["method"] == "initialize" && log(&told()).is_err() {
            return ExitCode::FAILURE;
        }
        let is_trick = message["params"]["name"] != "environment";
        let mut say = |line: &str| {
            let written = writeln!(std::io::stdout(), "{line}");
            written.expect("somebody listens");
        };
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
            Some("tools/call") if is_trick => match tricks::play(&message, &mut say) {
                Some(result) => result,
                None => continue,
            },
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
    while has("--stubborn") {
        std::thread::park();
    }
    ExitCode::SUCCESS
}

/// Says something on standard error.
pub(crate) fn complain(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("somebody listens");
}

/// Adds a line to the log, if there is one.
fn log(entry: &Value) -> std::io::Result<()> {
    let mut args = std::env::args().skip_while(|arg| arg != "--log");
    let Some(path) = args.nth(1) else {
        return Ok(());
    };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{entry}")
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
