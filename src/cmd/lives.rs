//! What the agent is told at each of its lives, and what is put back after
//! the last.

use std::sync::Arc;

use tracing::error;

use super::launch::Launch;
use super::plan::{self, Wiring};
use crate::catalog::Catalog;
use crate::inject::{Applied, InjectPlan};
use crate::session::{Job, Why};
use crate::terminal::pty;

/// The lives of one agent. Dropped, what the last one was told is put back.
pub(super) struct Lives<'a> {
    launch: &'a Launch,
    wiring: Wiring,
    catalog: Arc<Catalog>,
    plan: InjectPlan,
    applied: Option<Applied>,
}

impl<'a> Lives<'a> {
    /// The first life, told by `plan`.
    pub(super) fn new(
        launch: &'a Launch,
        wiring: Wiring,
        catalog: Arc<Catalog>,
        applied: Applied,
        plan: InjectPlan,
    ) -> Self {
        Self {
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
        self.job(&[])
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
        self.job(resume).launch
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

    fn job(&self, resume: &[String]) -> Job {
        plan::job(
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
