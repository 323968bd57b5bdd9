//! One run of a command that prints a credential: no shell, no input, a
//! deadline, and its own process group.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::Stdio;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::parse::LONGEST;
use crate::types::credential::TokenCommand;
use crate::types::text::one_line;

/// What the command prints on its standard output, if it succeeds in time.
///
/// # Errors
/// One line that has nothing of that output.
pub(super) async fn run(
    command: &TokenCommand,
    env: Vec<(OsString, OsString)>,
) -> Result<Vec<u8>, String> {
    let (program, args) = (command.argv.split_first()).ok_or("its command has no words")?;
    let shown = one_line(program, 80);
    let cannot = |error: io::Error| format!("cannot run `{shown}`: {error}");
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // It may speak of credentials there: nobody hears it.
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(cannot)?;
    let mut group = Group::of(&child);
    let mut said = Said::default();
    let ended = timeout(command.timeout, said.listen(&mut child)).await;
    let status = match ended {
        Err(_) => {
            let limit = humantime::format_duration(command.timeout);
            return Err(format!("`{shown}` took longer than {limit}"));
        }
        Ok(Err(error)) => return Err(cannot(error)),
        Ok(Ok(None)) => return Err(format!("`{shown}` printed more than 64 kB")),
        Ok(Ok(Some(status))) => status,
    };
    // It has ended of itself, and its number may be another's soon.
    group.0 = None;
    if status.success() {
        Ok(said.printed)
    } else {
        Err(format!("`{shown}` failed with {status}"))
    }
}

/// What a command has said so far.
#[derive(Debug, Default)]
struct Said {
    printed: Vec<u8>,
}

impl Said {
    /// Listens until the command has ended; None if it says too much. What it
    /// leaves running may keep its output open: that is not waited for.
    async fn listen(&mut self, child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
        let mut out = child.stdout.take();
        let status = loop {
            tokio::select! {
                read = more(&mut out, &mut self.printed) => read?,
                status = child.wait() => break status?,
            }
            if self.printed.len() > LONGEST {
                return Ok(None);
            }
        };
        if let Some(out) = out {
            rest(&out, &mut self.printed)?;
        }
        Ok((self.printed.len() <= LONGEST).then_some(status))
    }
}

/// Reads more of a pipe that is open; closes one that has ended. Waits for ever
/// where there is none.
async fn more(pipe: &mut Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(open) = pipe else {
        return std::future::pending().await;
    };
    if open.read_buf(into).await? == 0 {
        *pipe = None;
    }
    Ok(())
}

/// Reads what waits in a pipe whose writer has ended.
fn rest(pipe: &impl AsFd, into: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    while into.len() <= LONGEST {
        match nix::unistd::read(pipe, &mut piece) {
            Ok(0) | Err(Errno::EAGAIN) => break,
            Ok(n) => into.extend_from_slice(&piece[..n]),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A command and all that it has started, killed when nobody waits for it any
/// more.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0
            && let Err(error) = killpg(id, Signal::SIGKILL)
        {
            tracing::debug!(%error, "a credential's command cannot be killed");
        }
    }
}
