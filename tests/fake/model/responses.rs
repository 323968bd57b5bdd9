//! The Responses API. MCP tools may come in namespaces.

use serde_json::{Value, json};

use crate::anthropic::{list, text_of};
use crate::stream::{event, id};
use crate::talk::{Answer, Request, Tool, Turn};

pub(crate) fn read(body: &Value) -> Request {
    let turns = match &body["input"] {
        Value::String(text) => vec![Turn::User(text.clone())],
        items => list(items).filter_map(turn).collect(),
    };
    Request {
        model: body["model"].as_str().unwrap_or("model").to_owned(),
        stream: body["stream"] == true,
        turns,
        tools: list(&body["tools"]).flat_map(tools).collect(),
        schema: body["text"]["format"].get("schema").cloned(),
    }
}

fn turn(item: &Value) -> Option<Turn> {
    match item["type"].as_str().unwrap_or("message") {
        "message" if item["role"] == "user" => Some(Turn::User(text_of(&item["content"]))),
        "message" if item["role"] == "assistant" => Some(Turn::Model(text_of(&item["content"]))),
        "function_call" => Some(Turn::Call {
            tool: item["name"].as_str()?.to_owned(),
            input: serde_json::from_str(item["arguments"].as_str()?).ok()?,
        }),
        "function_call_output" => Some(Turn::Result(match &item["output"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })),
        _ => None,
    }
}

fn tools(tool: &Value) -> Vec<Tool> {
    let one = |tool: &Value, namespace: Option<&str>| Tool {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        namespace: namespace.map(ToOwned::to_owned),
        input: tool["parameters"].clone(),
        is_deferred: false,
    };
    if tool["type"] == "namespace" {
        return list(&tool["tools"])
            .map(|inner| one(inner, tool["name"].as_str()))
            .collect();
    }
    vec![one(tool, None)]
}

pub(crate) fn write(request: &Request, answer: &Answer) -> Value {
    let item = match answer {
        Answer::Text(text) => json!({
            "type": "message", "id": id("msg"), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }),
        Answer::Call {
            tool,
            namespace,
            input,
        } => {
            let mut item = json!({
                "type": "function_call", "id": id("fc"), "call_id": id("call"),
                "status": "completed", "name": tool, "arguments": input.to_string(),
            });
            if let Some(namespace) = namespace {
                item["namespace"] = json!(namespace);
            }
            item
        }
    };
    json!({
        "id": id("resp"), "object": "response", "created_at": 1, "model": request.model,
        "status": "completed", "output": [item], "error": null, "incomplete_details": null,
        "metadata": {}, "usage": {
            "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15,
        },
    })
}

pub(crate) fn events(whole: &Value) -> String {
    let mut out = String::new();
    let mut number = 0;
    let mut say = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(number);
        number += 1;
        event(&mut out, Some(kind), &data);
    };
    let mut start = whole.clone();
    start["status"] = json!("in_progress");
    start["output"] = json!([]);
    start["usage"] = Value::Null;
    say("response.created", json!({"response": start}));
    let item = &whole["output"][0];
    let mut empty = item.clone();
    empty["status"] = json!("in_progress");
    if item["type"] == "message" {
        let part = &item["content"][0];
        empty["content"] = json!([]);
        say(
            "response.output_item.added",
            json!({"output_index": 0, "item": empty}),
        );
        let mut at = json!({"item_id": item["id"], "output_index": 0, "content_index": 0});
        at["part"] = json!({"type": "output_text", "text": "", "annotations": []});
        say("response.content_part.added", at.clone());
        at["delta"] = part["text"].clone();
        say("response.output_text.delta", at.clone());
        at["text"] = part["text"].clone();
        say("response.output_text.done", at.clone());
        at["part"] = part.clone();
        say("response.content_part.done", at);
    } else {
        empty["arguments"] = json!("");
        say(
            "response.output_item.added",
            json!({"output_index": 0, "item": empty}),
        );
        let mut at = json!({"item_id": item["id"], "output_index": 0});
        at["delta"] = item["arguments"].clone();
        say("response.function_call_arguments.delta", at.clone());
        at["arguments"] = item["arguments"].clone();
        say("response.function_call_arguments.done", at);
    }
    say(
        "response.output_item.done",
        json!({"output_index": 0, "item": item}),
    );
    say("response.completed", json!({"response": whole}));
    out
}
