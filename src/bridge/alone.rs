//! A bridge with nothing behind it: it says what is wrong, or is an empty
//! server.

use anyhow::Result;
use tokio::select;

use crate::types::absent;

use super::end::End;
use super::message::{self, Ask, Said};
use super::stdio::{self, Stdio};

/// Why there is nothing behind us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alone {
    /// Every request is told so.
    Broken(String),
    /// The session lives and has no such server, so there are no tools, and
    /// no error that a user would be shown for another project's server.
    Empty(String),
}

/// Answers the agent until it goes.
///
/// # Errors
/// If the system has no threads left.
pub(super) async fn serve(alone: &Alone, end: End) -> Result<()> {
    let Stdio {
        mut lines,
        out,
        written,
    } = stdio::open()?;
    let work = async {
        while let Some(line) = lines.next().await {
            if let Some(text) = alone.answer(&line) {
                out.send(text).await;
            }
        }
    };
    select! {
        () = work => {}
        () = end.comes() => {}
        () = out.closed() => {}
    }
    drop(out);
    written.wait().await;
    Ok(())
}

impl Alone {
    /// What a line is answered; None where no answer is due.
    fn answer(&self, line: &[u8]) -> Option<String> {
        let Some(said) = Said::of(line) else {
            return Some(message::error("null", message::NO_JSON, "Parse error"));
        };
        let answers: Vec<String> = said.asks.iter().map(|ask| self.reply(ask)).collect();
        match answers.as_slice() {
            [] => None,
            _ if said.is_batch => Some(format!("[{}]", answers.join(","))),
            _ => Some(answers.concat()),
        }
    }

    fn reply(&self, ask: &Ask) -> String {
        match (self, ask.method.as_str()) {
            (Self::Broken(why), _) => message::error(&ask.id, message::NO_SERVER, why),
            (Self::Empty(why), method) => {
                match absent::result(method, ask.version.as_deref(), why) {
                    Some(result) => message::result(&ask.id, &result.to_string()),
                    None => message::error(&ask.id, absent::NO_METHOD, why),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ask(alone: &Alone, line: &str) -> Option<Value> {
        let text = alone.answer(line.as_bytes())?;
        Some(serde_json::from_str(&text).expect("json"))
    }

    #[test]
    fn without_a_session_every_request_is_told_so() {
        let broken = Alone::Broken("a \"reason\"".into());
        let error = |id: Value| {
            let error = json!({"code": -32001, "message": "a \"reason\""});
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        };
        for (line, answer) in [
            (r#"{"id":1,"method":"initialize"}"#, Some(error(json!(1)))),
            (r#"{"id":"x","method":"ping"}"#, Some(error(json!("x")))),
            (
                r#"[{"id":1,"method":"a"},{"method":"b"}]"#,
                Some(json!([error(json!(1))])),
            ),
            (r#"{"method":"notifications/initialized"}"#, None),
            (r#"[{"method":"b"}]"#, None),
            (r#"{"id":1,"result":{}}"#, None),
        ] {
            assert_eq!(ask(&broken, line), answer, "{line}");
        }
        assert_eq!(ask(&broken, "x").expect("told")["error"]["code"], -32700);
    }

    #[test]
    fn a_server_of_another_project_is_an_empty_one() {
        let empty = Alone::Empty("this session has no server `x`".into());
        let initialize =
            r#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
        let welcome = ask(&empty, initialize).expect("a welcome");
        let result = &welcome["result"];
        assert_eq!(result["protocolVersion"], "2025-06-18");
        assert_eq!(result["capabilities"], json!({}));
        assert_eq!(result["instructions"], "this session has no server `x`");
        let pong = ask(&empty, r#"{"id":2,"method":"ping"}"#).expect("a pong");
        assert_eq!(pong["result"], json!({}));
        let none = ask(&empty, r#"{"id":2,"method":"tools/list"}"#).expect("a list");
        assert_eq!(none["result"], json!({"tools": []}));
        for method in ["tools/call", "server/discover"] {
            let line = json!({"id": 3, "method": method}).to_string();
            let error = ask(&empty, &line).expect("an error");
            assert_eq!(error["error"]["code"], -32601, "{method}");
        }
    }
}
