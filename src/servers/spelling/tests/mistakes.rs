//! What is wrong with some entries, and what is said of it.

use super::*;

/// An entry, the key of its mistake, and what is said of it.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("null", "", "expected an object, not null"),
    (r#"["x"]"#, "", "expected an object, not an array"),
    ("{}", "", "neither `command` nor `url`"),
    (r#"{"command": null}"#, "", "neither `command` nor `url`"),
    (r#"{"command": []}"#, "command", "empty"),
    (r#"{"command": " "}"#, "command", "empty"),
    (r#"{"command": ["x", 1]}"#, "command[1]", "not a number"),
    (r#"{"type": "stdio"}"#, "command", "missing"),
    (r#"{"type": "http"}"#, "url", "missing"),
    (
        r#"{"command": "x", "args": "-y"}"#,
        "args",
        "expected an array of strings, not a string",
    ),
    (
        r#"{"command": "x", "args": ["a", null]}"#,
        "args[1]",
        "not null",
    ),
    (
        r#"{"command": "x", "args": ["a\u0000"]}"#,
        "args[0]",
        "null character",
    ),
    (
        r#"{"command": "x", "env": []}"#,
        "env",
        "expected an object, not an array",
    ),
    (
        r#"{"command": "x", "env": {"K": 1}}"#,
        "env.K",
        "not a number",
    ),
    (
        r#"{"command": "x", "env": {"a=b": "1"}}"#,
        "env",
        "no variable's name",
    ),
    (
        r#"{"command": "x", "env_vars": ["a b"]}"#,
        "env_vars[0]",
        "no variable's name",
    ),
    (r#"{"command": "x", "cwd": {}}"#, "cwd", "not an object"),
    (
        r#"{"command": "x", "url": "https://x.dev"}"#,
        "url",
        "a command has no URL",
    ),
    (
        r#"{"type": "http", "command": "x", "url": "https://x.dev"}"#,
        "command",
        "has none",
    ),
    (
        r#"{"url": "https://x.dev", "httpUrl": "https://x.dev"}"#,
        "httpUrl",
        "`url` already",
    ),
    (
        r#"{"url": "ftp://s3cret"}"#,
        "url",
        "neither http nor https",
    ),
    (r#"{"url": "https://u:s3cret@x.dev"}"#, "url", "user name"),
    (
        r#"{"url": "https://x.dev", "headers": {"A": ["s3cret"]}}"#,
        "headers.A",
        "not an array",
    ),
    (
        r#"{"url": "https://x.dev", "headers": {"A B": "s3cret"}}"#,
        "headers",
        "no header's name",
    ),
    (
        r#"{"url": "https://x.dev", "headers": {"A": "s3cret\r\nB: c"}}"#,
        "headers.A",
        "control",
    ),
    (
        r#"{"type": "ws", "url": "wss://x.dev"}"#,
        "type",
        "WebSocket",
    ),
    (
        r#"{"transport": "s3cret", "url": "https://x.dev"}"#,
        "transport",
        "none of http",
    ),
    (
        r#"{"type": 1, "url": "https://x.dev"}"#,
        "type",
        "not a number",
    ),
    (
        r#"{"type": "stdio", "transport": "http", "command": "x"}"#,
        "transport",
        "contradicts",
    ),
    (
        r#"{"url": "https://x.dev", "oauth": {"clientId": "s3cret"}}"#,
        "oauth",
        "handed on",
    ),
    (
        r#"{"url": "https://x.dev", "headersHelper": "s3cret"}"#,
        "headersHelper",
        "handed on",
    ),
    (
        r#"{"command": "x", "enabled": "no"}"#,
        "enabled",
        "expected true or false",
    ),
];

#[test]
fn mistakes_name_their_key_and_no_value() {
    for (entry, key, says) in MISTAKES {
        let value = serde_json::from_str(entry).expect(entry);
        let mistake = read(&value).expect_err("a mistake");
        let said = mistake.what.to_string();
        assert_eq!(mistake.key, *key, "{entry}: {said}");
        assert!(
            said.contains(says) && !said.contains("s3cret"),
            "{entry}: {said}"
        );
        assert!(!matches!(mistake.what, Wrong::Unset(_)), "{entry}");
    }
}
