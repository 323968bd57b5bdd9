//! What an upstream owes the agent by a stream: answers to requests, and the
//! session that the agent has begun. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::proxy::rpc::{self, Members};
use crate::types::evidence::Step;
use crate::types::identity::Token;

/// The most requests of one stream that are remembered while they wait for
/// their answers, and the longest of them that can be posted again.
const MOST_WAITING: usize = 256;
const LONGEST: usize = 1024 * 1024;

/// What the agent is owed, and how its session began.
#[derive(Debug, Default)]
pub(super) struct Owed {
    hello: Option<Arc<Letter>>,
    ready: Option<Arc<Letter>>,
    /// By id, as it is spelled.
    waiting: BTreeMap<String, Waiting>,
}

/// A message as the agent sent it.
#[derive(Debug)]
pub(super) struct Letter {
    /// Header lines.
    pub(super) crossing: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// The ids of its requests.
    pub(super) ids: Vec<String>,
}

/// A request without an answer.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// What can be posted again; none if it is long or not alone.
    pub(super) letter: Option<Arc<Letter>>,
    pub(super) is_call: bool,
    pub(super) is_harmless: bool,
    pub(super) step: Option<Step>,
    /// The stream that brings the answer: the upstream has taken the request.
    taken: Option<u64>,
    /// The token of the hub's that it was sent with.
    pub(super) token: Option<Token>,
    /// How often it was answered that the token is stale.
    pub(super) renewals: u32,
}

impl Owed {
    /// Notes what the agent posts.
    pub(super) fn note(&mut self, letter: &Arc<Letter>) {
        let messages = rpc::messages(&letter.body);
        for message in &messages {
            let method = message.last("method").and_then(rpc::text);
            let method = method.as_deref().unwrap_or_default();
            match method {
                "initialize" => self.hello = Some(Arc::clone(letter)),
                "notifications/initialized" => self.ready = Some(Arc::clone(letter)),
                _ => {}
            }
            if let (Some(id), false) = (message.last("id"), method.is_empty())
                && self.waiting.len() < MOST_WAITING
            {
                let is_short = messages.len() == 1 && letter.body.len() <= LONGEST;
                let waiting = Waiting {
                    letter: is_short.then(|| Arc::clone(letter)),
                    is_call: rpc::is_call(message),
                    is_harmless: is_short && rpc::is_harmless(&letter.body),
                    step: rpc::step(message),
                    taken: None,
                    token: None,
                    renewals: 0,
                };
                self.waiting.insert(id.to_owned(), waiting);
            }
        }
    }

    /// `letter` is posted with this token. An answer may be here before the word
    /// that it was taken.
    pub(super) fn sent(&mut self, letter: &Letter, token: Option<&Token>) {
        for id in &letter.ids {
            if let Some(waiting) = self.waiting.get_mut(id) {
                waiting.token = token.cloned();
            }
        }
    }

    /// The upstream has taken the requests of `letter`, on this stream of its; or
    /// on one that is lost by now. False if that leaves any of them waiting.
    pub(super) fn taken(&mut self, letter: &Letter, on: Option<u64>) -> bool {
        let mut is_well = true;
        for id in &letter.ids {
            if let Some(waiting) = self.waiting.get_mut(id) {
                waiting.taken = on;
                is_well = on.is_some();
            }
        }
        is_well
    }

    /// The request `id` was answered, or is given up.
    pub(super) fn answered(&mut self, id: &str) -> Option<Waiting> {
        self.waiting.remove(id)
    }

    /// It is posted again.
    pub(super) fn again(&mut self, id: &str, mut waiting: Waiting) {
        waiting.taken = None;
        self.waiting.insert(id.to_owned(), waiting);
    }

    /// Takes the requests whose answers streams before `generation` were to
    /// bring.
    pub(super) fn orphans(&mut self, generation: u64) -> Vec<(String, Waiting)> {
        let all = std::mem::take(&mut self.waiting);
        let is_orphan = |(_, waiting): &(String, Waiting)| {
            waiting.taken.is_some_and(|taken| taken < generation)
        };
        let (orphans, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_orphan);
        self.waiting = others.into_iter().collect();
        orphans
    }

    /// What opens a session: `initialize`, with its id, and
    /// `notifications/initialized`; none if the agent has no answer to the
    /// first yet.
    pub(super) fn greeting(&mut self) -> Option<(String, Arc<Letter>, Option<Arc<Letter>>)> {
        let hello = self.hello.clone()?;
        let id = hello.ids.first()?.clone();
        let is_answered = !self.waiting.contains_key(&id);
        is_answered.then(|| (id, hello, self.ready.clone()))
    }
}

impl Letter {
    pub(super) fn new(crossing: &[u8], body: Vec<u8>) -> Self {
        let id = |message: &Members<'_>| {
            message.last("method")?;
            message.last("id").map(str::to_owned)
        };
        let ids = rpc::messages(&body).iter().filter_map(id).collect();
        let crossing = crossing.to_vec();
        Self {
            crossing,
            body,
            ids,
        }
    }
}
