//! Where the messages of open SSE streams go: each endpoint that an upstream
//! announced, under a number of ours, for as long as the agent's stream is
//! open, whatever becomes of the upstream's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::owed::{Letter, Owed, Waiting};
use crate::types::identity::{ServerName, Token};
use crate::types::upstream::Endpoint;

/// Words of ours that wait for a slow agent.
const MOST_TOLD: usize = 64;

/// What is announced now. The agent can post to nothing else.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Mailboxes(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    open: BTreeMap<u64, Arc<Mailbox>>,
}

/// Where the messages for one stream of the agent's go, and what of them is
/// not answered yet.
#[derive(Debug)]
pub(in crate::proxy) struct Mailbox {
    number: u64,
    pub(super) server: ServerName,
    way: watch::Sender<Way>,
    tell: mpsc::Sender<Vec<u8>>,
    owed: Mutex<Owed>,
}

/// Where a mailbox leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// Counts the upstream's streams.
    pub(super) generation: u64,
    /// As the upstream's stream says; none while there is no such stream.
    pub(super) to: Option<Endpoint>,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Messages can be posted.
    Open,
    /// They have to wait for another stream of the upstream's.
    Opening,
    /// The agent's stream has ended.
    Over,
}

/// An entry that goes with the agent's stream.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    of: &'a Mailboxes,
    pub(super) mailbox: Arc<Mailbox>,
    /// Path and query that the agent is told.
    pub(super) path: String,
    /// Events of ours for the agent.
    pub(super) told: mpsc::Receiver<Vec<u8>>,
}

impl Mailboxes {
    /// A mailbox of `server` for what is to be posted to `endpoint`. Its query
    /// shows in our path, as clients may want to read the session from it.
    pub(super) fn open(&self, server: &ServerName, endpoint: Endpoint) -> Opened<'_> {
        let query = endpoint
            .path
            .find('?')
            .map_or("", |at| &endpoint.path[at..]);
        let mut numbered = self.numbered();
        numbered.last += 1;
        let number = numbered.last;
        let path = format!("/{}/messages/{number}{query}", server.segment());
        let (tell, told) = mpsc::channel(MOST_TOLD);
        let mailbox = Arc::new(Mailbox {
            number,
            server: server.clone(),
            way: watch::Sender::new(Way {
                generation: 1,
                to: Some(endpoint),
                state: State::Open,
            }),
            tell,
            owed: Mutex::default(),
        });
        numbered.open.insert(number, Arc::clone(&mailbox));
        Opened {
            of: self,
            mailbox,
            path,
            told,
        }
    }

    /// The mailbox of `server` that our path calls `number`.
    pub(in crate::proxy) fn find(&self, server: &ServerName, number: &str) -> Option<Arc<Mailbox>> {
        let numbered = self.numbered();
        let mailbox = numbered.open.get(&number.parse().ok()?)?;
        (mailbox.server == *server).then(|| Arc::clone(mailbox))
    }

    fn numbered(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.of.numbered().open.remove(&self.mailbox.number);
        let over = |way: &mut Way| way.state = State::Over;
        self.mailbox.way.send_modify(over);
    }
}

impl Mailbox {
    /// Its number in our paths.
    pub(super) fn number(&self) -> String {
        self.number.to_string()
    }

    /// Where it leads at this moment.
    pub(in crate::proxy) fn to(&self) -> Option<Endpoint> {
        self.way.borrow().to.clone()
    }

    pub(super) fn way(&self) -> watch::Receiver<Way> {
        self.way.subscribe()
    }

    /// What comes by stream `generation` is lost, or as good as lost.
    pub(super) fn lose(&self, generation: u64) {
        self.way.send_if_modified(|way| {
            let is_news = way.generation == generation && way.state != State::Over;
            if is_news {
                *way = Way {
                    generation: generation + 1,
                    to: None,
                    state: State::Opening,
                };
            }
            is_news
        });
    }

    /// Waits until stream `generation` is lost.
    pub(super) async fn lost(&self, generation: u64) {
        let mut way = self.way();
        let is_lost = |way: &Way| way.generation != generation || way.state == State::Over;
        // As long as we are here it is not closed.
        let _ = way.wait_for(is_lost).await;
    }

    /// The upstream's new stream says where messages go; they have to wait
    /// still, until [`Mailbox::reopen`].
    pub(super) fn lead(&self, to: Endpoint) {
        self.way.send_modify(|way| way.to = Some(to));
    }

    pub(super) fn reopen(&self) {
        self.way.send_if_modified(|way| {
            let is_news = way.state == State::Opening && way.to.is_some();
            if is_news {
                way.state = State::Open;
            }
            is_news
        });
    }

    /// Has the agent read a message of ours from its stream. False if that has
    /// ended.
    pub(super) async fn say(&self, event: Vec<u8>) -> bool {
        self.tell.send(event).await.is_ok()
    }

    /// Notes what the agent posts.
    pub(super) fn note(&self, letter: &Arc<Letter>) {
        self.owed().note(letter);
    }

    /// `letter` is posted with this token.
    pub(super) fn sent(&self, letter: &Letter, token: Option<&Token>) {
        self.owed().sent(letter, token);
    }

    /// The upstream has taken the requests of `letter`, on its stream
    /// `generation`. False if that stream was lost before, and nobody has
    /// dealt with them yet.
    pub(super) fn taken(&self, letter: &Letter, generation: u64) -> bool {
        let mut owed = self.owed();
        // Whoever loses the stream after this finds them there.
        let is_there = self.way.borrow().generation == generation;
        owed.taken(letter, is_there.then_some(generation))
    }

    /// The request `id` was answered, or is given up.
    pub(super) fn answered(&self, id: &str) -> Option<Waiting> {
        self.owed().answered(id)
    }

    /// It is posted again.
    pub(super) fn again(&self, id: &str, waiting: Waiting) {
        self.owed().again(id, waiting);
    }

    /// Takes the requests whose answers streams before `generation` were to
    /// bring.
    pub(super) fn orphans(&self, generation: u64) -> Vec<(String, Waiting)> {
        self.owed().orphans(generation)
    }

    /// What opens a session, see [`Owed::greeting`].
    pub(super) fn greeting(&self) -> Option<(String, Arc<Letter>, Option<Arc<Letter>>)> {
        self.owed().greeting()
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::evidence::Step;

    fn name(name: &str) -> ServerName {
        name.parse().expect("a name")
    }

    fn real(path: &str) -> Endpoint {
        Endpoint::loopback(9, path)
    }

    fn letter(body: &str) -> Arc<Letter> {
        Arc::new(Letter::new(b"A: b\r\n", body.into()))
    }

    #[test]
    fn a_mailbox_is_open_as_long_as_its_stream() {
        let boxes = Mailboxes::default();
        let (one, two) = (name("one"), name("my two"));
        let first = boxes.open(&one, real("/m/?s=1"));
        let second = boxes.open(&two, real("/m"));
        assert_eq!(first.path, "/one/messages/1?s=1");
        assert_eq!(second.path, "/my%20two/messages/2");
        let to = |server, number| boxes.find(server, number)?.to();
        assert_eq!(to(&one, "1"), Some(real("/m/?s=1")));
        assert_eq!(to(&two, "2"), Some(real("/m")));
        for (server, number) in [
            (&one, "2"),
            (&two, "1"),
            (&one, "3"),
            (&one, ""),
            (&one, "x"),
        ] {
            assert_eq!(to(server, number), None);
        }
        let mailbox = Arc::clone(&first.mailbox);
        drop(first);
        assert_eq!(mailbox.way().borrow().state, State::Over);
        assert_eq!(to(&one, "1"), None);
        assert_eq!(to(&two, "2"), Some(real("/m")));
    }

    #[test]
    fn a_lost_stream_gives_its_mailbox_to_the_next() {
        let boxes = Mailboxes::default();
        let opened = boxes.open(&name("one"), real("/1"));
        let mailbox = &opened.mailbox;
        let way = || mailbox.way().borrow().clone();
        mailbox.lose(1);
        let lost = Way {
            generation: 2,
            to: None,
            state: State::Opening,
        };
        assert_eq!(way(), lost);
        // It is lost once, and not open before it leads somewhere.
        mailbox.lose(1);
        mailbox.reopen();
        assert_eq!(way(), lost);
        mailbox.lead(real("/2"));
        assert_eq!(mailbox.to(), Some(real("/2")));
        assert_eq!(way().state, State::Opening);
        mailbox.reopen();
        assert_eq!(way().state, State::Open);
    }

    #[test]
    fn what_a_lost_stream_was_to_answer_is_known() {
        let boxes = Mailboxes::default();
        let opened = boxes.open(&name("one"), real("/1"));
        let mailbox = &opened.mailbox;
        let hello = letter(r#"{"id":0,"method":"initialize"}"#);
        mailbox.note(&hello);
        assert!(mailbox.greeting().is_none(), "it has no answer yet");
        assert_eq!(
            mailbox.answered("0").expect("it waits").step,
            Some(Step::Initialized)
        );
        let (id, _, ready) = mailbox.greeting().expect("it is known");
        assert_eq!((id.as_str(), ready.is_none()), ("0", true));
        mailbox.note(&letter(r#"{"method":"notifications/initialized"}"#));
        assert!(mailbox.greeting().expect("it is known").2.is_some());

        let call = letter(r#"{"id":"a","method":"tools/call"}"#);
        let list = letter(r#"{"id":2,"method":"tools/list"}"#);
        let batch = letter(r#"[{"id":3,"method":"ping"},{"id":4,"method":"tools/call"}]"#);
        let late = letter(r#"{"id":5,"method":"tools/call"}"#);
        for letter in [&call, &list, &batch, &late] {
            mailbox.note(letter);
        }
        for letter in [&call, &list, &batch] {
            assert!(mailbox.taken(letter, 1));
        }
        mailbox.lose(1);
        let orphans: Vec<_> = mailbox
            .orphans(2)
            .into_iter()
            .map(|(id, one)| (id, one.is_call, one.is_harmless, one.letter.is_some()))
            .collect();
        let expected = [
            ("\"a\"", true, false, true),
            ("2", false, true, true),
            ("3", false, false, false),
            ("4", true, false, false),
        ];
        let expected = expected.map(|(id, call, harmless, kept)| (id.into(), call, harmless, kept));
        assert_eq!(orphans, expected);
        // Taken by a stream that is lost already.
        assert!(!mailbox.taken(&late, 1));
    }
}
