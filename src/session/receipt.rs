//! What becomes of a prompt, from the asking on. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::terminal::keys::MAX_PROMPT;
use crate::types::prompt::Wait;

/// Names one prompt of a session: `p1`, `p2` … in the order of the asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptId(pub(super) u64);

/// How a prompt is to be typed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    pub wait: Wait,
    /// What is not typed by then is refused. None: it waits for as long as the
    /// session lives.
    pub timeout: Option<Duration>,
}

/// How far a prompt has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It waits; for what, as far as it is known.
    Queued(Option<Reason>),
    /// It was written to the agent's terminal, and waits before Enter; for what,
    /// if not for the echo.
    Typing(Option<Reason>),
    Ended(Outcome),
}

/// How a prompt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The agent took it.
    Submitted,
    /// It was not typed and will not be.
    Refused(Reason),
    /// It was typed, and what came of it cannot be told. It is not typed again.
    Unknown(Reason),
}

/// Why a prompt waits, or did not end well. The words are for people, and stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The agent is not ready for input, or not there at the moment.
    Starting,
    /// A question is open; holds what the manifest calls it.
    Dialog(String),
    /// The user has begun a line.
    Draft,
    /// The agent works.
    Busy,
    /// Nobody knows what the agent shows.
    Strange,
    /// It was typed, and the agent has not shown it.
    Unshown,
    /// An earlier prompt of which the outcome is unknown may stand in the line.
    Leftover,
    /// The agent does not read what is typed.
    Unread,
    /// It begins with a character by which the agent takes it for something
    /// else than a prompt.
    Leading(char),
    /// Others are first.
    Behind,
    Timeout,
    Withdrawn,
    TooMany,
    TooLong,
    Nothing,
    /// The session is over.
    AgentExited,
    /// The agent ended between Enter and its reaction.
    Died,
    NoReaction,
    /// Nothing could be seen after Enter.
    Unseen,
    /// The echo came so late that the user may have sent it along.
    LateEcho,
}

/// A stage in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Queued,
    Typing,
    Submitted,
    Refused,
    Unknown,
}

/// What is known of one prompt so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub id: PromptId,
    pub stage: Stage,
    /// Line ends and tabs became blanks: the agent is not known to take them.
    pub joined: bool,
    pub(super) asked: Instant,
    /// The last paste.
    pub(super) typed: Option<Instant>,
    pub(super) entered: Option<Instant>,
    pub(super) ended: Option<Instant>,
}

impl Receipt {
    #[must_use]
    pub(super) fn new(id: PromptId, now: Instant) -> Self {
        Self {
            id,
            stage: Stage::Queued(None),
            joined: false,
            asked: now,
            typed: None,
            entered: None,
            ended: None,
        }
    }

    pub(super) fn end(&mut self, now: Instant, outcome: Outcome) {
        self.ended = Some(now);
        self.stage = Stage::Ended(outcome);
    }

    /// The session has ended before it could say more.
    #[must_use]
    pub(super) fn abandoned(mut self, now: Instant) -> Self {
        let outcome = match self.stage {
            Stage::Queued(_) => Outcome::Refused(Reason::AgentExited),
            Stage::Typing(_) => Outcome::Unknown(Reason::AgentExited),
            Stage::Ended(_) => return self,
        };
        self.end(now, outcome);
        self
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.stage {
            Stage::Ended(outcome) => Some(outcome),
            Stage::Queued(_) | Stage::Typing(_) => None,
        }
    }

    /// Its stage in a word.
    #[must_use]
    pub fn word(&self) -> Word {
        match &self.stage {
            Stage::Queued(_) => Word::Queued,
            Stage::Typing(_) => Word::Typing,
            Stage::Ended(Outcome::Submitted) => Word::Submitted,
            Stage::Ended(Outcome::Refused(_)) => Word::Refused,
            Stage::Ended(Outcome::Unknown(_)) => Word::Unknown,
        }
    }

    /// Why it waits, or did not end well.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match &self.stage {
            Stage::Queued(reason) | Stage::Typing(reason) => reason.as_ref(),
            Stage::Ended(Outcome::Refused(reason) | Outcome::Unknown(reason)) => Some(reason),
            Stage::Ended(Outcome::Submitted) => None,
        }
    }

    /// Milliseconds from the asking to the last paste, or to the end or to `now`
    /// if there was none.
    #[must_use]
    pub fn queued_ms(&self, now: Instant) -> u64 {
        self.between(self.asked, self.typed, now)
    }

    /// From the last paste to Enter.
    #[must_use]
    pub fn typed_ms(&self, now: Instant) -> Option<u64> {
        self.typed
            .map(|typed| self.between(typed, self.entered, now))
    }

    /// From Enter to the reaction.
    #[must_use]
    pub fn submitted_ms(&self, now: Instant) -> Option<u64> {
        self.entered.map(|entered| self.between(entered, None, now))
    }

    fn between(&self, from: Instant, to: Option<Instant>, now: Instant) -> u64 {
        let to = to.or(self.ended).unwrap_or(now);
        let span = to.saturating_duration_since(from).as_millis();
        u64::try_from(span).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Dialog(name) => return write!(f, "dialog open: {name}"),
            Self::Draft => "draft",
            Self::Busy => "busy",
            Self::Strange => "unknown screen",
            Self::Unshown => "the agent does not show what was typed",
            Self::Leftover => "an earlier prompt still stands in the line",
            Self::Unread => "the agent does not read what is typed",
            Self::Leading(c) => {
                return write!(
                    f,
                    "the agent takes what begins with `{c}` for a command: put a word before it"
                );
            }
            Self::Behind => "other prompts are first",
            Self::Timeout => "timeout",
            Self::Withdrawn => "withdrawn",
            Self::TooMany => "too many prompts are waiting",
            Self::TooLong => return write!(f, "longer than {MAX_PROMPT} characters"),
            Self::Nothing => "there is nothing to type",
            Self::AgentExited => "agent exited",
            Self::Died => "the agent ended before it reacted",
            Self::NoReaction => "no reaction to Enter",
            Self::Unseen => "the screen could not be followed",
            Self::LateEcho => "the echo came late, and the user's Enter may have submitted it",
        })
    }
}

impl fmt::Display for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl FromStr for PromptId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text
            .strip_prefix('p')
            .and_then(|number| number.parse().ok());
        let id = number.map(Self).ok_or(())?;
        (id.to_string() == text).then_some(id).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_counts_from_step_to_step() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let told = |receipt: &Receipt, ms| {
            let now = at(ms);
            (
                receipt.queued_ms(now),
                receipt.typed_ms(now),
                receipt.submitted_ms(now),
            )
        };
        let mut receipt = Receipt::new(PromptId(7), start);
        assert_eq!(told(&receipt, 5), (5, None, None));
        receipt.typed = Some(at(10));
        assert_eq!(told(&receipt, 15), (10, Some(5), None));
        receipt.entered = Some(at(30));
        assert_eq!(told(&receipt, 31), (10, Some(20), Some(1)));
        receipt.end(at(36), Outcome::Submitted);
        assert_eq!(told(&receipt, 99), (10, Some(20), Some(6)));
        assert_eq!(receipt.clone().abandoned(at(99)), receipt);
    }

    #[test]
    fn a_session_that_is_gone_has_typed_it_or_not() {
        let now = Instant::now();
        for (stage, word) in [
            (Stage::Queued(Some(Reason::Draft)), Word::Refused),
            (Stage::Typing(None), Word::Unknown),
            (Stage::Ended(Outcome::Submitted), Word::Submitted),
        ] {
            let receipt = Receipt {
                stage,
                ..Receipt::new(PromptId(1), now)
            };
            assert_eq!(receipt.abandoned(now).word(), word);
        }
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for (text, id) in [
            ("p1", Some(PromptId(1))),
            ("p01", None),
            ("p+1", None),
            ("1", None),
            ("p", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), id, "{text}");
        }
    }
}
