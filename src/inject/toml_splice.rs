//! One table of a TOML document put in, taken out or replaced. Pure.
//!
//! What is added stands at the end under a header of its own, or as a member
//! of the inline table that has its siblings. So nothing has to be made
//! around it.

use serde_json::Value;
use toml::Table;

use super::document::{Previous, Put, Refusal};
use super::list::{line, line_start, newline};
use super::toml_place::{Place, chunk, place};
use super::toml_scan::{Expression, Kind, scan, table};
use super::toml_write::{key, pair, section};

/// A byte order mark stays where it is.
const MARK: char = '\u{feff}';

/// Sets the table at `keys` of a document that has been read before.
pub(super) fn put(text: &str, keys: &[String], entry: &Value) -> Result<Put, Refusal> {
    let expressions = scan(text);
    let (text_after, previous) = match place(&expressions, keys) {
        Place::Pieces(pieces) => {
            let chunk = chunk(text, &expressions, &pieces, keys)?;
            let first = &expressions[pieces[0]];
            let entry = match first.kind {
                Kind::Pair(_) => pair(&keys[first.depth..], entry)?,
                _ => section(keys, entry, newline(text))?,
            };
            let (head, tail) = (&text[..chunk.start], &text[chunk.end..]);
            let previous = previous(&text[chunk], keys)?;
            (format!("{head}{entry}{tail}"), Some(previous))
        }
        Place::Member(inline, index) => {
            let member = &inline.members[index];
            let entry = pair(&keys[member.depth..], entry)?;
            let (head, tail) = (&text[..member.span.start], &text[member.span.end..]);
            let previous = previous(&text[member.span.start..member.span.end], keys)?;
            (format!("{head}{entry}{tail}"), Some(previous))
        }
        Place::Inside(inline, depth) => {
            let entry = pair(&keys[depth..], entry)?;
            (inline.list().add(text, |_| entry), None)
        }
        Place::Blocked(by) => {
            return Err(format!(
                "`{}` is no table at line {}",
                by.path
                    .iter()
                    .map(|name| key(name))
                    .collect::<Vec<_>>()
                    .join("."),
                line(text, by.span.start)
            ));
        }
        Place::None => (append(text, keys, entry)?, None),
    };
    Ok(Put {
        text: text_after,
        previous,
        made: 0,
    })
}

/// Says if a document has become valid, and says what it said `before` but
/// for the tables at `keys`: what TOML allows beside what is finer than what
/// [`put`] looks at.
pub(super) fn verify(before: &str, after: &str, keys: &[&[String]]) -> Result<(), Refusal> {
    let others = |text| {
        let said = table(text)?;
        Ok::<_, Refusal>(keys.iter().fold(said, |said, keys| without(said, keys)))
    };
    if others(before)? == others(after)? {
        return Ok(());
    }
    Err("there is no room for another table".to_owned())
}

/// The value at `keys`, if there is one.
pub(super) fn get(text: &str, keys: &[String]) -> Result<Option<Value>, Refusal> {
    Ok(at(&table(text)?, keys).map(json))
}

/// Takes out all that stands at `keys`.
pub(super) fn take(text: &str, keys: &[String]) -> Result<String, Refusal> {
    table(text)?;
    let expressions = scan(text);
    Ok(match place(&expressions, keys) {
        // Dotted, it may be several members.
        Place::Member(inline, index) => take(&inline.list().cut(text, index), keys)?,
        Place::Pieces(pieces) => {
            let runs: Vec<&[usize]> = pieces.chunk_by(|a, b| a + 1 == *b).collect();
            runs.iter().rev().fold(text.to_owned(), |text, run| {
                let (first, last) = (&expressions[run[0]], &expressions[run[run.len() - 1]]);
                cut_lines(&text, first, last.span.end)
            })
        }
        _ => text.to_owned(),
    })
}

/// Puts back what stood at `keys`, as it was written if that fits where ours
/// is now.
pub(super) fn restore(text: &str, keys: &[String], previous: &str) -> Result<String, Refusal> {
    let expressions = scan(text);
    let span = match place(&expressions, keys) {
        Place::Pieces(pieces) => chunk(text, &expressions, &pieces, keys).ok(),
        Place::Member(inline, index) => {
            let span = inline.members[index].span;
            Some(span.start..span.end)
        }
        _ => None,
    };
    let Previous { value, .. } = self::previous(previous, keys)?;
    if let Some(span) = span {
        let back = format!("{}{previous}{}", &text[..span.start], &text[span.end..]);
        if let Ok(after) = table(&back)
            && at(&after, keys).map(json).as_ref() == Some(&value)
            && without(after, keys) == without(table(text)?, keys)
        {
            return Ok(back);
        }
    }
    Ok(put(&take(text, keys)?, keys, &value)?.text)
}

/// Adds a section after all others, and an empty line before it.
fn append(text: &str, keys: &[String], entry: &Value) -> Result<String, Refusal> {
    let newline = newline(text);
    let section = section(keys, entry, newline)?;
    Ok(if text.is_empty() {
        format!("{section}{newline}")
    } else if text.ends_with('\n') {
        format!("{text}{newline}{section}{newline}")
    } else {
        // As its last line ended, so ends ours.
        format!("{text}{newline}{newline}{section}")
    })
}

/// Takes lines out, the empty one before a header, and the end of the line
/// before them if they are the last and have none.
fn cut_lines(text: &str, first: &Expression, end: usize) -> String {
    let mark = if text.starts_with(MARK) {
        MARK.len_utf8()
    } else {
        0
    };
    let mut head = &text[..line_start(text, first.span.start).max(mark)];
    let tail = text[end..]
        .find('\n')
        .map_or("", |at| &text[end + at + 1..]);
    let last_line = |text: &'_ str| -> Option<usize> {
        let line = text.strip_suffix('\n')?;
        Some(line.strip_suffix('\r').unwrap_or(line).len())
    };
    if !matches!(first.kind, Kind::Pair(_))
        && let Some(at) = last_line(head)
        && (at == 0 || head[..at].ends_with('\n'))
    {
        head = &head[..at];
    }
    if !text[end..].contains('\n')
        && let Some(at) = last_line(head)
    {
        head = &head[..at];
    }
    format!("{head}{tail}")
}

/// What a part of a document says of the table at `keys`: it is written from
/// some table around that on, which the part itself does not say.
fn previous(text: &str, keys: &[String]) -> Result<Previous, Refusal> {
    let alone = table(text)?;
    let value = (0..keys.len()).find_map(|depth| at(&alone, &keys[depth..]));
    Ok(Previous {
        text: text.to_owned(),
        value: value.map(json).unwrap_or_default(),
    })
}

fn at<'a>(table: &'a Table, keys: &[String]) -> Option<&'a toml::Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter()
        .try_fold(table.get(first)?, |value, key| value.get(key))
}

fn json(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The values of a document but the one at `keys`, and no empty table around
/// it.
fn without(mut table: Table, keys: &[String]) -> Table {
    if let Some((first, rest)) = keys.split_first() {
        match table.get_mut(first) {
            Some(toml::Value::Table(inner)) if !rest.is_empty() => {
                *inner = without(std::mem::take(inner), rest);
                if inner.is_empty() {
                    table.remove(first);
                }
            }
            _ => {
                table.remove(first);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> Vec<String> {
        vec!["servers".into(), "chat room".into()]
    }

    fn entry() -> Value {
        json!({ "url": "u", "args": ["a\"b", 1.5], "env": { "A": "b", "none": {} } })
    }

    #[test]
    fn a_table_is_put_where_its_siblings_are() {
        let put = |text| put(text, &keys(), &entry()).expect(text).text;
        insta::assert_snapshot!(put("a = 1 # one\n# the end\n"), @r#"
        a = 1 # one
        # the end

        [servers."chat room"]
        url = "u"
        args = ["a\"b", 1.5]
        env = { A = "b", none = {} }
        "#);
        insta::assert_snapshot!(put("servers = { x = {} } # mine\nb = 2"), @r#"
        servers = { x = {}, "chat room" = { url = "u", args = ["a\"b", 1.5], env = { A = "b", none = {} } } } # mine
        b = 2
        "#);
        insta::assert_snapshot!(put("[servers]\n'chat room'.old = 1 # old\n'chat room'.env.A = 2 # A\nx.url = 'x'\n"), @r#"
        [servers]
        "chat room" = { url = "u", args = ["a\"b", 1.5], env = { A = "b", none = {} } } # A
        x.url = 'x'
        "#);
        insta::assert_snapshot!(put("servers.x.url = 'x'\r\n[z]\r\n").replace('\r', "␍"), @r#"
        servers.x.url = 'x'␍
        [z]␍
        ␍
        [servers."chat room"]␍
        url = "u"␍
        args = ["a\"b", 1.5]␍
        env = { A = "b", none = {} }␍
        "#);
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        for (text, entry, says) in [
            (
                "a = 1\nb = \n",
                entry(),
                "string values must be quoted, expected literal string at line 2",
            ),
            ("a = 1\na = 2\n", entry(), "duplicate key at line 2"),
            ("\nservers = 1", entry(), "`servers` is no table at line 2"),
            ("\n[[servers]]", entry(), "`servers` is no table at line 2"),
            ("servers = []", entry(), "`servers` is no table at line 1"),
            (
                "[servers.'chat room']\n[z]\n[servers.'chat room'.env]\n",
                entry(),
                "`servers.chat room` is there already, and goes on apart from its start at line 3",
            ),
            (
                "",
                json!({ "a": [{ "b.c": null }] }),
                "`a[0].\"b.c\"` is null, which TOML does not have",
            ),
            (
                "",
                json!({ "a": u64::MAX }),
                "`a` is too large a number for TOML",
            ),
            ("", json!("a"), "`servers.\"chat room\"` would be no table"),
        ] {
            let put = table(text).and_then(|_| put(text, &keys(), &entry));
            let refusal = put.expect_err(text);
            assert_eq!(refusal, says, "{text}");
        }
    }

    #[test]
    fn what_the_others_say_is_looked_at_once_more() {
        let same = [keys()];
        let same: Vec<&[String]> = same.iter().map(Vec::as_slice).collect();
        for (before, after, well) in [
            ("a = 1\n", "a = 1\n[servers.'chat room']\n", true),
            ("a = 1\n", "[servers.'chat room']\na = 1\n", false),
            ("a = 1\n", "a = 1\na = 1\n", false),
        ] {
            assert_eq!(verify(before, after, &same).is_ok(), well, "{after}");
        }
        let dotted = "servers = { 'chat room'.u = 1, 'chat room'.v = 1 }\n";
        let put = put(dotted, &keys(), &entry()).expect(dotted);
        verify(dotted, &put.text, &same).expect_err("half of it is there still");
    }

    #[test]
    fn a_table_is_taken_however_it_is_written_by_now() {
        for (text, left) in [
            (
                "a = 1\n\n[servers.'chat room']\nu = 1\n# b\n[b]\n",
                "a = 1\n# b\n[b]\n",
            ),
            (
                "[servers.'chat room']\nu = 1\n[b]\n[servers.'chat room'.env]\nA = 1\n",
                "[b]\n",
            ),
            (
                "[servers]\n'chat room'.u = 1\n'chat room'.v = 1\nx = 1\n",
                "[servers]\nx = 1\n",
            ),
            (
                "servers = { x = 1, 'chat room' = {}, y = 1 }\n",
                "servers = { x = 1, y = 1 }\n",
            ),
            ("servers = { 'chat room' = {} }\n", "servers = { }\n"),
            (
                "servers = { 'chat room'.u = 1, 'chat room'.v = 1 }\n",
                "servers = { }\n",
            ),
            ("a = 1\n", "a = 1\n"),
        ] {
            assert_eq!(take(text, &keys()).as_deref(), Ok(left), "{text}");
        }
    }

    #[test]
    fn what_was_there_comes_back_wherever_ours_is_by_now() {
        let text = "[servers]\n'chat room' = { old = 1 } # mine\nx = 1\n";
        let put = put(text, &keys(), &entry()).expect(text);
        let previous = put.previous.expect("one").text;
        assert_eq!(restore(&put.text, &keys(), &previous).as_deref(), Ok(text));
        // Written anew by an agent, as a section.
        let moved = "[servers]\nx = 1\n[z]\n\n[servers.\"chat room\"]\nurl = \"u\"\n";
        let back = restore(moved, &keys(), &previous).expect(moved);
        insta::assert_snapshot!(back, @r#"
        [servers]
        x = 1
        [z]

        [servers."chat room"]
        old = 1
        "#);
    }
}
