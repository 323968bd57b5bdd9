//! The twelve tools: their schemas, their arguments, and who calls them. Pure.

use serde_json::{Map, Value, json};

use crate::room::Room;
use crate::{chat_tools, other_tools};

/// agentchattr's answer to a token that it does not know.
const STALE: &str = "Error: stale or unknown authenticated agent session. Re-register and retry.";

/// What a tool answers, or the error that it answers in the same way.
pub(crate) type Said = Result<String, String>;

/// A call by somebody whose name is known.
pub(crate) struct Call<'a> {
    pub(crate) arguments: &'a Map<String, Value>,
    /// Empty: nobody.
    pub(crate) who: String,
    pub(crate) now: f64,
}

impl Call<'_> {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.arguments[key].as_str().unwrap_or_default()
    }

    pub(crate) fn number(&self, key: &str) -> i64 {
        self.arguments[key].as_i64().unwrap_or_default()
    }

    /// The job that is meant, if one is.
    pub(crate) fn job(&self) -> Option<u64> {
        u64::try_from(self.number("job_id"))
            .ok()
            .filter(|id| *id > 0)
    }
}

/// As `tools/list` has them.
pub(crate) fn all() -> Value {
    serde_json::from_str(include_str!("tools.json")).expect("a list of ours")
}

/// The arguments with every default, or what is wrong with them.
pub(crate) fn complete(tool: &str, given: &Value) -> Result<Map<String, Value>, String> {
    let tools = all();
    let mut tools = tools.as_array().into_iter().flatten();
    let schema = tools
        .find(|one| one["name"] == tool)
        .map(|one| &one["inputSchema"])
        .ok_or_else(|| format!("Unknown tool: {tool}"))?;
    let mut arguments = Map::new();
    let mut wrong = Vec::new();
    for (name, about) in schema["properties"].as_object().into_iter().flatten() {
        let Some(value) = given.get(name).or_else(|| about.get("default")) else {
            wrong.push(complaint(name, "Field required", "missing", given, "dict"));
            continue;
        };
        let kind = match about["type"].as_str() {
            Some("string") if !value.is_string() => "string",
            Some("integer") if !value.is_i64() => "integer",
            Some("array") if !value.is_array() => "list",
            _ => {
                arguments.insert(name.clone(), value.clone());
                continue;
            }
        };
        let what = format!("Input should be a valid {kind}");
        wrong.push(complaint(
            name,
            &what,
            &format!("{kind}_type"),
            value,
            "object",
        ));
    }
    if wrong.is_empty() {
        return Ok(arguments);
    }
    let (count, plural) = (wrong.len(), if wrong.len() > 1 { "s" } else { "" });
    let wrong = wrong.concat();
    Err(format!(
        "Error executing tool {tool}: {count} validation error{plural} for {tool}Arguments{wrong}"
    ))
}

/// As agentchattr's validator words it.
fn complaint(name: &str, what: &str, kind: &str, input: &Value, of: &str) -> String {
    let input = crate::python::dumps(input).replace('"', "'");
    format!(
        "\n{name}\n  {what} [type={kind}, input_value={input}, input_type={of}]\n    For further information visit https://errors.pydantic.dev/2.14/v/{kind}"
    )
}

/// Does what a tool does; what it says.
pub(crate) fn call(
    room: &mut Room,
    token: Option<&str>,
    tool: &str,
    arguments: &Map<String, Value>,
    now: f64,
) -> String {
    let done = caller(room, token, tool, arguments, now).and_then(|who| {
        let call = Call {
            arguments,
            who,
            now,
        };
        match tool {
            "chat_send" => chat_tools::send(room, &call),
            "chat_read" => chat_tools::read(room, &call),
            "chat_resync" => Ok(chat_tools::resync(room, &call)),
            "chat_join" => Ok(chat_tools::join(room, &call)),
            "chat_who" => Ok(chat_tools::who(room, now)),
            "chat_channels" => Ok(json!(["general"]).to_string()),
            "chat_claim" => other_tools::claim(room, token, &call),
            "chat_rules" => other_tools::rules(room, &call, "rule"),
            "chat_decision" => other_tools::rules(room, &call, "decision"),
            "chat_set_hat" => other_tools::hat(&call),
            "chat_summary" => other_tools::summary(room, &call),
            _ => Ok(other_tools::propose_job(room, &call)),
        }
    });
    done.unwrap_or_else(|error| error)
}

/// Who calls: whoever the token belongs to, whatever the arguments say; without
/// one anybody who is no agent.
fn caller(
    room: &mut Room,
    token: Option<&str>,
    tool: &str,
    arguments: &Map<String, Value>,
    now: f64,
) -> Result<String, String> {
    if let Some(token) = token {
        return room.caller(token, now).ok_or_else(|| STALE.to_owned());
    }
    let key = if tool == "chat_join" {
        "name"
    } else {
        "sender"
    };
    let Some(name) = arguments.get(key).and_then(Value::as_str) else {
        return Ok(String::new());
    };
    if name.is_empty() && tool != "chat_read" {
        return Err(format!("Error: {key} is required."));
    }
    if room.registry.is_family(name) {
        return Err(format!(
            "Error: authenticated agent session required for '{name}'."
        ));
    }
    if !name.is_empty() {
        room.touch(name, now);
    }
    Ok(name.to_owned())
}
