//! The session's variables, for a bridge whose agent kept them from it: taken
//! from the nearest process above that has them, where the system shows other
//! processes' environments (Linux, and those of the same user alone).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use nix::unistd::Pid;

use crate::paths::{self, Env};
use crate::types::context::CONTROL_VAR;

use super::find::ID_VAR;

/// How far up is looked: agents start their servers through a shell or two.
const FAR: usize = 6;

/// `env`, less references to variables that the agent did not replace, and
/// with the session's variables of a process above if it has none.
pub(super) fn completed(env: &Env, parent: Pid) -> Env {
    let mut env = env.clone();
    env.retain(|_, value| {
        let text = value.to_string_lossy();
        !(text.starts_with("${") || text.starts_with("{env:"))
    });
    let mut process = parent;
    for _ in 0..FAR {
        if names_session(&env) {
            break;
        }
        let above = environment(process);
        if names_session(&above) {
            env.extend(above.into_iter().filter(|(name, _)| is_ours(name)));
        }
        let Some(next) = parent_of(process) else {
            break;
        };
        process = next;
    }
    env
}

fn names_session(env: &Env) -> bool {
    [CONTROL_VAR, ID_VAR]
        .iter()
        .any(|name| paths::var(env, name).is_some())
}

fn is_ours(name: &OsString) -> bool {
    [CONTROL_VAR, ID_VAR, "WRAPPER_STATE_DIR"]
        .iter()
        .any(|own| name == own)
}

/// What a process was started with; empty if we may not see it.
fn environment(process: Pid) -> Env {
    let read = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    read.split(|byte| *byte == 0)
        .filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Some((text(&pair[..at]), text(&pair[at + 1..])))
        })
        .collect()
}

fn parent_of(process: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, which may hold anything, ends with the last parenthesis.
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
    let parent = parent.parse().ok()?;
    (parent > 1).then(|| Pid::from_raw(parent))
}
