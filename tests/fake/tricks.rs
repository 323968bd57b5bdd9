//! Tools of the fake stdio server that misbehave, or do more than answer. They
//! are not listed: who calls them knows them.

use std::io::{Read, Write};
use std::process::{Command, Stdio, exit};

use serde_json::{Value, json};

use crate::tool::complain;

/// Plays the trick that `message` calls; its result, or None if it is not
/// answered. Panics are the end of the server, as bugs are of others.
#[expect(clippy::exit, reason = "a crash in the middle of a request")]
#[expect(clippy::zombie_processes, reason = "it is to be left behind")]
pub(crate) fn play(message: &Value, say: &mut dyn FnMut(&str)) -> Option<Value> {
    let params = &message["params"];
    let arguments = &params["arguments"];
    let text = |text: String| Some(json!({"content": [{"type": "text", "text": text}]}));
    match params["name"].as_str()? {
        "die" => {
            let secret = arguments["secret"].as_str().unwrap_or("thing");
            complain(&format!("last words, and a {secret}"));
            exit(3);
        }
        "noise" => {
            for line in ["Listening on stdio", "", "[1, 2", "\u{1b}[31mred\u{1b}[0m"] {
                say(line);
            }
            text("quiet".into())
        }
        "progress" => {
            let token = &params["_meta"]["progressToken"];
            for n in 1..=3 {
                let params = json!({"progressToken": token, "progress": n, "total": 3});
                say(&note("notifications/progress", &params));
            }
            text("complete".into())
        }
        "note" => {
            let params = json!({"level": "info", "data": arguments["data"]});
            say(&note("notifications/message", &params));
            text("noted".into())
        }
        "later" => {
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {}});
            say(&answer.to_string());
            let params = json!({"level": "info", "data": arguments["data"]});
            say(&note("notifications/message", &params));
            None
        }
        "ask" => {
            say(&json!({"jsonrpc": "2.0", "id": "s1", "method": "roots/list"}).to_string());
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).expect("an answer");
            text(answer.trim().to_owned())
        }
        "big" => {
            let size = usize::try_from(arguments["bytes"].as_u64()?).expect("a size");
            let filler = "x".repeat(size);
            let result = format!(r#"{{"content":[{{"type":"text","text":"{filler}"}}]}}"#);
            let id = &message["id"];
            say(&if arguments["late"] == true {
                format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id}}}"#)
            } else {
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
            });
            None
        }
        // Half of an answer, and the end.
        "half" => {
            let id = &message["id"];
            let filler = "x".repeat(1 << 20);
            let half = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"text":"{filler}"#);
            let mut out = std::io::stdout();
            out.write_all(half.as_bytes())
                .and_then(|()| out.flush())
                .expect("written");
            exit(4);
        }
        "hang" => None,
        "spawn" => {
            let mut child = Command::new("sh")
                .args([
                    "-c",
                    "trap '' TERM HUP INT; echo ready; while :; do sleep 600; done",
                ])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .expect("a grandchild");
            let mut ready = [0; 6];
            let out = child.stdout.as_mut().expect("a pipe");
            out.read_exact(&mut ready).expect("it is ready");
            text(child.id().to_string())
        }
        _ => None,
    }
}

fn note(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}
