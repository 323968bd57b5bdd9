//! A terminal with a program in it, whose bytes are read as fast as they come;
//! blocking.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wrapper::terminal::fd::winsize;

use super::{Failure, SIZE};

pub(crate) struct Outer {
    pub(crate) master: File,
    pub(crate) child: Child,
    pub(crate) buf: Vec<u8>,
    /// The end of what has come, so far as a marker may have begun in it.
    tail: Vec<u8>,
}

impl Outer {
    /// Runs a command, with these variables beside our own.
    pub(crate) fn run(
        command: &[impl AsRef<OsStr>],
        variables: &[(&str, &Path)],
    ) -> Result<Self, Failure> {
        let pair = nix::pty::openpty(&winsize(SIZE), None)?;
        let stdio = || pair.slave.try_clone().map(Stdio::from);
        let child = Command::new("setsid")
            .arg("--ctty")
            .args(command)
            .envs(variables.iter().copied())
            // Wherever the bench itself is run.
            .env("TERM", "xterm-256color")
            .env_remove("TMUX")
            .stdin(stdio()?)
            .stdout(stdio()?)
            .stderr(stdio()?)
            .spawn()?;
        Ok(Self {
            master: pair.master.into(),
            child,
            buf: vec![0; 256 * 1024],
            tail: Vec::new(),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.master.write_all(bytes)
    }

    /// Reads until a marker has come.
    pub(crate) fn until(&mut self, marker: &[u8]) -> io::Result<()> {
        self.tail.clear();
        loop {
            let n = self.master.read(&mut self.buf)?;
            let keep = self.tail.len().min(marker.len() - 1);
            self.tail.drain(..self.tail.len() - keep);
            self.tail.extend_from_slice(&self.buf[..n]);
            if memchr::memmem::find(&self.tail, marker).is_some() {
                return Ok(());
            }
        }
    }

    /// Reads on until there is no more, and the program has ended.
    pub(crate) fn end(mut self) -> io::Result<()> {
        // The end of the terminal is an error to Linux.
        while self.master.read(&mut self.buf).is_ok_and(|n| n > 0) {}
        self.child.wait().map(drop)
    }
}
