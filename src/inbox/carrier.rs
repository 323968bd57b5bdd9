//! Has mentions typed, one prompt after the other, and says in the chat which
//! do not arrive.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::Source;
use super::advice::Advice;
use super::notices::{Fate, Notices};
use super::prompt::{self, Prompt};
use crate::hub::api::Rules;
use crate::hub::client::{Client, Error};
use crate::session::{Life, Options, Outcome, Reason, Session};
use crate::types::identity::Identity;
use crate::types::mention::Mention;
use crate::types::upstream::Live;

/// How long a prompt waits for what the hub has to say beside it.
const ADVICE: Duration = Duration::from_millis(300);

/// Before a prompt is asked for again that was refused.
const RETRY: Duration = Duration::from_secs(1);

/// What a report may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Between what waits and the session.
pub(super) struct Carrier {
    client: Client,
    live: watch::Receiver<Live>,
    session: Session,
    advice: Advice,
    /// The rules that the hub knows the agent to know.
    synced: Option<u64>,
    patience: Duration,
    notices: Notices,
}

/// What became of a prompt.
enum Carried {
    /// There is nothing more to do for it; unless it was submitted, the chat is
    /// to hear of that.
    Done(Option<(Fate, String)>),
    /// It was not typed, and is asked for again: with what has come meanwhile.
    Again,
    /// The session is over.
    Over,
}

impl Carrier {
    pub(super) fn new(
        client: Client,
        live: watch::Receiver<Live>,
        session: Session,
        is_later: bool,
        patience: Duration,
    ) -> Self {
        Self {
            notices: Notices::new(client.clone(), live.clone()),
            client,
            live,
            session,
            advice: Advice::new(is_later),
            synced: None,
            patience,
        }
    }

    /// Has everything typed that comes, until there is no more or the session
    /// is over. What comes while a prompt waits goes along with it.
    pub(super) async fn carry<S: Source>(&mut self, source: &mut S) -> Result<(), Error> {
        let mut waiting: VecDeque<(Mention, S::Mark)> = VecDeque::new();
        loop {
            if waiting.is_empty() {
                waiting.extend(source.next().await?);
            }
            self.notices
                .wait(waiting.iter().map(|(mention, _)| mention));
            let Some(prompt) = prompt::first(waiting.iter().map(|(mention, _)| mention)) else {
                return Ok(());
            };
            let covers = prompt.covers;
            let unsure = match self.deliver(prompt, source, &mut waiting).await {
                Carried::Done(unsure) => unsure,
                Carried::Again => continue,
                Carried::Over => return Ok(()),
            };
            for (mention, _) in waiting.iter().take(covers) {
                let became = match &unsure {
                    None => "submitted".to_owned(),
                    Some((fate, reason)) => format!("{fate:?}: {reason}").to_lowercase(),
                };
                info!("mentioned in {}: {became}", mention.place);
            }
            // Before anything else: until it is noted, it comes twice if we die.
            let noted = match waiting.drain(..covers).next_back() {
                Some((_, mark)) => source.done(mark).await,
                None => Ok(()),
            };
            if let Some((fate, reason)) = unsure {
                self.notices.tell(fate, covers, &reason).await;
            }
            self.notices.forget();
            noted?;
            self.sync().await;
        }
    }

    /// Says that the agent has gone, if mentions wait for it that nobody was
    /// told of.
    pub(super) async fn take_leave(mut self) {
        let told = self.notices.late("it has ended");
        if timeout(LAST_WORDS, told).await.is_err() {
            info!("the chat was not told of what waits");
        }
    }

    /// Has one prompt typed. While it waits, more comes, which goes along where
    /// it can.
    async fn deliver<S: Source>(
        &mut self,
        prompt: Prompt,
        source: &mut S,
        waiting: &mut VecDeque<(Mention, S::Mark)>,
    ) -> Carried {
        let mut advice = self.advice.clone();
        let Prompt { text, covers } = prompt;
        let text = text + &self.advise(&mut advice).await;
        let mut pending = self.session.prompt(text, Options::default()).await;
        let alarm = sleep_until(self.notices.since() + self.patience);
        tokio::pin!(alarm);
        let (mut is_open, mut is_late, mut is_taken_back) = (true, false, false);
        let receipt = loop {
            tokio::select! {
                biased;
                receipt = pending.ended() => break receipt,
                more = source.next(), if is_open => match more {
                    Ok(more) if !more.is_empty() => {
                        waiting.extend(more);
                        self.notices.wait(waiting.iter().map(|(mention, _)| mention));
                        let next = prompt::first(waiting.iter().map(|(mention, _)| mention));
                        let goes_along = next.is_some_and(|next| next.covers > covers);
                        if goes_along && !std::mem::replace(&mut is_taken_back, true) {
                            pending.recall().await;
                        }
                    }
                    // What has come is sent again by the next stream.
                    Ok(_) | Err(_) => is_open = false,
                },
                () = &mut alarm, if !is_late => {
                    is_late = true;
                    let receipt = pending.receipt();
                    let reason = receipt.reason().map_or_else(|| "it is not ready".into(), ToString::to_string);
                    self.notices.late(&reason).await;
                }
            }
        };
        let reason = receipt.reason().map(ToString::to_string);
        let unsure = match receipt.outcome() {
            Some(Outcome::Submitted) => None,
            Some(Outcome::Unknown(_)) => {
                warn!(reason, "typed a mention, with unknown outcome");
                Some(Fate::Doubtful)
            }
            Some(Outcome::Refused(Reason::Withdrawn)) => return Carried::Again,
            Some(Outcome::Refused(Reason::TooLong | Reason::Nothing | Reason::Leading(_))) => {
                warn!(reason, "a mention cannot be typed");
                Some(Fate::Hopeless)
            }
            Some(Outcome::Refused(_)) | None if self.is_over() => return Carried::Over,
            Some(Outcome::Refused(_)) | None => {
                // Not acknowledged: it waits.
                warn!(reason, "a mention was not typed");
                sleep(RETRY).await;
                return Carried::Again;
            }
        };
        if !matches!(unsure, Some(Fate::Hopeless)) {
            self.advice = advice;
        }
        Carried::Done(unsure.map(|fate| (fate, reason.unwrap_or_default())))
    }

    fn is_over(&self) -> bool {
        self.session.status().borrow().life == Life::Exited
    }

    /// What the hub has to say beside a mention; what it does not say in time
    /// is left out.
    async fn advise(&self, advice: &mut Advice) -> String {
        let Some(identity) = self.live.borrow().identity.clone() else {
            return String::new();
        };
        let asked = timeout(ADVICE, self.ask(&identity));
        let (role, rules) = asked.await.unwrap_or_default();
        advice.next(identity.name.as_str(), &role, rules.as_ref())
    }

    async fn ask(&self, identity: &Identity) -> (String, Option<Rules>) {
        let token = &identity.token;
        let (roles, rules) =
            tokio::join!(self.client.roles(token), self.client.rules_active(token));
        let role = roles
            .ok()
            .and_then(|mut roles| roles.remove(identity.name.as_str()));
        (role.unwrap_or_default(), rules.ok())
    }

    /// Tells the hub which rules the agent knows now.
    async fn sync(&mut self) {
        let identity = self.live.borrow().identity.clone();
        let (Some(epoch), Some(identity)) = (self.advice.epoch(), identity) else {
            return;
        };
        if self.synced == Some(epoch) {
            return;
        }
        match self.client.agent_sync(&identity, epoch).await {
            Ok(()) => self.synced = Some(epoch),
            Err(error) => info!(%error, "the hub does not know which rules the agent knows"),
        }
    }
}
