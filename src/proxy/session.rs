//! One MCP session: what the agent knows it by, and what its upstream does,
//! which may be another than the one that it began with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::types::identity::ServerName;
use crate::types::upstream::{Endpoint, Live, Upstream};

use super::excuse::Failed;
use super::greeting::{Greeting, News};
use super::head::Request;
use super::headers;
use super::shown::Shown;

pub(super) const ID: &str = "mcp-session-id";
pub(super) const VERSION: &str = "mcp-protocol-version";

/// A message of the agent, to be sent again.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    /// The header lines that go on to the upstream.
    pub(super) lines: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// An MCP session of the agent with a server.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) server: ServerName,
    /// What the agent calls it.
    pub(super) id: Option<String>,
    /// Its `initialize`.
    pub(super) hello: Message,
    /// It is one of ours: the agent does not know of it.
    pub(super) is_ours: bool,
    /// The protocol's version that the agent was told.
    version: Option<String>,
    standing: Mutex<Standing>,
    /// Held by whoever opens it anew.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Changes with the standing.
    pulse: watch::Sender<()>,
}

/// Where a session is open, and what it is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) at: Option<Endpoint>,
    /// As whom it was opened there; None: by nobody yet.
    pub(super) upstream: Option<Arc<Upstream>>,
    /// What the upstream calls it.
    pub(super) theirs: Option<String>,
    pub(super) greeting: Greeting,
}

/// How a session stands with its upstream.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// How often it was opened anew.
    pub(super) generation: u64,
    /// The guests that stood beside its tools when the agent asked for these.
    pub(super) guests: Option<Vec<Arc<Upstream>>>,
    /// The last event with an id that the agent heard on its stream.
    heard: Option<String>,
    /// How often it could not be, and why at last.
    pub(super) failures: (u64, Option<Arc<Failed>>),
    pub(super) place: Place,
    /// The agent's `notifications/initialized`.
    pub(super) started: Option<Message>,
    pub(super) shown: Shown,
    /// What the agent has not been told yet.
    news: News,
    is_over: bool,
}

impl Standing {
    /// It was opened anew; `news`: what of it has changed by that.
    pub(super) fn renew(&mut self, place: Place, news: News) {
        self.generation += 1;
        self.news = self.news.and(news);
        self.place = place;
    }
}

impl Session {
    /// A session that the upstream `at` has answered `hello` with.
    pub(super) fn new(
        server: &ServerName,
        hello: Message,
        at: &Endpoint,
        theirs: Option<&str>,
        greeting: Greeting,
    ) -> Self {
        Self {
            server: server.clone(),
            id: theirs.map(str::to_owned),
            hello,
            is_ours: false,
            version: greeting.version.clone(),
            standing: Mutex::new(Standing {
                place: Place {
                    at: Some(at.clone()),
                    upstream: None,
                    theirs: theirs.map(str::to_owned),
                    greeting,
                },
                ..Standing::default()
            }),
            turn: tokio::sync::Mutex::default(),
            pulse: watch::Sender::new(()),
        }
    }

    /// The same, opened as `upstream` has it.
    pub(super) fn opened_by(self, upstream: &Arc<Upstream>) -> Self {
        self.lock().place.upstream = Some(Arc::clone(upstream));
        self
    }

    pub(super) fn is(&self, server: &ServerName, id: Option<&str>) -> bool {
        self.id.as_deref() == id && self.server == *server
    }

    /// How it stands now.
    pub(super) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// How often it was opened anew, if it is open at the upstream `at`.
    pub(super) fn generation_at(&self, at: &Endpoint) -> Option<u64> {
        let standing = self.lock();
        (standing.place.at.as_ref() == Some(at)).then_some(standing.generation)
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// The request as the upstream knows the session; None if it may go as it
    /// is.
    pub(super) fn request(&self, request: &Request) -> Option<Request> {
        let standing = self.lock();
        let is_same =
            self.id == standing.place.theirs && self.version == standing.place.greeting.version;
        (!is_same).then(|| Request {
            crossing: self.lines(&request.crossing, &standing.place),
            ..request.clone()
        })
    }

    /// Header `lines` of the agent as the upstream knows the session.
    pub(super) fn lines(&self, lines: &[u8], place: &Place) -> Vec<u8> {
        let (told, now) = (&self.version, &place.greeting.version);
        let of_version = headers::value(lines, VERSION);
        let is_told = of_version.is_some() && of_version == told.as_deref();
        let version = now.as_ref().filter(|_| is_told);
        let mut lines = headers::without(lines, |name| {
            name.eq_ignore_ascii_case(ID) || version.is_some() && name.eq_ignore_ascii_case(VERSION)
        });
        if let Some(version) = version {
            headers::push(&mut lines, "Mcp-Protocol-Version", version);
        }
        if let Some(theirs) = &place.theirs {
            headers::push(&mut lines, "Mcp-Session-Id", theirs);
        }
        lines
    }

    /// Header `lines` of an answer as the agent knows the session.
    pub(super) fn answer(&self, lines: &mut Vec<u8>) {
        let said = headers::value(lines, ID);
        if said.is_none() || said == self.id.as_deref() && !self.is_ours {
            return;
        }
        *lines = headers::without(lines, |name| name.eq_ignore_ascii_case(ID));
        if let (Some(id), false) = (&self.id, self.is_ours) {
            headers::push(lines, "Mcp-Session-Id", id);
        }
    }

    /// Changes how it stands, and wakes the streams that are open for it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.lock());
        self.pulse.send_replace(());
    }

    /// Notes what the agent says or is shown: nobody has to know.
    pub(super) fn note(&self, note: impl FnOnce(&mut Standing)) {
        note(&mut self.lock());
    }

    /// Has the agent told of `news`, now or as soon as it listens.
    pub(super) fn tell(&self, news: News) {
        self.change(|standing| standing.news = standing.news.and(news));
    }

    /// What the agent is to be told; it is told by whoever asks.
    pub(super) fn news(&self) -> News {
        std::mem::take(&mut self.lock().news)
    }

    /// True if `live` has other guests than the agent knows of; from now on it
    /// is taken to know these.
    pub(super) fn has_other_guests(&self, live: &Live) -> bool {
        let now = guests(live);
        let mut standing = self.lock();
        let is_same = |known: &Vec<Arc<Upstream>>| {
            known.len() == now.len() && known.iter().zip(&now).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let known = standing.guests.as_mut().filter(|known| !is_same(known));
        known.map(|known| *known = now).is_some()
    }

    /// The agent hears the event `id` on its stream.
    pub(super) fn hear(&self, id: &str) {
        let mut standing = self.lock();
        if standing.heard.as_deref() != Some(id) {
            standing.heard = Some(id.to_owned());
        }
    }

    /// True if `id` is the last event that it heard there.
    pub(super) fn has_heard(&self, id: &str) -> bool {
        self.lock().heard.as_deref() == Some(id)
    }

    pub(super) fn end(&self) {
        self.change(|standing| standing.is_over = true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Sees every change of the standing from now on.
    pub(super) fn pulse(self: &Arc<Self>) -> watch::Receiver<()> {
        self.pulse.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The servers whose tools stand beside the hub's. One that was set again is
/// another, at the same address too: a command has none of its own.
pub(super) fn guests(live: &Live) -> Vec<Arc<Upstream>> {
    let upstreams = live.upstreams.values();
    let guests = upstreams.filter(|upstream| upstream.is_guest);
    guests.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: Option<&str>) -> Session {
        let server = "hub".parse().expect("a name");
        let greeting = Greeting {
            version: Some("v1".into()),
            ..Greeting::default()
        };
        let at = Endpoint::loopback(1, "/mcp");
        Session::new(&server, Message::default(), &at, id, greeting)
    }

    #[test]
    fn ids_and_versions_are_each_sides_own() {
        for (id, theirs, version, before, after) in [
            (
                Some("a"),
                Some("b"),
                "v2",
                "X: y\r\nmcp-session-id: a\r\nmcp-protocol-version: v1\r\n",
                "X: y\r\nMcp-Protocol-Version: v2\r\nMcp-Session-Id: b\r\n",
            ),
            // One that names no version, or another than it was told.
            (
                Some("a"),
                Some("b"),
                "v2",
                "mcp-session-id: a\r\n",
                "Mcp-Session-Id: b\r\n",
            ),
            (
                Some("a"),
                None,
                "v2",
                "Mcp-Protocol-Version: v0\r\nmcp-session-id: a\r\n",
                "Mcp-Protocol-Version: v0\r\n",
            ),
            (
                None,
                Some("b"),
                "v1",
                "X: y\r\n",
                "X: y\r\nMcp-Session-Id: b\r\n",
            ),
        ] {
            let session = session(id);
            session.change(|standing| {
                standing.place.theirs = theirs.map(str::to_owned);
                standing.place.greeting.version = Some(version.to_owned());
            });
            let lines = session.lines(before.as_bytes(), &session.standing().place);
            assert_eq!(String::from_utf8(lines).expect("text"), after);
            let mut answer = b"HTTP/1.1 200 OK\r\nMcp-Session-Id: b\r\n".to_vec();
            session.answer(&mut answer);
            assert_eq!(headers::value(&answer, ID), id);
        }
    }

    #[test]
    fn news_are_told_once() {
        let session = session(None);
        session.tell(News::TOOLS);
        assert!(session.news().tools);
        assert!(!session.news().tools);
    }
}
