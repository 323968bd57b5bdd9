//! The user's terminal in tests: runs a program in a real PTY, shows what it
//! writes, types what the user would type.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use nix::sys::termios::{Termios, tcgetattr};
use wrapper::terminal::screen::{Picture, Screen};
use wrapper::terminal::{Launch, Process, Pty};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use super::soon;

/// A terminal with a program in it, which ends with it.
pub(crate) struct Outer {
    pty: Pty,
    process: Process,
    screen: Screen,
    /// Everything that was written so far.
    pub(crate) bytes: Vec<u8>,
    closed: bool,
}

impl Outer {
    /// Starts a program in a terminal of that size, in this process's
    /// directory, with its environment and `env`.
    #[track_caller]
    pub(crate) fn run(size: TermSize, program: &str, args: &[&str], env: &[(&str, &Path)]) -> Self {
        let here = std::env::current_dir().expect("a directory");
        Self::started(size, program, args, env, &here)
    }

    /// As [`Outer::run`], in another directory.
    #[track_caller]
    pub(crate) fn started(
        size: TermSize,
        program: &str,
        args: &[&str],
        env: &[(&str, &Path)],
        cwd: &Path,
    ) -> Self {
        let mut whole: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        whole.extend(
            env.iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        );
        let launch = Launch {
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            env: whole,
            cwd: cwd.to_owned(),
        };
        let (pty, process) = Pty::spawn(&launch, size).expect("the program starts");
        Self {
            pty,
            process,
            screen: Screen::new(size),
            bytes: Vec::new(),
            closed: false,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What the user sees now.
    pub(crate) fn picture(&mut self) -> Picture {
        self.screen.picture()
    }

    /// Waits until the screen shows a text.
    pub(crate) async fn shows(&mut self, text: &str) {
        self.until(text, |outer| outer.picture().rows.join("\n").contains(text))
            .await;
    }

    /// Waits until the output, scrolled away or not, satisfies a test.
    pub(crate) async fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        soon(what, async {
            while !done(self) {
                assert!(
                    self.read().await,
                    "ended before {what}: {:#?}",
                    self.picture().rows
                );
            }
        })
        .await;
    }

    /// Types as the user.
    pub(crate) async fn keys(&mut self, mut keys: &[u8]) {
        while !keys.is_empty() {
            let n = soon("keys taken", self.pty.write(keys))
                .await
                .expect("written");
            keys = &keys[n..];
        }
    }

    pub(crate) fn resize(&mut self, size: TermSize) {
        self.screen.resize(size);
        self.pty.resize(size).expect("resized");
    }

    /// The terminal's settings, as the program sees them.
    pub(crate) fn termios(&self) -> Termios {
        tcgetattr(&self.pty).expect("a terminal")
    }

    /// Closes the terminal, as a window does.
    pub(crate) fn hang_up(self) -> Process {
        self.process
    }

    /// Ends a fake agent, and the program with it, by a key that it takes
    /// anywhere but in a dialog.
    pub(crate) async fn leave(mut self) {
        self.keys(b"\x04").await;
        assert_eq!(self.end().await, AgentExit::Code(0));
    }

    /// Reads to the end, and returns how the program ended.
    pub(crate) async fn end(&mut self) -> AgentExit {
        soon("the program's end", async {
            loop {
                tokio::select! {
                    biased;
                    more = read(&self.pty, &mut self.screen, &mut self.bytes), if !self.closed => self.closed = !more,
                    exit = self.process.wait() => return exit.expect("waited"),
                }
            }
        })
        .await
    }

    /// Reads once; false at the end.
    pub(crate) async fn read(&mut self) -> bool {
        let more = read(&self.pty, &mut self.screen, &mut self.bytes).await;
        self.closed |= !more;
        more
    }
}

async fn read(pty: &Pty, screen: &mut Screen, bytes: &mut Vec<u8>) -> bool {
    let mut buf = vec![0; 65536];
    let n = pty.read(&mut buf).await.expect("read");
    screen.feed(&buf[..n]);
    bytes.extend_from_slice(&buf[..n]);
    n > 0
}
