//! What a source gave, from bytes to headers: the shapes that a command may
//! print, and the bare token that every other source holds. Pure.
//!
//! *Invariant*: no refusal repeats anything of the text.

use std::time::SystemTime;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::shapes::{self, Clock};
use crate::types::bearer;
use crate::types::identity::Token;
use crate::types::server::Headers;
use crate::types::source::is_header_name;

/// Bytes that a source may give.
pub(super) const LONGEST: usize = 64 * 1024;

/// What a source gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) headers: Headers,
    pub(super) expires_at: Option<SystemTime>,
}

/// Why it is no credential, as the end of a sentence about it.
pub(super) type Refused = &'static str;

/// What a command printed: `ExecCredential` of Kubernetes' client
/// authentication (`status.token`, `status.expirationTimestamp` as of RFC
/// 3339), a token in one of the well-known [`shapes`], a flat object of header to
/// value, or a bare token.
pub(super) fn printed(bytes: &[u8], header: Option<&str>, clock: Clock) -> Result<Given, Refused> {
    let text = text(bytes)?;
    if !text.trim_start().starts_with('{') {
        return bare(text, header);
    }
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| "it is no JSON object")?;
    let is_exec = object.get("kind").and_then(Value::as_str) == Some("ExecCredential");
    match object.get("status") {
        Some(Value::Object(status)) => exec(status, header),
        _ if is_exec => Err("it has no `status.token`"),
        _ => match shapes::read(&object, clock) {
            Some(shape) => {
                let shape = shape?;
                Ok(Given {
                    headers: vec![sent(shape.token, header)?],
                    expires_at: shape.expires_at,
                })
            }
            None => flat(object),
        },
    }
}

/// A token alone: behind `Bearer` in `Authorization`, or in `header` as it is.
pub(super) fn token(bytes: &[u8], header: Option<&str>) -> Result<Given, Refused> {
    bare(text(bytes)?, header)
}

/// The text without its last line end.
fn text(bytes: &[u8]) -> Result<&str, Refused> {
    if bytes.len() > LONGEST {
        return Err("it is longer than 64 kB");
    }
    let text = str::from_utf8(bytes).map_err(|_| "it is no UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    Ok(line.strip_suffix('\r').unwrap_or(line))
}

fn bare(token: &str, header: Option<&str>) -> Result<Given, Refused> {
    Ok(Given {
        headers: vec![sent(token, header)?],
        expires_at: None,
    })
}

fn exec(status: &Map<String, Value>, header: Option<&str>) -> Result<Given, Refused> {
    let token = match status.get("token") {
        Some(Value::String(token)) => token,
        None | Some(Value::Null) => return Err("it has no `status.token`"),
        Some(_) => return Err("its `status.token` is no string"),
    };
    let expires_at = match status.get("expirationTimestamp") {
        None | Some(Value::Null) => None,
        Some(time) => {
            let time = time.as_str().map(DateTime::parse_from_rfc3339);
            let Some(Ok(time)) = time else {
                return Err("its `status.expirationTimestamp` is no time as of RFC 3339");
            };
            Some(time.into())
        }
    };
    Ok(Given {
        headers: vec![sent(token, header)?],
        expires_at,
    })
}

fn flat(object: Map<String, Value>) -> Result<Given, Refused> {
    let mut headers = Headers::new();
    for (name, value) in object {
        let Value::String(value) = value else {
            return Err(
                "a value in it is no string: print the token alone, or a map of headers to values",
            );
        };
        if !is_header_name(&name) {
            return Err("a name in it is no header's");
        }
        if headers
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(&name))
        {
            return Err("it has a header twice");
        }
        let value = checked(&value)?;
        if name.eq_ignore_ascii_case("authorization")
            && let Some((scheme, token)) = value.split_once(' ')
            && scheme.eq_ignore_ascii_case("bearer")
        {
            bearer::check(token)?;
        }
        headers.push((name, Token::new(value)));
    }
    if headers.is_empty() {
        return Err("it is empty");
    }
    Ok(Given {
        headers,
        expires_at: None,
    })
}

/// The header that carries a token.
fn sent(token: &str, header: Option<&str>) -> Result<(String, Token), Refused> {
    let token = checked(token)?;
    if let Some(header) = header {
        return Ok((header.to_owned(), Token::new(token)));
    }
    bearer::check(token)?;
    let value = format!("Bearer {token}");
    Ok(("Authorization".to_owned(), Token::new(value)))
}

fn checked(value: &str) -> Result<&str, Refused> {
    if value.trim().is_empty() {
        Err("it is empty")
    } else if value.contains(['\n', '\r']) {
        Err("it has several lines")
    } else if value.contains(char::is_control) {
        Err("it has a control character")
    } else {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const CLOCK: Clock = Clock {
        now: UNIX_EPOCH,
        local: |_| None,
    };

    fn given(headers: &[(&str, &str)], expires_at: Option<u64>) -> Given {
        Given {
            headers: (headers.iter())
                .map(|(name, value)| ((*name).to_owned(), Token::new(*value)))
                .collect(),
            expires_at: expires_at.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    fn headers(given: &Result<Given, Refused>) -> Vec<(&str, &str)> {
        let given = given.as_ref().expect("given");
        let pairs = given.headers.iter();
        pairs
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect()
    }

    #[test]
    fn three_shapes_become_headers() {
        let bearer = |token: &str| format!("Bearer {token}");
        let abc = bearer("abc");
        let authorization = [("Authorization", abc.as_str())];
        for (text, header, wanted) in [
            ("abc", None, Ok(given(&authorization, None))),
            ("abc\n", None, Ok(given(&authorization, None))),
            ("abc\r\n", None, Ok(given(&authorization, None))),
            ("abc\n", Some("X-Key"), Ok(given(&[("X-Key", "abc")], None))),
            ("a b", Some("X-Key"), Ok(given(&[("X-Key", "a b")], None))),
            (
                "{\"A\": \"b c\", \"X-É\": 1}",
                None,
                Err(
                    "a value in it is no string: print the token alone, or a map of headers to values",
                ),
            ),
            (
                "\n {\"A\": \"b c\",\n \"status\": \"d\"}\n\n",
                Some("X-Key"),
                Ok(given(&[("A", "b c"), ("status", "d")], None)),
            ),
            (
                r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                    "status": {"token": "abc", "expirationTimestamp": "1970-01-01T00:01:00Z"}}"#,
                None,
                Ok(given(&authorization, Some(60))),
            ),
            (
                r#"{"status": {"token": "abc", "expirationTimestamp": "1970-01-01T02:00:00.5+02:00"}}"#,
                Some("X-Key"),
                Ok(Given {
                    headers: vec![("X-Key".into(), Token::new("abc"))],
                    expires_at: Some(UNIX_EPOCH + Duration::from_millis(500)),
                }),
            ),
            (
                r#"{"status": {"token": "abc", "expirationTimestamp": null}}"#,
                None,
                Ok(given(&authorization, None)),
            ),
        ] {
            let found = printed(text.as_bytes(), header, CLOCK);
            assert_eq!(found, wanted, "{text}");
            if wanted.is_ok() {
                assert_eq!(headers(&found), headers(&wanted), "{text}");
            }
        }
        let jwt = printed(br#"{"access_token":"abc","expires_in":60}"#, None, CLOCK);
        assert_eq!(jwt, Ok(given(&authorization, Some(60))));
        assert!(token(b"{\"access_token\":\"abc\"}", None).is_err());
        // What holds a token holds no JSON.
        let json = token(b"{\"A\":\"b\"}", Some("X-Key"));
        assert_eq!(headers(&json), [("X-Key", "{\"A\":\"b\"}")]);
    }

    #[test]
    fn what_is_no_credential_is_refused_without_a_word_of_it() {
        let long = "s".repeat(LONGEST + 1);
        for (text, says) in [
            ("", "it is empty"),
            ("\n", "it is empty"),
            ("  ", "it is empty"),
            ("s3cret\ns3cret", "it has several lines"),
            ("s3cret\n\n", "it has several lines"),
            ("\ns3cret", "it has several lines"),
            ("s3cret\rs3cret", "it has several lines"),
            ("s3\tcret", "it has a control character"),
            ("s3\0cret", "it has a control character"),
            ("s3\u{7f}cret", "it has a control character"),
            ("s3\u{9b}cret", "it has a control character"),
            ("not logged in", "it has a blank, and no token has"),
            ("\"s3cret\"", "it has quotes"),
            ("\u{feff}s3cret", "it begins with a byte order mark"),
            ("[\"s3cret\"]", "it is JSON"),
            ("Bearer s3cret", "it begins with `Bearer`"),
            (r#"{"Authorization": "Bearer \"s3cret\""}"#, "it has quotes"),
            (r#"{"access_token": "\"s3cret\""}"#, "it has quotes"),
            (&long, "it is longer than 64 kB"),
            ("{s3cret", "it is no JSON object"),
            ("{}", "it is empty"),
            (r#"{"A": ""}"#, "it is empty"),
            (r#"{"A": "s3cret\nX: y"}"#, "it has several lines"),
            (r#"{"A": "s3\u0000cret"}"#, "it has a control character"),
            (r#"{"s3 cret": "x"}"#, "a name in it is no header's"),
            (r#"{"A": "x", "a": "y"}"#, "it has a header twice"),
            (r#"{"A": null}"#, "a value in it is no string"),
            (r#"{"A": ["s3cret"]}"#, "a value in it is no string"),
            (r#"{"kind": "ExecCredential"}"#, "it has no `status.token`"),
            (r#"{"status": {}}"#, "it has no `status.token`"),
            (r#"{"status": {"token": ""}}"#, "it is empty"),
            (
                r#"{"status": {"token": 7}}"#,
                "its `status.token` is no string",
            ),
            (
                r#"{"status": {"token": "s3\ncret"}}"#,
                "it has several lines",
            ),
            (
                r#"{"status": {"token": "a", "expirationTimestamp": "s3cret"}}"#,
                "its `status.expirationTimestamp` is no time",
            ),
            (
                r#"{"status": {"token": "a", "expirationTimestamp": 17}}"#,
                "its `status.expirationTimestamp` is no time",
            ),
        ] {
            let refused = printed(text.as_bytes(), None, CLOCK).expect_err(text);
            assert!(refused.starts_with(says), "{text}: {refused}");
            assert!(!refused.contains("s3"), "{refused}");
        }
        assert_eq!(printed(b"\xff", None, CLOCK), Err("it is no UTF-8"));
    }
}
