//! A request of the agent on its way to a server.

use std::sync::Arc;

use crate::types::identity::ServerName;

use super::guests::Beside;
use super::listen::Shared;
use super::session::Session;
use super::step::Step;
use super::target::{Carried, Door};

/// A request on its way.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) server: &'a ServerName,
    pub(super) door: Door<'a>,
    pub(super) step: Step,
    /// The agent's, if it is one that we know.
    pub(super) session: Option<&'a Arc<Session>>,
    /// What is shown beside the tools of the server.
    pub(super) beside: Option<&'a Beside>,
}

impl Errand<'_> {
    /// True if its answer is looked into.
    pub(super) fn is_read(&self) -> bool {
        match self.step {
            Step::Hello => true,
            Step::List { .. } => self.session.is_some() || self.beside.is_some(),
            Step::Started | Step::Other => false,
        }
    }

    /// True for messages that were read whole, and are answered where they came.
    pub(super) fn is_json(&self, carried: &Carried<'_>) -> bool {
        self.door == Door::Mcp && carried.request.is_json
    }
}
