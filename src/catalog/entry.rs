//! One server of a session: what it is, what it will be, and what of that is
//! shown. Pure.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use super::shown::{self, Listed, Outcome, Route, Source, State, Type};
use crate::types::credential::Auth;
use crate::types::evidence::{Evidence, Step};
use crate::types::identity::ServerName;
use crate::types::secret;
use crate::types::server::{Command, Kind, Origin, Server};

/// A server's place in the catalog.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As it is used now.
    pub(super) current: Option<Server>,
    /// As the agent will be told of it when it starts the next time.
    pub(super) next: Option<Server>,
    /// The agent was told of `current` when it started.
    pub(super) is_told: bool,
    /// The agent connects to `current` by itself, past the proxy.
    pub(super) is_left: bool,
    /// What the last change came to.
    pub(super) verdict: Option<(Outcome, Option<String>)>,
    /// How often its tools had been listed when it became a guest.
    pub(super) listed_before: u64,
    /// The agent had the time to connect to it, and has not.
    pub(super) is_late: bool,
}

impl Entry {
    /// A server that the agent is about to be told of.
    pub(super) fn at_start(server: Server) -> Self {
        Self {
            current: None,
            next: Some(server),
            is_told: false,
            is_left: false,
            verdict: None,
            listed_before: 0,
            is_late: false,
        }
    }

    /// The agent starts again, and connects by itself to what `is_left` says.
    /// False if the server is gone with that.
    pub(super) fn adopt(&mut self, is_left: impl Fn(&Server) -> bool) -> bool {
        self.current.clone_from(&self.next);
        self.is_told = true;
        self.is_left = self.current.as_ref().is_some_and(is_left);
        self.is_late = false;
        if let Some((Outcome::PendingRestart, reason)) = &mut self.verdict {
            *reason = Some("the agent has not connected to it yet".to_owned());
        }
        self.current.is_some()
    }

    /// Its last change waits for the agent's next start.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.verdict, Some((Outcome::PendingRestart, _)))
    }

    /// Its tools stand beside the hub's.
    pub(super) fn is_guest(&self) -> bool {
        !self.is_told && self.current.is_some()
    }

    /// The agent has an entry that leads to the proxy.
    pub(super) fn is_proxied(&self) -> bool {
        let current = self.current.as_ref();
        let is_told = self.is_told && !self.is_left;
        is_told && current.is_some_and(|server| server.upstream().is_some())
    }

    /// Where its credential comes from, if it has one that lives.
    pub(super) fn auth(&self) -> Option<&Auth> {
        match &self.current.as_ref()?.kind {
            Kind::Remote(remote) => remote.auth.as_ref(),
            Kind::Command(_) => None,
        }
    }

    /// What is shown of it.
    pub(super) fn shown(
        &self,
        name: &ServerName,
        evidence: Evidence,
        held: Option<crate::credential::Status>,
        seen: Seen,
    ) -> Listed {
        let (state, verdict) = self.state(evidence, &seen);
        let (outcome, of_change) = verdict.unzip();
        let reason = self.reason(state, seen).or(of_change.flatten());
        let server = self.current.as_ref().or(self.next.as_ref());
        let (r#type, url, command) = match server.map(|server| &server.kind) {
            Some(Kind::Remote(remote)) => (Type::Remote, Some(remote.endpoint.to_string()), None),
            Some(Kind::Command(command)) => (Type::Local, None, Some(words(command))),
            None => (Type::Remote, None, None),
        };
        Listed {
            name: name.clone(),
            r#type,
            url,
            command,
            hosted: None,
            source: server.map_or(Source::Session, |server| match server.origin {
                Origin::Hub => Source::Hub,
                Origin::Project | Origin::Rewritten => Source::Project,
                Origin::Config => Source::Config,
                Origin::Session => Source::Session,
            }),
            route: self.route(),
            credential: server
                .and_then(credential_kind)
                .map(|kind| shown::Credential {
                    kind: kind.to_owned(),
                    expires_at: held.as_ref().and_then(|held| held.expires_at).map(time),
                    error: held.and_then(|held| Some(held.error?.to_string())),
                }),
            state,
            outcome,
            reason,
            evidence: evidence.step,
            evidence_at: time(evidence.at),
            initialized: evidence.initialized,
            listed: evidence.listed,
            called: evidence.called,
        }
    }

    fn route(&self) -> Route {
        match &self.current {
            None => Route::None,
            Some(_) if self.is_guest() => Route::Guest,
            Some(server) if !self.is_left && server.upstream().is_some() => Route::Proxy,
            Some(_) => Route::Agent,
        }
    }

    /// How it stands by now: what was waited for may have come since.
    fn state(&self, evidence: Evidence, seen: &Seen) -> (State, Option<(Outcome, Option<String>)>) {
        let is_applied = matches!(self.verdict, Some((Outcome::Applied, _)));
        let verdict = self.verdict.clone();
        let is_settled = if self.is_guest() {
            evidence.listed > self.listed_before
        } else {
            self.current == self.next
        };
        let step = if self.is_proxied() {
            Step::Initialized
        } else {
            Step::Delivered
        };
        match verdict {
            verdict if !is_settled => (State::PendingRestart, verdict),
            verdict if seen.is_untold => (State::Untold, verdict),
            verdict if seen.trouble.is_some() => (State::Failed, verdict),
            verdict if self.route() == Route::Agent => {
                let verdict = match verdict {
                    Some((Outcome::PendingRestart, _)) if evidence.step >= step => {
                        Some((Outcome::Applied, None))
                    }
                    verdict => verdict,
                };
                (State::Unseen, verdict)
            }
            Some((Outcome::PendingRestart, _)) if evidence.step >= step => {
                (State::Ready, Some((Outcome::Applied, None)))
            }
            verdict if evidence.step >= Step::Initialized || is_applied => (State::Ready, verdict),
            verdict if self.is_late => (State::Unconnected, verdict),
            verdict => (State::Waiting, verdict),
        }
    }

    /// Why the state is none that is wished for.
    fn reason(&self, state: State, seen: Seen) -> Option<String> {
        let failed_before = matches!(self.verdict, Some((Outcome::Failed, _)));
        match state {
            // What is left out has no entry here.
            State::Ready | State::PendingRestart | State::LeftOut => None,
            // What came of the last change is the news.
            State::Waiting | State::Unseen if failed_before => None,
            State::Waiting => Some("the agent has not connected to it yet".to_owned()),
            State::Unseen => Some("the agent connects to it by itself".to_owned()),
            State::Unconnected => Some("the agent has not connected to it".to_owned()),
            State::Untold => {
                Some("this agent is told of no servers: it has no `mcp_inject`".to_owned())
            }
            State::Failed => seen.trouble,
        }
    }
}

/// What is known of a server besides its entry.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What was wrong with it at last.
    pub(super) trouble: Option<String>,
    /// The agent is told of no servers.
    pub(super) is_untold: bool,
}

/// A command as it may be shown: its arguments if none looks like a
/// credential.
fn words(command: &Command) -> String {
    let is_open = |arg: &String| !secret::is_likely(arg, arg);
    if command.is_private || !command.args.iter().all(is_open) {
        let program = if command.is_private {
            "****"
        } else {
            &command.program
        };
        return format!("{program} ****");
    }
    let words = std::iter::once(&command.program).chain(&command.args);
    words.cloned().collect::<Vec<_>>().join(" ")
}

fn credential_kind(server: &Server) -> Option<&'static str> {
    match (&server.kind, server.origin) {
        (_, Origin::Hub) => Some("identity"),
        (Kind::Command(_), _) => None,
        (Kind::Remote(remote), _) => match &remote.auth {
            Some(auth) => Some(auth.source.kind()),
            None => (!remote.headers.is_empty()).then_some("headers"),
        },
    }
}

pub(super) fn time(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}
