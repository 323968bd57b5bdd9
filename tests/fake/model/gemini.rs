//! The Gemini API: `generateContent` and `streamGenerateContent`.

use serde_json::{Value, json};

use crate::anthropic::list;
use crate::stream::{event, id};
use crate::talk::{Answer, Request, Tool, Turn};

pub(crate) fn read(body: &Value) -> Request {
    let config = &body["generationConfig"];
    Request {
        model: "gemini".to_owned(),
        stream: false,
        turns: list(&body["contents"]).flat_map(turns).collect(),
        tools: list(&body["tools"])
            .flat_map(|group| list(&group["functionDeclarations"]))
            .map(tool)
            .collect(),
        schema: ["responseJsonSchema", "responseSchema"]
            .iter()
            .find_map(|key| config.get(key))
            .cloned(),
    }
}

fn turns(content: &Value) -> Vec<Turn> {
    let own = content["role"] == "model";
    let part = |part: &Value| {
        if let Some(call) = part.get("functionCall") {
            let tool = call["name"].as_str()?.to_owned();
            return Some(Turn::Call {
                tool,
                input: call["args"].clone(),
            });
        }
        if let Some(answer) = part.get("functionResponse") {
            return Some(Turn::Result(result(&answer["response"])));
        }
        let text = part["text"]
            .as_str()
            .filter(|_| part["thought"] != true)?
            .to_owned();
        Some(if own {
            Turn::Model(text)
        } else {
            Turn::User(text)
        })
    };
    list(&content["parts"]).filter_map(part).collect()
}

/// The text of a tool's result; as JSON where it has another shape.
fn result(response: &Value) -> String {
    match &response["output"] {
        Value::String(text) => text.clone(),
        _ => response.to_string(),
    }
}

fn tool(tool: &Value) -> Tool {
    let schema = ["parametersJsonSchema", "parameters"]
        .iter()
        .find_map(|key| tool.get(key));
    Tool {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        input: schema.cloned().unwrap_or_default(),
        ..Tool::default()
    }
}

pub(crate) fn write(request: &Request, answer: &Answer) -> Value {
    let part = match answer {
        Answer::Text(text) => json!({"text": text}),
        Answer::Call { tool, input, .. } => {
            json!({"functionCall": {"name": tool, "args": input}, "thoughtSignature": "c2lnbmVk"})
        }
    };
    json!({
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
        "modelVersion": request.model, "responseId": id("resp"),
    })
}

pub(crate) fn events(whole: &Value) -> String {
    let mut out = String::new();
    event(&mut out, None, whole);
    out
}
