//! The Chat Completions API.

use serde_json::{Value, json};

use crate::anthropic::{list, text_of};
use crate::deferred::{plain, reviewed};
use crate::stream::{event, id};
use crate::talk::{Answer, Request, Tool, Turn};

pub(crate) fn read(body: &Value) -> Request {
    let turns: Vec<Turn> = list(&body["messages"]).flat_map(turns).collect();
    let mut tools: Vec<Tool> = list(&body["tools"]).map(tool).collect();
    for tool in reviewed(&turns) {
        if !tools.iter().any(|offered| offered.name == tool.name) {
            tools.push(tool);
        }
    }
    Request {
        model: body["model"].as_str().unwrap_or("model").to_owned(),
        stream: body["stream"] == true,
        turns,
        tools,
        schema: body["response_format"]["json_schema"]
            .get("schema")
            .cloned(),
    }
}

fn turns(message: &Value) -> Vec<Turn> {
    let text = text_of(&message["content"]);
    match message["role"].as_str() {
        Some("user") => vec![Turn::User(text)],
        Some("tool") => vec![Turn::Result(text)],
        Some("assistant") => {
            let said = Some(text).filter(|text| !text.is_empty()).map(Turn::Model);
            let call = |call: &Value| {
                let function = &call["function"];
                let name = function["name"].as_str().unwrap_or_default();
                let input = function["arguments"].as_str();
                let input = input.and_then(|text| serde_json::from_str(text).ok());
                plain(name.to_owned(), input.unwrap_or_default())
            };
            said.into_iter()
                .chain(list(&message["tool_calls"]).map(call))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn tool(tool: &Value) -> Tool {
    Tool {
        name: tool["function"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        input: tool["function"]["parameters"].clone(),
        ..Tool::default()
    }
}

pub(crate) fn write(request: &Request, answer: &Answer) -> Value {
    let (message, reason) = match answer {
        Answer::Text(text) => (json!({"role": "assistant", "content": text}), "stop"),
        Answer::Call { tool, input, .. } => {
            let function = json!({"name": tool, "arguments": input.to_string()});
            let call =
                json!({"index": 0, "id": id("call"), "type": "function", "function": function});
            (
                json!({"role": "assistant", "content": null, "tool_calls": [call]}),
                "tool_calls",
            )
        }
    };
    json!({
        "id": id("chatcmpl"), "object": "chat.completion", "created": 1, "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    })
}

pub(crate) fn events(whole: &Value) -> String {
    let mut out = String::new();
    let choice = &whole["choices"][0];
    let steps = [
        json!([{"index": 0, "delta": choice["message"], "finish_reason": null}]),
        json!([{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]),
    ];
    for choices in steps {
        let chunk = json!({
            "id": whole["id"], "object": "chat.completion.chunk", "created": 1,
            "model": whole["model"], "choices": choices, "usage": whole["usage"],
        });
        event(&mut out, None, &chunk);
    }
    out.push_str("data: [DONE]\n\n");
    out
}
