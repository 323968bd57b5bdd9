//! Ports of a hub of ours that another user of the machine listens on.

use serde_json::json;
use wrapper::types::agent::Transport;
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::Token;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Upstream};

use super::background::in_state;
use super::support::eventually;
use super::support::rig::{Raw, Rig};
use super::support::stranger::{Stranger, UID};
use super::support::world::{FAKE, World};

const SEND: &str = "chat_send={\"channel\":\"general\",\"message\":\"here I am\"}";

fn ports(world: &World) -> [u16; 3] {
    [world.port, world.mcp_port, world.sse_port]
}

/// A world whose hub has been there, and has gone.
fn without_its_hub() -> World {
    let mut world = World::with_hub();
    world.kill_hub();
    world
}

#[tokio::test]
async fn another_users_process_at_the_hubs_port_is_sent_nothing() {
    let world = without_its_hub();
    let Some(stranger) = Stranger::at(&ports(&world)) else {
        return;
    };
    let url = format!("http://127.0.0.1:{}", world.port);
    let whose =
        format!("cannot use the hub at {url}: the process there is of uid {UID}, not yours");
    for (args, code) in [
        (&["say", "@fake the plan is secret"][..], 1),
        (&["read"], 1),
        (&["read", "-f"], 1),
        (&["who"], 1),
        (&["fake", "--headless"], 125),
        (&["fake", "-d"], 125),
    ] {
        let output = world.verb(args);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {words}");
        assert!(words.contains(&whose), "{args:?}: {words}");
        assert!(
            words.contains("hint: nothing was sent to it"),
            "{args:?}: {words}"
        );
        assert!(words.contains("owner = \"4242\""), "{args:?}: {words}");
    }
    let doctor = world.verb(&["doctor"]);
    let words = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(words.contains(&whose), "{words}");
    assert!(stranger.met() > 5, "it was there all the time");
    assert_eq!(stranger.heard(), "");
    assert!(world.report().is_empty(), "no agent was started");
    let hubs = world.processes();
    assert!(
        hubs.iter().all(|(_, args)| !args.contains(" serve ")),
        "{hubs:?}"
    );
}

#[tokio::test]
async fn a_hub_that_another_user_takes_over_gets_no_token_and_has_no_prompt_typed() {
    let mut world = World::with_hub();
    let mut terminal = world.launch(&["fake", "--", "--call", SEND]);
    terminal.shows("\n>").await;
    world.json(&["say", "--json", "@fake one"]);
    terminal
        .until("an answer", |_| calls(&world).len() == 1)
        .await;
    let prompts = world.prompts();

    world.kill_hub();
    let Some(stranger) = Stranger::at(&ports(&world)) else {
        return;
    };
    eventually("the session has looked for its hub", || {
        (stranger.met() > 1 && connecting(&world)).then_some(())
    });
    // A tool call is answered in words, by our proxy.
    terminal.keys(b"go\r").await;
    terminal
        .until("an answer", |_| calls(&world).len() == 2)
        .await;
    let answer = calls(&world)[1].clone();
    assert!(answer.contains("is not spoken to"), "{answer}");
    assert!(
        answer.contains(&format!("of uid {UID}, not yours. Nothing was done")),
        "{answer}"
    );
    let met = stranger.met();
    eventually("some more looks", || {
        (stranger.met() > met + 3).then_some(())
    });
    assert_eq!(stranger.heard(), "");
    let typed = world.prompts()[prompts.len()..].to_vec();
    assert_eq!(typed, ["go"], "nothing else was typed");

    // The right one comes back, started by the session itself, and all goes on.
    drop(stranger);
    eventually("a hub", || {
        let told = world.verb(&["say", "@fake two"]);
        told.status.success().then_some(())
    });
    terminal
        .until("an answer", |_| calls(&world).len() == 3)
        .await;
    assert_eq!(world.said("fake", 2), "here I am");
    assert_eq!(world.online(), ["fake"]);
    in_state(&world, "fake", "idle");
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn another_users_hub_is_spoken_to_on_the_users_word() {
    let world = without_its_hub();
    let Some(stranger) = Stranger::at(&[world.port]) else {
        return;
    };
    for (owner, is_heard) in [
        ("4241", false),
        ("root", false),
        ("4242", true),
        ("*", true),
    ] {
        world.configure(&format!(
            "[server]\nowner = \"{owner}\"\n[agents.fake]\ncommand = {FAKE:?}\n"
        ));
        let before = stranger.heard().len();
        let said = world.verb(&["say", "hello"]);
        let heard = stranger.heard()[before..].to_owned();
        assert_eq!(said.status.success(), is_heard, "{owner}: {said:?}");
        assert_eq!(
            heard.contains("POST /api/send"),
            is_heard,
            "{owner}: {heard}"
        );
    }
    world.configure("[server]\nowner = \"a b\"\n");
    let refused = world.verb(&["say", "hello"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("names no user"), "{words}");
}

#[tokio::test]
async fn a_credential_goes_to_another_users_server_only_on_the_users_word() {
    let rig = Rig::new();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("an address").port()
    };
    let Some(stranger) = Stranger::at(&[port]) else {
        return;
    };
    let server = |owner| Upstream {
        endpoint: Endpoint::loopback(port, "/mcp"),
        transport: Transport::Http,
        credential: Credential::Headers(vec![("X-Key".to_owned(), Token::new("s3cret"))]),
        context: ContextLevel::None,
        owner,
        is_guest: false,
    };
    rig.put("other", server(Owner::Us));
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}});
    let mut agent = Raw::connect(rig.port).await;
    agent.send(&rig.post_to("/other/mcp", "", &call)).await;
    let (_, body) = agent.answer().await;
    assert!(body.contains(&format!("of uid {UID}, not yours")), "{body}");
    assert_eq!(stranger.heard(), "");
    rig.put("other", server(Owner::Anyone));
    let mut agent = Raw::connect(rig.port).await;
    agent.send(&rig.post_to("/other/mcp", "", &call)).await;
    agent.answer().await;
    assert!(stranger.heard().contains("s3cret"));
}

/// The results of the agent's tool calls.
fn calls(world: &World) -> Vec<String> {
    let report = world.report();
    let calls = report.iter().filter(|entry| entry.get("call").is_some());
    calls.map(|entry| entry["result"].to_string()).collect()
}

fn connecting(world: &World) -> bool {
    let all = world.json(&["ps", "--json"]);
    all[0]["hub"]["state"] == "connecting"
}
