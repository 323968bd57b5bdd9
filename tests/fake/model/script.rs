//! What the model answers: a function of the conversation and nothing else.
//!
//! | a turn of the user says | the model |
//! |---|---|
//! | `use mcp to read #a, #b and #c` | reads each channel by a tool call, then sends `heard MARKER` to each, then says `done`; the marker is the word after the last `echo:` in what it read there |
//! | `run command CMD` | calls the agent's shell tool with it, then says `done` |
//! | `take N seconds` | answers after that time, but for answers to a tool call |
//! | anything else | `hello` |
//!
//! A request that carries an output schema is answered by the smallest value
//! of that schema: agents ask such questions about titles and routing.

use serde_json::{Map, Value, json};

/// A request of any API.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) turns: Vec<Turn>,
    pub(crate) tools: Vec<Tool>,
    /// The answer has to be JSON of this schema.
    pub(crate) schema: Option<Value>,
}

/// A piece of a conversation.
#[derive(Debug, PartialEq)]
pub(crate) enum Turn {
    User(String),
    Model(String),
    Call { tool: String, input: Value },
    Result(String),
}

/// A tool that the agent offers.
#[derive(Debug, Default)]
pub(crate) struct Tool {
    /// As the model calls it; in a namespace, the part behind that.
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    /// The schema of its input.
    pub(crate) input: Value,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Text(String),
    Call {
        tool: String,
        namespace: Option<String>,
        input: Value,
    },
}

/// The answer, and how many seconds it takes.
pub(crate) fn answer(request: &Request) -> (Answer, u64) {
    if let Some(schema) = &request.schema {
        return (Answer::Text(smallest(schema).to_string()), 0);
    }
    let mut told = request.turns.iter().rev().map_while(|turn| match turn {
        Turn::User(text) => Some(text),
        _ => None,
    });
    let pause = told.find_map(|text| number(after(text, "take ")?));
    (
        next(request).unwrap_or_else(|text| Answer::Text(text.to_owned())),
        pause.unwrap_or(0),
    )
}

/// The next step of what the running turn of the user asks for, or the words
/// that end it.
fn next(request: &Request) -> Result<Answer, &'static str> {
    let start = request
        .turns
        .iter()
        .rposition(|turn| matches!(turn, Turn::Model(_)));
    let turns = &request.turns[start.map_or(0, |at| at + 1)..];
    let mut asked = false;
    for (at, turn) in turns.iter().enumerate() {
        let Turn::User(text) = turn else { continue };
        let later = &turns[at + 1..];
        if let Some(command) = after(text, "run command ") {
            asked = true;
            let declined = later
                .iter()
                .any(|turn| matches!(turn, Turn::User(text) if !channels(text).is_empty()));
            let ran = later.iter().any(|turn| matches!(turn, Turn::Call { .. }));
            if !ran && !declined {
                return call(request, later, shell, |tool| run(tool, command.trim()));
            }
        }
        let channels = channels(text);
        asked |= !channels.is_empty();
        let mut heard = Vec::new();
        for channel in &channels {
            match result_of(later, "chat_read", channel) {
                Some(read) => heard.push(marker(read)),
                None => {
                    return call(
                        request,
                        later,
                        |tool| tool.name.ends_with("chat_read"),
                        |tool| fill(tool, &json!({"channel": channel})),
                    );
                }
            }
        }
        for (channel, marker) in channels.iter().zip(heard) {
            if result_of(later, "chat_send", channel).is_none() {
                let message = format!("heard {}", marker.unwrap_or("nothing"));
                return call(
                    request,
                    later,
                    |tool| tool.name.ends_with("chat_send"),
                    |tool| fill(tool, &json!({"channel": channel, "message": message})),
                );
            }
        }
    }
    Err(if asked { "done" } else { "hello" })
}

/// A call of the first tool that `wanted` finds. Some agents hide tools behind
/// a search: that one is asked first, once.
fn call(
    request: &Request,
    later: &[Turn],
    wanted: impl Fn(&Tool) -> bool,
    input: impl Fn(&Tool) -> Value,
) -> Result<Answer, &'static str> {
    if let Some(tool) = request.tools.iter().find(|tool| wanted(tool)) {
        return Ok(Answer::Call {
            tool: tool.name.clone(),
            namespace: tool.namespace.clone(),
            input: input(tool),
        });
    }
    let search = |name: &str| matches!(name, "ToolSearch" | "tool_search");
    let searched = later
        .iter()
        .any(|turn| matches!(turn, Turn::Call { tool, .. } if search(tool)));
    match request.tools.iter().find(|tool| search(&tool.name)) {
        Some(tool) if !searched => Ok(Answer::Call {
            tool: tool.name.clone(),
            namespace: tool.namespace.clone(),
            input: fill(
                tool,
                &json!({"query": "chat_read chat_send", "max_results": 5}),
            ),
        }),
        _ => Err("the tool that this needs was not offered"),
    }
}

/// What a tool said when it was called for this channel.
fn result_of<'a>(turns: &'a [Turn], name: &str, channel: &str) -> Option<&'a str> {
    let mut results = turns.iter().filter_map(|turn| match turn {
        Turn::Result(text) => Some(text.as_str()),
        _ => None,
    });
    turns
        .iter()
        .filter_map(|turn| match turn {
            Turn::Call { tool, input } => Some((tool, input, results.next().unwrap_or_default())),
            _ => None,
        })
        .find(|(tool, input, _)| tool.ends_with(name) && input["channel"] == channel)
        .map(|(_, _, result)| result)
}

/// The channels that a text tells to read, in order, each once.
fn channels(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some((_, list)) = rest.split_once("use mcp to read ") {
        rest = list;
        while let Some(name) = rest.strip_prefix('#') {
            let end = name
                .find(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_'))
                .unwrap_or(name.len());
            if end > 0 && !found.iter().any(|known| known == &name[..end]) {
                found.push(name[..end].to_owned());
            }
            rest = &name[end..];
            rest = [", and ", ", ", " and "]
                .iter()
                .find_map(|separator| rest.strip_prefix(separator))
                .unwrap_or(rest);
        }
    }
    found
}

/// The word after the last `echo:`.
fn marker(text: &str) -> Option<&str> {
    let word = &text[text.rfind("echo:")? + "echo:".len()..];
    let end = word
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .unwrap_or(word.len());
    Some(&word[..end]).filter(|word| !word.is_empty())
}

/// What follows a phrase on its line.
fn after<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    text.split_once(phrase)?.1.split('\n').next()
}

fn number(text: &str) -> Option<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn shell(tool: &Tool) -> bool {
    const NAMES: [&str; 6] = [
        "Bash",
        "exec_command",
        "shell_command",
        "shell",
        "run_shell_command",
        "bash",
    ];
    NAMES.contains(&tool.name.as_str())
}

/// The input of a shell tool, whatever it calls the command; where a model has
/// to ask for a permission, it does.
fn run(tool: &Tool, command: &str) -> Value {
    let key = if tool.input["properties"]["cmd"].is_object() {
        "cmd"
    } else {
        "command"
    };
    let list = tool.input["properties"][key]["type"] == "array";
    let value = if list {
        json!(["bash", "-lc", command])
    } else {
        json!(command)
    };
    let mut known = json!({ key: value });
    if tool.input["properties"]["sandbox_permissions"].is_object() {
        known["sandbox_permissions"] = json!("require_escalated");
        known["justification"] = json!("it has to be seen to be believed");
    }
    fill(tool, &known)
}

/// `known`, and the smallest value for every other input that is required.
fn fill(tool: &Tool, known: &Value) -> Value {
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
fn smallest(schema: &Value) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, input: Value) -> Tool {
        Tool {
            name: name.to_owned(),
            namespace: None,
            input,
        }
    }

    fn request(turns: Vec<Turn>) -> Request {
        let send = json!({"properties": {"sender": {"type": "string"}}, "required": ["sender", "message"]});
        let tools = vec![
            tool(
                "Bash",
                json!({"properties": {"command": {"type": "string"}}}),
            ),
            tool("mcp__agentchattr__chat_read", json!({})),
            tool("mcp__agentchattr__chat_send", send),
        ];
        Request {
            turns,
            tools,
            ..Request::default()
        }
    }

    fn user(text: &str) -> Turn {
        Turn::User(text.to_owned())
    }

    fn called(name: &str, channel: &str) -> Turn {
        Turn::Call {
            tool: format!("mcp__agentchattr__{name}"),
            input: json!({"channel": channel}),
        }
    }

    fn text(text: &str) -> (Answer, u64) {
        (Answer::Text(text.to_owned()), 0)
    }

    fn wants(request: &Request) -> Value {
        match answer(request).0 {
            Answer::Call { input, .. } => input,
            Answer::Text(text) => json!(text),
        }
    }

    #[test]
    fn a_mention_is_read_answered_and_done() {
        let mut turns = vec![user("use mcp to read #general - you're mentioned")];
        assert_eq!(
            wants(&request(vec![user(
                "use mcp to read #general - you're mentioned"
            )])),
            json!({"channel": "general"})
        );
        turns.push(called("chat_read", "general"));
        turns.push(Turn::Result(
            "#1 user: old echo:one\n#2 user: @claude echo:two, please".to_owned(),
        ));
        let sent = json!({"channel": "general", "message": "heard two", "sender": "x"});
        assert_eq!(wants(&request(turns)), sent);
        let turns = vec![
            user("use mcp to read #general"),
            called("chat_read", "general"),
            Turn::Result("echo:two".to_owned()),
            called("chat_send", "general"),
            Turn::Result("Sent (id=3)".to_owned()),
        ];
        assert_eq!(answer(&request(turns)), text("done"));
    }

    #[test]
    fn every_channel_is_read_before_the_first_answer() {
        let told = || user("use mcp to read #a, #b and #c - you're mentioned");
        assert_eq!(
            channels("use mcp to read #a, #b and #c - x\nuse mcp to read #a, and #d."),
            ["a", "b", "c", "d"]
        );
        let mut turns = vec![told()];
        for (channel, echo) in [("a", "echo:1"), ("b", "echo:2"), ("c", "none")] {
            turns.push(called("chat_read", channel));
            turns.push(Turn::Result(echo.to_owned()));
        }
        turns.push(called("chat_send", "a"));
        turns.push(Turn::Result("Sent".to_owned()));
        assert_eq!(wants(&request(turns))["message"], "heard 2");
    }

    #[test]
    fn a_second_turn_starts_anew() {
        let turns = vec![
            user("use mcp to read #general"),
            called("chat_read", "general"),
            Turn::Result("echo:one".to_owned()),
            Turn::Model("done".to_owned()),
            user("use mcp to read #general"),
        ];
        assert_eq!(wants(&request(turns)), json!({"channel": "general"}));
    }

    #[test]
    fn commands_pauses_and_small_talk() {
        assert_eq!(
            wants(&request(vec![user("run command touch x")])),
            json!({"command": "touch x"})
        );
        assert_eq!(answer(&request(vec![user("take 3 seconds")])).1, 3);
        assert_eq!(answer(&request(vec![user("good morning")])), text("hello"));
        let list = tool(
            "shell",
            json!({"properties": {"command": {"type": "array"}}}),
        );
        assert_eq!(run(&list, "ls"), json!({"command": ["bash", "-lc", "ls"]}));
    }

    #[test]
    fn a_schema_is_answered_by_its_smallest_value() {
        let schema = json!({"type": "OBJECT", "properties": {
            "why": {"type": "string"}, "model": {"enum": ["flash", "pro"]}, "n": {"type": ["integer", "null"], "minimum": 1}
        }});
        let asked = Request {
            schema: Some(schema),
            ..request(vec![user("use mcp to read #a")])
        };
        assert_eq!(answer(&asked), text(r#"{"why":"x","model":"flash","n":1}"#));
    }
}
