//! Sessions of one base on agentchattr's server: their names while their agents
//! call tools, others come and go, and the server restarts.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use wrapper::control::protocol::Session;
use wrapper::control::roster::{self, SessionDir};
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::SessionId;

use super::support::agentchattr::Agentchattr;
use super::support::pty::Outer;
use super::support::world::World;
use super::support::{eventually, meanwhile, soon};

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

/// Waits until this was said, whatever else was.
async fn hears(server: &Agentchattr, what: &str) {
    meanwhile(what, async || {
        let said = server.said().await;
        said.iter().any(|one| one == what).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_waits_is_made_under_the_old_name() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut terminal = launch(&world, "here I am").await;
    server.post("/__test/expire/fake", &Value::Null).await;
    terminal.keys(b"go\r").await;
    hears(&server, "fake: here I am").await;
    assert_eq!(names(&world, &[&terminal]), ["fake"]);
    terminal.leave().await;
    // And so does who comes after it, though the name is reserved.
    let terminal = launch(&world, "I am new").await;
    assert_eq!(names(&world, &[&terminal]), ["fake"]);
    terminal.leave().await;
    let left = server.told("deregister").await;
    assert_eq!(left.len(), 3, "one of them freed the name: {left:?}");
}

#[tokio::test]
async fn siblings_hear_at_once_who_comes_and_goes() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let first = launch(&world, "one").await;
    let second = launch(&world, "two").await;
    assert_eq!(names(&world, &[&first, &second]), ["fake-1", "fake-2"]);
    first.leave().await;
    assert_eq!(names(&world, &[&second]), ["fake"]);
    second.leave().await;
    assert_eq!(server.told("deregister").await.len(), 2);
}

#[tokio::test]
async fn the_server_hears_of_every_end() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let hung_up = launch(&world, "one").await.hang_up();
    gone(&server, 1).await;
    drop(hung_up);
    let mut terminal = launch(&world, "two").await;
    let pid = Pid::from_raw(terminal.pid().cast_signed());
    kill(pid, Signal::SIGTERM).expect("it runs");
    gone(&server, 2).await;
    assert_eq!(terminal.end().await, AgentExit::Code(129));
}

/// Waits until so many have left the server.
async fn gone(server: &Agentchattr, many: usize) {
    meanwhile("a farewell", async || {
        (server.told("deregister").await.len() >= many).then_some(())
    })
    .await;
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
async fn two_of_one_base_keep_their_names_when_one_is_given_up() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut first = launch(&world, "one").await;
    let mut second = launch(&world, "two").await;
    // The server takes the second for the last, and calls it `fake`.
    server.post("/__test/expire/fake-1", &Value::Null).await;
    first.keys(b"go\r").await;
    hears(&server, "fake-1: one").await;
    second.keys(b"go\r").await;
    hears(&server, "fake-2: two").await;
    assert_eq!(names(&world, &[&first, &second]), ["fake-1", "fake-2"]);
    for terminal in [first, second] {
        terminal.leave().await;
    }
}

#[tokio::test]
async fn the_human_may_give_the_name_of_the_base() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let first = launch(&world, "one").await;
    let second = launch(&world, "two").await;
    let third = launch(&world, "three").await;
    first.leave().await;
    let label = json!({"label": "fake"});
    server.ask("POST /api/label/fake-2", &label).await;
    eventually("the human's name", || {
        (names(&world, &[&second, &third]) == ["fake", "fake-3"]).then_some(())
    });
    for terminal in [second, third] {
        terminal.leave().await;
    }
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
        terminal.leave().await;
    }
}

/// A session that the test plays: one of this agent, by what `like` says
/// else, that is there and whose socket the test answers.
fn played(world: &World, like: &Value, agent: &str) -> (SessionDir, UnixListener) {
    let dir = SessionDir::make(&world.path("state"), SessionId::random()).expect("made");
    let socket = UnixListener::bind(dir.path.join("control.sock")).expect("bound");
    let mut note: Session = serde_json::from_value(like.clone()).expect("a session");
    note.agent = agent.parse().expect("a name");
    note.id = dir.id.clone();
    roster::note(&dir.path, &note).expect("written");
    (dir, socket)
}

/// True if somebody has called at a socket.
async fn is_called(socket: &UnixListener) -> bool {
    let call = std::future::poll_fn(|cx| std::task::Poll::Ready(socket.poll_accept(cx)));
    call.await.is_ready()
}

#[tokio::test]
async fn a_session_that_is_forgotten_asks_its_siblings_and_nobody_else() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut terminal = launch(&world, "here I am").await;
    let own = world.json(&["ps", "--json"])[0].clone();
    let sibling = played(&world, &own, "fake");
    let strangers = ["codex", "gemini"].map(|agent| played(&world, &own, agent));
    server.post("/__test/expire/fake", &Value::Null).await;
    terminal.keys(b"go\r").await;
    hears(&server, "fake: here I am").await;
    assert!(is_called(&sibling.1).await);
    for (dir, socket) in &strangers {
        assert!(!is_called(socket).await, "{}", dir.path.display());
    }
    terminal.leave().await;
}

#[tokio::test]
async fn labels_of_later_instances_have_their_number() {
    let label = |world: &World| -> Vec<String> {
        let all = world.json(&["ps", "--json"]);
        let all = all.as_array().expect("an array").iter();
        all.map(|one| one["label"].as_str().expect("a label").to_owned())
            .collect()
    };
    let world = World::with_hub();
    for args in [
        &["fake", "-d"][..],
        &["fake", "-d"],
        &["fake", "-d", "--label", "Eye"],
    ] {
        assert!(world.verb(args).status.success());
    }
    assert_eq!(label(&world), ["Fake", "Fake 2", "Eye"]);
    let who = world.json(&["who", "--json"]);
    let who: Vec<&str> = (who.as_array().expect("an array").iter())
        .filter_map(|one| one["label"].as_str())
        .collect();
    assert_eq!(who, ["Fake", "Fake 2", "Eye"]);
    assert!(world.verb(&["stop", "--all"]).status.success());

    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let first = launch(&world, "one").await;
    let second = launch(&world, "two").await;
    let status = server.ask("GET /api/status", &Value::Null).await;
    assert_eq!(status["fake-2"]["label"], "Fake 2", "{status}");
    for terminal in [first, second] {
        terminal.leave().await;
    }
}
