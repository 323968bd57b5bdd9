//! One name for life, on agentchattr's server: what keeps an instance
//! registered, without an agent.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use wrapper::hub::Client;
use wrapper::presence::{Check, Event, Family, Newcomer, Nobody, Presence, Waiting, settle};
use wrapper::types::hub::{HubState, Until};
use wrapper::types::identity::{Identity, InstanceName, Token};
use wrapper::types::upstream::{Endpoint, Live};

use super::support::agentchattr::Agentchattr;
use super::support::soon;

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
            client: client(server),
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
            uid: watch::Sender::default(),
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

    fn are_asleep(&self) -> Waiting<'_, bool> {
        Box::pin(std::future::ready(true))
    }

    fn bears<'a>(&'a self, _: &'a InstanceName) -> Waiting<'a, bool> {
        Box::pin(std::future::ready(false))
    }
}

fn client(server: &Agentchattr) -> Client {
    Client::new(Endpoint::loopback(server.ports[0], "/"))
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
async fn a_server_that_knows_us_again_is_left_alone() {
    let mut server = Agentchattr::start(&["--release", "0.5"]);
    let mut claudes = Vec::new();
    for _ in 0..2 {
        claudes.push(server.register("claude").await);
    }
    let mut kept = Kept::new(&server, &claudes[1], Arc::new(Nobody));
    for is_restarted in [false, true] {
        if is_restarted {
            server.restart();
        } else {
            // The first goes with the second's name: there is one left.
            expire(&server, "claude-2").await;
        }
        kept.check(Until::Registered).await;
        assert_eq!(called(&server, &claudes[1].1).await, "claude-2");
    }
    assert_eq!(server.told("claim").await, Vec::<Value>::new());
    assert!(kept.events.try_recv().is_err(), "nothing has happened");
}

#[tokio::test]
async fn a_name_that_is_none_is_not_followed_and_the_chat_is_told() {
    let server = Agentchattr::start(&[]);
    let claude = server.register("claude").await;
    let mut kept = Kept::new(&server, &claude, Arc::new(Nobody));
    let wish = json!({"sender": "x", "name": "../Bob\r!id"});
    server.tool(Some(&claude.1), "chat_claim", wish).await;
    assert_eq!(called(&server, &claude.1).await, "../Bob\r!id");
    kept.check(Until::Registered).await;
    assert!(kept.events.try_recv().is_err(), "nothing has happened");
    assert_eq!(kept.renewed("another").await, "claude");
    // Under the other one no mention would reach it.
    assert_eq!(called(&server, &claude.1).await, "claude");
    let said = server.said().await;
    let told = |said: &String| said.contains("(wrapper) claude keeps its name");
    assert_eq!(said.iter().filter(|said| told(said)).count(), 1, "{said:?}");
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
    let claims = server.told("claim").await;
    let asks = |claim: &Value| claim["name"] == claim["to"];
    assert!(claims.len() == 1 && asks(&claims[0]), "{claims:?}");
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
    let (client, tools) = (client(&server), tools(&server));
    let new = Newcomer {
        client: &client,
        tools: &tools,
        base: &base,
        label: None,
    };
    // One that sleeps will want it back.
    let held = ["claude".to_owned()];
    let settled = settle(new, newcomer.clone(), &held).await.expect("settled");
    assert_eq!(settled.name.as_str(), "claude-2");
    let settled = settle(new, newcomer, &[]).await.expect("settled");
    assert_eq!(settled.name.as_str(), "claude");
    assert_eq!(called(&server, settled.token.expose()).await, "claude");
    let status = server.ask("GET /api/status", &Value::Null).await;
    assert_eq!(status["claude"]["label"], "Claude", "{status}");
    // Nothing is remembered that would send the next one to this name.
    let (name, token) = server.register("claude").await;
    assert_eq!(called(&server, &token).await, name);
}

#[tokio::test]
async fn a_heartbeat_that_is_answered_with_anothers_name_changes_nothing() {
    for release in ["0.4", "0.5"] {
        let server = Agentchattr::start(&["--release", release]);
        let elder = server.register("claude").await;
        let first = server.register("claude").await;
        server.deregister(&elder.1).await;
        let second = server.register("claude").await;
        assert_eq!(called(&server, &second.1).await, "claude-1", "{release}");
        let mut kept = Kept::new(&server, &second, Arc::new(Nobody));
        kept.check(Until::Registered).await;
        kept.check(Until::Registered).await;
        assert!(
            kept.events.try_recv().is_err(),
            "{release}: it keeps its name"
        );
        assert_eq!(
            server.told("claim").await.len(),
            2,
            "{release}: asked twice"
        );
        // A rename that is one is followed.
        let label = json!({"label": "Bob"});
        server.ask("POST /api/label/claude-2", &label).await;
        kept.check(Until::Heard).await;
        let bob = event("claude-2", "bob", &[], false);
        assert_eq!(kept.event().await, bob, "{release}");
        drop(first);
    }
}

/// A family of which somebody bears every name.
struct Crowded;

impl Family for Crowded {
    fn go_first<'a>(&'a self, _: &'a InstanceName) -> Waiting<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn are_asleep(&self) -> Waiting<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    fn bears<'a>(&'a self, _: &'a InstanceName) -> Waiting<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}

#[tokio::test]
async fn the_name_of_a_session_of_this_machine_is_never_taken() {
    let server = Agentchattr::start(&[]);
    let claude = server.register("claude").await;
    let mut kept = Kept::new(&server, &claude, Arc::new(Crowded));
    let label = json!({"label": "Bob"});
    server.ask("POST /api/label/claude", &label).await;
    kept.check(Until::Heard).await;
    assert!(kept.events.try_recv().is_err(), "it keeps its name");
}

#[tokio::test]
async fn a_dead_instance_is_not_kept_online_by_our_heartbeats() {
    let server = Agentchattr::start(&[]);
    let gone = server.register("claude").await;
    server.deregister(&gone.1).await;
    // As a wrapper of agentchattr's own takes its name back.
    let dead = server.register("claude").await;
    let claim = json!({"sender": "x", "name": "claude"});
    server.tool(Some(&dead.1), "chat_claim", claim).await;
    let next = server.register("claude").await;
    assert_eq!(called(&server, &next.1).await, "claude-1");
    let kept = Kept::new(&server, &next, Arc::new(Nobody));
    kept.check(Until::Registered).await;
    let before = server.told("heartbeat").await.len();
    for _ in 0..3 {
        kept.check(Until::Registered).await;
    }
    assert_eq!(server.told("heartbeat").await.len(), before);
    let who = server.tool(Some(&next.1), "chat_who", json!({})).await;
    assert!(who.contains("claude-2"), "it is online itself: {who}");
}
