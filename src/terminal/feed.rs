//! The screen model on a thread of its own, beside the relay and never in it.
//!
//! The relay copies its chunks into a tank and goes on. The thread empties the
//! tank now and then, and rests longer the longer that took, so that a flood
//! leaves the processor to the relay. Nobody waits for it but who asks for a
//! [`Look`].
//!
//! *Invariant*: handing over neither blocks nor grows. What does not fit is
//! skipped ([`super::plain`]), and the looks that follow are `unsure` until a
//! repaint; but for an *exact* feed, whose relay waits for room instead. One
//! that answers what the agent asks is always exact: a question that is skipped
//! would be waited for.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::plain::{self, Printed};
use super::query::{Sieve, Watch};
use super::screen::{Picture, Screen};
use super::tank::{Contents, Tank};
use crate::types::size::TermSize;

/// How long output is collected while nobody looks; a question cuts it short.
const PAUSE: Duration = Duration::from_millis(4);

/// The rest after a batch, as a multiple of the time that it took.
const REST: u32 = 40;

/// How many answers may wait for an agent that does not read them.
const ANSWERS: usize = 64;

/// The screen after a batch of output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub picture: Picture,
    /// The printable output since the last [`Feed::mark`], without blanks;
    /// collected while attended.
    pub printed: String,
    /// Output was skipped, and the screen may be another than the user's.
    pub unsure: bool,
    /// How much of what was handed over it shows; see [`Feed::is_current`].
    shown: u64,
}

/// Bytes that redraw the screen, on a terminal of the same size that is as
/// [`super::tty::UNDO`] leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyframe {
    pub bytes: Vec<u8>,
    pub size: TermSize,
    /// What [`Feed::output`] said of the last output that it shows, or more:
    /// output of a greater number comes after it.
    pub shown: u64,
    /// As [`Look::unsure`].
    pub unsure: bool,
    /// What the output that comes after it is to go through, for a terminal
    /// that is not to answer.
    pub sieve: Sieve,
}

/// The relay's end of the thread that shows. Dropped, it ends the thread.
#[derive(Debug)]
pub struct Feed {
    tank: Arc<Tank<Order>>,
    looks: watch::Receiver<Arc<Look>>,
    handed: Cell<u64>,
    /// Tells whether the agent waits for an answer of ours.
    watch: Option<RefCell<Watch>>,
}

/// What the relay asks for, in its place between the output.
#[derive(Debug)]
enum Order {
    Resize(TermSize),
    Mark,
    Ask(oneshot::Sender<Arc<Look>>),
    Keyframe(oneshot::Sender<Keyframe>, u64),
}

impl Feed {
    /// Starts the thread with a blank screen.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(size: TermSize) -> std::io::Result<Self> {
        Self::open(Screen::new(size), None)
    }

    /// As [`Feed::start`], with the answers to what the agent asks of its
    /// terminal, in the order of the questions. It is always exact.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn answering(size: TermSize) -> std::io::Result<(Self, mpsc::Receiver<Vec<u8>>)> {
        let (answer, answers) = mpsc::channel(ANSWERS);
        let mut feed = Self::open(Screen::answering(size), Some(answer))?;
        feed.watch = Some(RefCell::default());
        feed.exact(true);
        Ok((feed, answers))
    }

    fn open(screen: Screen, answer: Option<mpsc::Sender<Vec<u8>>>) -> std::io::Result<Self> {
        let (publish, looks) = watch::channel(Arc::default());
        let tank = Arc::new(Tank::default());
        let mut shower = Shower {
            screen,
            answer,
            has_dropped: false,
            printed: Printed::default(),
            unsure: false,
            shown: 0,
        };
        let tap = Arc::clone(&tank);
        thread::Builder::new()
            .name("screen".into())
            .spawn(move || shower.run(&tap, &publish))?;
        Ok(Self {
            tank,
            looks,
            handed: Cell::new(0),
            watch: None,
        })
    }

    /// Hands over what the agent wrote, and returns its number.
    pub fn output(&self, chunk: &[u8]) -> u64 {
        let watch = self.watch.as_ref();
        let asks = watch.is_some_and(|watch| watch.borrow_mut().asks(chunk));
        self.handed.set(self.tank.pour(chunk, asks));
        self.handed.get()
    }

    /// While exact, nothing is skipped, and [`Feed::room`] is to be waited for
    /// before more is read from the agent.
    pub fn exact(&self, exact: bool) {
        let exact = exact || self.watch.is_some();
        self.handed.set(self.tank.exact(exact));
    }

    /// Waits until an exact feed has room for more; else returns at once. It
    /// can be given up at any time.
    pub fn room(&self) -> impl Future<Output = ()> + use<> {
        let tank = Arc::clone(&self.tank);
        async move { tank.room().await }
    }

    /// The screen as bytes, after everything handed over so far and before
    /// everything handed over later.
    #[must_use]
    pub fn keyframe(&self) -> oneshot::Receiver<Keyframe> {
        let (reply, keyframe) = oneshot::channel();
        let shown = self.handed.get() + 1;
        let order = Order::Keyframe(reply, shown);
        self.handed.set(self.tank.order(order, true));
        keyframe
    }

    pub fn resize(&self, size: TermSize) {
        self.handed.set(self.tank.order(Order::Resize(size), false));
    }

    /// Starts [`Look::printed`] anew.
    pub fn mark(&self) {
        self.handed.set(self.tank.order(Order::Mark, true));
    }

    /// While attended, output is shown at once and every look published.
    pub fn attend(&self, attended: bool) {
        self.handed.set(self.tank.attend(attended));
    }

    /// Has the screen told, as it is after everything handed over so far.
    pub fn ask(&self, reply: oneshot::Sender<Arc<Look>>) {
        self.handed.set(self.tank.order(Order::Ask(reply), true));
    }

    /// Waits for the next look, while attended.
    pub async fn next(&mut self) -> Arc<Look> {
        if self.looks.changed().await.is_err() {
            // The thread is gone, which only the end of this handle brings.
            std::future::pending::<()>().await;
        }
        self.looks.borrow_and_update().clone()
    }

    /// True if nothing was handed over after what this look shows.
    #[must_use]
    pub fn is_current(&self, look: &Look) -> bool {
        look.shown == self.handed.get()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.tank.close();
    }
}

/// What the thread knows.
struct Shower {
    screen: Screen,
    answer: Option<mpsc::Sender<Vec<u8>>>,
    /// An answer was dropped, and the log says so.
    has_dropped: bool,
    printed: Printed,
    unsure: bool,
    shown: u64,
}

impl Shower {
    fn run(&mut self, tank: &Tank<Order>, publish: &watch::Sender<Arc<Look>>) {
        let mut contents = Contents::default();
        let mut rest = PAUSE;
        while tank.empty(&mut contents, rest) {
            let start = Instant::now();
            self.shown = contents.handed;
            self.unsure |= std::mem::take(&mut contents.skipped);
            let mut shown = 0;
            for (at, order) in contents.orders.drain(..) {
                self.show(&contents.output[shown..at], contents.attended);
                shown = at;
                self.obey(order);
            }
            self.show(&contents.output[shown..], contents.attended);
            contents.output.clear();
            if contents.attended {
                publish.send_replace(self.look());
            }
            rest = PAUSE.max(start.elapsed() * REST);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Resize(size) => {
                self.screen.resize(size);
                self.tell_answers();
            }
            Order::Mark => self.printed = Printed::default(),
            // Who asked may have gone away meanwhile.
            Order::Ask(reply) => drop(reply.send(self.look())),
            Order::Keyframe(reply, shown) => drop(reply.send(Keyframe {
                bytes: self.screen.keyframe(),
                sieve: self.screen.sieve(),
                size: self.screen.size(),
                shown,
                unsure: self.unsure,
            })),
        }
    }

    fn show(&mut self, output: &[u8], attended: bool) {
        if attended {
            self.printed.feed(output);
        }
        self.screen.feed(output);
        self.tell_answers();
        self.unsure &= !plain::repaints(output, self.screen.size().rows);
    }

    fn tell_answers(&mut self) {
        if let Some(answer) = &self.answer {
            let answers = self.screen.answers();
            // An agent that asks without end and never reads gets no more.
            let is_lost = !answers.is_empty() && answer.try_send(answers).is_err();
            if is_lost && !std::mem::replace(&mut self.has_dropped, true) {
                tracing::warn!("the agent reads no answers: some are dropped");
            }
        }
    }

    fn look(&mut self) -> Arc<Look> {
        Arc::new(Look {
            picture: self.screen.picture(),
            printed: self.printed.text(),
            unsure: self.unsure,
            shown: self.shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(feed: &Feed) -> Arc<Look> {
        let (reply, look) = oneshot::channel();
        feed.ask(reply);
        look.blocking_recv().expect("the thread answers")
    }

    #[test]
    fn a_look_shows_everything_handed_over() {
        let feed = Feed::start(TermSize::new(4, 20)).expect("a thread");
        feed.output(b"one\r\n");
        feed.output(b"two");
        let look = ask(&feed);
        assert_eq!(look.picture.rows, ["one", "two", "", ""]);
        assert!(feed.is_current(&look));
        feed.resize(TermSize::new(2, 20));
        assert!(!feed.is_current(&look));
        feed.output(b"!");
        assert_eq!(ask(&feed).picture.rows, ["one", "two!"]);
    }

    #[test]
    fn what_is_printed_counts_from_the_mark() {
        let feed = Feed::start(TermSize::default()).expect("a thread");
        feed.attend(true);
        feed.output(b"before");
        feed.mark();
        feed.output(b"\x1b[1maf ter\x1b[0m");
        assert_eq!(ask(&feed).printed, "after");
    }

    #[test]
    fn a_plain_flood_ends_in_its_last_lines_and_is_sure() {
        let feed = Feed::start(TermSize::new(3, 40)).expect("a thread");
        feed.output(b"\x1b[?2004h");
        let chunk = "some words on a line\r\n".repeat(200);
        for _ in 0..5000 {
            feed.output(chunk.as_bytes());
        }
        feed.output(b"the end");
        let look = ask(&feed);
        let rows = ["some words on a line", "some words on a line", "the end"];
        assert_eq!(look.picture.rows, rows);
        assert!(look.picture.bracketed_paste && !look.unsure);
    }

    #[test]
    fn what_was_skipped_makes_unsure_until_a_repaint() {
        let feed = Feed::start(TermSize::new(3, 40)).expect("a thread");
        for _ in 0..50_000 {
            feed.output(b"\x1b[2;2Hmoved\x1b[1;1Haround");
        }
        assert!(ask(&feed).unsure);
        feed.output(b"\x1b[2J\x1b[Hwhole");
        let look = ask(&feed);
        assert!(!look.unsure);
        assert_eq!(look.picture.rows[0], "whole");
    }

    #[test]
    fn a_keyframe_has_its_place_between_the_output() {
        let feed = Feed::start(TermSize::new(2, 10)).expect("a thread");
        let before = feed.output(b"one");
        let keyframe = feed.keyframe();
        let after = feed.output(b"two");
        let keyframe = keyframe.blocking_recv().expect("the thread answers");
        assert!((before..after).contains(&keyframe.shown));
        let mut other = Screen::new(keyframe.size);
        other.feed(&keyframe.bytes);
        assert_eq!(other.picture().rows, ["one", ""]);
    }

    #[tokio::test]
    async fn an_exact_feed_shows_what_a_lossy_one_skips() {
        let feed = Feed::start(TermSize::new(3, 40)).expect("a thread");
        feed.exact(true);
        for _ in 0..50_000 {
            feed.room().await;
            feed.output(b"\x1b[2;2Hmoved\x1b[1;1Haround");
        }
        let keyframe = feed.keyframe().await.expect("the thread answers");
        assert!(!keyframe.unsure);
    }

    #[tokio::test]
    async fn a_feed_that_answers_does_so_in_order_and_at_once() {
        let (feed, mut answers) = Feed::answering(TermSize::default()).expect("a thread");
        let flood = b"\x1b[2;2Hmoved\x1b[1;1Haround".repeat(2000);
        for _ in 0..20 {
            feed.room().await;
            feed.output(&flood);
        }
        feed.output(b"\x1b[5;7H\x1b[6n");
        feed.output(b"\x1b[c");
        let mut told = Vec::new();
        while !told.ends_with(b"c") {
            told.extend(answers.recv().await.expect("an answer"));
        }
        assert_eq!(told, b"\x1b[5;7R\x1b[?62;22c");
    }
}
