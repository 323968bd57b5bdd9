//! A terminal that shows a session, and types into it.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::{Instant, sleep_until, timeout};

use super::Outcome;
use super::keys::{Keys, Typed};
use crate::cmd::signals::Signals;
use crate::control::attach::dial::{Attached, Says, Shows};
use crate::control::attach::frame::{Event, Said, Shown};
use crate::terminal::screen::Screen;
use crate::terminal::{DevTty, Tty};
use crate::types::size::TermSize;

/// How long a terminal may take for the rest of a sequence.
const SPLIT: Duration = Duration::from_millis(50);

/// How long whoever is stalled may hold us up.
const SHORT: Duration = Duration::from_secs(1);

/// Our terminal and what it shows.
pub(super) struct Look {
    tty: DevTty,
    shows: Shows,
    says: Says,
    keys: Keys,
    /// When a sequence that is not whole counts as it is.
    split: Option<Instant>,
    /// The agent's screen.
    screen: Screen,
    /// What stands on our terminal is not the session's: it is to be kept.
    is_fresh: bool,
    /// What our terminal has yet to take.
    waiting: BytesMut,
}

impl Look {
    pub(super) fn new(tty: DevTty, attached: Attached) -> Self {
        Self {
            screen: Screen::new(tty.size()),
            tty,
            shows: attached.shows,
            says: attached.says,
            keys: Keys::default(),
            split: None,
            is_fresh: true,
            waiting: BytesMut::new(),
        }
    }

    /// Shows and types until one of us ends it; then the terminal is as it was.
    pub(super) async fn follow(mut self, mut signals: Signals) -> Outcome {
        let mut buf = [0; 4096];
        let outcome = loop {
            let ended = tokio::select! {
                biased;
                read = self.tty.read(&mut buf) => match read {
                    Ok(n) if n > 0 => {
                        let typed = self.keys.take(&buf[..n]);
                        self.typed(typed).await
                    }
                    _ => Some(Outcome::HungUp),
                },
                kind = signals.next() => {
                    Some(Outcome::Signal(u8::try_from(kind.as_raw_value()).unwrap_or_default()))
                }
                () = self.tty.resized() => self.say(Said::Resize(self.tty.size())).await,
                () = until(self.split) => {
                    let typed = self.keys.pause();
                    self.typed(typed).await
                }
                written = self.tty.write(&self.waiting), if !self.waiting.is_empty() => match written {
                    Ok(n) => {
                        self.waiting.advance(n);
                        None
                    }
                    Err(_) => Some(Outcome::HungUp),
                },
                shown = self.shows.next(), if self.waiting.is_empty() => self.take(shown),
            };
            if let Some(outcome) = ended {
                break outcome;
            }
        };
        if !matches!(outcome, Outcome::HungUp) {
            self.leave(matches!(outcome, Outcome::Ended(_))).await;
        }
        outcome
    }

    /// Passes keys on, or leaves.
    async fn typed(&mut self, Typed { keys, leaves }: Typed) -> Option<Outcome> {
        self.split = self.keys.is_split().then(|| Instant::now() + SPLIT);
        if leaves {
            // A session that does not hear it sees us hang up.
            let _ = timeout(SHORT, self.says.say(&Said::Detach)).await;
            return Some(Outcome::Detached);
        }
        if keys.is_empty() {
            return None;
        }
        self.say(Said::Input(Bytes::from(keys))).await
    }

    async fn say(&mut self, said: Said) -> Option<Outcome> {
        match timeout(SHORT, self.says.say(&said)).await {
            Ok(Ok(())) => None,
            // What it showed last says why.
            Ok(Err(error)) => {
                tracing::debug!(%error, "the session hears nothing more");
                None
            }
            Err(_) => Some(Outcome::Gone("it takes no keys".to_owned())),
        }
    }

    /// Takes what the session shows.
    fn take(&mut self, shown: io::Result<Option<Shown>>) -> Option<Outcome> {
        match shown {
            Ok(Some(Shown::Hello(_))) => {}
            Ok(Some(Shown::Keyframe(size, bytes))) => self.redraw(size, &bytes),
            Ok(Some(Shown::Output(output))) => {
                self.screen.feed(&output);
                self.waiting.extend_from_slice(&output);
            }
            Ok(Some(Shown::Event(Event { text, .. }))) => {
                self.undo();
                let line = format!("\r\nwrapper: {text}\r\n");
                self.waiting.extend_from_slice(line.as_bytes());
                self.is_fresh = true;
            }
            Ok(Some(Shown::End(end))) => return Some(Outcome::Ended(end)),
            Ok(None) => return Some(Outcome::Gone("its process has ended".to_owned())),
            Err(error) => return Some(Outcome::Gone(error.to_string())),
        }
        None
    }

    /// Draws the whole screen.
    fn redraw(&mut self, size: TermSize, keyframe: &[u8]) {
        self.undo();
        if std::mem::take(&mut self.is_fresh) {
            // What stands there goes where it can be scrolled back to.
            let rows = usize::from(self.tty.size().rows);
            self.waiting.extend_from_slice(&b"\r\n".repeat(rows));
        }
        self.screen = Screen::new(size);
        self.screen.feed(keyframe);
        self.waiting.extend_from_slice(keyframe);
    }

    /// Takes back what the agent did to our terminal.
    fn undo(&mut self) {
        self.tty.note_alternate(self.screen.picture().alternate);
        self.waiting.extend_from_slice(&self.tty.undo());
    }

    /// Leaves the agent's last picture, with a new line below it.
    async fn leave(&mut self, has_ended: bool) {
        self.undo();
        self.tty.note_alternate(false);
        if !has_ended {
            let bottom = format!("\x1b[{};1H", self.tty.size().rows);
            self.waiting.extend_from_slice(bottom.as_bytes());
        }
        self.waiting.extend_from_slice(b"\r\n");
        let write = async {
            while !self.waiting.is_empty() {
                match self.tty.write(&self.waiting).await {
                    Ok(n) => self.waiting.advance(n),
                    Err(error) => return tracing::debug!(%error, "the terminal has gone"),
                }
            }
        };
        // A terminal that takes nothing must not hold up the end.
        let _ = timeout(SHORT, write).await;
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
