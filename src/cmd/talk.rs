//! Which conversation a launch goes on with, and whether it may.

use std::ffi::OsString;

use anyhow::anyhow;

use crate::control::find;
use crate::paths::{self, Env};
use crate::report::Failure;
use crate::types::agent::AgentSpec;
use crate::types::conversation::Conversation;
use crate::types::exit::Exit;
use crate::types::identity::SessionId;

/// What an agent's lives talk about, as far as its arguments say.
pub(super) fn of(spec: &AgentSpec, user_args: &[OsString]) -> Conversation {
    let configured = spec.args.iter().map(String::as_bytes);
    let users = user_args.iter().map(|arg| arg.as_encoded_bytes());
    Conversation::new(spec.conversations.clone(), configured.chain(users))
}

/// Whether there is a last conversation to go on with that is nobody else's.
pub(super) async fn check(
    env: &Env,
    spec: &AgentSpec,
    user_args: &[OsString],
) -> Result<(), Failure> {
    let (agent, conversation) = (&spec.name, of(spec, user_args));
    let (why, hint) = if conversation.is_users() {
        let hint = "leave out one of the two".to_owned();
        ("its own arguments say what to go on with".to_owned(), hint)
    } else if conversation.last().is_none() {
        let hint = format!("set `resume_args` under `[agents.{agent}]` in config.toml");
        (format!("agent `{agent}` has no `resume_args`"), hint)
    } else if let Some(twin) = twin(env, spec, None).await {
        let hint = format!("`wrapper stop {twin}` ends it, and leaves the conversation");
        (format!("`{twin}` runs here, and has it open"), hint)
    } else {
        return Ok(());
    };
    let error = anyhow!("cannot go on with the last conversation of `{agent}`: {why}");
    Err(Failure::new(Exit::Failed, error).hint(hint))
}

/// The name of another session, `but` one, that runs the same agent in the same
/// directory: the agent's last conversation there may be that one's.
pub(super) async fn twin(env: &Env, spec: &AgentSpec, but: Option<&SessionId>) -> Option<String> {
    let others = find::sessions(&paths::state(env), but).await;
    let cwd = spec.cwd.to_string_lossy();
    let others = others.into_iter().map(|found| found.session);
    let mut twins = others.filter(|other| other.agent == spec.name && other.cwd == cwd);
    twins.next().map(|twin| twin.name)
}
