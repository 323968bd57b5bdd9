//! What the proxy answers by itself, in a form that the agent's model gets to
//! read: agents that see a 401, 403 or 404 start looking for an OAuth server
//! or give their tools up for good. Pure.

use serde_json::Value;

use crate::types::reply::{failure, spelled};

use super::rpc::{self, Members};

/// Interim: go on and send the body.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer in words. `keep` says whether the connection stays open after it.
pub(super) fn plain(status: u16, text: &str, keep: bool) -> Vec<u8> {
    let allow = if status == 405 { "Allow: POST\r\n" } else { "" };
    plain_with(status, allow, text, keep)
}

/// The answer to a request that must be a GET.
pub(super) fn only_get(text: &str, keep: bool) -> Vec<u8> {
    plain_with(405, "Allow: GET\r\n", text, keep)
}

fn plain_with(status: u16, lines: &str, text: &str, keep: bool) -> Vec<u8> {
    let lines = format!("{lines}Content-Type: text/plain; charset=utf-8\r\n");
    whole(status, &lines, &format!("{text}\n"), keep)
}

/// The answer to what [`replies`] were made for.
pub(super) fn json(replies: &str, keep: bool) -> Vec<u8> {
    if replies.is_empty() {
        return whole(202, "", "", keep);
    }
    whole(200, "Content-Type: application/json\r\n", replies, keep)
}

/// The answer to a request that cannot be answered by its upstream, `why`
/// being what went wrong and what to do: a failed tool call for a call, an
/// error for another request, a bad gateway for what is no request.
pub(super) fn unable(body: &[u8], why: &str, keep: bool) -> Vec<u8> {
    let failed = |message: &Members<'_>| failure(rpc::is_call(message), why);
    match replies(body, failed) {
        Some(replies) if !replies.is_empty() => json(&replies, keep),
        _ => plain(502, why, keep),
    }
}

/// The reply to each request in `body` that cannot be answered, behind its id.
pub(super) fn failures(body: &[u8], why: &str) -> Vec<(String, String)> {
    let messages = rpc::messages(body);
    let failed = |message: &Members<'_>| failure(rpc::is_call(message), why);
    let replies = messages
        .iter()
        .filter_map(|message| reply(message, &failed));
    replies.map(|(id, reply)| (id.to_owned(), reply)).collect()
}

/// The reply to one request that has failed, whose id is spelled like this.
pub(super) fn failed(id: &str, is_call: bool, why: &str) -> String {
    spelled(id, failure(is_call, why))
}

/// The replies to the requests in `body`, each `result` or `error` and its
/// value, as one JSON text; empty if there is no request among its messages.
/// None if it has no messages.
pub(super) fn replies(
    body: &[u8],
    outcome: impl Fn(&Members<'_>) -> (&'static str, Value),
) -> Option<String> {
    let messages = rpc::messages(body);
    if messages.is_empty() {
        return None;
    }
    let replies: Vec<String> = messages
        .iter()
        .filter_map(|message| reply(message, &outcome))
        .map(|(_, reply)| reply)
        .collect();
    let is_batch = body.trim_ascii_start().starts_with(b"[");
    Some(match replies.join(",") {
        joined if is_batch && !joined.is_empty() => format!("[{joined}]"),
        joined => joined,
    })
}

/// The id of a request, and the reply to it; None for what is no request.
fn reply<'a>(
    message: &Members<'a>,
    outcome: &impl Fn(&Members<'a>) -> (&'static str, Value),
) -> Option<(&'a str, String)> {
    let id = message.last("id")?;
    message.last("method")?;
    Some((id, spelled(id, outcome(message))))
}

/// A whole answer, head and body, with these header `lines`.
fn whole(status: u16, lines: &str, body: &str, keep: bool) -> Vec<u8> {
    let close = if keep { "" } else { "Connection: close\r\n" };
    let reason = reason(status);
    let length = body.len();
    format!("HTTP/1.1 {status} {reason}\r\n{lines}Content-Length: {length}\r\n{close}\r\n{body}")
        .into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Bad Gateway",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_gets_an_answer_that_its_agent_can_read() {
        let failed = |id: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"a \"why\""}}],"isError":true}}}}"#
            )
        };
        let error = |id: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"a \"why\""}}}}"#
            )
        };
        for (body, status, answer) in [
            (r#"{"id":7,"method":"tools/call"}"#, 200, failed("7")),
            (
                r#"{"id":"a\u0062","method":"tools/call"}"#,
                200,
                failed(r#""a\u0062""#),
            ),
            (r#"{"id":0,"method":"tools/list"}"#, 200, error("0")),
            (
                r#" [{"id":1,"method":"tools/call"},{"method":"x"},{"id":2,"method":"y"}]"#,
                200,
                format!("[{},{}]", failed("1"), error("2")),
            ),
            (
                r#"{"method":"notifications/initialized"}"#,
                502,
                "a \"why\"\n".into(),
            ),
            (r#"{"id":1,"result":{}}"#, 502, "a \"why\"\n".into()),
            ("no json", 502, "a \"why\"\n".into()),
        ] {
            let text = String::from_utf8(unable(body.as_bytes(), "a \"why\"", true)).expect("text");
            let (head, sent) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(
                head.contains(&format!("Content-Length: {}", answer.len())),
                "{head}"
            );
            assert_eq!(sent, answer, "{body}");
        }
    }

    #[test]
    fn a_last_answer_says_that_it_is() {
        for (keep, says) in [(true, false), (false, true)] {
            let text = String::from_utf8(plain(405, "no", keep)).expect("text");
            assert_eq!(text.contains("Connection: close\r\n"), says);
            assert!(text.contains("Allow: POST\r\n"));
            let text = String::from_utf8(only_get("no", keep)).expect("text");
            assert_eq!(text.contains("Connection: close\r\n"), says);
            assert!(text.contains("405 ") && text.contains("Allow: GET\r\n"));
        }
    }
}
