//! The user's terminal, outside the wrapper: a PTY whose screen can be shown.
//! It does not answer what the agent asks it, unless it is made to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use wrapper::terminal::screen::{Picture, Screen};
use wrapper::terminal::{Launch, Process, Pty};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use crate::wait::{SETTLED, until};

const SIZE: TermSize = TermSize::new(40, 120);

pub(crate) struct Outer {
    /// The terminal, and who reads it; without them it is closed.
    pub(crate) open: (Arc<Pty>, AbortOnDropHandle<()>),
    pub(crate) process: Process,
    seen: Arc<Mutex<Seen>>,
}

/// What was written to the terminal, and what that makes.
struct Seen {
    bytes: Vec<u8>,
    screen: Screen,
}

impl Outer {
    /// Runs a program in a new terminal.
    pub(crate) fn run(launch: &Launch) -> Result<Self> {
        Self::sized(launch, SIZE)
    }

    /// Runs a program in a new terminal of this size.
    pub(crate) fn sized(launch: &Launch, size: TermSize) -> Result<Self> {
        Self::with(launch, Screen::new(size))
    }

    /// Runs a program in a new terminal of this size, which answers.
    pub(crate) fn answering(launch: &Launch, size: TermSize) -> Result<Self> {
        Self::with(launch, Screen::answering(size))
    }

    fn with(launch: &Launch, screen: Screen) -> Result<Self> {
        let (pty, process) = Pty::spawn(launch, screen.size())?;
        let pty = Arc::new(pty);
        let seen = Arc::new(Mutex::new(Seen {
            bytes: Vec::new(),
            screen,
        }));
        let reader = tokio::spawn(read(Arc::clone(&pty), Arc::clone(&seen)));
        let reader = AbortOnDropHandle::new(reader);
        Ok(Self {
            open: (pty, reader),
            process,
            seen,
        })
    }

    /// Presses keys.
    pub(crate) async fn press(&self, keys: &[u8]) -> Result<()> {
        let (pty, _) = &self.open;
        pty.write(keys)
            .await
            .context("cannot write to the terminal")?;
        Ok(())
    }

    /// Pastes a prompt as a user does, and presses Enter once it is there.
    pub(crate) async fn prompt(&self, text: &str) -> Result<()> {
        self.press(format!("\x1b[200~{text}\x1b[201~").as_bytes())
            .await?;
        // A narrow box breaks a long text.
        let line = text.lines().next().unwrap_or_default();
        let start: String = line.chars().take(20).collect();
        self.shown(&[&start]).await?;
        sleep(SETTLED).await;
        self.press(b"\r").await
    }

    /// Waits until one of these stands on the screen.
    pub(crate) async fn shown(&self, texts: &[&str]) -> Result<()> {
        until(|| async {
            let screen = self.text();
            Ok(texts.iter().any(|text| screen.contains(text)).then_some(()))
        })
        .await
    }

    pub(crate) async fn wait(&mut self) -> Result<AgentExit> {
        Ok(self.process.wait().await?)
    }

    /// What stands on the screen, without the blank rows at its end.
    pub(crate) fn text(&self) -> String {
        self.picture().rows.join("\n").trim_end().to_owned()
    }

    /// True if what runs has asked for bracketed pastes.
    pub(crate) fn takes_pastes(&self) -> bool {
        self.picture().bracketed_paste
    }

    pub(crate) fn picture(&self) -> Picture {
        self.seen().screen.picture()
    }

    /// Everything that was written so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen().bytes.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows what comes until the terminal is closed, and answers.
async fn read(pty: Arc<Pty>, seen: Arc<Mutex<Seen>>) {
    let mut buf = vec![0; 1 << 16];
    while let Ok(count @ 1..) = pty.read(&mut buf).await {
        let answers = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.screen.feed(&buf[..count]);
            seen.bytes.extend_from_slice(&buf[..count]);
            seen.screen.answers()
        };
        let mut left = &answers[..];
        while let Ok(count @ 1..) = pty.write(left).await {
            left = &left[count..];
        }
    }
}
