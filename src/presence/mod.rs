//! Keeps the session registered under one name for life: heartbeats, registers
//! again when the hub has forgotten us, publishes the identity that holds.
//!
//! *Invariant*: this is the only writer of the identity in [`Live`], so that
//! however many callers find it stale, it is renewed once. It is published
//! when it is the right one: a call that waits for it is made as who we are.

mod doubt;
mod family;
mod name;
mod pace;
mod rank;
mod reclaim;
mod role;
mod timer;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::doubt::Doubt;
use self::pace::{Beat, Pace};
use self::reclaim::{Books, Called};
use self::role::Role;
use crate::hub::client::{Client, Error};
use crate::types::hub::{HubState, Until};
use crate::types::identity::{AgentName, Identity, InstanceName, Token, slot};
use crate::types::upstream::{Endpoint, Live};

pub use family::{Check, Family, Nobody, Waiting};
pub use rank::Rank;
pub use reclaim::{Newcomer, settle};

/// How long we wait for those who register before us.
const ELDERS: Duration = Duration::from_secs(3);

/// What a heartbeat that has begun may take once the session ends: what it
/// registers is deregistered, if it is published.
const LAST: Duration = Duration::from_secs(2);

/// What keeps one instance registered.
pub struct Presence {
    pub client: Client,
    /// The hub's MCP endpoint, where names are claimed; None: a hub of ours,
    /// which knows us again.
    pub tools: Option<Endpoint>,
    pub base: AgentName,
    pub label: Option<String>,
    /// What lets us register with a hub of our own user.
    pub human: Option<Token>,
    pub live: watch::Sender<Live>,
    pub state: watch::Sender<HubState>,
    /// Somebody was refused: look now, not at the next beat.
    pub nudge: Arc<Notify>,
    /// Whether the agent works.
    pub busy: watch::Receiver<bool>,
    /// Those who want to know that the hub has us; each makes a heartbeat.
    pub checks: mpsc::Receiver<Check>,
    /// The other sessions of this base.
    pub family: Arc<dyn Family>,
    /// What the hub calls `identity_id`.
    pub uid: watch::Sender<String>,
    /// Who wants to hear of it; nobody need.
    pub events: mpsc::UnboundedSender<Event>,
}

/// What became of our name; [`Live`] agrees with it by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub from: InstanceName,
    /// The same, or another: as the human or an agent wished, because a second
    /// instance came or went, or because `from` is somebody else's by now.
    pub to: InstanceName,
    /// What we were called on the way: mentions may wait under these names.
    pub via: Vec<InstanceName>,
    /// The hub had forgotten us, and has us again.
    pub again: bool,
}

/// What is remembered between two heartbeats.
#[derive(Debug, Default)]
struct Memory {
    pace: Pace,
    role: Role,
    /// Who waits until we are registered.
    waiting: Vec<Check>,
    /// It was said that the hub's name for us is none.
    is_misnamed: bool,
    /// The name of another, if the hub takes us for it.
    doubt: Doubt,
}

impl Presence {
    /// Runs until told to stop; never fails: a hub that is away comes back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut memory = Memory::default();
        let mut beat = Beat::Well;
        loop {
            let (busy, now) = (*self.busy.borrow(), Instant::now());
            let pause = memory.pace.pause(beat, busy, self.client.is_local(), now);
            tokio::select! {
                () = stop.cancelled() => return,
                () = timer::pause(pause) => {}
                () = self.nudge.notified() => memory.pace.hurry(Instant::now()),
                Ok(()) = self.busy.changed() => {}
                Some(check) = self.checks.recv() => {
                    memory.waiting.push(check);
                    memory.pace.hurry(Instant::now());
                }
            }
            while let Ok(check) = self.checks.try_recv() {
                memory.waiting.push(check);
            }
            beat = {
                let mut beating = pin!(self.beat(&mut memory, &stop));
                tokio::select! {
                    beat = &mut beating => beat,
                    () = stop.cancelled() => {
                        if timeout(LAST, beating).await.is_err() {
                            warn!("the hub does not answer: a registration may be left");
                        }
                        return;
                    }
                }
            };
            if beat.is_registered() {
                memory.answer(Until::Registered, true);
            }
            memory.waiting.retain(|(_, answer)| !answer.is_closed());
        }
    }

    /// One heartbeat and what follows from it.
    async fn beat(&mut self, memory: &mut Memory, stop: &CancellationToken) -> Beat {
        let Some(identity) = self.live.borrow().identity.clone() else {
            return Beat::Well;
        };
        let busy = *self.busy.borrow_and_update();
        let report = memory.pace.report(busy);
        let result = match self.hear(&identity, report, memory).await {
            Ok(()) => {
                memory.is_misnamed = false;
                Ok(())
            }
            Err(Error::BadName) => {
                if !std::mem::replace(&mut memory.is_misnamed, true) {
                    self.keep_name(&identity).await;
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        memory.answer(Until::Heard, result.is_ok());
        let result = match result {
            Ok(()) => {
                memory.pace.reported(report);
                Ok(Beat::Well)
            }
            Err(Error::Conflict | Error::Unauthorized { .. }) => {
                memory.pace.reported(None);
                let registered = self.register(&identity, memory, stop).await;
                registered.map(|()| Beat::Again)
            }
            Err(error) => Err(error),
        };
        let (beat, state) = match &result {
            Ok(beat) => (*beat, HubState::Registered),
            Err(Error::Unreachable { .. }) => (Beat::Away, HubState::Connecting),
            Err(_) => (Beat::Refused, HubState::Connecting),
        };
        let changed = self
            .state
            .send_if_modified(|now| std::mem::replace(now, state) != state);
        match result {
            Ok(_) if changed => info!("registered with the hub again"),
            Err(error) if changed => warn!(%error, "the hub is away"),
            _ => {}
        }
        let present = self.live.borrow().identity.clone();
        if let (true, Some(_), Some(identity)) = (beat.is_registered(), &self.tools, present) {
            memory.role.look(&self.client, &identity).await;
        }
        beat
    }

    /// The hub calls us `name`. That is followed, but for one thing: when the
    /// hub takes us for the last of our family, it gives us the bare name of
    /// the base; if the others are only asleep, we would come to have each
    /// other's names.
    async fn called(&self, identity: &Identity, name: InstanceName) {
        info!(from = %identity.name, to = %name, "renamed by the hub");
        let new = Identity {
            name,
            token: identity.token.clone(),
        };
        let is_last = new.name.as_str() == self.base.as_str()
            && slot(self.base.as_str(), identity.name.as_str()).is_some_and(|slot| slot > 1);
        let called = match self.books() {
            Some(books) if is_last && self.family.are_asleep().await => {
                match books.take_back(new, &identity.name).await {
                    Ok(called) => called,
                    // The next heartbeat is told as well.
                    Err(error) => return info!(%error, "our number was not taken back yet"),
                }
            }
            _ => new.into(),
        };
        self.publish(&identity.name, called, false);
    }

    /// Registers again, as whom the old token spoke for, after those who go
    /// before us.
    async fn register(
        &mut self,
        old: &Identity,
        memory: &mut Memory,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if self.tools.is_some() && !self.let_others_go_first(old, memory, stop).await {
            return Ok(());
        }
        let (label, human) = (self.label.as_deref(), self.human.as_ref());
        let registered = self
            .client
            .register(&self.base, label, Some(&old.token), human);
        let new = registered.await?;
        self.uid.send_if_modified(|uid| {
            *uid != new.uid && {
                uid.clone_from(&new.uid);
                true
            }
        });
        let called = match self.books() {
            Some(books) if new.mcp_port.is_none() => {
                let called = books.take_back(new.identity, &old.name).await?;
                memory.role.restore(&self.client, &called.identity).await;
                called
            }
            _ => new.identity.into(),
        };
        info!(from = %old.name, to = %called.identity.name, "registered again: the token was stale");
        self.publish(&old.name, called, true);
        Ok(())
    }

    /// False if the session ends meanwhile.
    async fn let_others_go_first(
        &mut self,
        old: &Identity,
        memory: &mut Memory,
        stop: &CancellationToken,
    ) -> bool {
        let family = Arc::clone(&self.family);
        let mut gone = pin!(timeout(ELDERS, family.go_first(&old.name)));
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                gone = &mut gone => {
                    if gone.is_err() {
                        info!("who registers before us does not");
                    }
                    return true;
                }
                Some(check) = self.checks.recv() => {
                    memory.waiting.push(check);
                    // One of them may be whom we wait for.
                    memory.answer(Until::Heard, false);
                }
            }
        }
    }

    /// Where names are claimed.
    fn books(&self) -> Option<Books<'_>> {
        Some(Books {
            client: &self.client,
            tools: self.tools.as_ref()?,
            base: &self.base,
            label: self.label.as_deref(),
        })
    }

    /// Makes it known who we are.
    fn publish(&self, from: &InstanceName, called: Called, again: bool) {
        let Called { identity, via } = called;
        let to = identity.name.clone();
        self.live
            .send_modify(|live| live.identity = Some(Arc::new(identity)));
        let event = Event {
            from: from.clone(),
            to,
            via,
            again,
        };
        if self.events.send(event).is_err() {
            tracing::debug!("nobody listens to what became of our name");
        }
    }
}

impl Memory {
    /// Answers those who wait for no more than this.
    fn answer(&mut self, until: Until, is_known: bool) {
        for (_, answer) in self.waiting.extract_if(.., |(wish, _)| *wish <= until) {
            // Who does not wait any more need not know.
            let _ = answer.send(is_known);
        }
    }
}
