//! The Messages API.

use serde_json::{Value, json};

use crate::stream::{event, id};
use crate::talk::{Answer, Request, Tool, Turn};

pub(crate) fn read(body: &Value) -> Request {
    let format = body["output_config"]
        .get("format")
        .or_else(|| body.get("output_format"));
    Request {
        model: body["model"].as_str().unwrap_or("model").to_owned(),
        stream: body["stream"] == true,
        turns: list(&body["messages"]).flat_map(turns).collect(),
        tools: list(&body["tools"]).map(tool).collect(),
        schema: format.map(|format| format["schema"].clone()),
    }
}

fn turns(message: &Value) -> Vec<Turn> {
    let own = message["role"] == "assistant";
    let said = |text: &str| {
        if own {
            Turn::Model(text.to_owned())
        } else {
            Turn::User(text.to_owned())
        }
    };
    if let Some(text) = message["content"].as_str() {
        return vec![said(text)];
    }
    let block = |block: &Value| match block["type"].as_str()? {
        "text" => Some(said(block["text"].as_str()?)),
        "tool_use" => Some(Turn::Call {
            tool: block["name"].as_str()?.to_owned(),
            input: block["input"].clone(),
        }),
        "tool_result" => Some(Turn::Result(text_of(&block["content"]))),
        _ => None,
    };
    list(&message["content"]).filter_map(block).collect()
}

fn tool(tool: &Value) -> Tool {
    Tool {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        input: tool["input_schema"].clone(),
        ..Tool::default()
    }
}

/// The items of an array; none if it is something else.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The text of a content that may be a string or a list of parts.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<_> = parts.iter().map(|part| text_of(&part["text"])).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

pub(crate) fn write(request: &Request, answer: &Answer) -> Value {
    let (block, reason) = match answer {
        Answer::Text(text) => (json!({"type": "text", "text": text}), "end_turn"),
        Answer::Call { tool, input, .. } => (
            json!({"type": "tool_use", "id": id("toolu"), "name": tool, "input": input}),
            "tool_use",
        ),
    };
    json!({
        "id": id("msg"), "type": "message", "role": "assistant", "model": request.model,
        "content": [block], "stop_reason": reason, "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 5,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    })
}

pub(crate) fn events(whole: &Value) -> String {
    let mut out = String::new();
    let mut start = whole.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let block = &whole["content"][0];
    let mut empty = block.clone();
    let delta = if block["type"] == "text" {
        empty["text"] = json!("");
        json!({"type": "text_delta", "text": block["text"]})
    } else {
        empty["input"] = json!({});
        json!({"type": "input_json_delta", "partial_json": block["input"].to_string()})
    };
    let mut say = |data: Value| event(&mut out, data["type"].as_str(), &data);
    say(json!({"type": "message_start", "message": start}));
    say(json!({"type": "content_block_start", "index": 0, "content_block": empty}));
    say(json!({"type": "content_block_delta", "index": 0, "delta": delta}));
    say(json!({"type": "content_block_stop", "index": 0}));
    say(json!({
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": null},
        "usage": {"output_tokens": 5},
    }));
    say(json!({"type": "message_stop"}));
    out
}
