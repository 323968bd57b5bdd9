//! Finds running sessions: all of them, or the one that a user means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::Client;
use super::protocol::Session;
use super::roster;
use super::socket;
use super::stopped::is_stopped;
use crate::session::State;
use crate::types::identity::SessionId;

/// How long a session may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// A session, and the way to ask it more.
#[derive(Debug)]
pub struct Found {
    pub session: Session,
    pub client: Client,
    /// Its directory.
    pub dir: PathBuf,
    /// It did not answer in time: this is what it has written down of itself.
    pub is_silent: bool,
}

/// Why there is not the one session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("no session `{asked}`")]
    None { asked: String, running: Vec<String> },
    #[error("`{asked}` means more than one session: {}", .names.join(", "))]
    Several { asked: String, names: Vec<String> },
}

/// The sessions below `root` that answer, the eldest first, `but` one.
pub async fn sessions(root: &Path, but: Option<&SessionId>) -> Vec<Found> {
    let mut all = everyone(root, but).await;
    all.retain(|found| !found.is_silent);
    all
}

/// The same, and those that are there and do not answer in time: their state is
/// not known.
pub async fn everyone(root: &Path, but: Option<&SessionId>) -> Vec<Found> {
    let mut asked = JoinSet::new();
    let is_out = |dir: &Path| but.is_some_and(|but| dir.ends_with(but.as_str()));
    for dir in roster::roster(root)
        .alive
        .into_iter()
        .filter(|dir| !is_out(dir))
    {
        asked.spawn(async move {
            let client = Client::new(&dir.join(socket::NAME));
            // One that is stopped answers when it goes on.
            if let Some(session) = suspended(&dir) {
                return Some(Found {
                    session,
                    client,
                    dir,
                    is_silent: true,
                });
            }
            let (session, is_silent) = match timeout(PATIENCE, client.session()).await {
                Ok(Ok(session)) => (session, false),
                // About to begin or to end; or another version.
                Ok(Err(error)) => {
                    tracing::debug!(%error, dir = %dir.display(), "a session does not say who it is");
                    return None;
                }
                Err(_) => (roster::noted(&dir)?, true),
            };
            Some(Found {
                session,
                client,
                dir,
                is_silent,
            })
        });
    }
    let mut found: Vec<Found> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by(|a, b| {
        let key = |found: &Found| {
            (
                found.session.started_at.clone(),
                found.session.id.to_string(),
            )
        };
        key(a).cmp(&key(b))
    });
    found
}

/// What a session that is stopped has written down of itself.
fn suspended(dir: &Path) -> Option<Session> {
    let session = roster::noted(dir)?;
    is_stopped(session.pid).then_some(Session {
        state: State::Suspended,
        ..session
    })
}

/// The session whose name or id is `asked`, or begins with it as no other's.
///
/// # Errors
/// If there is none, or more than one.
pub async fn session(root: &Path, asked: &str) -> Result<Found, NotFound> {
    let mut all = everyone(root, None).await;
    let words: Vec<Words> = all
        .iter()
        .map(|found| Words {
            name: found.session.name.clone(),
            id: found.session.id.to_string(),
            member: found.session.member().map(ToOwned::to_owned),
            label: found.session.label.clone(),
        })
        .collect();
    let index = pick(&words, asked)?;
    Ok(all.swap_remove(index))
}

/// What a session can be called by.
struct Words {
    name: String,
    id: String,
    /// Its name in the file of its team.
    member: Option<String>,
    label: String,
}

/// Which of these is meant: by its name or id, else by its name in a team, else
/// by its label, else by what a name or an id begins with.
fn pick(words: &[Words], asked: &str) -> Result<usize, NotFound> {
    let all = |is: &dyn Fn(&Words) -> bool| -> Vec<usize> {
        let words = words.iter().enumerate();
        let meant = words.filter(|(_, words)| is(words));
        meant.map(|(index, _)| index).collect()
    };
    let ways: [&dyn Fn(&Words) -> bool; 4] = [
        &|words| words.name == asked || words.id == asked,
        &|words| words.member.as_deref() == Some(asked),
        &|words| words.label == asked,
        &|words| words.name.starts_with(asked) || words.id.starts_with(asked),
    ];
    let meant = ways.into_iter().map(all).find(|meant| !meant.is_empty());
    let meant = meant.filter(|_| !asked.is_empty()).unwrap_or_default();
    match meant.as_slice() {
        [index] => Ok(*index),
        [] => Err(NotFound::None {
            asked: asked.to_owned(),
            running: words.iter().map(|words| words.name.clone()).collect(),
        }),
        // Sessions without a hub have their agent's name, and may share it.
        several => Err(NotFound::Several {
            asked: asked.to_owned(),
            names: several
                .iter()
                .map(|index| format!("{} ({})", words[*index].name, words[*index].id))
                .collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_one_session() {
        let words = [
            ("claude", "0a1", None, "Claude"),
            ("claude-2", "0b2", Some("reviewer"), "The eye"),
            ("codex", "c13", Some("writer"), "twin"),
            ("codex", "d14", Some("claude"), "twin"),
        ];
        let words = words.map(|(name, id, member, label)| Words {
            name: name.to_owned(),
            id: id.to_owned(),
            member: member.map(str::to_owned),
            label: label.to_owned(),
        });
        for (asked, index) in [
            ("claude", Some(0)),
            ("claude-", Some(1)),
            ("claude-2", Some(1)),
            ("0a1", Some(0)),
            ("0b", Some(1)),
            ("reviewer", Some(1)),
            ("review", None),
            ("The eye", Some(1)),
            ("writer", Some(2)),
            ("twin", None),
            ("d", Some(3)),
            ("c13", Some(2)),
            ("0", None),
            ("codex", None),
            ("c", None),
            ("gemini", None),
            ("", None),
        ] {
            assert_eq!(pick(&words, asked).ok(), index, "{asked}");
        }
        let said = |asked| pick(&words, asked).expect_err(asked).to_string();
        assert_eq!(said("gemini"), "no session `gemini`");
        assert_eq!(
            said("codex"),
            "`codex` means more than one session: codex (c13), codex (d14)"
        );
    }
}
