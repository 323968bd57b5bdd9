//! What the model answers: a function of the conversation and nothing else.
//! Pure.
//!
//! | a turn of the user says | the model |
//! |---|---|
//! | `use mcp to read #a, #b and #c` | reads each channel by a tool call, then sends `heard MARKER` to each, then says `done`; the marker is the word after the last `echo:` in what it read there |
//! | `call the tools A.X B.Y` | calls tool `X` of the MCP server `A`, then `Y` of `B`, then says `done` |
//! | `run command CMD` | calls the agent's shell tool with it, then says `done` |
//! | `take N seconds` | answers after that time, but for answers to a tool call |
//! | anything else | `hello` |
//!
//! A request that carries an output schema is answered by the smallest value
//! of that schema: agents ask such questions about titles and routing.

use serde_json::{Value, json};

use crate::deferred;
use crate::schema::{fill, smallest};
use crate::talk::{Answer, Request, Tool, Turn};

/// What begins a list of tools to call.
const CALL: &str = "call the tools ";

/// Finds the hub's tools, where tools have to be searched for.
const CHAT: &str = "chat_read chat_send";

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
                let input = |tool: &Tool| run(tool, command.trim());
                return call(request, later, "shell", shell, input);
            }
        }
        if let Some((server, tool)) = next_tool(text, later) {
            return call(
                request,
                later,
                &format!("{server} {tool}"),
                |offered| offered.is_of(server, tool),
                |offered| fill(offered, &json!({})),
            );
        }
        asked |= text.contains(CALL);
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
                        CHAT,
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
                    CHAT,
                    |tool| tool.name.ends_with("chat_send"),
                    |tool| fill(tool, &json!({"channel": channel, "message": message})),
                );
            }
        }
    }
    Err(if asked { "done" } else { "hello" })
}

/// The first of the tools to call that was not called yet: its server and its
/// name.
fn next_tool<'a>(text: &'a str, later: &[Turn]) -> Option<(&'a str, &'a str)> {
    let wanted: Vec<_> = after(text, CALL)?
        .split_whitespace()
        .map_while(|word| word.split_once('.'))
        .collect();
    let is_wanted = |name: &str| wanted.iter().any(|(_, tool)| name.ends_with(tool));
    let called = later
        .iter()
        .filter(|turn| matches!(turn, Turn::Call { tool, .. } if is_wanted(tool)));
    wanted.get(called.count()).copied()
}

/// A call of the first tool that `wanted` finds. Some agents hide tools behind
/// a search: that one is asked first, once for each `query`.
fn call(
    request: &Request,
    later: &[Turn],
    query: &str,
    wanted: impl Fn(&Tool) -> bool,
    input: impl Fn(&Tool) -> Value,
) -> Result<Answer, &'static str> {
    if let Some(tool) = request.tools.iter().find(|tool| wanted(tool)) {
        return Ok(deferred::call(tool, input(tool)));
    }
    let search = |name: &str| matches!(name, "ToolSearch" | "tool_search");
    let searched = later.iter().any(
        |turn| matches!(turn, Turn::Call { tool, input } if search(tool) && input["query"] == query),
    );
    match request.tools.iter().find(|tool| search(&tool.name)) {
        Some(tool) if !searched => Ok(deferred::call(
            tool,
            fill(tool, &json!({"query": query, "max_results": 5})),
        )),
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

#[cfg(test)]
mod tests;
