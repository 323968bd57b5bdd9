//! What stands in for a server that this session does not have. Pure.

use serde_json::{Value, json};

use crate::types::absent;

use super::answer;
use super::rpc::{self, Members};

/// The answer to a POST of `body`, head and all; `why` says which server is
/// missing.
pub(super) fn welcome(body: &[u8], why: &str, keep: bool) -> Vec<u8> {
    let replies = answer::replies(body, |message| outcome(message, why));
    replies.map_or_else(
        || answer::plain(400, why, keep),
        |replies| answer::json(&replies, keep),
    )
}

/// What a request comes to: `result` or `error`, and its value.
fn outcome(message: &Members<'_>, why: &str) -> (&'static str, Value) {
    let method = message.last("method").and_then(rpc::text);
    let version = message
        .last("params")
        .and_then(Members::of)
        .and_then(|params| rpc::text(params.last("protocolVersion")?));
    let method = method.as_deref().unwrap_or_default();
    match absent::result(method, version.as_deref(), why) {
        Some(result) => ("result", result),
        None => (
            "error",
            json!({ "code": absent::NO_METHOD, "message": why }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_post_is_answered() {
        for (body, status) in [
            (r#"{"id":1,"method":"ping"}"#, "200 OK"),
            (r#"{"method":"notifications/initialized"}"#, "202 Accepted"),
            ("no json", "400 Bad Request"),
        ] {
            let answer = welcome(body.as_bytes(), "none", true);
            let head = format!("HTTP/1.1 {status}\r\n");
            assert!(answer.starts_with(head.as_bytes()), "{body}");
        }
    }

    #[test]
    fn it_is_well_and_has_nothing() {
        let result = |id: &str, result: &str| {
            Some(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
            ))
        };
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"none"}}"#;
        let greeting = |version: &str| {
            let ours = env!("CARGO_PKG_VERSION");
            format!(
                r#"{{"protocolVersion":"{version}","capabilities":{{}},"serverInfo":{{"name":"wrapper","version":"{ours}"}},"instructions":"none"}}"#
            )
        };
        for (body, answer) in [
            (
                r#"{"id":0,"method":"initialize","params":{"protocolVersion":"2099-01-01"}}"#,
                result("0", &greeting("2099-01-01")),
            ),
            (
                r#"{"id":0,"method":"initialize"}"#,
                result("0", &greeting("2025-06-18")),
            ),
            (r#"{"id":"p","method":"ping"}"#, result("\"p\"", "{}")),
            (
                r#"{"id":2,"method":"tools/list"}"#,
                result("2", r#"{"tools":[]}"#),
            ),
            (r#"{"id":1,"method":"tools/call"}"#, Some(error.into())),
            (r#"{"id":1,"method":"server/discover"}"#, Some(error.into())),
            (r#"{"id":1,"method":"new/thing"}"#, Some(error.into())),
            (
                r#"[{"id":1,"method":"ping2"},{"method":"notifications/x"}]"#,
                Some(format!("[{error}]")),
            ),
            (
                r#"{"method":"notifications/initialized"}"#,
                Some(String::new()),
            ),
            (r#"[{"method":"notifications/x"}]"#, Some(String::new())),
            (r#"{"id":1,"result":{}}"#, Some(String::new())),
            ("no json", None),
            ("", None),
        ] {
            let replies = answer::replies(body.as_bytes(), |message| outcome(message, "none"));
            assert_eq!(replies, answer, "{body}");
        }
    }
}
