//! JSON-RPC messages, as far as a bridge looks into them. Pure.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// The line is no JSON-RPC.
pub(super) const NO_JSON: i32 = -32700;
/// There is no server, or none that answers: a code of our own.
pub(super) const NO_SERVER: i32 = -32001;

/// What the agent says in one line: a message, or a batch of them.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) asks: Vec<Ask>,
    /// The methods of its notifications.
    pub(super) notes: Vec<String>,
    /// The ids of the requests that it takes back.
    pub(super) cancels: Vec<String>,
    pub(super) is_batch: bool,
}

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    /// As it was sent, to be echoed.
    pub(super) id: String,
    pub(super) method: String,
    /// The protocol's version that an `initialize` asks for.
    pub(super) version: Option<String>,
}

/// What the server says in one message, or a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The ids that it answers.
    pub(super) answers: Vec<String>,
    /// The protocol's version, where it answers an `initialize`.
    pub(super) version: Option<String>,
    /// The error of an answer, as it stands.
    pub(super) error: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// The members that we look for in parameters and results of any kind.
#[derive(Default, Deserialize)]
struct Inner<'a> {
    #[serde(default, rename = "protocolVersion")]
    version: Option<String>,
    #[serde(borrow, default, rename = "requestId")]
    request: Option<&'a RawValue>,
}

impl Said {
    /// What a line says; None if it is no JSON-RPC.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let (envelopes, is_batch) = envelopes(line)?;
        let mut said = Self {
            is_batch,
            ..Self::default()
        };
        for envelope in envelopes {
            match (envelope.method, envelope.id) {
                (Some(method), Some(id)) => said.asks.push(Ask {
                    id: id.get().to_owned(),
                    version: (method == "initialize")
                        .then(|| inner(envelope.params).version)
                        .flatten(),
                    method,
                }),
                (Some(method), None) => {
                    if method == "notifications/cancelled" {
                        let request = inner(envelope.params).request;
                        said.cancels.extend(request.map(|id| id.get().to_owned()));
                    }
                    said.notes.push(method);
                }
                // An answer to the server.
                (None, _) => {}
            }
        }
        Some(said)
    }
}

impl Ask {
    pub(super) fn is_initialize(&self) -> bool {
        self.method == "initialize"
    }
}

impl Heard {
    /// What a server says; None if it is no JSON-RPC.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let mut heard = Self::default();
        for envelope in envelopes(text)?.0 {
            if envelope.method.is_some() {
                continue;
            }
            heard
                .answers
                .extend(envelope.id.map(|id| id.get().to_owned()));
            heard.error = envelope.error.map(|error| error.get().to_owned());
            heard.version = envelope.result.and_then(|_| inner(envelope.result).version);
        }
        Some(heard)
    }
}

/// The text of an error in answer to a request; `id` is JSON.
pub(super) fn error(id: &str, code: i32, message: &str) -> String {
    failure(id, &json!({"code": code, "message": message}).to_string())
}

/// As [`error`], with the whole error as JSON.
pub(super) fn failure(id: &str, error: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// The text of a result in answer to a request; both are JSON.
pub(super) fn result(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn envelopes(text: &[u8]) -> Option<(Vec<Envelope<'_>>, bool)> {
    let text = str::from_utf8(text).ok()?;
    if text.trim_ascii_start().starts_with('[') {
        return Some((serde_json::from_str(text).ok()?, true));
    }
    Some((vec![serde_json::from_str(text).ok()?], false))
}

fn inner(json: Option<&RawValue>) -> Inner<'_> {
    // What has another shape has none of these members.
    json.and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_requests_notifications_or_answers() {
        for (line, asks, notes, cancels) in [
            (
                r#"{"id":1,"method":"ping"}"#,
                &["1 ping"][..],
                &[][..],
                &[][..],
            ),
            (
                r#"{"id":"a","method":"x","params":[1]}"#,
                &["\"a\" x"],
                &[],
                &[],
            ),
            (
                r#"{"method":"notifications/initialized"}"#,
                &[],
                &["notifications/initialized"],
                &[],
            ),
            (
                r#"{"method":"notifications/cancelled","params":{"requestId":"a","reason":"b"}}"#,
                &[],
                &["notifications/cancelled"],
                &["\"a\""],
            ),
            (r#"{"id":1,"result":{}}"#, &[], &[], &[]),
            (r#"{"id":1,"error":{}}"#, &[], &[], &[]),
            (
                r#" [{"id":1,"method":"a"},{"method":"b"},{"id":2,"method":"c"}]"#,
                &["1 a", "2 c"],
                &["b"],
                &[],
            ),
        ] {
            let said = Said::of(line.as_bytes()).expect(line);
            let found: Vec<String> = said
                .asks
                .iter()
                .map(|ask| format!("{} {}", ask.id, ask.method))
                .collect();
            assert_eq!(found, asks, "{line}");
            assert_eq!(said.notes, notes, "{line}");
            assert_eq!(said.cancels, cancels, "{line}");
            assert_eq!(said.is_batch, line.starts_with(" ["));
        }
        for line in ["", "x", "1", "\"a\"", "{", "[1]", "{\"id\":1} {\"id\":2}"] {
            assert!(Said::of(line.as_bytes()).is_none(), "{line}");
        }
        assert!(Said::of(b"\xff").is_none());
    }

    #[test]
    fn versions_are_those_of_the_handshake() {
        let asked = |line: &str| {
            Said::of(line.as_bytes())
                .expect(line)
                .asks
                .remove(0)
                .version
        };
        let initialize = r#"{"id":1,"method":"initialize","params":{"protocolVersion":"v","x":1}}"#;
        assert_eq!(asked(initialize).as_deref(), Some("v"));
        assert_eq!(asked(r#"{"id":1,"method":"initialize","params":7}"#), None);
        assert_eq!(
            asked(r#"{"id":1,"method":"x","params":{"protocolVersion":"v"}}"#),
            None
        );
    }

    #[test]
    fn what_a_server_says_answers_or_asks() {
        for (text, answers, version, error) in [
            (r#"{"id":1,"result":{}}"#, &["1"][..], None, None),
            (
                r#"{"id":1,"result":{"protocolVersion":"v"}}"#,
                &["1"],
                Some("v"),
                None,
            ),
            (
                r#"{"id":null,"error":{"code":1}}"#,
                &[],
                None,
                Some(r#"{"code":1}"#),
            ),
            (r#"{"id":1,"method":"ping"}"#, &[], None, None),
            (r#"{"method":"notifications/progress"}"#, &[], None, None),
            (
                r#"[{"id":1,"result":{}},{"id":"2","error":{}}]"#,
                &["1", "\"2\""],
                None,
                Some("{}"),
            ),
        ] {
            let heard = Heard {
                answers: answers.iter().map(ToString::to_string).collect(),
                version: version.map(Into::into),
                error: error.map(Into::into),
            };
            assert_eq!(Heard::of(text.as_bytes()), Some(heard), "{text}");
        }
        assert_eq!(Heard::of(b"<html>"), None);
    }

    #[test]
    fn errors_are_json_whatever_they_say() {
        let text = error("\"a\"", -1, "a \"b\"\n");
        let message = r#"{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":"a \"b\"\n"}}"#;
        assert_eq!(text, message);
        assert_eq!(result("1", "{}"), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    }
}
