//! Has mentions typed, one prompt after the other, and says in the chat which
//! do not arrive.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::Source;
use super::advice::Advice;
use super::prompt::{self, Prompt};
use crate::hub::api::Rules;
use crate::hub::client::{Client, Error};
use crate::session::{Life, Options, Outcome, Reason, Session};
use crate::types::identity::Identity;
use crate::types::mention::{Mention, Place};
use crate::types::trigger::ChannelName;
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
    /// What waits: how many mentions, where the first is, since when.
    left: Option<Left>,
}

/// Mentions that wait.
#[derive(Debug, Clone)]
struct Left {
    count: usize,
    channel: ChannelName,
    since: Instant,
    /// The chat knows.
    is_reported: bool,
}

/// What became of a prompt.
enum Carried {
    Done,
    /// Other mentions have come, and go along.
    Again,
    /// It can never be typed.
    Hopeless,
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
            client,
            live,
            session,
            advice: Advice::new(is_later),
            synced: None,
            patience,
            left: None,
        }
    }

    /// Has everything typed that comes, until there is no more or the session
    /// is over. What comes while a prompt waits goes along with it.
    pub(super) async fn carry<S: Source>(&mut self, source: &mut S) -> Result<(), Error> {
        let mut waiting: VecDeque<(Mention, S::Mark)> = VecDeque::new();
        loop {
            if waiting.is_empty() {
                self.left = None;
                waiting.extend(source.next().await?);
            }
            self.note(waiting.iter().map(|(mention, _)| mention));
            let Some(prompt) = prompt::first(waiting.iter().map(|(mention, _)| mention)) else {
                return Ok(());
            };
            let covers = prompt.covers;
            match self.deliver(prompt, source, &mut waiting).await? {
                Carried::Again => continue,
                Carried::Over => return Ok(()),
                Carried::Done | Carried::Hopeless => {}
            }
            let done = waiting.drain(..covers).next_back();
            if let Some((_, mark)) = done {
                source.done(mark).await?;
            }
            self.left = None;
        }
    }

    /// Says that the agent has gone, if mentions wait for it that nobody was
    /// told of.
    pub(super) async fn take_leave(mut self) {
        let report = self.report("it has ended");
        if timeout(LAST_WORDS, report).await.is_err() {
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
    ) -> Result<Carried, Error> {
        let mut advice = self.advice.clone();
        let Prompt { text, covers } = prompt;
        let text = text + &self.advise(&mut advice).await;
        let mut pending = self.session.prompt(text, Options::default()).await;
        let since = self
            .left
            .as_ref()
            .map_or_else(Instant::now, |left| left.since);
        let alarm = sleep_until(since + self.patience);
        tokio::pin!(alarm);
        let (mut is_open, mut is_late, mut is_taken_back) = (true, false, false);
        let receipt = loop {
            tokio::select! {
                biased;
                receipt = pending.ended() => break receipt,
                more = source.next(), if is_open => match more {
                    Ok(more) if !more.is_empty() => {
                        waiting.extend(more);
                        self.note(waiting.iter().map(|(mention, _)| mention));
                        let next = prompt::first(waiting.iter().map(|(mention, _)| mention));
                        let goes_along = next.is_some_and(|next| next.covers > covers);
                        if goes_along && !std::mem::replace(&mut is_taken_back, true) {
                            pending.withdraw().await;
                        }
                    }
                    // What has come is sent again by the next stream.
                    Ok(_) | Err(_) => is_open = false,
                },
                () = &mut alarm, if !is_late => {
                    is_late = true;
                    let receipt = pending.receipt();
                    let reason = receipt.reason().map_or_else(|| "it is not ready".into(), ToString::to_string);
                    self.report(&reason).await;
                }
            }
        };
        let reason = receipt.reason().map(ToString::to_string);
        let carried = match receipt.outcome() {
            Some(Outcome::Submitted) => {
                info!("typed a mention");
                Carried::Done
            }
            Some(Outcome::Unknown(_)) => {
                warn!(reason, "typed a mention, with unknown outcome");
                Carried::Done
            }
            Some(Outcome::Refused(Reason::Withdrawn)) => Carried::Again,
            Some(Outcome::Refused(Reason::TooLong | Reason::Nothing)) => {
                warn!(reason, "a mention cannot be typed");
                self.report(reason.as_deref().unwrap_or_default()).await;
                Carried::Hopeless
            }
            Some(Outcome::Refused(_)) | None if self.is_over() => Carried::Over,
            Some(Outcome::Refused(_)) | None => {
                // Not acknowledged: it waits.
                warn!(reason, "a mention was not typed");
                sleep(RETRY).await;
                Carried::Again
            }
        };
        if matches!(carried, Carried::Done) {
            self.advice = advice;
            self.sync().await;
        }
        Ok(carried)
    }

    fn is_over(&self) -> bool {
        self.session.status().borrow().life == Life::Exited
    }

    /// Notes what waits.
    fn note<'a>(&mut self, mentions: impl Iterator<Item = &'a Mention>) {
        let mut channel = None;
        let count = mentions
            .inspect(|mention| {
                if let Place::Channel(name) = &mention.place {
                    channel.get_or_insert_with(|| name.clone());
                }
            })
            .count();
        let left = self.left.get_or_insert_with(|| Left {
            count,
            channel: channel.unwrap_or_else(ChannelName::general),
            since: Instant::now(),
            is_reported: false,
        });
        left.count = count;
    }

    /// Says in the chat, once, that mentions wait, and why.
    async fn report(&mut self, reason: &str) {
        let identity = self.live.borrow().identity.clone();
        let (Some(left), Some(identity)) = (&mut self.left, identity) else {
            return;
        };
        if left.count == 0 || std::mem::replace(&mut left.is_reported, true) {
            return;
        }
        let (name, count, channel) = (&identity.name, left.count, &left.channel);
        let mentions = if count == 1 {
            "a mention waits"
        } else {
            "mentions wait"
        };
        let text = format!(
            "(wrapper) {name} has not been reached: {reason}. {mentions} ({count}), to be delivered when that is possible."
        );
        match self.client.send(&identity.token, &text, channel).await {
            Ok(_) => info!(count, reason, "the chat was told of what waits"),
            Err(error) => warn!(%error, count, reason, "the chat was not told of what waits"),
        }
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
