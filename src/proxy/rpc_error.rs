//! JSON-RPC errors that come with an HTTP status of their own: the answer of a
//! server that is there, as MCP 2026-07-28 has it for unknown methods. Pure.

use super::answer;
use super::forgotten;
use super::rpc::{self, Members};

/// The body that the agent gets with 200 in place of a refusal that says `said`
/// to the requests in `asked`; None if that is no answer to them.
///
/// `may_be_forgotten`: the request was one of an MCP session that has not been
/// opened again for it. Servers say in the same form that they do not know it.
pub(super) fn to_agent(asked: &[u8], said: &[u8], may_be_forgotten: bool) -> Option<Vec<u8>> {
    let (requests, errors) = (rpc::messages(asked), rpc::messages(said));
    let mut ids = requests
        .iter()
        .filter(|request| request.last("method").is_some())
        .filter_map(|request| request.last("id"));
    let is_error = |message: &Members<'_>| {
        let error = message.last("error").and_then(Members::of);
        let has_code = error.is_some_and(|error| error.last("code").is_some());
        message.last("method").is_none() && (has_code || message.last("result").is_some())
    };
    let is_answer = !errors.is_empty() && errors.iter().all(is_error);
    if !is_answer || ids.clone().next().is_none() {
        return None;
    }
    let is_whose = |error: &Members<'_>| error.last("id").is_some_and(|of| ids.any(|id| id == of));
    let is_theirs = errors.iter().all(is_whose);
    if may_be_forgotten && forgotten::says_so(404, said) {
        return None;
    }
    if is_theirs {
        return Some(said.to_vec());
    }
    // Some do not say whose an error is. Of a session that may be lost, only
    // what is clearly about the method is taken for an answer.
    let [only] = errors.as_slice() else {
        return None;
    };
    let error = only.last("error")?;
    let is_nobodys = matches!(only.last("id"), None | Some("null" | "\"server-error\""));
    let code = Members::of(error).and_then(|error| error.last("code").map(str::to_owned));
    if !is_nobodys || may_be_forgotten && code.as_deref() != Some("-32601") {
        return None;
    }
    let error: serde_json::Value = serde_json::from_str(error).ok()?;
    let replies = answer::replies(asked, |_| ("error", error.clone()))?;
    Some(replies.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_for_the_request_is_an_answer_and_a_lost_session_is_none() {
        let ask = r#"{"jsonrpc":"2.0","id":1,"method":"resources/list"}"#;
        let batch = r#"[{"id":1,"method":"a"},{"method":"b"},{"id":"x","method":"c"}]"#;
        let error = |id: &str, code: i32, message: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#
            )
        };
        let unknown = error("1", -32601, "Method not found");
        let nobodys = error("null", -32601, "Method not found");
        let lost = error("null", -32001, "Session not found");
        let both = format!("[{unknown},{}]", error("\"x\"", -1, "no"));
        let each = format!("[{unknown},{}]", error("\"x\"", -32601, "Method not found"));
        for (asked, said, of_session, answer) in [
            (ask, unknown.clone(), false, Some(unknown.clone())),
            (ask, unknown.clone(), true, Some(unknown.clone())),
            (ask, nobodys.clone(), false, Some(unknown.clone())),
            (ask, nobodys.clone(), true, Some(unknown.clone())),
            (ask, lost.clone(), true, None),
            (ask, error("1", -32001, "Session not found"), true, None),
            (
                ask,
                error("\"server-error\"", -32600, "Session not found"),
                true,
                None,
            ),
            (ask, error("null", -32000, "gone"), true, None),
            (
                ask,
                error("null", -1, "gone"),
                false,
                Some(error("1", -1, "gone")),
            ),
            (ask, error("2", -32601, "Method not found"), false, None),
            (batch, both.clone(), true, Some(both)),
            (batch, nobodys.clone(), false, Some(each)),
            (ask, "Not Found".into(), false, None),
            (ask, r#"{"error":"not_found"}"#.into(), false, None),
            (ask, r#"{"detail":"Not Found"}"#.into(), false, None),
            (ask, String::new(), false, None),
            (r#"{"method":"a"}"#, unknown.clone(), false, None),
            ("", unknown, false, None),
        ] {
            let found = to_agent(asked.as_bytes(), said.as_bytes(), of_session);
            let found = found.map(|found| String::from_utf8(found).expect("text"));
            assert_eq!(found, answer, "{asked} {said} {of_session}");
        }
    }
}
