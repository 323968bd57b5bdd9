//! Recognises the answer of an upstream that does not know the MCP session of
//! a request, or knows none though it wants one: it has done nothing. Pure.

/// The longest answer that may say so, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// True for a status that may mean it; what stands in the body decides. The
/// protocol's own, 404, needs no words.
pub(super) fn is_possible(status: u16) -> bool {
    matches!(status, 400 | 401 | 422)
}

/// True if a body of this `status` says so, in the words of the SDKs and of
/// agentchattr.
pub(super) fn says_so(status: u16, body: &[u8]) -> bool {
    const WRONG: [&str; 9] = [
        "not found",
        "no valid",
        "missing",
        "invalid",
        "unknown",
        "expired",
        "required",
        "terminated",
        "not initialized",
    ];
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    match status {
        // An upstream that wants another credential says this, too.
        401 => text.contains("session not found"),
        _ => {
            text.contains("server not initialized")
                || text.contains("expect initialize request")
                || text.contains("session") && WRONG.iter().any(|wrong| text.contains(wrong))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wording_is_known() {
        let error = |message: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32000,"message":"{message}"}}}}"#
            )
        };
        for (status, text, is_so) in [
            (400, "Bad Request: Missing session ID", true),
            (400, "Bad Request: No valid session ID provided", true),
            (400, "Bad Request: Server not initialized", true),
            (400, "Bad Request: Mcp-Session-Id header is required", true),
            (400, "Invalid session ID", true),
            (400, "session not found", true),
            (400, "Session terminated", true),
            (422, "Unexpect message, expect initialize request", true),
            (401, "Unauthorized: Session not found", true),
            (401, "your login session is invalid", false),
            (400, "Parse error", false),
            (400, "Bad Request: Unsupported protocol version", false),
            (400, "unknown tool", false),
            (400, "", false),
        ] {
            for body in [text.to_owned(), error(text)] {
                assert!(is_possible(status));
                assert_eq!(says_so(status, body.as_bytes()), is_so, "{status} {body}");
            }
        }
        assert!(!is_possible(403) && !is_possible(500));
    }
}
