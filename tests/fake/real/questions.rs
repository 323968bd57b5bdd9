//! What agents ask at their first start, and how they are made to ask.

use std::ffi::OsString;

use anyhow::Result;
use wrapper::terminal::Launch;

use crate::home::Home;
use crate::world::World;

/// By what a question of a first start is known, and its name in the files.
const FIRST: &[(&str, &str, &str)] = &[
    ("claude", "text style that looks best", "theme"),
    ("claude", "Select login method", "login"),
    ("claude", "Security notes", "security"),
    ("claude", "trust this folder", "trust"),
    ("codex", "Choose how you want to use Codex", "login"),
    ("codex", "Do you trust", "trust"),
    ("gemini", "Do you trust", "trust"),
    ("gemini", "How would you like to authenticate", "login"),
    ("qwen", "ModelStudio", "login"),
    ("copilot", "Confirm folder trust", "trust"),
];

/// By what an agent is known that has started.
const READY: [(&str, &str); 8] = [
    ("claude", "for shortcuts"),
    ("codex", "Ask Codex to do anything"),
    ("gemini", "Type your message"),
    ("qwen", "Type your message"),
    ("copilot", "❯"),
    ("copilot", "╹▀"),
    ("opencode", "Ask anything"),
    ("kilo", "Ask anything"),
];

/// By what one is known that has not, though it shows something.
const STARTING: &[(&str, &str)] = &[
    ("codex", "     loading\n"),
    ("gemini", "Gemini CLI is restarting"),
];

/// What is asked before a command is run, or a tool is called.
pub(crate) const PERMISSION: [&str; 4] = [
    "Do you want to",
    "Would you like to",
    "Allow execution",
    "Permission required",
];

/// By what the choice of a model is known.
pub(crate) const MODELS: [&str; 4] = [
    "Select model",
    "Select Model",
    "Search models",
    "Select a model",
];

/// The name of the question that an agent shows.
pub(crate) fn name(agent: &str, text: &str) -> Option<&'static str> {
    let mut all = FIRST.iter().filter(|(of, _, _)| *of == agent);
    all.find(|(_, said, _)| text.contains(said))
        .map(|(_, _, name)| *name)
}

pub(crate) fn is_ready(agent: &str, text: &str) -> bool {
    READY
        .iter()
        .any(|(of, said)| *of == agent && text.contains(said))
}

pub(crate) fn is_starting(agent: &str, text: &str) -> bool {
    STARTING
        .iter()
        .any(|(of, said)| *of == agent && text.contains(said))
}

/// The agent by itself: in a home that is empty, or else in a directory that is
/// new to it. Nothing of it leaves this machine.
pub(crate) fn launch(agent: &str, world: &World, new_home: bool) -> Result<Launch> {
    let home = Home::furnish(agent, world)?;
    let dir = world.dir("notes");
    std::fs::create_dir_all(&dir)?;
    let mut env = world.env();
    let named = home.env.iter();
    // What is switched off stays so, and no agent is to look for its maker.
    // Claude asks for a login only where it has reached its maker.
    let kept = ["DISABLE", "UPDATE", "OFFLINE", "BASE_URL", "ANTHROPIC"];
    let is_kept = |name: &str| {
        let is_kept = kept.iter().any(|part| name.contains(part));
        !new_home || is_kept && !name.contains("PROVIDER")
    };
    env.extend(
        named
            .filter(|(name, _)| is_kept(name))
            .map(|(name, value)| (*name, value.into())),
    );
    if new_home {
        env.push(("HOME", dir.clone().into()));
    }
    for proxy in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        env.push((proxy, "http://127.0.0.1:9".into()));
    }
    for none in ["NO_PROXY", "no_proxy"] {
        env.push((none, "127.0.0.1,localhost".into()));
    }
    Ok(Launch {
        program: world.tools().join(agent),
        args: Vec::new(),
        env: env
            .into_iter()
            .map(|(name, value): (&str, OsString)| (name.into(), value))
            .collect(),
        cwd: dir,
    })
}

/// What makes an agent ask before it runs a command, where it would not.
pub(crate) fn env(agent: &str) -> Vec<(&'static str, String)> {
    let ask = r#"{"bash":"ask","guest_word":"ask"}"#.to_owned();
    match agent {
        "opencode" => vec![("OPENCODE_PERMISSION", ask)],
        "kilo" => vec![("KILO_PERMISSION", ask)],
        _ => Vec::new(),
    }
}

/// What opens the choice of a model.
pub(crate) fn models(agent: &str) -> &'static str {
    match agent {
        "opencode" | "kilo" => "/models",
        _ => "/model",
    }
}
