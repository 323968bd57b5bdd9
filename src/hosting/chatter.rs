//! What a server says to nobody in particular, into the session's log: its
//! standard error, and lines on its standard output that are no messages.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStderr;

use crate::types::identity::{ServerName, Token};
use crate::types::secret;
use crate::types::text::one_line;

/// Bytes that are read of one line, and characters of it that are told.
const LONGEST_LINE: u64 = 64 * 1024;
const LONGEST_TOLD: usize = 500;

/// The most lines that are logged in so long.
const MOST_LINES: u32 = 200;
const WINDOW: Duration = Duration::from_secs(10);

/// The ear for one process.
#[derive(Debug)]
pub(super) struct Chatter {
    pub(super) server: ServerName,
    pid: u32,
    secrets: Vec<Token>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    limit: Limit,
    /// The last line of standard error.
    last: Option<String>,
    was_noisy: bool,
}

/// Lets lines through, not too many of them.
#[derive(Debug, Default)]
struct Limit {
    since: Option<Instant>,
    lines: u32,
}

impl Chatter {
    pub(super) fn new(server: ServerName, pid: u32, secrets: Vec<Token>) -> Self {
        Self {
            server,
            pid,
            secrets,
            state: Mutex::default(),
        }
    }

    /// Logs what comes on standard error, to its end.
    pub(super) async fn listen(&self, errors: ChildStderr) {
        let mut errors = BufReader::new(errors);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut errors)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .await;
            match read {
                Ok(0) => return,
                Ok(_) => self.hear(&line),
                Err(error) => {
                    let server = &self.server;
                    return tracing::debug!(%server, %error, "a server's standard error broke");
                }
            }
        }
    }

    fn hear(&self, line: &[u8]) {
        let said = self.clean(line);
        if said.is_empty() {
            return;
        }
        let (server, pid) = (&self.server, self.pid);
        let mut state = self.state();
        let (may_tell, left_out) = state.limit.admit(Instant::now());
        if left_out > 0 {
            tracing::info!(%server, pid, left_out, "lines of a server's standard error");
        }
        if may_tell {
            tracing::info!(%server, pid, said, "standard error");
        }
        state.last = Some(said);
    }

    /// Notes a line on standard output that is no message: loudly the first
    /// time, as its author should know.
    pub(super) fn noise(&self, line: &[u8]) {
        let said = self.clean(&line[..line.len().min(4 * LONGEST_TOLD)]);
        let (server, pid) = (&self.server, self.pid);
        if std::mem::replace(&mut self.state().was_noisy, true) {
            tracing::debug!(%server, pid, said, "not a message on standard output");
        } else if !said.is_empty() {
            tracing::warn!(%server, pid, said, "a server prints what is no message on its standard output: skipped");
        }
    }

    /// The last line of standard error, safe to be shown.
    pub(super) fn last(&self) -> Option<String> {
        self.state().last.clone()
    }

    fn clean(&self, line: &[u8]) -> String {
        let masked = secret::mask(&String::from_utf8_lossy(line), &self.secrets);
        one_line(&masked, LONGEST_TOLD)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limit {
    /// Whether one more line may be told, and how many were left out before.
    fn admit(&mut self, now: Instant) -> (bool, u32) {
        let is_new = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= WINDOW);
        let mut left_out = 0;
        if is_new {
            left_out = self.lines.saturating_sub(MOST_LINES);
            *self = Self {
                since: Some(now),
                lines: 0,
            };
        }
        self.lines = self.lines.saturating_add(1);
        (self.lines <= MOST_LINES, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_when_they_are_too_many() {
        let mut limit = Limit::default();
        let start = Instant::now();
        let told = (0..1000).filter(|_| limit.admit(start).0).count();
        assert_eq!(told, MOST_LINES as usize);
        assert_eq!(limit.admit(start + WINDOW), (true, 800));
        assert_eq!(limit.admit(start + WINDOW), (true, 0));
        assert_eq!(limit.admit(start + WINDOW * 3), (true, 0));
    }

    #[test]
    fn what_is_told_holds_no_secret_and_no_control() {
        let name = "docs".parse().expect("a name");
        let chatter = Chatter::new(name, 1, vec![Token::new("hunter22")]);
        chatter.hear(b"\x1b[31mthe key is hunter22\r\n");
        assert_eq!(chatter.last().as_deref(), Some("[31mthe key is ****"));
        chatter.hear(b"\r\n");
        assert_eq!(chatter.last().as_deref(), Some("[31mthe key is ****"));
    }
}
