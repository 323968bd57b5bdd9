//! What the agent is told at each of its lives, and what is put back after
//! the last.

use std::sync::Arc;

use tracing::{error, info};

use super::launch::Launch;
use super::manifest;
use super::plan::{self, Wiring};
use super::talk;
use crate::catalog::Catalog;
use crate::inject::{Applied, InjectPlan};
use crate::report;
use crate::session::detect::Manifest;
use crate::session::{Job, Prepared, Start};
use crate::terminal::pty;
use crate::types::conversation::Conversation;
use crate::types::identity::uuid;

/// The lives of one agent. Dropped, what the last one was told is put back.
pub(super) struct Lives<'a> {
    launch: &'a Launch,
    wiring: Wiring,
    catalog: Arc<Catalog>,
    plan: InjectPlan,
    applied: Option<Applied>,
    manifest: Manifest,
    conversation: Conversation,
}

impl<'a> Lives<'a> {
    /// The first life, told by `plan`. A manifest that cannot be used is told
    /// to the user, whose terminal is not ours yet.
    pub(super) fn new(
        launch: &'a Launch,
        wiring: Wiring,
        catalog: Arc<Catalog>,
        applied: Applied,
        plan: InjectPlan,
    ) -> Self {
        let spec = &launch.spec;
        let (manifest, unused) =
            manifest::of(&launch.setting.env, spec.name.as_str(), &spec.command);
        if let Some(why) = unused {
            report::warning(why);
        }
        Self {
            manifest,
            launch,
            wiring,
            catalog,
            plan,
            applied: Some(applied),
            conversation: talk::of(&launch.spec, &launch.agent_args),
        }
    }

    /// The agent's first life.
    pub(super) fn first(&mut self) -> Job {
        self.catalog.delivered();
        let words = if self.launch.resume {
            self.conversation.last()
        } else {
            None
        };
        let spec = &self.launch.spec;
        Job {
            life: self.prepare(words),
            restart: spec.restart,
            pacing: spec.pacing,
            manifest: self.manifest.clone(),
        }
    }

    /// What is run next: the agent is told of its servers as they are by now.
    /// If that cannot be, it is told what it was told before.
    pub(super) async fn next(&mut self, start: Start) -> Prepared {
        self.wiring.servers = self.catalog.adopt();
        if let Err(error) = self.tell() {
            error!(
                error = format!("{error:#}"),
                "the agent is not told of its servers as they are by now"
            );
        } else {
            self.catalog.delivered();
        }
        let words = match start {
            Start::GoOn => self.conversation.go_on(self.has_twin().await),
            Start::Afresh => None,
        };
        self.prepare(words)
    }

    /// True if another session runs the same agent in the same directory.
    async fn has_twin(&self) -> bool {
        let (launch, us) = (self.launch, &self.wiring.context.id);
        talk::twin(&launch.setting.env, &launch.spec, Some(us))
            .await
            .is_some()
    }

    /// A life that goes on with a conversation by these words, or begins one.
    fn prepare(&mut self, words: Option<Vec<String>>) -> Prepared {
        let resumes = words.is_some();
        let words = words.unwrap_or_else(|| self.conversation.begin(uuid()));
        info!(resumes, id = self.conversation.id(), "a conversation");
        Prepared {
            launch: self.launch(&words),
            resumes,
        }
    }

    fn tell(&mut self) -> anyhow::Result<()> {
        let plan = (self.wiring.plan(&self.launch.spec)).map_err(|failure| failure.error)?;
        if plan == self.plan && self.applied.is_some() {
            return Ok(());
        }
        // What was there before is put back first: the same places are written.
        self.applied = None;
        let told = plan.apply(&self.wiring.dir);
        let (applied, result) = match told {
            Ok(applied) => {
                self.plan = plan;
                (Some(applied), Ok(()))
            }
            Err(error) => (self.plan.apply(&self.wiring.dir).ok(), Err(error)),
        };
        self.applied = applied;
        result
    }

    fn launch(&self, resume: &[String]) -> pty::Launch {
        plan::launch(
            &self.launch.spec,
            &self.launch.setting.env,
            &self.launch.program,
            resume,
            &self.launch.agent_args,
            &self.plan,
            &self.wiring.context,
        )
    }
}
