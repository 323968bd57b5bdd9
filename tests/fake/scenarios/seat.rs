//! A wrapper in a terminal, and what its agent has seen.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::time::timeout;
use wrapper::terminal::Launch;

use crate::outer::Outer;
use crate::world::soon;

/// How long a wrapper may take to end.
const LAST: Duration = Duration::from_secs(30);

pub(crate) struct Seat {
    outer: Outer,
    /// Where it runs; no other seat does.
    pub(crate) dir: PathBuf,
    /// Of the wrapper.
    pub(crate) pid: Pid,
}

impl Seat {
    pub(crate) fn launch(
        program: &Path,
        agent: &str,
        args: &[&str],
        env: BTreeMap<OsString, OsString>,
        dir: PathBuf,
    ) -> Result<Self> {
        let words = [agent, "--"].into_iter().chain(args.iter().copied());
        let launch = Launch {
            program: program.into(),
            args: words.map(Into::into).collect(),
            env,
            cwd: dir.clone(),
        };
        let outer = Outer::run(&launch)?;
        Ok(Self {
            outer,
            dir,
            pid: Pid::from_raw(0),
        })
    }

    pub(crate) fn screen(&self) -> String {
        self.outer.text()
    }

    pub(crate) async fn press(&self, keys: &str) -> Result<()> {
        self.outer.press(keys.as_bytes()).await
    }

    /// Waits until the screen shows a text.
    pub(crate) async fn shows(&self, text: &str) -> Result<()> {
        let found = soon(format!("the screen shows `{text}`"), || async {
            Ok(self.screen().contains(text).then_some(()))
        });
        found.await.with_context(|| self.screen())
    }

    /// What the agent has seen: values under a key, in order.
    pub(crate) fn seen(&self, key: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.join("report")).unwrap_or_default();
        let entries = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries
            .filter_map(|mut entry| entry.get_mut(key).map(Value::take))
            .collect()
    }

    /// The lines that were submitted.
    pub(crate) fn prompts(&self) -> Vec<String> {
        let prompts = self.seen("prompt").into_iter();
        prompts
            .filter_map(|prompt| prompt.as_str().map(str::to_owned))
            .collect()
    }

    /// Waits until so many values under a key were seen; all of them.
    pub(crate) async fn sees(&self, key: &str, times: usize) -> Result<Vec<Value>> {
        let found = soon(format!("{times} times `{key}`"), || async {
            let seen = self.seen(key);
            Ok((seen.len() >= times).then_some(seen))
        });
        let screen = || {
            format!(
                "seen were {:?}; the screen: {}",
                self.seen(key),
                self.screen()
            )
        };
        found.await.with_context(screen)
    }

    /// Waits until a prompt was submitted that contains this.
    pub(crate) async fn prompted(&self, with: &str) -> Result<()> {
        let found = soon(format!("a prompt with `{with}`"), || async {
            let found = self.prompts().iter().any(|prompt| prompt.contains(with));
            Ok(found.then_some(()))
        });
        let seen = || {
            format!(
                "prompts were {:?}; the screen: {}",
                self.prompts(),
                self.screen()
            )
        };
        found.await.with_context(seen)
    }

    /// Signals the wrapper.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal)?;
        Ok(())
    }

    /// Ends the agent, and waits for the wrapper.
    pub(crate) async fn leave(mut self) -> Result<()> {
        self.press("/exit 0\r").await?;
        let exit = self.ended().await?;
        ensure!(exit == "Code(0)", "the wrapper ended with {exit}");
        Ok(())
    }

    /// Waits for the end of the wrapper; how it ended.
    pub(crate) async fn ended(&mut self) -> Result<String> {
        let exit = timeout(LAST, self.outer.wait()).await;
        let exit = exit.context("the wrapper does not end")??;
        Ok(format!("{exit:?}"))
    }

    /// Closes the terminal, as a window does, and waits for the wrapper.
    pub(crate) async fn hang_up(self) -> Result<()> {
        let Outer {
            open, mut process, ..
        } = self.outer;
        drop(open);
        timeout(LAST, process.wait())
            .await
            .context("the wrapper does not end")??;
        Ok(())
    }
}
