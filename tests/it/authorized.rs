//! Credentials that live, on their way through the proxy to a server; and a
//! launch that shows none.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use wrapper::proxy::Patience;
use wrapper::types::agent::Transport;
use wrapper::types::credential::{Auth, TokenSource};
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::Token;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Upstream as Server};

use super::secrets::files;
use super::support::meanwhile;
use super::support::rig::Rig;
use super::support::source::{Source, keepers, plain};
use super::support::upstream::{Refusal, Upstream};
use super::support::world::{FAKE, World};

/// A proxy in front of a server `docs` that is spoken to with this.
fn rig(auth: Auth) -> Rig {
    let rig = Rig::with(Patience::default(), keepers());
    let team = ("X-Team".to_owned(), Token::new("ours"));
    rig.put(
        "docs",
        Server {
            endpoint: Endpoint::loopback(rig.upstream.port, "/mcp"),
            transport: Transport::Http,
            credential: Credential::Auth(auth, vec![team]),
            context: ContextLevel::None,
            owner: Owner::Us,
            is_guest: false,
        },
    );
    rig.upstream.refuse_by(Refusal::Status(401));
    rig
}

/// Calls a tool of `docs`; the answer, which is one that an agent can read.
async fn call(rig: &Rig) -> String {
    let params = json!({ "name": "t" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut raw = rig.raw().await;
    raw.send(&rig.post_to("/docs/mcp", "", &call)).await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body
}

fn refused(rig: &Rig) -> usize {
    *rig.upstream.state.refused.borrow()
}

#[tokio::test]
async fn a_server_gets_what_its_source_gives() {
    let source = Source::new("{\"Authorization\": \"Bearer token-1\", \"x-team\": \"theirs\"}");
    let rig = rig(source.auth());
    for _ in 0..3 {
        assert!(call(&rig).await.contains("done"));
    }
    let head = rig.upstream.last_head();
    for (line, times) in [
        ("Authorization: Bearer token-1\r\n", 1),
        ("x-team: theirs\r\n", 1),
        ("X-Team", 0),
    ] {
        assert_eq!(head.matches(line).count(), times, "{line}: {head}");
    }
    assert_eq!(source.runs(), ["start"]);
}

#[tokio::test]
async fn a_refusal_is_mended_by_one_run_and_one_replay() {
    let source = Source::new("token-1");
    let rig = rig(source.auth());
    assert!(call(&rig).await.contains("done"));
    rig.upstream.rotate("token-2");
    source.say("token-2");
    assert!(call(&rig).await.contains("done"));
    assert_eq!((refused(&rig), rig.upstream.calls().len()), (1, 2));
    assert_eq!(source.runs(), ["start", "unauthorized"]);
    // Other headers stay.
    assert!(rig.upstream.last_head().contains("X-Team: ours\r\n"));

    // What the source gives is refused as well: told once, and not asked again.
    rig.upstream.rotate("token-3");
    for (more, says) in [
        (
            1,
            "and there is no other: it gave the same credential again",
        ),
        (
            1,
            "and there is no other: it gave the same credential again",
        ),
    ] {
        let before = refused(&rig);
        let body = call(&rig).await;
        assert!(body.contains(r#""isError":true"#), "{body}");
        for said in [
            "refuses its credential (command) with HTTP 401, ",
            says,
            "`wrapper mcp token SESSION docs`",
        ] {
            assert!(body.contains(said), "{body}");
        }
        assert!(!body.contains("token-2"), "{body}");
        assert_eq!(refused(&rig), before + more);
    }
    assert_eq!(source.runs(), ["start", "unauthorized", "unauthorized"]);

    // A run that gives another: one replay, and the end of it.
    let source = Source::new("token-1");
    let rig = self::rig(source.auth());
    assert!(call(&rig).await.contains("done"));
    rig.upstream.rotate("token-3");
    source.say("token-2");
    let body = call(&rig).await;
    assert!(
        body.contains("refuses its credential (command) with HTTP 401. "),
        "{body}"
    );
    assert_eq!((refused(&rig), rig.upstream.calls().len()), (2, 1));
    assert_eq!(source.runs(), ["start", "unauthorized"]);
}

#[tokio::test]
async fn calls_that_are_refused_together_share_a_run() {
    let source = Source::new("token-1");
    let rig = rig(source.auth());
    assert!(call(&rig).await.contains("done"));
    rig.upstream.rotate("token-2");
    source.say("token-2");
    source.shut();
    let calls = async {
        let mut all = Vec::new();
        for _ in 0..8 {
            let mut raw = rig.raw().await;
            let params = json!({ "name": "t" });
            let call =
                json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
            raw.send(&rig.post_to("/docs/mcp", "", &call)).await;
            all.push(raw);
        }
        let mut refusals = rig.upstream.state.refused.subscribe();
        let all_refused = refusals.wait_for(|refused| *refused == 8);
        drop(all_refused.await.expect("counted"));
        source.open().await;
        for mut raw in all {
            assert!(raw.answer().await.1.contains("done"));
        }
    };
    super::support::soon("eight answers", calls).await;
    assert_eq!(source.runs(), ["start", "unauthorized"]);
}

#[tokio::test]
async fn forbidden_is_not_unauthorized() {
    let source = Source::new("token-2");
    let rig = rig(source.auth());
    rig.upstream.refuse_by(Refusal::Status(403));
    let body = call(&rig).await;
    assert!(
        body.contains("refuses its credential (command) with HTTP 403. "),
        "{body}"
    );
    assert_eq!((refused(&rig), source.runs().len()), (1, 1));
}

#[tokio::test]
async fn a_file_that_was_rotated_is_read_again() {
    let source = Source::new("token-0");
    let rig = rig(plain(TokenSource::File(source.path("say"))));
    let path = source.path("say").display().to_string();
    let body = call(&rig).await;
    let said = format!("(file) with HTTP 401, and there is no other: {path} has no other");
    assert!(body.contains(&said), "{body}");
    source.say("token-1");
    assert!(call(&rig).await.contains("done"));
}

#[tokio::test]
async fn without_a_credential_nothing_is_sent() {
    let source = Source::script("echo 'log in first' >&2; exit 1\n");
    for (auth, said) in [
        (
            source.auth(),
            "its credential (command) cannot be had: `sh` failed with exit status: 1. Nothing was \
             done",
        ),
        (
            plain(TokenSource::Env("NONE".into())),
            "its credential (env) cannot be had: the variable `NONE` is not set",
        ),
        (
            Auth {
                header: Some("Connection".into()),
                source: TokenSource::Literal(Token::new("evil")),
            },
            "its credential (static) cannot be had: its header `Connection` is not for it to set",
        ),
    ] {
        let rig = rig(auth);
        let body = call(&rig).await;
        assert!(
            body.contains(r#""isError":true"#) && body.contains(said),
            "{body}"
        );
        assert!(
            rig.upstream
                .state
                .heads
                .lock()
                .expect("no panic")
                .is_empty()
        );
    }
}

#[tokio::test]
async fn an_agent_that_hangs_up_leaves_the_run_to_the_next() {
    let source = Source::new("token-1");
    source.shut();
    let rig = rig(source.auth());
    let mut raw = rig.raw().await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {} });
    raw.send(&rig.post_to("/docs/mcp", "", &call)).await;
    meanwhile("a run", async || (!source.runs().is_empty()).then_some(())).await;
    drop(raw);
    let ((), body) = tokio::join!(source.open(), self::call(&rig));
    assert!(body.contains("done"), "{body}");
    assert_eq!(source.runs(), ["start"]);
}

#[tokio::test]
async fn a_launch_shows_no_credential() {
    let upstream = Upstream::start();
    let world = World::with_hub();
    let source = Source::new("command-secret");
    fs::write(world.path("token"), "file-secret\n").expect("written");
    fs::set_permissions(world.path("token"), fs::Permissions::from_mode(0o644)).expect("set");
    let servers = [
        ("a", format!("command = {:?}", source.argv())),
        ("b", "file = 'token'".to_owned()),
        ("c", "token = 'fixed-secret'".to_owned()),
        ("d", "env = 'AGENT_TOKEN'".to_owned()),
    ];
    let servers = servers.map(|(name, auth)| {
        let url = format!("http://127.0.0.1:{}/{name}?key=query-secret", upstream.port);
        format!("[mcp_servers.{name}]\ntype = 'remote'\nurl = '{url}'\nauth = {{ {auth} }}\n")
    });
    let modes = [("proxied", "proxy_file"), ("direct", "flag")];
    let agents = modes.map(|(name, mode)| {
        format!(
            "[agents.{name}]\ncommand = {FAKE:?}\nmcp_inject = '{mode}'\n\
             mcp_flag = '--mcp-config'\nenv = {{ AGENT_TOKEN = 'variable-secret' }}\n"
        )
    });
    world.configure(&(agents.concat() + &servers.concat()));
    for (agent, _) in modes {
        upstream.state.heads.lock().expect("no panic").clear();
        fs::write(world.path("report"), "").expect("written");
        let mut terminal = world.launch(&[agent]);
        terminal.shows("\n>").await;
        terminal.keys(b"/servers\r").await;
        terminal.shows("asked all").await;
        let found = world.reported("servers");
        let heads = upstream.state.heads.lock().expect("no panic").concat();
        for (name, secret) in [
            ("a", "command-secret"),
            ("b", "file-secret"),
            ("c", "fixed-secret"),
            ("d", "variable-secret"),
        ] {
            assert_eq!(
                found[name]["tools"],
                json!(["chat_send"]),
                "{agent}: {found}"
            );
            let sent = format!("Authorization: Bearer {secret}\r\n");
            assert!(heads.contains(&sent), "{agent}, {name}: {heads}");
        }
        let is_open = |text: &str| {
            // The agent's own environment is its own.
            let words = [
                "command-secret",
                "file-secret",
                "fixed-secret",
                "variable-secret",
            ];
            words.into_iter().find(|word| text.contains(word))
        };
        for (pid, args) in world.processes() {
            assert_eq!(is_open(&args), None, "arguments of {pid}");
        }
        let own = [world.path("config.toml"), world.path("token")];
        for file in files(&world.path(""))
            .iter()
            .filter(|file| !own.contains(file))
        {
            let text = String::from_utf8_lossy(&fs::read(file).expect("read")).into_owned();
            assert_eq!(is_open(&text), None, "{}", file.display());
        }
        terminal.keys(b"/exit 0\r").await;
        assert_eq!(terminal.end().await, AgentExit::Code(0));
        let shown = String::from_utf8_lossy(&terminal.bytes).into_owned();
        assert_eq!(is_open(&shown), None, "the screen");
        let warned = "`mcp_servers.c.auth.token` is a credential in a file";
        assert!(shown.contains(warned), "{shown}");
    }
    let logs = files(&world.path("state/logs"));
    assert_eq!(logs.len(), 2);
    for log in logs {
        let log = fs::read_to_string(log).expect("a log");
        assert!(log.contains("DEBUG") && !log.contains("-secret"), "{log}");
        let warned = log.matches("other users can read this credential").count();
        assert_eq!(warned, 1, "{log}");
        assert_eq!(log.matches("a credential was given").count(), 1, "{log}");
    }
    for args in [
        &["config", "--json"][..],
        &["proxied", "--dry-run", "--json"],
        &["direct", "--dry-run"],
    ] {
        let output = world.verb(args);
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {text}");
        assert!(!text.contains("-secret"), "{args:?}: {text}");
    }
}
