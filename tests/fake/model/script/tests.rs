use serde_json::{Value, json};

use super::*;

fn tool(name: &str, input: Value) -> Tool {
    Tool {
        name: name.to_owned(),
        input,
        ..Tool::default()
    }
}

fn request(turns: Vec<Turn>) -> Request {
    let send =
        json!({"properties": {"sender": {"type": "string"}}, "required": ["sender", "message"]});
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
fn tools_are_called_in_order_each_once() {
    let told = || user("call the tools docs.word our-env.word");
    let mut asked = request(vec![told()]);
    let names = ["mcp__docs__word", "mcp_our-env_word"];
    asked.tools = names.map(|name| tool(name, json!({}))).into();
    let call = |asked: &Request| match answer(asked).0 {
        Answer::Call { tool, .. } => tool,
        Answer::Text(text) => text,
    };
    for name in [names[0], names[1], "done"] {
        assert_eq!(call(&asked), name);
        asked.turns.push(Turn::Call {
            tool: name.to_owned(),
            input: json!({}),
        });
        asked.turns.push(Turn::Result("a word".to_owned()));
    }
    asked.tools = vec![tool("tool_search", json!({}))];
    asked.turns = vec![told()];
    assert_eq!(wants(&asked)["query"], "docs word");
}

#[test]
fn a_tool_that_a_search_has_shown_is_called_through_the_agents_own() {
    let word = r#"<functions>
<function>{"name":"mcp__docs__word","parametersJsonSchema":{"required":["n"],"properties":{"n":{"type":"integer"}}}}</function>
</functions>"#;
    let told = || user("call the tools docs.word");
    let mut asked = request(vec![told(), Turn::Result(word.to_owned())]);
    asked.tools = deferred::reviewed(&asked.turns);
    assert_eq!(asked.tools.len(), 1);
    let (call, _) = answer(&asked);
    let Answer::Call { tool, input, .. } = call else {
        panic!("{call:?}")
    };
    assert_eq!(tool, "tool_call");
    let arguments = json!({"name": "mcp__docs__word", "arguments": {"n": 0}});
    assert_eq!(input, arguments);
    asked.turns.push(deferred::plain(tool, input));
    asked.turns.push(Turn::Result("a word".to_owned()));
    assert_eq!(answer(&asked), text("done"));
}

#[test]
fn a_reminder_behind_a_result_does_not_hide_it() {
    let mut asked = request(vec![
        user("call the tools docs.word"),
        called("word", ""),
        Turn::Result("a word".to_owned()),
    ]);
    assert_eq!(asked.result(), Some("a word"));
    asked
        .turns
        .push(user("<system-reminder>be brief</system-reminder>"));
    assert_eq!(asked.result(), Some("a word"));
    assert_eq!(answer(&asked), text("done"));
    asked.turns.push(Turn::Model("done".to_owned()));
    asked.turns.push(user("good morning"));
    assert_eq!(asked.result(), None);
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
