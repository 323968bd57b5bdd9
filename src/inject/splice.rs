//! One member put into a JSON document or taken out of it, with every other
//! byte left as it is. Pure.

use serde_json::{Map, Value};

use super::scan::{Member, Object, Refusal, find, line, root, scan};

/// A document and what was done to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Put {
    pub(super) text: String,
    /// The value that stood there before.
    pub(super) previous: Option<String>,
    /// How many of the objects around it had to be made.
    pub(super) made: usize,
}

/// Sets the member at `keys`.
pub(super) fn put(text: &str, keys: &[String], value: &Value) -> Result<Put, Refusal> {
    let mut object = root(text)?;
    let mut rest = keys;
    while let [key, deeper @ ..] = rest {
        let Some(member) = object.member(key) else {
            let value = deeper.iter().rev().fold(value.clone(), |value, key| {
                Value::Object(Map::from_iter([(key.clone(), value)]))
            });
            return Ok(Put {
                text: insert(text, &object, key, &value),
                previous: None,
                made: deeper.len(),
            });
        };
        if deeper.is_empty() {
            let previous = &text[member.value.clone()];
            return Ok(Put {
                text: replace(text, keys, &pretty(text, value, indent(text, member.key)))?,
                previous: Some(previous.to_owned()),
                made: 0,
            });
        }
        if !text[member.value.start..].starts_with('{') {
            return Err(format!(
                "`{key}` is no object at line {}",
                line(text, member.value.start)
            ));
        }
        object = scan(text, member.value.start);
        rest = deeper;
    }
    Err("there is no key".to_owned())
}

/// The text of the value at `keys`, if there is one.
pub(super) fn get<'a>(text: &'a str, keys: &[String]) -> Result<Option<&'a str>, Refusal> {
    Ok(find(text, keys)?.map(|(_, member)| &text[member.value]))
}

/// Replaces the value at `keys` by this text, if there is one.
pub(super) fn replace(text: &str, keys: &[String], value: &str) -> Result<String, Refusal> {
    Ok(match find(text, keys)? {
        Some((_, Member { value: at, .. })) => {
            format!("{}{value}{}", &text[..at.start], &text[at.end..])
        }
        None => text.to_owned(),
    })
}

/// Takes the member at `keys` out, then up to `made` objects around it, as
/// long as they are empty.
pub(super) fn take(text: &str, keys: &[String], made: usize) -> Result<String, Refusal> {
    let Some((object, member)) = find(text, keys)? else {
        return Ok(text.to_owned());
    };
    let at = object
        .members
        .iter()
        .position(|other| other.key == member.key);
    let at = at.unwrap_or_default();
    let gone = if at > 0 {
        object.members[at - 1].value.end..member.value.end
    } else if let Some(next) = object.members.get(1) {
        member.key..next.key
    } else {
        object.open + 1..object.close
    };
    let text = format!("{}{}", &text[..gone.start], &text[gone.end..]);
    match keys {
        [outer @ .., _] if made > 0 && object.members.len() == 1 && !outer.is_empty() => {
            take(&text, outer, made - 1)
        }
        _ => Ok(text),
    }
}

/// Adds a member at the end of an object, in the way the document is written.
fn insert(text: &str, object: &Object, key: &str, value: &Value) -> String {
    let key = Value::from(key);
    let Some((first, last)) = object.members.first().zip(object.members.last()) else {
        let newline = newline(text);
        let outer = indent(text, object.open);
        let inner = format!("{outer}{}", unit(text));
        let value = pretty(text, value, &inner);
        return format!(
            "{}{{{newline}{inner}{key}: {value}{newline}{outer}{}",
            &text[..object.open],
            &text[object.close..]
        );
    };
    let (gap, value) = if text[object.open..first.key].contains('\n') {
        let indent = indent(text, last.key);
        let gap = format!("{}{indent}", newline(text));
        (gap, pretty(text, value, indent))
    } else {
        (" ".to_owned(), value.to_string())
    };
    let (head, tail) = text.split_at(last.value.end);
    format!("{head},{gap}{key}: {value}{tail}")
}

/// A value over several lines, each but the first after `indent`.
fn pretty(text: &str, value: &Value, indent: &str) -> String {
    let unit = unit(text);
    let step = |line: &str| {
        let body = line.trim_start_matches(' ');
        format!("{}{body}", unit.repeat((line.len() - body.len()) / 2))
    };
    let lines: Vec<String> = format!("{value:#}").lines().map(step).collect();
    lines.join(&format!("{}{indent}", newline(text)))
}

/// The blanks at the start of the line that has `at`.
fn indent(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = &text[start..at];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// What one step of indentation is in this document.
fn unit(text: &str) -> &str {
    text.split('\n')
        .skip(1)
        .map(|line| &line[..line.len() - line.trim_start_matches([' ', '\t']).len()])
        .find(|blanks| !blanks.is_empty())
        .unwrap_or("  ")
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
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
        insta::assert_snapshot!(put("{}\n"), @r#"
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
        insta::assert_snapshot!(put("{\n    \"a\": [1, 2.50],\n    \"mcpServers\": {}\n}"), @r#"
        {
            "a": [1, 2.50],
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
        insta::assert_snapshot!(put(r#"{"mcpServers":{"chat":{"old":[1]},"x":1}}"#), @r#"
        {"mcpServers":{"chat":{
          "url": "u",
          "headers": {
            "A": "b"
          }
        },"x":1}}
        "#);
    }

    #[test]
    fn what_is_no_plain_object_is_refused_with_its_line() {
        for (text, says) in [
            ("{\n  // mine\n}", "key must be a string at line 2"),
            ("{\n  \"a\": 1,\n}", "trailing comma at line 3"),
            (
                "{\n  \"a\": 1\n  \"b\": 2\n}",
                "expected `,` or `}` at line 3",
            ),
            ("", "EOF while parsing a value at line 1"),
            ("\n[]", "expected an object at line 2"),
            ("null", "expected an object at line 1"),
            (
                "{\n\"mcpServers\": null}",
                "`mcpServers` is no object at line 2",
            ),
            (
                "{\"mcpServers\": []}",
                "`mcpServers` is no object at line 1",
            ),
            ("\u{feff}{}", "expected value at line 1"),
        ] {
            let refusal = put(text, &keys("mcpServers.chat"), &entry()).expect_err(text);
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
        ] {
            assert_eq!(
                take(text, &keys(path), made).as_deref(),
                Ok(left),
                "{text} {path}"
            );
        }
    }

    /// A small generator of numbers: the same ones in every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u8) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::from(self.0.to_le_bytes()[5] % sides)
        }

        fn blank(&mut self) -> &'static str {
            ["", " ", "\n", "\r\n\t", "  \n    "][self.roll(5)]
        }

        fn value(&mut self, depth: u32) -> String {
            let values = ["1.50", "-2E3", "\"\\\"}{,\\\\\"", "true", "null", "\"é,]\""];
            match self.roll(if depth == 0 { 6 } else { 9 }) {
                6 => format!("[{}{}]", self.value(depth - 1), self.blank()),
                7 | 8 => self.object(depth - 1),
                simple => values[simple].to_owned(),
            }
        }

        fn object(&mut self, depth: u32) -> String {
            let mut text = format!("{{{}", self.blank());
            for member in 0..self.roll(4) {
                let comma = if member > 0 { "," } else { "" };
                let name = ["a", "mcpServers", "chat", "\\u0061b"][self.roll(4)];
                let (b, c, d) = (self.blank(), self.blank(), self.blank());
                let value = self.value(depth);
                text.extend([comma, b, "\"", name, "\"", c, ":", d, &value, self.blank()]);
            }
            text + "}"
        }
    }

    #[test]
    fn any_document_is_the_same_after_putting_and_taking() {
        let keys = keys("mcpServers.chat");
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        let mut done = 0;
        for _ in 0..20_000 {
            let text = format!("{}{}{}", dice.blank(), dice.object(3), dice.blank());
            let before: Value = serde_json::from_str(&text).expect(&text);
            let Ok(put) = put(&text, &keys, &entry()) else {
                assert!(
                    before
                        .get("mcpServers")
                        .is_some_and(|servers| !servers.is_object())
                );
                continue;
            };
            let now: Value = serde_json::from_str(&put.text).expect(&put.text);
            assert_eq!(now["mcpServers"]["chat"], entry(), "{text}");
            let back = match &put.previous {
                Some(previous) => replace(&put.text, &keys, previous),
                None => take(&put.text, &keys, put.made),
            };
            let back = back.expect(&text);
            let empty = |text: &str| text.split_whitespace().collect::<String>().contains("{}");
            if empty(&text) {
                let back: Value = serde_json::from_str(&back).expect(&back);
                assert_eq!(back, before, "{text}");
            } else {
                assert_eq!(back, text);
            }
            done += 1;
        }
        assert!(done > 10_000, "{done}");
    }
}
