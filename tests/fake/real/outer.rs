//! The user's terminal, outside the wrapper: a PTY whose screen can be shown.
//! Nobody answers what the agent asks the terminal.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use wrapper::terminal::screen::Screen;
use wrapper::terminal::{Launch, Process, Pty};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

const SIZE: TermSize = TermSize {
    rows: 40,
    cols: 120,
};

pub(crate) struct Outer {
    pty: Arc<Pty>,
    process: Process,
    screen: Arc<Mutex<Screen>>,
    reader: JoinHandle<()>,
}

impl Outer {
    /// Runs a program in a new terminal.
    pub(crate) fn run(launch: &Launch) -> Result<Self> {
        let (pty, process) = Pty::spawn(launch, SIZE)?;
        let pty = Arc::new(pty);
        let screen = Arc::new(Mutex::new(Screen::new(SIZE)));
        let reader = tokio::spawn(read(Arc::clone(&pty), Arc::clone(&screen)));
        Ok(Self {
            pty,
            process,
            screen,
            reader,
        })
    }

    /// Presses keys.
    pub(crate) async fn press(&self, keys: &[u8]) -> Result<()> {
        self.pty
            .write(keys)
            .await
            .context("cannot write to the terminal")?;
        Ok(())
    }

    /// Pastes text as a user does; Enter is another thing.
    pub(crate) async fn paste(&self, text: &str) -> Result<()> {
        self.press(format!("\x1b[200~{text}\x1b[201~").as_bytes())
            .await
    }

    pub(crate) async fn wait(&mut self) -> Result<AgentExit> {
        Ok(self.process.wait().await?)
    }

    /// What stands on the screen, without the blank rows at its end.
    pub(crate) fn text(&self) -> String {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.picture().rows.join("\n").trim_end().to_owned()
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Shows what comes until the terminal is closed.
async fn read(pty: Arc<Pty>, screen: Arc<Mutex<Screen>>) {
    let mut buf = vec![0; 1 << 16];
    while let Ok(count @ 1..) = pty.read(&mut buf).await {
        screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .feed(&buf[..count]);
    }
}
