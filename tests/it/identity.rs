//! One name for life, on agentchattr's server: presence alone, and sessions
//! whose agents call a tool meanwhile.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use wrapper::hub::Client;
use wrapper::presence::{Check, Event, Family, Nobody, Presence, Waiting, settle};
use wrapper::types::exit::AgentExit;
use wrapper::types::hub::{HubState, Until};
use wrapper::types::identity::{Identity, InstanceName, Token};
use wrapper::types::upstream::{Endpoint, Live};

use super::support::agentchattr::Agentchattr;
use super::support::pty::Outer;
use super::support::world::World;
use super::support::{eventually, soon};

/// What keeps an instance registered, without an agent.
struct Kept {
    live: watch::Receiver<Live>,
    busy: watch::Sender<bool>,
    checks: mpsc::Sender<Check>,
    events: mpsc::UnboundedReceiver<Event>,
    nudge: Arc<Notify>,
    _stop: DropGuard,
}

impl Kept {
    fn new(
        server: &Agentchattr,
        (name, token): &(String, String),
        family: Arc<dyn Family>,
    ) -> Self {
        let identity = Identity {
            name: name.parse().expect("a name"),
            token: Token::new(token),
        };
        let live = watch::Sender::new(Live {
            identity: Some(Arc::new(identity)),
            ..Live::default()
        });
        let (busy, is_busy) = watch::channel(false);
        let (checks, checked) = mpsc::channel(4);
        let (told, events) = mpsc::unbounded_channel();
        let (nudge, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let kept = Self {
            live: live.subscribe(),
            busy,
            checks,
            events,
            nudge: Arc::clone(&nudge),
            _stop: stop.clone().drop_guard(),
        };
        let presence = Presence {
            client: Client::new(Endpoint::loopback(server.ports[0], "/")),
            tools: Some(tools(server)),
            base: "claude".parse().expect("a name"),
            label: None,
            human: None,
            live,
            state: watch::Sender::new(HubState::Registered),
            nudge,
            busy: is_busy,
            checks: checked,
            family,
            events: told,
        };
        tokio::spawn(presence.run(stop));
        kept
    }

    /// Has a heartbeat made, and waits for this.
    async fn check(&self, until: Until) {
        let (answer, checked) = oneshot::channel();
        self.checks.send((until, answer)).await.expect("it runs");
        soon("an answer", checked).await.expect("it runs");
    }

    async fn event(&mut self) -> Event {
        soon("an event", self.events.recv()).await.expect("it runs")
    }

    /// The name that is published first for another token.
    async fn renewed(&mut self, old: &str) -> String {
        let is_new = |live: &Live| {
            let identity = live.identity.as_ref();
            identity.is_some_and(|identity| identity.token.expose() != old)
        };
        let live = soon("another token", self.live.wait_for(is_new)).await;
        let live = live.expect("it runs").clone();
        live.identity.expect("an identity").name.to_string()
    }
}

/// A family of which somebody sleeps.
struct Asleep;

impl Family for Asleep {
    fn go_first<'a>(&'a self, _: &'a InstanceName) -> Waiting<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn has_others(&self) -> Waiting<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}

fn tools(server: &Agentchattr) -> Endpoint {
    Endpoint::loopback(server.ports[1], "/mcp")
}

fn event(from: &str, to: &str, via: &[&str], again: bool) -> Event {
    let name = |name: &str| name.parse().expect("a name");
    Event {
        from: name(from),
        to: name(to),
        via: via.iter().map(|via| name(via)).collect(),
        again,
    }
}

/// Takes an instance out of the server's books; `reserve` keeps its name.
async fn forget(server: &Agentchattr, name: &str, reserve: bool) {
    let body = json!({"reserve": reserve});
    server.post(&format!("/__test/rotate/{name}"), &body).await;
}

async fn expire(server: &Agentchattr, name: &str) {
    let path = format!("/__test/expire/{name}");
    server.post(&path, &Value::Null).await;
}

/// What the server calls the owner of a token.
async fn called(server: &Agentchattr, token: &str) -> String {
    let (status, body) = server.beat(token).await;
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["name"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn a_name_comes_back_with_its_role_while_it_is_nobodys() {
    let server = Agentchattr::start(&[]);
    let claude = server.register("claude").await;
    let role = json!({"role": "reviewer"});
    server.post("/api/roles/claude", &role).await;
    let mut kept = Kept::new(&server, &claude, Arc::new(Nobody));
    kept.check(Until::Registered).await;
    // The role is looked at behind the heartbeat.
    kept.check(Until::Registered).await;
    expire(&server, "claude").await;
    let (_, roles) = server.rest("GET /api/roles", "", "").await;
    assert_eq!(roles, "{}");
    kept.nudge.notify_one();

    assert_eq!(kept.renewed(&claude.1).await, "claude");
    let again = event("claude", "claude", &["claude-2"], true);
    assert_eq!(kept.event().await, again);
    let (_, roles) = server.rest("GET /api/roles", "", "").await;
    assert_eq!(
        serde_json::from_str::<Value>(&roles).expect("JSON"),
        json!({"claude": "reviewer"})
    );
    let token = kept
        .live
        .borrow()
        .identity
        .clone()
        .expect("one")
        .token
        .clone();
    assert_eq!(called(&server, token.expose()).await, "claude");
    assert_eq!(server.told("claim").await.len(), 1);
}

#[tokio::test]
async fn what_a_live_instance_bears_is_left_to_it() {
    let server = Agentchattr::start(&[]);
    let claude = server.register("claude").await;
    let mut kept = Kept::new(&server, &claude, Arc::new(Nobody));
    expire(&server, "claude").await;
    let other = server.register("claude").await;
    let wish = json!({"sender": "x", "name": "claude"});
    server.tool(Some(&other.1), "chat_claim", wish).await;
    kept.nudge.notify_one();

    assert_eq!(kept.renewed(&claude.1).await, "claude-2");
    assert_eq!(kept.event().await, event("claude", "claude-2", &[], true));
    // The server's own doing.
    assert_eq!(called(&server, &other.1).await, "claude-1");
    assert_eq!(server.told("claim").await.len(), 2, "the other's, and one");
}

#[tokio::test]
async fn a_name_that_the_human_gave_outlives_the_server() {
    let mut server = Agentchattr::start(&[]);
    let claude = server.register("claude").await;
    let mut kept = Kept::new(&server, &claude, Arc::new(Nobody));
    let label = json!({"label": "Bob"});
    server.ask("POST /api/label/claude", &label).await;
    kept.check(Until::Heard).await;
    assert_eq!(kept.event().await, event("claude", "bob", &[], false));
    server.restart();
    kept.nudge.notify_one();
    assert_eq!(kept.renewed(&claude.1).await, "bob");
    assert_eq!(kept.event().await, event("bob", "bob", &["claude"], true));
}

#[tokio::test]
async fn a_claim_never_takes_a_sibling_for_us() {
    let server = Agentchattr::start(&[]);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(server.register("claude").await);
    }
    let mut kept = Kept::new(&server, &all[1], Arc::new(Nobody));
    // The first slot is free, and its name is that of the whole family.
    forget(&server, "claude-1", false).await;
    forget(&server, "claude-2", false).await;
    kept.nudge.notify_one();
    assert_eq!(kept.renewed(&all[1].1).await, "claude-2");
    let via = ["claude", "claude-1"];
    let again = event("claude-2", "claude-2", &via, true);
    assert_eq!(kept.event().await, again);
    for (name, token) in &all[2..] {
        assert_eq!(called(&server, token).await, *name);
    }
    let status = server.ask("GET /api/status", &Value::Null).await;
    let names: Vec<&String> = status.as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), 4, "three instances and `paused`: {names:?}");
}

#[tokio::test]
async fn the_last_of_a_family_keeps_its_number_while_another_sleeps() {
    let server = Agentchattr::start(&[]);
    let elder = server.register("claude").await;
    let younger = server.register("claude").await;
    let elder = ("claude-1".to_owned(), elder.1);
    let mut second = Kept::new(&server, &younger, Arc::new(Asleep));
    expire(&server, "claude-1").await;
    assert_eq!(called(&server, &younger.1).await, "claude");
    second.check(Until::Heard).await;
    let kept = event("claude-2", "claude-2", &["claude"], false);
    assert_eq!(second.event().await, kept);
    let mut first = Kept::new(&server, &elder, Arc::new(Asleep));
    first.nudge.notify_one();
    assert_eq!(first.renewed(&elder.1).await, "claude-1");
    assert_eq!(called(&server, &younger.1).await, "claude-2");
}

#[tokio::test]
async fn the_last_of_a_family_follows_the_server() {
    let server = Agentchattr::start(&[]);
    let elder = server.register("claude").await;
    let younger = server.register("claude").await;
    let mut second = Kept::new(&server, &younger, Arc::new(Nobody));
    server.deregister(&elder.1).await;
    second.check(Until::Heard).await;
    assert_eq!(
        second.event().await,
        event("claude-2", "claude", &[], false)
    );
    assert_eq!(server.told("claim").await, Vec::<Value>::new());
}

#[tokio::test]
async fn work_is_reported_as_it_begins_and_ends() {
    let server = Agentchattr::start(&[]);
    let claude = server.register("claude").await;
    let kept = Kept::new(&server, &claude, Arc::new(Nobody));
    kept.check(Until::Heard).await;
    for busy in [true, false] {
        kept.busy.send(busy).expect("it runs");
        // Their pace is slower than this.
        kept.check(Until::Heard).await;
    }
    kept.check(Until::Heard).await;
    let beats = server.told("heartbeat").await;
    let mut reports: Vec<&Value> = beats.iter().map(|beat| &beat["active"]).collect();
    reports.dedup();
    let none = &Value::Null;
    assert_eq!(reports, [none, &json!(true), &json!(false), none]);
}

#[tokio::test]
async fn a_newcomer_gets_the_name_of_who_has_just_left() {
    let server = Agentchattr::start(&[]);
    let gone = server.register("claude").await;
    server.deregister(&gone.1).await;
    let (name, token) = server.register("claude").await;
    assert_eq!(name, "claude-2");
    let base = "claude".parse().expect("a name");
    let newcomer = Identity {
        name: name.parse().expect("a name"),
        token: Token::new(&token),
    };
    // One that sleeps will want it back.
    let held = ["claude".to_owned()];
    let settled = settle(&tools(&server), &base, newcomer.clone(), &held).await;
    assert_eq!(settled.name.as_str(), "claude-2");
    let settled = settle(&tools(&server), &base, newcomer, &[]).await;
    assert_eq!(settled.name.as_str(), "claude");
    assert_eq!(called(&server, &token).await, "claude");
}

fn call(text: &str) -> String {
    format!("chat_send={{\"channel\":\"general\",\"message\":\"{text}\"}}")
}

/// Launches an agent that says `text` for every prompt.
async fn launch(world: &World, text: &str) -> Outer {
    let mut terminal = world.launch(&["fake", "--", "--call", &call(text)]);
    terminal.shows("\n>").await;
    terminal
}

/// The names of the sessions, in the order of these processes.
fn names(world: &World, of: &[&Outer]) -> Vec<String> {
    let all = world.json(&["ps", "--json"]);
    let all = all.as_array().expect("an array");
    let name = |outer: &&Outer| {
        let mut found = all.iter().filter(|one| one["pid"] == outer.pid());
        Some(found.next()?["name"].as_str()?.to_owned())
    };
    of.iter().filter_map(name).collect()
}

async fn leave(mut terminal: Outer) {
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

/// Between two looks at what the server does not tell by itself.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until this was said, whatever else was.
async fn hears(server: &Agentchattr, what: &str) {
    let said = async {
        while !server.said().await.iter().any(|one| one == what) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    soon(what, said).await;
}

#[tokio::test]
async fn a_call_that_waits_is_made_under_the_old_name() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut terminal = launch(&world, "here I am").await;
    expire(&server, "fake").await;
    terminal.keys(b"go\r").await;
    hears(&server, "fake: here I am").await;
    assert_eq!(names(&world, &[&terminal]), ["fake"]);
    leave(terminal).await;
    // And so does who comes after it, though the name is reserved.
    let terminal = launch(&world, "I am new").await;
    assert_eq!(names(&world, &[&terminal]), ["fake"]);
    leave(terminal).await;
    assert_eq!(server.told("deregister").await.len(), 2);
}

#[tokio::test]
async fn siblings_hear_at_once_who_comes_and_goes() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let first = launch(&world, "one").await;
    let second = launch(&world, "two").await;
    assert_eq!(names(&world, &[&first, &second]), ["fake-1", "fake-2"]);
    leave(first).await;
    assert_eq!(names(&world, &[&second]), ["fake"]);
    leave(second).await;
    assert_eq!(server.told("deregister").await.len(), 2);
}

#[tokio::test]
async fn a_session_that_ends_while_it_registers_is_not_left_behind() {
    let world = World::new();
    let hub = TcpListener::bind(("127.0.0.1", world.port)).await;
    let hub = hub.expect("the port is free");
    let mut terminal = world.launch(&["fake"]);
    let (mut io, _) = soon("a registration", hub.accept())
        .await
        .expect("it comes");
    asked(&mut io, "POST /api/register ").await;
    let pid = Pid::from_raw(terminal.pid().cast_signed());
    kill(pid, Signal::SIGHUP).expect("it runs");
    let record = r#"{"name":"fake","token":"sesame","base":"fake","slot":1,"mcp_port":9}"#;
    answer(io, record).await;
    // It may have begun already; it ends in any case.
    let head = loop {
        let (mut io, _) = soon("a farewell", hub.accept()).await.expect("it comes");
        let head = asked(&mut io, "").await;
        let is_farewell = head.starts_with("POST /api/deregister/fake ");
        answer(io, r#"{"ok":true,"name":"fake"}"#).await;
        if is_farewell {
            break head;
        }
    };
    assert!(head.contains("Bearer sesame"), "{head}");
    assert_eq!(terminal.end().await, AgentExit::Code(129));
}

/// Reads a request that begins like this: what is left unread breaks the
/// answer.
async fn asked(io: &mut TcpStream, what: &str) -> String {
    let mut text = Vec::new();
    loop {
        let read = soon(what, io.read_buf(&mut text)).await.expect("read");
        assert!(read > 0, "it broke off");
        let text = String::from_utf8_lossy(&text);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                assert!(head.starts_with(what), "{head}");
                return head.to_owned();
            }
        }
    }
}

async fn answer(mut io: TcpStream, body: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let text = head + body;
    soon("an answer", io.write_all(text.as_bytes()))
        .await
        .expect("written");
}

#[tokio::test]
async fn three_of_one_base_keep_their_names_when_the_server_restarts() {
    let world = World::new();
    let mut server = Agentchattr::of(&world, &[]);
    let mut first = launch(&world, "one").await;
    let mut second = launch(&world, "two").await;
    let mut third = launch(&world, "three").await;
    let expected = ["fake-1", "fake-2", "fake-3"];
    eventually("three names", || {
        (names(&world, &[&first, &second, &third]) == expected).then_some(())
    });
    server.restart();
    for terminal in [&mut third, &mut second, &mut first] {
        terminal.keys(b"go\r").await;
    }
    for said in ["fake-1: one", "fake-2: two", "fake-3: three"] {
        hears(&server, said).await;
    }
    assert_eq!(names(&world, &[&first, &second, &third]), expected);
    for terminal in [third, second, first] {
        leave(terminal).await;
    }
}
