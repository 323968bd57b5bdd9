//! tmux itself: asked by commands, told of sessions by the names that they have
//! here.

use std::io;
use std::process::Stdio;

use anyhow::{Result, anyhow, ensure};
use tokio::process::Command;

use crate::paths::{self, Env};
use crate::report::Failure;
use crate::types::exit::Exit;

/// The oldest tmux whose exact targets and direct commands are as we need them.
pub(in crate::cmd) const OLDEST: (u32, u32) = (2, 6);

/// `agentchattr-[<slug>-]<name>`, as agentchattr calls its sessions.
pub(super) fn session_name(slug: Option<&str>, name: &str) -> String {
    match slug {
        Some(slug) => format!("agentchattr-{slug}-{name}"),
        None => format!("agentchattr-{name}"),
    }
}

/// The name of a session before the hub has named the instance.
pub(in crate::cmd) fn foreseen(env: &Env, agent: &str) -> String {
    session_name(slug(env).as_deref(), agent)
}

/// `AGENTCHATTR_REPO_SLUG`, such that tmux takes it as it is: letters, digits,
/// `-` and `_`.
pub(super) fn slug(env: &Env) -> Option<String> {
    let slug = paths::var(env, "AGENTCHATTR_REPO_SLUG")?.to_string_lossy();
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<&str> = slug
        .split(|c| !safe(c))
        .filter(|word| !word.is_empty())
        .collect();
    Some(words.join("-")).filter(|slug| !slug.is_empty())
}

/// tmux's answer to a command.
pub(in crate::cmd) async fn ask(args: &[&str]) -> Result<String> {
    let mut command = tmux();
    command.args(args);
    output(command).await
}

/// tmux, on the server that the environment names.
pub(super) fn tmux() -> Command {
    Command::new("tmux")
}

/// What a command of tmux's prints; its complaint if it fails.
pub(super) async fn output(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().await?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(output.status.success(), "{}", text(&output.stderr));
    Ok(text(&output.stdout))
}

/// Makes sure that there is a tmux that will do.
pub(super) async fn check_version() -> Result<(), Failure> {
    let hint = "install it, or leave `--tmux` out";
    let said = ask(&["-V"]).await.map_err(|error| {
        let error = match error.downcast_ref::<io::Error>() {
            Some(error) if error.kind() == io::ErrorKind::NotFound => {
                anyhow!("not found on PATH")
            }
            _ => error,
        };
        Failure::new(Exit::Failed, error.context("cannot run tmux")).hint(hint)
    })?;
    if version(&said).is_some_and(|version| version < OLDEST) {
        let (major, minor) = OLDEST;
        let error = anyhow!("cannot run tmux: {said} is too old");
        return Err(
            Failure::new(Exit::Failed, error).hint(format!("{major}.{minor} or newer will do"))
        );
    }
    Ok(())
}

/// The numbers in `tmux 3.3a`; None for what has none (OpenBSD's, master).
pub(in crate::cmd) fn version(said: &str) -> Option<(u32, u32)> {
    let digits = said.trim_start_matches(|c: char| !c.is_ascii_digit());
    let (major, rest) = digits.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_safely() {
        for (slug, name) in [
            ("", "agentchattr-claude-2"),
            ("shop", "agentchattr-shop-claude-2"),
            ("me/my.shop:v1", "agentchattr-me-my-shop-v1-claude-2"),
            ("=../$(x) é", "agentchattr-x-claude-2"),
            (" a_b- ", "agentchattr-a_b-claude-2"),
            ("…", "agentchattr-claude-2"),
        ] {
            let env = Env::from([("AGENTCHATTR_REPO_SLUG".into(), slug.into())]);
            let slug = super::slug(&env);
            assert_eq!(session_name(slug.as_deref(), "claude-2"), name);
        }
    }

    #[test]
    fn versions_are_read() {
        for (said, read) in [
            ("tmux 3.3a", Some((3, 3))),
            ("tmux 1.8", Some((1, 8))),
            ("tmux next-3.6", Some((3, 6))),
            ("tmux 3.10-rc2", Some((3, 10))),
            ("tmux master", None),
            ("", None),
        ] {
            assert_eq!(version(said), read, "{said}");
        }
    }
}
