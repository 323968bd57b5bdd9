//! What has to hold for the servers of a running agent.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wrapper::types::server::KEY_VAR;

use crate::home::{PROJECT, SERVERS, TRACKER_KEY, VAULT_TOKEN};
use crate::outer::Outer;
use crate::servers::Asked;
use crate::wait::until;
use crate::world::World;

/// The model calls a tool of each server, and hears what the server says. It
/// was never offered a tool twice.
pub(crate) async fn answer(world: &World, outer: &Outer) -> Result<()> {
    let names = SERVERS.map(|(server, tool)| format!("{server}.{tool}"));
    outer
        .prompt(&format!("call the tools {}", names.join(" ")))
        .await?;
    until(|| async {
        let talk = world.conversation()?;
        let heard = |text: &str| talk.iter().any(|asked| says(&asked["result"], text));
        for (server, tool) in SERVERS {
            let text = match (tool, world.told(server)?.last()) {
                ("environment", Some(told)) => format!("\"pid\":{}", told["pid"]),
                ("environment", None) => return Ok(None),
                _ => world.servers.word(server),
            };
            if !heard(&text) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    offered_once(world)
}

/// The model calls a tool of a server that has restarted since, and goes on.
pub(crate) async fn answer_after_a_restart(world: &World, outer: &Outer) -> Result<()> {
    const SERVER: &str = "tracker";
    world.servers.forget(SERVER);
    called(world, outer, "tracker.word", SERVER).await
}

/// The model calls this tool, `server` answers, and the model goes on.
pub(crate) async fn called(world: &World, outer: &Outer, tool: &str, server: &str) -> Result<()> {
    let count = || -> Result<(usize, usize)> {
        let talk = world.conversation()?;
        let done = talk
            .iter()
            .filter(|asked| asked["answer"] == "Text(\"done\")");
        Ok((
            world.servers.asked(server, "tools/call").len(),
            done.count(),
        ))
    };
    let before = count()?;
    outer.prompt(&format!("call the tools {tool}")).await?;
    until(|| async {
        let now = count()?;
        Ok((now.0 > before.0 && now.1 > before.1).then_some(()))
    })
    .await
}

/// True if a result has this text, in whatever quotes the agent put it.
fn says(result: &Value, text: &str) -> bool {
    let result = result.as_str().unwrap_or_default();
    result.replace('\\', "").contains(text)
}

fn offered_once(world: &World) -> Result<()> {
    let talk = world.conversation()?;
    for (server, tool) in SERVERS.into_iter().chain([("agentchattr", "chat_read")]) {
        let offers = talk.iter().map(|asked| {
            let tools = asked["tools"].as_array().into_iter().flatten();
            let names = tools.filter_map(Value::as_str);
            names.filter(|name| is_of(name, server, tool)).count()
        });
        let most = offers.max().unwrap_or_default();
        ensure!(
            most == 1,
            "`{tool}` of `{server}` was offered {most} times at once"
        );
    }
    Ok(())
}

/// True if an agent means this tool of this server by a name.
fn is_of(name: &str, server: &str, tool: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        words.map(ToOwned::to_owned).collect()
    };
    words(name).ends_with(&words(&format!("{server}_{tool}")))
}

/// None until every server was connected so often since the beginning.
pub(crate) fn connected(world: &World, times: usize) -> Result<Option<()>> {
    let mut all = true;
    for (server, _) in SERVERS {
        let count = connections(world, server)?;
        ensure!(count <= times, "`{server}` was connected {count} times");
        all &= count == times;
    }
    Ok(all.then_some(()))
}

/// How often a server was connected since the beginning.
pub(crate) fn connections(world: &World, server: &str) -> Result<usize> {
    Ok(world.told(server)?.len() + world.servers.connections(server))
}

/// Commands have the session's variables, remote servers its header and their
/// own.
pub(crate) fn know_the_session(agent: &str, name: &str, world: &World) -> Result<()> {
    let mut ids = Vec::new();
    for server in ["shed", "vault"] {
        let told = told(world, server)?;
        let env = |name: &str| told["env"][name].as_str().unwrap_or_default();
        ensure!(
            env("WRAPPER_AGENT") == agent
                && env("WRAPPER_SESSION_NAME") == name
                && !env("WRAPPER_SESSION_TITLE").is_empty()
                && Path::new(env("WRAPPER_CONTROL")).exists(),
            "`{server}` has the environment {}",
            told["env"]
        );
        ids.push(env("WRAPPER_SESSION_ID").to_owned());
    }
    ensure!(
        ids[0] == ids[1] && !ids[0].is_empty(),
        "the servers were told of the sessions {ids:?}"
    );
    let sent = |server: &str, what: &str, holds: &dyn Fn(&Asked) -> bool| -> Result<()> {
        let calls = world.servers.asked(server, "tools/call");
        ensure!(
            !calls.is_empty() && calls.iter().all(holds),
            "`{server}` was called {} times, and not each time with {what}",
            calls.len()
        );
        Ok(())
    };
    let has = |asked: &Asked, header: &str, value: &str| {
        (asked.headers.get(header)).is_some_and(|sent| sent == value)
    };
    let knows = |asked: &Asked| {
        let meta = &asked.message["params"]["_meta"]["wrapper/session-id"];
        has(asked, "wrapper-session-id", &ids[0]) && meta == ids[0].as_str()
    };
    sent("tracker", "its key", &|asked| {
        has(asked, "x-tracker-key", TRACKER_KEY)
    })?;
    sent("web", "its header", &|asked| {
        has(asked, "x-project", PROJECT)
    })?;
    sent("tracker", "the session", &knows)?;
    // Copilot connects to the project's servers by itself.
    if agent != "copilot" {
        sent("web", "the session", &knows)?;
    }
    Ok(())
}

/// A secret is where it belongs, and nowhere else: in no other environment, on
/// no command line, in no file of ours. The key of our proxy is in
/// environments, but on no command line.
pub(crate) fn keep_secrets(world: &World) -> Result<()> {
    let vault = told(world, "vault")?;
    ensure!(
        vault["env"]["VAULT_TOKEN"] == VAULT_TOKEN,
        "`vault` has the environment {}",
        vault["env"]
    );
    let shows = |text: &[u8]| {
        [VAULT_TOKEN, TRACKER_KEY].iter().any(|secret| {
            text.windows(secret.len())
                .any(|part| part == secret.as_bytes())
        })
    };
    let members = world.members()?;
    let key = members.iter().find_map(|member| member.variable(KEY_VAR));
    let key = key.with_context(|| format!("nobody has `{KEY_VAR}`"))?;
    for member in members {
        ensure!(
            !member.command.contains(&key) && !shows(member.command.as_bytes()),
            "a secret is on the command line of {member:?}"
        );
        let is_vault = vault["pid"] == member.pid.as_raw();
        ensure!(
            is_vault || !shows(&member.environment),
            "a secret is in the environment of {member:?}"
        );
    }
    let sessions = world.dir("state").join("sessions");
    ensure!(sessions.exists(), "{} is not there", sessions.display());
    each_file(&world.dir("state"), &mut |path| {
        let content = match fs::read(path) {
            Ok(content) => content,
            // It was a temporary one.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        ensure!(!shows(&content), "a secret is in {}", path.display());
        Ok(())
    })
}

/// What a server that is a command told when it was connected.
fn told(world: &World, server: &str) -> Result<Value> {
    let told = world.told(server)?.pop();
    told.with_context(|| format!("`{server}` was never connected"))
}

fn each_file(dir: &Path, look: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            each_file(&entry.path(), look)?;
        } else if kind.is_file() {
            look(&entry.path())?;
        }
    }
    Ok(())
}
