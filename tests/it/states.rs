//! How a session's servers stand: no state is kinder than the truth.

use serde_json::{Value, json};

use crate::live::{call, change, end, launch, server, url, world};
use crate::support::eventually;
use crate::support::upstream::Upstream;
use crate::support::world::{FAKE, World};

const PAGE: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_work_is_not_ready_and_says_why() {
    let (docs, page, shut) = (Upstream::start(), Upstream::start(), Upstream::start());
    let refusal = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    *shut.state.always.lock().expect("no panic") = Some(refusal.into());
    *page.state.always.lock().expect("no panic") = Some(PAGE.into());
    let world = World::with_hub();
    let (docs_port, page_port, shut_port) = (docs.port, page.port, shut.port);
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         [mcp_servers.docs]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{docs_port}/mcp\"\n\
         [mcp_servers.page]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{page_port}/mcp\"\n\
         [mcp_servers.shut]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{shut_port}/mcp\"\n\
         [mcp_servers.locked]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{docs_port}/mcp\"\n\
         auth = {{ env = \"NO_SUCH_VARIABLE\" }}\n"
    ));
    let terminal = launch(&world, &[], 5).await;
    for (name, said) in [
        (
            "page",
            "it does not answer `initialize` as an MCP server does",
        ),
        ("shut", "refuses its credential with HTTP 401"),
        ("locked", "the variable `NO_SUCH_VARIABLE` is not set"),
    ] {
        let shown = eventually(name, || {
            let shown = server(&world, name);
            (shown["state"] == "failed").then_some(shown)
        });
        let reason = shown["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(said), "{shown}");
        assert!(!reason.contains("Nothing was done"), "{shown}");
    }
    assert_eq!(server(&world, "docs")["state"], "ready");
    let session = world.json(&["ps", "--json"])[0].clone();
    let servers = session["mcp"].as_array().expect("servers");
    let page = servers
        .iter()
        .find(|one| one["name"] == "page")
        .expect("it");
    assert_eq!(page["state"], "failed");
    assert!(
        page["reason"]
            .as_str()
            .expect("a reason")
            .contains("initialize"),
        "{page}"
    );
    end(terminal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_has_asked_yet_is_not_ready() {
    let docs = Upstream::start().port;
    let world = World::with_hub();
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         [mcp_servers.docs]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{docs}/mcp\"\n\
         [mcp_servers.missing]\ncommand = \"no-such-program\"\n"
    ));
    let mut terminal = world.launch(&["fake"]);
    terminal.shows("\n>").await;
    let shown = server(&world, "missing");
    assert_eq!(shown["state"], "failed", "{shown}");
    assert_eq!(
        shown["reason"], "cannot run `no-such-program`: not found",
        "{shown}"
    );
    let shown = server(&world, "docs");
    assert_eq!(shown["state"], "waiting", "{shown}");
    assert_eq!(
        shown["reason"], "the agent has not connected to it yet",
        "{shown}"
    );
    end(terminal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_credential_of_a_server_that_was_added_live_is_applied() {
    let (docs, new) = (Upstream::start(), Upstream::start());
    let world = world(docs.port);
    let mut terminal = launch(&world, &[], 2).await;
    let address = url(new.port);
    let set = ["set", "fake", "issues", "--url", &address, "--json"];
    let (outcome, reason) = change(&world, &set);
    assert_eq!(outcome, "applied", "{reason}");
    *new.state.token.lock().expect("no panic") = "token-2".into();
    let header = ["--header", "Authorization: Bearer token-2"];
    let (outcome, reason) = change(&world, &[&set[..], &header[..]].concat());
    assert_eq!(outcome, "applied", "{reason}");
    let text = call(&world, &mut terminal, "agentchattr", "issues__chat_send").await;
    assert_eq!(text, "done");
    let shown: Value = server(&world, "issues");
    assert_eq!(
        (&shown["state"], &shown["route"]),
        (&json!("ready"), &json!("guest"))
    );
    end(terminal).await;
}
