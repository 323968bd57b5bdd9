//! JSON values as TOML: a table under its header, everything in it inline.
//! Pure.

use serde_json::{Map, Value};

use super::document::Refusal;

/// A header and the lines below it, with no end to the last line.
///
/// # Errors
/// What TOML cannot hold, named by its place.
pub(super) fn section(keys: &[String], entry: &Value, newline: &str) -> Result<String, Refusal> {
    let name = dotted(keys);
    let Value::Object(entry) = entry else {
        return Err(format!("`{name}` would be no table"));
    };
    let mut text = format!("[{name}]");
    for (key, value) in entry {
        let line = pair(std::slice::from_ref(key), value)?;
        text.extend([newline, &line]);
    }
    Ok(text)
}

/// A key and its value on one line.
///
/// # Errors
/// What TOML cannot hold, named by its place.
pub(super) fn pair(keys: &[String], value: &Value) -> Result<String, Refusal> {
    let name = dotted(keys);
    Ok(format!("{name} = {}", inline(&name, value)?))
}

/// A key, quoted where it has to be.
pub(super) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn dotted(keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().map(|name| key(name)).collect();
    keys.join(".")
}

fn inline(place: &str, value: &Value) -> Result<String, Refusal> {
    match value {
        Value::Null => Err(format!("`{place}` is null, which TOML does not have")),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            Err(format!("`{place}` is too large a number for TOML"))
        }
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::String(text) => Ok(quoted(text)),
        Value::Array(values) => {
            let values = values.iter().enumerate();
            let values = values.map(|(index, value)| inline(&format!("{place}[{index}]"), value));
            Ok(format!(
                "[{}]",
                values.collect::<Result<Vec<_>, _>>()?.join(", ")
            ))
        }
        Value::Object(members) => table(place, members),
    }
}

fn table(place: &str, members: &Map<String, Value>) -> Result<String, Refusal> {
    if members.is_empty() {
        return Ok("{}".to_owned());
    }
    let members = members.iter().map(|(name, value)| {
        let name = key(name);
        Ok(format!(
            "{name} = {}",
            inline(&format!("{place}.{name}"), value)?
        ))
    });
    Ok(format!(
        "{{ {} }}",
        members.collect::<Result<Vec<_>, Refusal>>()?.join(", ")
    ))
}

/// A basic string (<https://toml.io/en/v1.0.0#string>).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let code = format!("\\u{:04X}", u32::from(c));
                quoted.push_str(&code);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
