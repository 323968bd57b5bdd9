//! One member of a JSON document put in, taken out or replaced. Pure.

use serde_json::{Map, Value};

use super::document::{Previous, Put, Refusal};
use super::json_scan::Scan;
use super::list::{BLANK, indent, leads, line, newline, unit};

/// Sets the member at `keys` of a document that has been read before.
pub(super) fn put(text: &str, keys: &[String], value: &Value) -> Result<Put, Refusal> {
    let scan = Scan::of_checked(text)?;
    let mut object = scan.root();
    let mut rest = keys;
    while let [key, deeper @ ..] = rest {
        let Some((index, at)) = object.member(key) else {
            let value = deeper.iter().rev().fold(value.clone(), |value, key| {
                Value::Object(Map::from_iter([(key.clone(), value)]))
            });
            let member = |indent: Option<&str>| {
                let key = Value::from(key.as_str());
                format!("{key}: {}", written(text, &value, indent))
            };
            return Ok(Put {
                text: object.list.add(text, member),
                previous: None,
                made: deeper.len(),
            });
        };
        if deeper.is_empty() {
            let start = object.list.members[index].start;
            let indent = leads(text, start).then(|| indent(text, start));
            let (head, tail) = (&text[..at.start], &text[at.end..]);
            return Ok(Put {
                text: format!("{head}{}{tail}", written(text, value, indent)),
                previous: Some(Previous {
                    text: text[at.clone()].to_owned(),
                    value: scan.value(at),
                }),
                made: 0,
            });
        }
        if !scan.opens(at.start) {
            let line = line(text, at.start);
            return Err(format!("`{key}` is no object at line {line}"));
        }
        object = scan.object(at.start);
        rest = deeper;
    }
    Err("there is no key".to_owned())
}

/// The value at `keys`, if there is one.
pub(super) fn get(text: &str, keys: &[String]) -> Result<Option<Value>, Refusal> {
    let scan = Scan::new(text)?;
    Ok(scan.find(keys).map(|(.., at)| scan.value(at)))
}

/// Replaces the value at `keys` by this text, if there is one.
pub(super) fn replace(text: &str, keys: &[String], value: &str) -> Result<String, Refusal> {
    Ok(match Scan::new(text)?.find(keys) {
        Some((.., at)) => format!("{}{value}{}", &text[..at.start], &text[at.end..]),
        None => text.to_owned(),
    })
}

/// Takes the member at `keys` out, then up to `made` objects around it, as
/// long as they are empty.
pub(super) fn take(text: &str, keys: &[String], made: usize) -> Result<String, Refusal> {
    let Some((object, index, _)) = Scan::new(text)?.find(keys) else {
        return Ok(text.to_owned());
    };
    let left = object.list.cut(text, index);
    let empty = left[object.list.open + 1..].trim_start_matches(BLANK);
    match keys {
        [outer @ .., _] if made > 0 && empty.starts_with('}') && !outer.is_empty() => {
            take(&left, outer, made - 1)
        }
        _ => Ok(left),
    }
}

/// A value in the way the document is written: over several lines, each but
/// the first after `indent`, or in one.
fn written(text: &str, value: &Value, indent: Option<&str>) -> String {
    let Some(indent) = indent else {
        return value.to_string();
    };
    let unit = unit(text);
    let step = |line: &str| {
        let body = line.trim_start_matches(' ');
        format!("{}{body}", unit.repeat((line.len() - body.len()) / 2))
    };
    let lines: Vec<String> = format!("{value:#}").lines().map(step).collect();
    lines.join(&format!("{}{indent}", newline(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(path: &str) -> Vec<String> {
        path.split('.').map(str::to_owned).collect()
    }

    fn entry() -> Value {
        json!({ "url": "u", "headers": { "A": "b" } })
    }

    #[test]
    fn a_member_is_put_in_the_documents_own_way() {
        let put = |text| {
            put(text, &keys("mcpServers.chat"), &entry())
                .expect(text)
                .text
        };
        insta::assert_snapshot!(put("{}"), @r#"{"mcpServers": {"chat":{"url":"u","headers":{"A":"b"}}}}"#);
        insta::assert_snapshot!(put("{\n}\n"), @r#"
        {
          "mcpServers": {
            "chat": {
              "url": "u",
              "headers": {
                "A": "b"
              }
            }
          }
        }
        "#);
        insta::assert_snapshot!(put("{\n    \"a\": [1, 2.50], // two\n    \"mcpServers\": {},\n    // the end\n}"), @r#"
        {
            "a": [1, 2.50], // two
            "mcpServers": {"chat": {"url":"u","headers":{"A":"b"}}},
            // the end
        }
        "#);
        insta::assert_snapshot!(put("{\n  \"mcpServers\": {\n    /* mine */ \"x\": {} // it's \"x\"\n  }\n}"), @r#"
        {
          "mcpServers": {
            /* mine */ "x": {}, // it's "x"
            "chat": {
              "url": "u",
              "headers": {
                "A": "b"
              }
            }
          }
        }
        "#);
        insta::assert_snapshot!(
            put("{\n\t\"mcpServers\": {\n\t\t\"x\": {}\n\t},\n\t\"b\": \"}\\\"{\"\n}\n").replace('\t', "→"),
            @r#"
        {
        →"mcpServers": {
        →→"x": {},
        →→"chat": {
        →→→"url": "u",
        →→→"headers": {
        →→→→"A": "b"
        →→→}
        →→}
        →},
        →"b": "}\"{"
        }
        "#
        );
        insta::assert_snapshot!(put(r#"{"mcpServers":{"x":1},"b":2}"#), @r#"{"mcpServers":{"x":1, "chat": {"url":"u","headers":{"A":"b"}}},"b":2}"#);
        insta::assert_snapshot!(put("{\r\n  \"a\": 1\r\n}\r\n").replace('\r', "␍"), @r#"
        {␍
          "a": 1,␍
          "mcpServers": {␍
            "chat": {␍
              "url": "u",␍
              "headers": {␍
                "A": "b"␍
              }␍
            }␍
          }␍
        }␍
        "#);
        insta::assert_snapshot!(put(r#"{"mcpServers":{"chat":{"old":[1]},"x":1}}"#), @r#"{"mcpServers":{"chat":{"url":"u","headers":{"A":"b"}},"x":1}}"#);
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_line() {
        for (text, says) in [
            (
                "{\n  \"a\": 1\n  \"b\": 2\n}",
                "expected `,` or `}` at line 3",
            ),
            ("", "EOF while parsing a value at line 1"),
            ("// {}", "EOF while parsing a value at line 1"),
            ("{\n/* }", "a comment does not end at line 2"),
            ("{\n\"a", "EOF while parsing a string at line 2"),
            ("{\n,}", "key must be a string at line 2"),
            ("{\"a\":\n[1,,]}", "expected value at line 2"),
            ("{\"a\":\n,}", "expected value at line 2"),
            ("{'a': 1}", "key must be a string at line 1"),
            ("{\"a\": 01}", "invalid number at line 1"),
            ("\n[]", "expected an object at line 2"),
            ("// a\nnull", "expected an object at line 2"),
            (
                "{\n\"mcpServers\": null}",
                "`mcpServers` is no object at line 2",
            ),
            (
                "{\"mcpServers\": []}",
                "`mcpServers` is no object at line 1",
            ),
            ("\u{feff}\u{feff}{}", "expected value at line 1"),
        ] {
            let put = Scan::new(text).and_then(|_| put(text, &keys("mcpServers.chat"), &entry()));
            let refusal = put.expect_err(text);
            assert_eq!(refusal, says, "{text}");
        }
    }

    #[test]
    fn a_member_is_taken_with_its_comma_and_what_was_made_for_it() {
        for (text, path, made, left) in [
            (r#"{"a":1, "b":2, "c":3}"#, "a", 0, r#"{"b":2, "c":3}"#),
            (r#"{"a":1, "b":2, "c":3}"#, "b", 0, r#"{"a":1, "c":3}"#),
            (r#"{"a":1, "b":2, "c":3}"#, "c", 0, r#"{"a":1, "b":2}"#),
            (r#"{"m":{"c":{}}}"#, "m.c", 0, r#"{"m":{}}"#),
            (r#"{"m":{"c":{}}}"#, "m.c", 1, "{}"),
            (r#"{"m":{"c":{}, "d":1}}"#, "m.c", 1, r#"{"m":{"d":1}}"#),
            (r#"{"c":1, "c":2}"#, "c", 0, r#"{"c":1}"#),
            (r#"{"m":1}"#, "m.c", 0, r#"{"m":1}"#),
            (r#"{"\u0063":1}"#, "c", 0, "{}"),
            ("{\"a\":1, // a\n \"c\":2}", "c", 0, "{\"a\":1 // a\n }"),
            (
                "{\n \"c\":2, // c\n \"a\":1}",
                "c",
                0,
                "{\n // c\n \"a\":1}",
            ),
            ("{\"c\":2 /*,*/ , \"a\":1}", "c", 0, "{ /*,*/ \"a\":1}"),
            ("{\"a\":1,\n \"c\":2,\n}", "c", 0, "{\"a\":1,\n}"),
            (
                "{\"m\": {\"c\":2 /* m */}}",
                "m.c",
                1,
                "{\"m\": { /* m */}}",
            ),
        ] {
            assert_eq!(
                take(text, &keys(path), made).as_deref(),
                Ok(left),
                "{text} {path}"
            );
        }
    }
}
