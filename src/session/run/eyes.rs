//! What is seen of the agent's screen, and what follows from it: for the typist
//! while prompts wait, for whoever asks, and for the agent's activity.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use super::{Desk, answer};
use crate::session::activity::{Activity, STILL};
use crate::session::detect::{InputLine, Manifest, START, Sight, Verdict, View};
use crate::session::draft::Guess;
use crate::session::handle::{Judged, State};
use crate::session::pending::Ticket;
use crate::session::receipt::Outcome;
use crate::session::relay::Down;
use crate::session::restart::Reached;
use crate::session::typist::{Act, Scene, Typist};
use crate::terminal::{Feed, Look, Picture, Tty};
use crate::types::size::TermSize;

/// The eyes of one life of the agent.
pub(super) struct Eyes {
    pub(super) feed: Feed,
    /// What the agent is to be told, where no terminal tells it.
    answers: Option<mpsc::Receiver<Vec<u8>>>,
    /// Every look is wanted: prompts wait.
    attended: bool,
    seen: Option<Seen>,
    still_since: Instant,
    /// When the typist last looked.
    guided: Instant,
    born: Instant,
    /// When the agent last wrote.
    moved_at: Instant,
    activity: Activity,
    reached: Reached,
    /// Somebody has typed a line into it.
    has_line: bool,
    /// Looks that were asked for, in the order of the asking.
    asked: VecDeque<(oneshot::Receiver<Arc<Look>>, Ask)>,
}

/// What a look was asked for.
pub(super) enum Ask {
    /// For the activity.
    Activity,
    /// To tell what the screen shows.
    Judge(oneshot::Sender<Judged>),
    /// Whether a question was open when the user began a line.
    Question(Guess),
}

/// What comes from the screen.
pub(super) enum Looked {
    /// What the agent is to be told, which has no terminal to ask.
    Answer(Vec<u8>),
    /// For the typist.
    Close(Arc<Look>),
    /// One that was asked for.
    Asked(Arc<Look>, Ask),
}

/// The last look, judged.
struct Seen {
    look: Arc<Look>,
    view: View,
    verdict: Verdict,
    line: Option<InputLine>,
}

impl Eyes {
    pub(super) fn open(tty: &impl Tty, size: TermSize) -> io::Result<Self> {
        let now = Instant::now();
        let mut activity = Activity::default();
        activity.look_at(now + START);
        let (feed, answers) = if tty.answers() {
            (Feed::start(size)?, None)
        } else {
            let (feed, answers) = Feed::answering(size)?;
            (feed, Some(answers))
        };
        Ok(Self {
            feed,
            answers,
            attended: false,
            seen: None,
            still_since: now,
            guided: now,
            born: now,
            moved_at: now,
            activity,
            reached: Reached::default(),
            has_line: false,
            asked: VecDeque::new(),
        })
    }

    /// The agent wrote something.
    pub(super) fn output(&mut self, chunk: &[u8]) {
        self.feed.output(chunk);
        self.moved_at = Instant::now();
        if self.activity.output(self.moved_at) {
            self.ask(Ask::Activity);
        }
    }

    fn see(&mut self, look: Arc<Look>, manifest: &Manifest) {
        let view = view(&look.picture);
        if self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.view.rows != view.rows)
        {
            self.still_since = Instant::now();
        }
        self.seen = Some(Seen {
            verdict: manifest.judge(&view),
            line: manifest.line(&view),
            view,
            look,
        });
    }

    /// What is seen, unless it is out of date.
    fn current(&self) -> Option<&Seen> {
        self.seen
            .as_ref()
            .filter(|seen| self.feed.is_current(&seen.look))
    }

    /// When there is something to do without news: for the typist, unless the
    /// agent has yet to take what was typed, and for the activity.
    pub(super) fn wake(&self, desk: &Desk, is_idle: bool) -> Option<Instant> {
        let typist = &desk.typist;
        // What has fallen due since is late, not over.
        let typing = match self.current() {
            _ if !is_idle => None,
            Some(_) => typist.wake(self.guided, self.still_since),
            None => typist.stalls_at(),
        };
        let still = self.moved_at + STILL;
        let idle = (is_idle && typist.wants_idleness() && still > self.guided).then_some(still);
        [typing, typist.expires_at(), self.activity.wake(), idle]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets the typist look, and does what it says.
    pub(super) async fn guide<T: Tty>(&mut self, desk: &mut Desk, down: &mut Down<'_, T>) {
        // Nothing is typed between the bytes of what the agent has yet to take.
        while down.is_idle() {
            let now = Instant::now();
            self.guided = now;
            if desk.typist.is_overdue(now) && down.is_unread() {
                desk.typist.unread(now);
            }
            let act = match self.current() {
                Some(seen) => {
                    let scene = self.scene(now, seen, &desk.manifest, down.is_unread());
                    desk.typist.step(now, &scene)
                }
                None => desk.typist.stall(now),
            };
            match act {
                None => break,
                Some(Act::Paste(keys)) => {
                    self.feed.mark();
                    down.send(&keys).await;
                }
                Some(Act::Keys(keys)) => down.send(&keys).await,
                Some(Act::Report(ticket, receipt)) => {
                    if receipt.outcome() == Some(&Outcome::Submitted) {
                        self.activity.submitted(now);
                        self.reached = Reached::Ready;
                        tell(&desk.busy, true);
                        tell(&desk.doing, State::Busy);
                    }
                    answer(&ticket, receipt);
                }
            }
        }
    }

    fn scene<'a>(
        &self,
        now: Instant,
        seen: &'a Seen,
        manifest: &'a Manifest,
        unread: bool,
    ) -> Scene<'a> {
        let (born, still) = (now - self.born, now - self.moved_at);
        let pastes = seen.view.bracketed_paste;
        Scene {
            view: &seen.view,
            verdict: &seen.verdict,
            line: seen.line.as_ref(),
            printed: &seen.look.printed,
            unsure: seen.look.unsure,
            still_since: self.still_since,
            works: seen.verdict.state(pastes, born, still) == State::Busy,
            unread,
            stash: manifest.stash(),
        }
    }

    /// Opens the eyes while prompts wait. Last output counts as last change
    /// until more is known.
    pub(super) fn attend(&mut self, attended: bool) {
        if attended != self.attended {
            self.attended = attended;
            self.feed.attend(attended);
            self.seen = None;
            self.still_since = self.moved_at;
        }
    }

    /// Looks once more at an agent that has fallen silent.
    pub(super) fn follow_silence(&mut self) {
        if self.activity.is_silent(Instant::now()) {
            self.ask(Ask::Activity);
        }
    }

    /// Waits for the next look that is wanted, or an answer.
    pub(super) async fn next(&mut self) -> Looked {
        let Self {
            feed,
            answers,
            asked,
            attended,
            ..
        } = self;
        tokio::select! {
            answer = arrived(answers) => Looked::Answer(answer),
            look = feed.next(), if *attended => Looked::Close(look),
            (look, ask) = arrival(asked) => Looked::Asked(look, ask),
        }
    }

    /// Draws from a look what is to be drawn; tells the agent an answer.
    pub(super) async fn take<T: Tty>(
        &mut self,
        looked: Looked,
        desk: &mut Desk,
        down: &mut Down<'_, T>,
    ) {
        match looked {
            Looked::Answer(answer) => down.send(&answer).await,
            Looked::Close(look) => self.see(look, &desk.manifest),
            Looked::Asked(look, Ask::Activity) => self.note(&look, desk),
            Looked::Asked(look, Ask::Question(guess)) => {
                let verdict = desk.manifest.judge(&view(&look.picture));
                if matches!(verdict.sight, Sight::Dialog(_)) {
                    desk.typist.keys_were_an_answer(guess);
                }
            }
            Looked::Asked(look, Ask::Judge(reply)) => {
                let judged = self.judged(look, desk, down.is_unread());
                // Who asked may have gone away.
                let _ = reply.send(judged);
            }
        }
    }

    /// What the screen shows, and what a prompt would do.
    fn judged(&self, look: Arc<Look>, desk: &mut Desk, unread: bool) -> Judged {
        let now = Instant::now();
        let view = view(&look.picture);
        let seen = Seen {
            verdict: desk.manifest.judge(&view),
            line: desk.manifest.line(&view),
            view,
            look,
        };
        let mut scene = self.scene(now, &seen, &desk.manifest, unread);
        if !self.attended {
            scene.still_since = self.moved_at;
        }
        let state = if scene.works {
            State::Busy
        } else {
            let (born, still) = (now - self.born, now - self.moved_at);
            seen.verdict.state(seen.view.bracketed_paste, born, still)
        };
        let waits_for = desk.typist.waits_for(now, &scene);
        Judged {
            state,
            waits_for: waits_for.map(|reason| reason.to_string()),
            stash: desk.manifest.stash().map(<[u8]>::to_vec),
            verdict: seen.verdict,
            view: seen.view,
        }
    }

    /// Tells what the agent does, and whether that is work.
    fn note(&mut self, look: &Look, desk: &Desk) {
        let (now, view) = (Instant::now(), view(&look.picture));
        let (born, still) = (now - self.born, now - self.moved_at);
        let verdict = desk.manifest.judge(&view);
        let state = verdict.state(view.bracketed_paste, born, still);
        if state == State::Starting && born < START {
            // It may be judged otherwise then, without another word.
            let next = if still < STILL && !verdict.is_known {
                self.moved_at + STILL
            } else {
                self.born + START
            };
            self.activity.look_at(next);
        } else {
            self.activity.started();
            if still < STILL {
                self.activity.look_at(self.moved_at + STILL);
            }
        }
        self.reach(look, &verdict, state);
        let works = self.activity.works(now, state);
        tell(&desk.busy, works);
        tell(&desk.doing, if works { State::Busy } else { state });
    }

    /// Notes the screen that the agent has left.
    pub(super) fn note_last(&mut self, look: &Look, desk: &Desk) {
        let view = view(&look.picture);
        let verdict = desk.manifest.judge(&view);
        let state = verdict.state(view.bracketed_paste, self.born.elapsed(), STILL);
        self.reach(look, &verdict, state);
    }

    /// How far the agent has come. One that is not known and has asked for no
    /// pastes may be about to say why it cannot run.
    fn reach(&mut self, look: &Look, verdict: &Verdict, state: State) {
        let reached = match state {
            State::Blocked => Reached::Question,
            _ if !verdict.is_known && look.picture.has_pasted => Reached::Ready,
            _ if !verdict.is_known && self.has_line && self.reached == Reached::Nothing => {
                Reached::Ready
            }
            State::Idle | State::Busy if verdict.is_known => Reached::Ready,
            _ => Reached::Nothing,
        };
        self.reached = self.reached.max(reached);
    }

    pub(super) fn reached(&self) -> Reached {
        self.reached
    }

    /// The screen after everything that was shown so far.
    pub(super) fn look(&self) -> oneshot::Receiver<Arc<Look>> {
        let (ask, look) = oneshot::channel();
        self.feed.ask(ask);
        look
    }

    fn ask(&mut self, ask: Ask) {
        let look = self.look();
        self.asked.push_back((look, ask));
    }

    /// Tells what the agent is doing to whoever asked.
    pub(super) fn judge(&mut self, reply: oneshot::Sender<Judged>) {
        self.ask(Ask::Judge(reply));
    }

    /// What the agent gets of the keys that the user types. If they begin a line
    /// it is looked, before the agent has them, whether a question is open: then
    /// they are its answer.
    pub(super) fn user(&mut self, typist: &mut Typist<Ticket>, keys: &[u8]) -> Vec<u8> {
        self.has_line |= keys.contains(&b'\r');
        let passed = typist.user(Instant::now(), keys);
        if let Some(guess) = typist.take_guess() {
            self.ask(Ask::Question(guess));
        }
        passed
    }

    /// Looks again at what the agent does.
    pub(super) fn reconsider(&mut self) {
        self.ask(Ask::Activity);
    }
}

/// Waits for the next look that was asked for, if one was.
async fn arrival(asked: &mut VecDeque<(oneshot::Receiver<Arc<Look>>, Ask)>) -> (Arc<Look>, Ask) {
    while let Some((look, _)) = asked.front_mut() {
        let look = look.await;
        let ask = asked.pop_front().map(|(_, ask)| ask);
        if let (Ok(look), Some(ask)) = (look, ask) {
            return (look, ask);
        }
    }
    std::future::pending().await
}

/// Waits for an answer, if there are any.
async fn arrived(answers: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Vec<u8> {
    if let Some(answers) = answers
        && let Some(answer) = answers.recv().await
    {
        return answer;
    }
    std::future::pending().await
}

fn view(picture: &Picture) -> View {
    View {
        rows: picture.rows.clone(),
        cursor: picture.cursor,
        bracketed_paste: picture.bracketed_paste,
    }
}

/// Tells of a change, and of nothing else.
pub(super) fn tell<T: Copy + PartialEq>(told: &watch::Sender<T>, now: T) {
    told.send_if_modified(|before| std::mem::replace(before, now) != now);
}
