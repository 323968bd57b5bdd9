//! Where a session runs: in the terminal of its user, or in the background.
//! Everything that an agent goes through takes its keys from one terminal and
//! does not know which it is: the session's own, or one that has attached.

use anyhow::{Result, bail, ensure};
use wrapper::report;
use wrapper::types::exit::AgentExit;

use crate::chat;
use crate::ending::show;
use crate::outer::Outer;
use crate::wait::until;
use crate::world::World;

/// Where a session runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// In the user's terminal.
    Fore,
    /// Without one, by `-d`.
    Back,
}

impl Ground {
    /// The options of such a launch.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Fore => &["--trust-project"],
            Self::Back => &["-d", "--trust-project"],
        }
    }

    /// What an agent is called in the report.
    pub(crate) fn label(self, agent: &str) -> String {
        match self {
            Self::Fore => agent.to_owned(),
            Self::Back => format!("{agent} -d"),
        }
    }

    /// Waits until a launch in `outer` has come to something; the session's
    /// name. In the background the launch is over by then.
    pub(crate) async fn registered(
        self,
        agent: &str,
        world: &World,
        outer: &mut Outer,
    ) -> Result<String> {
        if self == Self::Fore {
            return tokio::select! {
                name = chat::registered(agent, world) => name,
                exit = outer.wait() => bail!("the wrapper ended with {:?}", exit?),
            };
        }
        let exit = outer.wait().await?;
        ensure!(exit == AgentExit::Code(0), "the launch ended with {exit:?}");
        let name = chat::registered(agent, world).await?;
        // What was written last may come after the end.
        until(|| async { Ok((outer.text().lines().last() == Some(&*name)).then_some(())) }).await?;
        Ok(name)
    }

    /// Shows where a session has failed: the user's terminal, and the agent's
    /// where that is another.
    pub(crate) async fn show(self, agent: &str, world: &World, outer: &Outer) {
        show(outer, world);
        if self == Self::Fore {
            return;
        }
        match world.json(&["screen", agent, "--json"]).await {
            Ok(shown) => report::line(format_args!(
                "--- the agent is {}, its cursor at {}\n{}\n---",
                shown["state"],
                shown["cursor"],
                shown["text"].as_str().unwrap_or_default()
            )),
            Err(error) => report::line(format_args!("--- the agent shows nothing: {error:#}")),
        }
    }
}
