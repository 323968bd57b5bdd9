//! The smallest input that a schema allows. Pure.

use serde_json::{Map, Value, json};

use crate::talk::Tool;

/// `known`, and the smallest value for every other input that is required.
pub(crate) fn fill(tool: &Tool, known: &Value) -> Value {
    let mut input = known.as_object().cloned().unwrap_or_default();
    for key in tool.input["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !input.contains_key(key) {
            input.insert(key.to_owned(), smallest(&tool.input["properties"][key]));
        }
    }
    Value::Object(input)
}

/// The smallest value of a schema, in JSON's or `OpenAPI`'s spelling.
pub(crate) fn smallest(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(first) = schema["anyOf"].get(0).or_else(|| schema["oneOf"].get(0)) {
        return smallest(first);
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str())
        .unwrap_or("object");
    match kind.to_ascii_lowercase().as_str() {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            Value::Object(
                fields
                    .map(|(key, value)| (key.clone(), smallest(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        "array" => json!([]),
        "string" => json!("x"),
        "number" | "integer" => schema.get("minimum").cloned().unwrap_or(json!(0)),
        "boolean" => json!(false),
        _ => Value::Null,
    }
}
