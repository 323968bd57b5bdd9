//! What the agent is told at each of its lives, and what is put back after
//! the last.

use std::sync::Arc;

use tracing::error;

use super::launch::Launch;
use super::manifest;
use super::plan::{self, Wiring};
use crate::catalog::Catalog;
use crate::inject::{Applied, InjectPlan};
use crate::report;
use crate::session::detect::Manifest;
use crate::session::{Job, Why};
use crate::terminal::pty;

/// The lives of one agent. Dropped, what the last one was told is put back.
pub(super) struct Lives<'a> {
    launch: &'a Launch,
    wiring: Wiring,
    catalog: Arc<Catalog>,
    plan: InjectPlan,
    applied: Option<Applied>,
    manifest: Manifest,
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
        }
    }

    /// The agent's first life.
    pub(super) fn first(&self) -> Job {
        self.catalog.delivered();
        let spec = &self.launch.spec;
        Job {
            launch: self.launch(&[]),
            restart: spec.restart,
            pacing: spec.pacing,
            manifest: self.manifest.clone(),
        }
    }

    /// What is run next: the agent is told of its servers as they are by now.
    /// If that cannot be, it is told what it was told before.
    pub(super) fn next(&mut self, why: Why) -> pty::Launch {
        self.wiring.servers = self.catalog.adopt();
        if let Err(error) = self.tell() {
            error!(
                error = format!("{error:#}"),
                "the agent is not told of its servers as they are by now"
            );
        } else {
            self.catalog.delivered();
        }
        let resume = match why {
            Why::Asked { resume: true } => self.launch.spec.resume_args.as_slice(),
            Why::Asked { resume: false } | Why::Died => &[],
        };
        self.launch(resume)
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
