//! Tools that an agent offers only by name: the model reviews a tool's schema
//! by a search, then calls it through a tool of the agent's, `tool_call`. Pure.

use serde_json::{Value, json};

use crate::talk::{Answer, Tool, Turn};

/// The agent's tool through which the others are called.
const BRIDGE: &str = "tool_call";

/// A call of the conversation; one through the bridge is a call of the tool
/// that it names.
pub(crate) fn plain(tool: String, mut input: Value) -> Turn {
    match input["name"].as_str() {
        Some(name) if tool == BRIDGE => Turn::Call {
            tool: name.to_owned(),
            input: input["arguments"].take(),
        },
        _ => Turn::Call { tool, input },
    }
}

/// The tools whose schemas the results of searches have shown, each once.
pub(crate) fn reviewed(turns: &[Turn]) -> Vec<Tool> {
    let mut all: Vec<Tool> = Vec::new();
    for turn in turns {
        let Turn::Result(text) = turn else { continue };
        for schema in text.split("<function>").skip(1) {
            let schema = schema.split("</function>").next().unwrap_or_default();
            let Ok(schema) = serde_json::from_str::<Value>(schema) else {
                continue;
            };
            let Some(name) = schema["name"].as_str() else {
                continue;
            };
            if all.iter().any(|known| known.name == name) {
                continue;
            }
            let input = ["parametersJsonSchema", "parameters"]
                .iter()
                .find_map(|key| schema.get(key));
            all.push(Tool {
                name: name.to_owned(),
                input: input.cloned().unwrap_or_default(),
                is_deferred: true,
                ..Tool::default()
            });
        }
    }
    all
}

/// A call of a tool, through the bridge where it needs that.
pub(crate) fn call(tool: &Tool, input: Value) -> Answer {
    if tool.is_deferred {
        return Answer::Call {
            tool: BRIDGE.to_owned(),
            namespace: None,
            input: json!({"name": tool.name, "arguments": input}),
        };
    }
    Answer::Call {
        tool: tool.name.clone(),
        namespace: tool.namespace.clone(),
        input,
    }
}
