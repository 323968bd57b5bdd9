//! A terminal that shows a session, and types into it.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::{Instant, sleep_until, timeout};

use super::Outcome;
use super::keys::{Keys, Typed};
use crate::cmd::signals::{self, Signals};
use crate::control::attach::dial::{Attached, Says, Shows};
use crate::control::attach::frame::{Event, Said, Shown};
use crate::terminal::screen::Screen;
use crate::terminal::{DevTty, Tty};
use crate::types::size::TermSize;

/// How long a terminal may take for the rest of a sequence.
const SPLIT: Duration = Duration::from_millis(50);

/// How often a part of a screen is drawn that has another size than ours.
const FRAME: Duration = Duration::from_millis(40);

/// How long whoever is stalled may hold us up.
const SHORT: Duration = Duration::from_secs(1);

/// What stands between is drawn at once, by terminals that can. (The
/// specification of synchronized output, by Christian Parpart.)
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// A title is pushed on the terminal's stack, and popped. (xterm's.)
const PUSH: &[u8] = b"\x1b[22;0t";
const POP: &[u8] = b"\x1b[23;0t";

/// Our terminal and what it shows.
pub(super) struct Look {
    tty: DevTty,
    shows: Shows,
    says: Says,
    keys: Keys,
    /// When a sequence that is not whole counts as it is.
    split: Option<Instant>,
    /// The size that the session knows.
    told: TermSize,
    /// It takes sizes in pixels.
    takes_pixels: bool,
    /// The agent's screen.
    screen: Screen,
    /// It has another size than our terminal, which shows a part of it, and
    /// whether that is of the alternate screen.
    part: Option<bool>,
    /// How many titles the agent has pushed on our terminal's stack.
    titles: usize,
    /// When a part that is out of date is drawn again.
    due: Option<Instant>,
    /// What stands on our terminal is not the session's: it is to be kept.
    is_fresh: bool,
    /// What our terminal has yet to take.
    waiting: BytesMut,
}

impl Look {
    pub(super) fn new(tty: DevTty, attached: Attached) -> Self {
        Self {
            told: attached.size,
            takes_pixels: false,
            screen: Screen::new(attached.size),
            part: None,
            titles: 0,
            due: None,
            tty,
            shows: attached.shows,
            says: attached.says,
            keys: Keys::default(),
            split: None,
            is_fresh: true,
            waiting: BytesMut::from(PUSH),
        }
    }

    /// Shows and types until one of us ends it; then the terminal is as it was.
    pub(super) async fn follow(mut self, mut heard: Signals) -> Outcome {
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
                kind = heard.next() => Some(Outcome::Signal(signals::exit(kind))),
                () = self.tty.resized() => self.resize().await,
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
                () = until(self.due), if self.waiting.is_empty() => {
                    let undo = self.undo();
                    self.draw_part(&undo);
                    None
                }
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
        // Keys may be there before the signal that tells of another size.
        if self.tty.size() != self.told
            && let Some(outcome) = self.resize().await
        {
            return Some(outcome);
        }
        self.say(Said::Input(Bytes::from(keys))).await
    }

    async fn resize(&mut self) -> Option<Outcome> {
        self.told = self.tty.size();
        let told = if self.takes_pixels {
            self.told
        } else {
            self.told.cells()
        };
        self.say(Said::Resize(told)).await
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
            Ok(Some(Shown::Hello(hello))) => self.takes_pixels = hello.pixels,
            Ok(Some(Shown::Keyframe(size, bytes))) => {
                let undo = self.undo();
                self.screen = Screen::new(size);
                self.screen.feed(&bytes);
                self.part = None;
                self.titles = self.screen.titles();
                if size == self.tty.size().cells() {
                    self.draw(&undo, &bytes);
                } else {
                    self.draw_part(&undo);
                }
            }
            Ok(Some(Shown::Output(output))) => {
                self.screen.feed(&output);
                if self.part.is_none() {
                    self.waiting.extend_from_slice(&output);
                    self.titles = self.screen.titles();
                } else {
                    self.due.get_or_insert_with(|| Instant::now() + FRAME);
                }
            }
            Ok(Some(Shown::Event(Event { text, .. }))) => {
                let undo = self.undo();
                self.waiting.extend_from_slice(&undo);
                let line = format!("\r\nwrapper: {text}\r\n");
                self.waiting.extend_from_slice(line.as_bytes());
                self.screen = Screen::new(self.screen.size());
                (self.part, self.due, self.is_fresh) = (None, None, true);
            }
            Ok(Some(Shown::End(end))) => return Some(Outcome::Ended(end.how)),
            Ok(None) => return Some(Outcome::Gone("its process has ended".to_owned())),
            Err(error) => return Some(Outcome::Gone(error.to_string())),
        }
        None
    }

    /// Draws what our terminal has room for, with the cursor in it.
    fn draw_part(&mut self, undo: &[u8]) {
        let mut part = Screen::new(self.screen.size());
        part.feed(&self.screen.keyframe());
        part.resize(self.tty.size());
        self.draw(undo, &part.keyframe());
        self.part = Some(part.picture().alternate);
        self.titles = part.titles();
        self.due = None;
    }

    /// Draws a whole screen in the place of what `undo` takes back.
    fn draw(&mut self, undo: &[u8], keyframe: &[u8]) {
        self.waiting.extend_from_slice(BEGIN);
        let (before, after) = match memchr::memmem::find(undo, END) {
            Some(at) => (&undo[..at], &undo[at + END.len()..]),
            None => (undo, &[][..]),
        };
        self.waiting.extend_from_slice(before);
        self.waiting.extend_from_slice(after);
        if std::mem::take(&mut self.is_fresh) {
            // What stands there goes where it can be scrolled back to.
            let rows = b"\r\n".repeat(self.tty.size().rows.into());
            self.waiting.extend_from_slice(&rows);
        }
        self.waiting.extend_from_slice(keyframe);
        self.waiting.extend_from_slice(END);
    }

    /// What takes back what the agent did to our terminal.
    fn undo(&mut self) -> Vec<u8> {
        let alternate = self.part.unwrap_or_else(|| self.screen.picture().alternate);
        self.tty.note_alternate(alternate);
        let mut undo = self.tty.undo();
        undo.extend(POP.repeat(std::mem::take(&mut self.titles)));
        undo
    }

    /// Leaves the agent's last picture, with a new line below it.
    async fn leave(&mut self, has_ended: bool) {
        let undo = self.undo();
        self.waiting.extend_from_slice(&undo);
        self.waiting.extend_from_slice(POP);
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
