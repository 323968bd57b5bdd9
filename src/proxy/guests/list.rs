//! The tools of guests in the hub's list of tools. Pure.
//!
//! *Invariant*: no byte of the hub's own answer changes, and none of a guest's
//! tool but its name.

use serde_json::Value;

use crate::proxy::rpc::{self, Members};
use crate::proxy::splice::Splice;

/// A tool of a guest as the agent is shown it, with the name that `name` makes
/// of its own. None if it is no tool.
pub(super) fn shown(tool: &str, name: impl FnOnce(&str) -> String) -> Option<String> {
    let members = Members::of(tool)?;
    let new = Value::from(name(&rpc::text(members.last("name")?)?)).to_string();
    let mut splice = Splice::new(tool.as_bytes());
    for old in members.all("name") {
        splice.put(old, new.clone());
    }
    let shown = String::from_utf8(splice.finish()?).ok()?;
    // It may have to stand in one line. No string has such a byte in it.
    Some(shown.replace(['\n', '\r'], " "))
}

/// The hub's answer to a request for its tools with `tools` behind its own;
/// None if it is no list, or not the last page of it.
pub(in crate::proxy) fn append(answer: &[u8], tools: &[String]) -> Option<Vec<u8>> {
    let text = str::from_utf8(answer).ok()?;
    let result = Members::of(text)?.last("result").and_then(Members::of)?;
    let list = result.last("tools")?;
    let inside = list.strip_prefix('[')?.strip_suffix(']')?;
    if tools.is_empty() || is_more(&result) {
        return None;
    }
    let comma = if inside.trim_ascii().is_empty() {
        ""
    } else {
        ","
    };
    let mut splice = Splice::new(answer);
    // The last byte of the list has a place in the answer as well.
    splice.put(
        &list[list.len() - 1..],
        format!("{comma}{}]", tools.join(",")),
    );
    splice.finish()
}

/// True if there is another page. An empty cursor is none, though some have it
/// on their last page.
fn is_more(result: &Members<'_>) -> bool {
    let next = result.last("nextCursor");
    next.is_some_and(|next| next != "null" && next != "\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

    fn list(tools: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{tools}}}}}"#)
    }

    #[test]
    fn a_tool_changes_its_name_and_nothing_else() {
        for (before, after) in [
            (
                r#"{"name":"a", "inputSchema":{ "name" : 1e2 }}"#,
                Some(r#"{"name":"docs__a", "inputSchema":{ "name" : 1e2 }}"#),
            ),
            (
                r#"{"title":"é","n\u0061me":"b","name":"c"}"#,
                Some(r#"{"title":"é","n\u0061me":"docs__c","name":"docs__c"}"#),
            ),
            (
                "{\n\"name\":\"a\",\r\n\"x\":\"\\n\"}",
                Some("{ \"name\":\"docs__a\",  \"x\":\"\\n\"}"),
            ),
            (r#"{"title":"no name"}"#, None),
            (r#"{"name":7}"#, None),
            ("7", None),
        ] {
            let shown = shown(before, |name| format!("docs__{name}"));
            assert_eq!(shown.as_deref(), after, "{before}");
        }
    }

    fn appended(answer: &str) -> Option<String> {
        let tools = [r#"{"name":"x"}"#.to_owned(), r#"{"name":"y"}"#.to_owned()];
        let new = append(answer.as_bytes(), &tools)?;
        Some(String::from_utf8(new).expect("text"))
    }

    #[test]
    fn the_hubs_list_gets_the_guests_tools_on_its_last_page() {
        let two = r#"{"name":"x"},{"name":"y"}"#;
        for (before, after) in [
            ("[]", Some(format!("[{two}]"))),
            ("[ ]", Some(format!("[ {two}]"))),
            (
                r#"[{"name":"]"} ]"#,
                Some(format!(r#"[{{"name":"]"}} ,{two}]"#)),
            ),
            (
                r#"[],"nextCursor":"""#,
                Some(format!(r#"[{two}],"nextCursor":"""#)),
            ),
            (
                r#"[],"nextCursor":null"#,
                Some(format!(r#"[{two}],"nextCursor":null"#)),
            ),
            (r#"[],"nextCursor":"2""#, None),
            ("{}", None),
            ("null", None),
        ] {
            let after = after.map(|after| list(&after));
            assert_eq!(appended(&list(before)), after);
        }
        assert_eq!(append(list("[]").as_bytes(), &[]), None);
        for none in [r#"{"id":1,"error":{"message":"no"}}"#, "no json", ""] {
            assert_eq!(appended(none), None);
        }
    }

    #[test]
    fn whatever_comes_the_outcome_is_sound() {
        let own = [
            "\"tools\":",
            "\"result\":",
            "\"nextCursor\":",
            "\"\"",
            "\"name\":",
            "\"a\"",
        ];
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json);
        let (mut dice, mut added) = (Dice::new(13), 0);
        for _ in 0..20_000 {
            let text = dice.json(&own);
            for answer in [text.clone(), list(&format!("[{text}]")), list(&text)] {
                if let Some(new) = appended(&answer) {
                    added += 1;
                    let (old, new) = (read(&answer).expect("JSON"), read(&new).expect("JSON"));
                    let count = |value: &serde_json::Value| {
                        value["result"]["tools"].as_array().map_or(0, Vec::len)
                    };
                    assert_eq!(count(&old) + 2, count(&new), "{answer}");
                }
                if let Some(tool) = shown(&answer, |_| "n".into()) {
                    assert_eq!(read(&tool).expect("JSON")["name"], "n", "{answer}");
                }
            }
        }
        assert!(added > 100, "{added}");
    }
}
