//! What agents ask at their first start, and how they are made to ask.

use std::ffi::OsString;

use anyhow::Result;
use wrapper::terminal::Launch;

use crate::home::Home;
use crate::world::World;

/// The name of the question that ends what is recorded: its answer is elsewhere.
pub(crate) const LOGIN: &str = "login";

/// A question of an agent's first start.
pub(crate) struct Question {
    agent: &'static str,
    /// By what it is known.
    says: &'static str,
    /// Its name in the files.
    pub(crate) name: &'static str,
    /// By which the start goes on, one after the other.
    pub(crate) keys: &'static [&'static str],
}

static FIRST: [Question; 11] = [
    entered("claude", "text style that looks best", "theme"),
    entered("claude", "Select login method", LOGIN),
    entered("claude", "Security notes", "security"),
    // Enter by itself would leave.
    moved("claude", "trust this folder", "trust"),
    moved("claude", "Make auto mode your default", "mode"),
    entered("codex", "Choose how you want to use Codex", LOGIN),
    entered("codex", "Do you trust", "trust"),
    entered("gemini", "Do you trust", "trust"),
    entered("gemini", "How would you like to authenticate", LOGIN),
    entered("qwen", "ModelStudio", LOGIN),
    entered("copilot", "Confirm folder trust", "trust"),
];

/// A question whose first answer is taken.
const fn entered(agent: &'static str, says: &'static str, name: &'static str) -> Question {
    Question {
        agent,
        says,
        name,
        keys: &["\r"],
    }
}

/// A question whose second answer is taken.
const fn moved(agent: &'static str, says: &'static str, name: &'static str) -> Question {
    Question {
        keys: &["\x1b[B", "\r"],
        ..entered(agent, says, name)
    }
}

/// By what an agent is known that has started.
const READY: [(&str, &str); 9] = [
    ("claude", "for shortcuts"),
    ("claude", "(shift+tab to cycle)"),
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

/// The question that an agent shows.
pub(crate) fn asked(agent: &str, text: &str) -> Option<&'static Question> {
    let mut all = FIRST.iter().filter(|question| question.agent == agent);
    all.find(|question| text.contains(question.says))
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
    } else if agent == "claude" {
        // A mode that was chosen once: it asks for another.
        let settings = world.dir("home").join(".claude/settings.json");
        std::fs::write(settings, r#"{"permissions":{"defaultMode":"default"}}"#)?;
    }
    for proxy in ["HTTP_PROXY", "http_proxy"] {
        env.push((proxy, "http://127.0.0.1:9".into()));
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
