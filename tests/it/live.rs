//! Sessions as other programs see them, and servers that are changed while an
//! agent runs.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::eventually;
use super::support::pty::Outer;
use super::support::upstream::{Refusal, Upstream};
use super::support::world::{FAKE, World};

/// A world whose agent has a server `docs` at that port, with a secret.
pub(crate) fn world(docs: u16) -> World {
    let world = World::with_hub();
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         [mcp_servers.docs]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{docs}/mcp\"\n\
         headers = {{ Authorization = \"Bearer token-1\" }}\n"
    ));
    world
}

/// Launches the agent, and waits until it has read the tools of that many
/// servers.
pub(crate) async fn launch(world: &World, args: &[&str], servers: usize) -> Outer {
    let before = listed(world);
    let mut terminal = world.launch(&[&["fake", "--", "--live"], args].concat());
    terminal.shows("\n>").await;
    eventually("the servers are read", || {
        (listed(world) >= before + servers).then_some(())
    });
    terminal
}

/// How often the agents have read a list of tools.
fn listed(world: &World) -> usize {
    let report = world.report();
    report
        .iter()
        .filter(|entry| entry.get("tools").is_some())
        .count()
}

/// The last list of tools that a server gave.
fn tools(world: &World, of: &str) -> Vec<String> {
    let report = world.report();
    let last = report
        .iter()
        .rev()
        .find(|entry| entry["of"] == of && entry.get("tools").is_some());
    let tools = last.map(|entry| entry["tools"].as_array().expect("tools").clone());
    let names = tools.into_iter().flatten();
    names
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}

/// Has the agent call a tool; the text of the result.
pub(crate) async fn call(world: &World, terminal: &mut Outer, server: &str, tool: &str) -> String {
    let calls = || {
        let report = world.report().into_iter();
        let calls = report.filter(|entry| entry.get("call").is_some());
        calls.collect::<Vec<Value>>()
    };
    let before = calls().len();
    terminal
        .keys(format!("/call {server} {tool} {{}}\r").as_bytes())
        .await;
    let made = |_: &mut Outer| calls().len() > before;
    terminal.until("the call is answered", made).await;
    let result = calls().pop().expect("a call")["result"].clone();
    let text = result["result"]["content"][0]["text"].as_str();
    text.map_or_else(|| result.to_string(), str::to_owned)
}

pub(crate) async fn end(mut terminal: Outer) {
    terminal.keys(b"\x04").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

/// What came of a change.
pub(crate) fn change(world: &World, args: &[&str]) -> (String, String) {
    let output = world.verb(&[&["mcp"], args].concat());
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("a verdict");
    let is_applied = verdict["outcome"] == "applied";
    assert_eq!(output.status.success(), is_applied, "{output:?}");
    let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

pub(crate) fn server(world: &World, name: &str) -> Value {
    world.json(&["mcp", "get", "fake", name, "--json"])
}

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/mcp")
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_found_by_what_they_are_called() {
    let docs = Upstream::start();
    let world = world(docs.port);
    assert_eq!(world.json(&["ps", "--json"]), json!([]));
    let complaint = failed(&world.verb(&["mcp", "list", "fake"]));
    assert!(complaint.contains("no session `fake`") && complaint.contains("no session is running"));
    let mut one = launch(&world, &[], 2).await;
    let two = launch(&world, &[], 2).await;

    let all = world.json(&["ps", "--json"]);
    let names: Vec<&Value> = all
        .as_array()
        .expect("an array")
        .iter()
        .map(|session| &session["name"])
        .collect();
    assert_eq!(names, ["fake", "fake-2"]);
    let session = &all[0];
    let start = world.reported("start");
    for (key, value) in [
        ("agent", json!("fake")),
        ("state", json!("idle")),
        ("agent_pid", start["pid"].clone()),
        ("cwd", start["cwd"].clone()),
        ("restarts", json!(0)),
        ("attached", json!(true)),
        (
            "hub",
            json!({ "url": format!("http://127.0.0.1:{}", world.port), "state": "registered" }),
        ),
        (
            "mcp",
            json!([
                { "name": "agentchattr", "route": "proxy", "state": "ready", "evidence": "listed" },
                { "name": "docs", "route": "proxy", "state": "ready", "evidence": "listed" },
            ]),
        ),
    ] {
        eventually(key, || {
            let now = world.json(&["ps", "--json"]);
            (now[0][key] == value).then_some(())
        });
    }
    let id = session["id"].as_str().expect("an id");
    assert!(
        session["log"]
            .as_str()
            .expect("a path")
            .ends_with(&format!("{id}.log"))
    );
    let started = session["started_at"].as_str().expect("a time");
    assert!(started.len() == 24 && started.ends_with('Z'), "{started}");

    let (by_id, prefix) = (id.to_owned(), &id[..11]);
    for asked in ["fake", "fake-2", by_id.as_str(), prefix] {
        let listed = world.json(&["mcp", "list", asked, "--json"]);
        assert_eq!(listed.as_array().map(Vec::len), Some(2), "{asked}");
    }
    let complaint = failed(&world.verb(&["mcp", "list", "fa"]));
    assert!(
        complaint.contains("`fa` means more than one session: fake ("),
        "{complaint}"
    );
    let complaint = failed(&world.verb(&["restart", "nobody"]));
    assert!(
        complaint.contains("running sessions: fake, fake-2"),
        "{complaint}"
    );

    call(&world, &mut one, "docs", "chat_send").await;
    let docs = server(&world, "docs");
    for (key, value) in [
        ("type", json!("remote")),
        ("source", json!("config")),
        (
            "credential",
            json!({ "kind": "headers", "expires_at": null }),
        ),
        ("evidence", json!("called")),
        ("called", json!(1)),
        ("outcome", json!(null)),
    ] {
        assert_eq!(docs[key], value, "{docs}");
    }
    assert!(!docs.to_string().contains("token-1"));
    end(one).await;
    end(two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_server_is_replaced_in_one_session_alone() {
    let (old, new) = (Upstream::start(), Upstream::start());
    let world = world(old.port);
    let mut one = launch(&world, &[], 2).await;
    let mut two = launch(&world, &[], 2).await;
    new.rotate("token-2");
    let set = [
        "set",
        "fake",
        "docs",
        "--url",
        &url(new.port),
        "--header",
        "Authorization: Bearer token-2",
        "--json",
    ];
    assert_eq!(change(&world, &set), ("applied".into(), String::new()));
    assert_eq!(call(&world, &mut one, "docs", "chat_send").await, "done");
    assert_eq!((old.calls().len(), new.calls().len()), (0, 1));
    assert_eq!(call(&world, &mut two, "docs", "chat_send").await, "done");
    assert_eq!((old.calls().len(), new.calls().len()), (1, 1));
    assert_eq!(server(&world, "docs")["url"], json!(url(new.port)));

    // What does not answer, or refuses us, takes nobody's place.
    let sick = Upstream::start();
    *sick.state.always.lock().expect("no panic") =
        Some("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into());
    let set = ["set", "fake", "docs", "--url", &url(sick.port), "--json"];
    let output = world.verb(&[&["mcp"], &set[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(verdict["outcome"], "failed");
    assert!(
        verdict["reason"]
            .as_str()
            .expect("a reason")
            .contains("401"),
        "{verdict}"
    );
    assert_eq!(call(&world, &mut one, "docs", "chat_send").await, "done");
    assert_eq!(new.calls().len(), 2);
    let listed = server(&world, "docs");
    assert_eq!(
        (&listed["url"], &listed["outcome"]),
        (&json!(url(new.port)), &json!("failed"))
    );
    end(one).await;
    end(two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_replaced_from_standard_input() {
    let docs = Upstream::start();
    docs.refuse_by(Refusal::Status(401));
    let world = world(docs.port);
    let mut terminal = launch(&world, &[], 2).await;
    docs.rotate("s3cret-2");
    assert_ne!(
        call(&world, &mut terminal, "docs", "chat_send").await,
        "done"
    );
    let give = |token: &str| {
        let mut child = world
            .spawn(&["mcp", "token", "fake", "docs", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(token.as_bytes()).expect("written");
        drop(input);
        child.wait_with_output().expect("its output")
    };
    for (token, says) in [("\n", "there is none"), ("a\nb\n", "one line of text")] {
        let complaint = failed(&give(token));
        assert!(complaint.contains(says), "{complaint}");
    }
    let output = give("s3cret-2\n");
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(verdict["outcome"], "applied", "{verdict}");
    assert_eq!(
        call(&world, &mut terminal, "docs", "chat_send").await,
        "done"
    );
    let listed = server(&world, "docs");
    assert_eq!(listed["credential"]["kind"], "static");
    let log = world.json(&["ps", "--json"])[0]["log"].clone();
    let log = fs::read_to_string(log.as_str().expect("a path")).expect("the log");
    assert!(!log.contains("s3cret") && !listed.to_string().contains("s3cret"));
    end(terminal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_stands_beside_the_hubs_tools() {
    let (docs, new) = (Upstream::start(), Upstream::start());
    let world = world(docs.port);
    let mut terminal = launch(&world, &[], 2).await;
    let set = [
        "set",
        "fake",
        "issues",
        "--url",
        &url(new.port),
        "--header",
        "Authorization: Bearer token-1",
        "--json",
    ];
    assert_eq!(change(&world, &set), ("applied".into(), String::new()));
    // It has its tools by now, and writes that down a moment later.
    eventually("its tools", || {
        let tools = tools(&world, "agentchattr");
        tools
            .contains(&"issues__chat_send".to_owned())
            .then_some(())
    });
    assert_eq!(server(&world, "issues")["route"], "guest");
    assert_eq!(
        call(&world, &mut terminal, "agentchattr", "issues__chat_send").await,
        "done"
    );
    assert_eq!(new.calls().len(), 1);

    // A command is run by us, with the session's variables.
    let set = [
        "set",
        "fake",
        "tool",
        "--env",
        "WORD=sesame",
        "--json",
        "--",
        FAKE,
        "tool",
        "one",
    ];
    assert_eq!(change(&world, &set), ("applied".into(), String::new()));
    let told = call(&world, &mut terminal, "agentchattr", "tool__environment").await;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        (&told["env"]["WORD"], &told["env"]["WRAPPER_SESSION_NAME"]),
        (&json!("sesame"), &json!("fake"))
    );
    assert_eq!(told["args"], json!(["one"]));

    // Taken away, its tools are gone.
    assert_eq!(
        change(&world, &["rm", "fake", "issues", "--json"]).0,
        "applied"
    );
    eventually("the tools are gone", || {
        let tools = tools(&world, "agentchattr");
        (!tools.contains(&"issues__chat_send".to_owned())).then_some(())
    });
    let said = call(&world, &mut terminal, "agentchattr", "issues__chat_send").await;
    assert!(
        said.contains("this session has no MCP server `issues`"),
        "{said}"
    );
    assert_eq!(new.calls().len(), 1);
    let complaint = failed(&world.verb(&["mcp", "get", "fake", "issues"]));
    assert!(
        complaint.contains("this session has no server `issues`"),
        "{complaint}"
    );
    end(terminal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_takes_no_notice_has_to_be_restarted() {
    let (docs, new) = (Upstream::start(), Upstream::start());
    let world = world(docs.port);
    let terminal = launch(&world, &["--deaf"], 2).await;
    let set = ["set", "fake", "issues", "--url", &url(new.port), "--json"];
    let (outcome, reason) = change(&world, &set);
    assert_eq!(outcome, "pending-restart");
    assert!(
        reason.contains("has not asked for its tools again"),
        "{reason}"
    );
    let listed = server(&world, "issues");
    assert_eq!(
        (&listed["state"], &listed["outcome"]),
        (&json!("pending-restart"), &json!("pending-restart"))
    );

    let before = listed_starts(&world);
    let restarted = world.json(&["restart", "fake", "--json"]);
    assert_eq!(
        (&restarted["name"], &restarted["restarts"]),
        (&json!("fake"), &json!(1))
    );
    eventually("the agent has read the new server", || {
        (!tools(&world, "issues").is_empty()).then_some(())
    });
    assert_eq!(listed_starts(&world), before + 1);
    let listed = server(&world, "issues");
    assert_eq!(
        (&listed["route"], &listed["state"], &listed["outcome"]),
        (&json!("proxy"), &json!("ready"), &json!("applied"))
    );
    // It stands there once.
    assert_eq!(
        tools(&world, "agentchattr")
            .iter()
            .filter(|tool| tool.contains("issues"))
            .count(),
        0
    );
    end(terminal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_nobody_approved_stand_on_no_entry_that_is_trusted_whole() {
    let new = Upstream::start();
    let world = World::with_hub();
    let settings = world.path("home/settings.json");
    fs::write(&settings, "{}").expect("written");
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"settings_file\"\n\
         mcp_settings_path = {settings:?}\nenv = {{ FAKE_SETTINGS = {settings:?} }}\n"
    ));
    let terminal = launch(&world, &[], 1).await;
    let text = fs::read_to_string(&settings).expect("settings");
    assert!(text.contains("\"trust\""), "{text}");
    let set = ["set", "fake", "issues", "--url", &url(new.port), "--json"];
    let (outcome, reason) = change(&world, &set);
    assert_eq!(outcome, "pending-restart", "{reason}");
    assert!(!tools(&world, "agentchattr").contains(&"issues__chat_send".to_owned()));
    end(terminal).await;
}

/// How often an agent was started.
fn listed_starts(world: &World) -> usize {
    let report = world.report();
    report
        .iter()
        .filter(|entry| entry.get("start").is_some())
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_has_servers_of_its_own() {
    let (docs, own) = (Upstream::start(), Upstream::start());
    let world = world(docs.port);
    let file = world.path("servers.json");
    let servers = json!({"mcpServers": {
        "docs": {"type": "http", "url": url(own.port), "headers": {"Authorization": "Bearer token-1"}},
        "tool": {"command": FAKE, "args": ["tool"]},
    }});
    fs::write(&file, servers.to_string()).expect("written");
    let mut terminal = world.launch(&[
        "fake",
        "--mcp",
        &format!("issues={}?key=${{HOME}}", url(own.port)),
        "--mcp-file",
        file.to_str().expect("a path"),
        "--",
        "--live",
    ]);
    terminal.shows("\n>").await;
    eventually("the servers are read", || {
        (listed(&world) == 3).then_some(())
    });
    assert_eq!(
        call(&world, &mut terminal, "docs", "chat_send").await,
        "done"
    );
    assert_eq!((docs.calls().len(), own.calls().len()), (0, 1));
    let list = world.json(&["mcp", "list", "fake", "--json"]);
    let routes = list.as_array().expect("an array").iter().map(|server| {
        let text = |key: &str| server[key].as_str().expect(key).to_owned();
        (text("name"), text("source"), text("route"))
    });
    let routes: Vec<_> = routes.collect();
    let row = |name: &str, source: &str, route: &str| {
        (name.to_owned(), source.to_owned(), route.to_owned())
    };
    assert_eq!(
        routes,
        [
            row("agentchattr", "hub", "proxy"),
            row("docs", "session", "proxy"),
            row("issues", "session", "proxy"),
            row("tool", "session", "agent"),
        ]
    );
    let home = world.path("home");
    assert!(
        !list.to_string().contains(home.to_str().expect("a path")),
        "{list}"
    );
    // What the agent runs itself cannot be taken from it.
    let (outcome, reason) = change(&world, &["rm", "fake", "tool", "--json"]);
    assert_eq!(outcome, "pending-restart", "{reason}");
    end(terminal).await;
    let output = world.verb(&["fake", "--mcp", "nonsense"]);
    assert_eq!(output.status.code(), Some(125));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_set_is_told_and_changes_nothing() {
    let docs = Upstream::start();
    let world = world(docs.port);
    let terminal = launch(&world, &[], 2).await;
    let before = world.json(&["mcp", "list", "fake", "--json"]);
    for (args, says) in [
        (
            &["set", "fake", "agentchattr", "--url", "http://127.0.0.1:9/"][..],
            "`agentchattr` is the hub",
        ),
        (
            &["set", "fake", "docs", "--url", "ftp://s3cret"],
            "cannot read the entry of `docs`: `url`: it is no",
        ),
        (
            &[
                "set",
                "fake",
                "docs",
                "--url",
                "http://127.0.0.1:9/",
                "--header",
                "s3cret",
            ],
            "it has no colon",
        ),
        (
            &[
                "set",
                "fake",
                "docs",
                "--url",
                "http://127.0.0.1:9/",
                "--header",
                "A: @env:NO_SUCH",
            ],
            "cannot read `--header 'A: …'`: `NO_SUCH` is not set",
        ),
        (
            &[
                "set",
                "fake",
                "docs",
                "--url",
                "http://127.0.0.1:9/",
                "--header",
                "A: @file:/no/such",
            ],
            "cannot read /no/such: ",
        ),
        (&["rm", "fake", "agentchattr"], "`agentchattr` is the hub"),
        (
            &["rm", "fake", "nothing"],
            "this session has no server `nothing`",
        ),
        (
            &["get", "fake", "nothing"],
            "this session has no server `nothing`",
        ),
    ] {
        let complaint = failed(&world.verb(&[&["mcp"], args].concat()));
        assert!(complaint.contains(says), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(!complaint.contains("s3cret"), "{complaint}");
    }
    let output = world.verb(&["mcp", "set", "fake", "docs"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(world.json(&["mcp", "list", "fake", "--json"]), before);
    end(terminal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_connects_to_by_itself_is_not_taken_for_ours() {
    let docs = Upstream::start();
    let world = World::with_hub();
    world.configure(&format!("[agents.copilot]\ncommand = {FAKE:?}\n"));
    let file = json!({"mcpServers": {"docs": {"type": "http", "url": url(docs.port)}}});
    fs::write(world.path("project/.mcp.json"), file.to_string()).expect("written");
    let mut terminal = world.launch(&["copilot", "--trust-project"]);
    terminal.shows("\n>").await;
    let route = || world.json(&["mcp", "get", "copilot", "docs", "--json"])["route"].clone();
    // The proxy sees nothing of it, so there is nothing to warn of.
    assert_eq!(route(), "agent");
    let (url, header) = (url(docs.port), "Authorization: Bearer token-1");
    let set = ["set", "copilot", "docs", "--url", &url, "--header", header];
    let (outcome, reason) = change(&world, &[&set[..], &["--json"]].concat());
    assert_eq!(
        (outcome.as_str(), reason.as_str()),
        (
            "pending-restart",
            "the agent connects to this server itself"
        )
    );
    world.json(&["restart", "copilot", "--json"]);
    assert_eq!(route(), "proxy");
    end(terminal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_the_agent_never_asks_is_warned_of() {
    let docs = Upstream::start();
    let world = world(docs.port);
    let mut terminal = world.launch(&["fake"]);
    terminal.shows("\n>").await;
    let began = Instant::now();
    // The agent has 20 s: more than the deadline of other waits.
    let found = loop {
        let found = server(&world, "docs")["state"] == "unconnected";
        if found || began.elapsed() > Duration::from_secs(60) {
            break found;
        }
        terminal.until("a while", |_| true).await;
        std::thread::park_timeout(Duration::from_millis(200));
    };
    assert!(found && began.elapsed() >= Duration::from_secs(20));
    let output = world.verb(&["ps"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("`fake` has not connected to its MCP server `docs`"),
        "{said}"
    );
    let log = world.json(&["ps", "--json"])[0]["log"].clone();
    let log = fs::read_to_string(log.as_str().expect("a path")).expect("the log");
    assert!(
        log.contains("the agent has not connected to this MCP server"),
        "{log}"
    );
    end(terminal).await;
}
