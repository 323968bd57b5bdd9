//! The hub and those who call it: how many wait, how long, and with which
//! tokens.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream as Plain;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wrapper::hub::client::Error;
use wrapper::types::exit::AgentExit;

use super::support::hub::{Hub, bearer, human};
use super::support::world::World;
use super::support::{eventually, meanwhile, soon};

const SEND: &str = "chat_send={\"channel\":\"general\",\"message\":\"here I am\"}";

/// `wrapper serve` of a world, under limits that a shell sets.
fn limited(world: &World, limits: &str) -> (Child, String) {
    let serve = world.spawn(&["serve", "--json"]);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{limits}; exec \"$0\" \"$@\""))
        .arg(serve.get_program())
        .args(serve.get_args())
        .envs(
            serve
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(world.path("project"))
        .stdout(Stdio::piped());
    let mut hub = shell.spawn().expect("the hub starts");
    let mut line = String::new();
    let stdout = hub.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("read");
    (hub, line)
}

#[test]
fn callers_without_a_token_keep_nobody_out() {
    let world = World::new();
    let (mut hub, line) = limited(&world, "ulimit -n 200");
    assert!(line.contains("mcp_url"), "{line:?}");
    let mut open = Vec::new();
    for port in [world.port, world.mcp_port, world.sse_port] {
        for _ in 0..100 {
            let mut io = Plain::connect(("127.0.0.1", port)).expect("connected");
            // A head that never ends. It may be turned away before.
            let _ = io.write_all(b"POST /api/register HTTP/1.1\r\nHost: x\r\n");
            open.push(io);
        }
        world.json(&["say", "--json", "still there?"]);
    }
    drop(open);
    hub.kill().expect("killed");
    hub.wait().expect("waited");
}

#[test]
fn a_head_has_to_come_in_time() {
    let world = World::with_hub();
    let mut io = Plain::connect(("127.0.0.1", world.port)).expect("connected");
    io.write_all(b"GET /api/health HTTP/1.1\r\n")
        .expect("written");
    io.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let mut bytes = Vec::new();
    // It is closed, with or without a word.
    let ended = io.read_to_end(&mut bytes);
    let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(
        ended.as_ref().is_ok() || ended.as_ref().is_err_and(is_reset),
        "{ended:?}"
    );
}

#[tokio::test]
async fn new_tokens_for_all_interrupt_nobody_and_end_the_old_ones() {
    let world = World::with_hub();
    let mut terminal = world.launch(&["fake", "--", "--call", SEND]);
    terminal.shows("\n>").await;
    let data = world.path("data/wrapper/hub");
    let (old, old_of_fake) = (human(&data), world.token("fake"));
    let rotated = world.json(&["token", "rotate", "--json"]);
    assert_eq!(
        rotated,
        json!({"human": true, "sessions": ["fake"], "hub": "running"})
    );
    let new = human(&data);
    assert!(new != old && world.token("fake") != old_of_fake);
    let mode = {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(data.join("human.token"))
            .expect("there")
            .permissions()
            .mode()
    };
    assert_eq!(mode & 0o777, 0o600);
    let endpoint = wrapper::types::upstream::Endpoint::loopback(world.port, "/");
    let refused = wrapper::hub::Client::new(endpoint).status(&old).await;
    assert!(
        matches!(refused, Err(Error::Unauthorized { .. })),
        "{refused:?}"
    );

    world.json(&["say", "--json", "@fake hello"]);
    assert_eq!(world.said("fake", 1), "here I am");
    assert_eq!(world.online(), ["fake"]);
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[test]
fn a_hub_that_does_not_run_gets_new_tokens_too() {
    let mut world = World::with_hub();
    world.kill_hub();
    let data = world.path("data/wrapper/hub");
    let old = human(&data);
    let rotated = world.json(&["token", "rotate", "--json"]);
    assert_eq!(rotated["hub"], "stopped");
    assert!(human(&data) != old);
    world.start_hub();
    world.json(&["say", "--json", "hello"]);
}

#[tokio::test]
async fn tokens_of_an_earlier_version_are_replaced_at_the_hubs_start() {
    let hub = Hub::start().await;
    let (dir, data) = (Arc::clone(&hub.dir), hub.data_dir());
    let (old, me) = (hub.human(), hub.enter("claude").await);
    hub.stop().await;
    let store = rusqlite::Connection::open(data.join("hub.db")).expect("the store");
    store
        .execute_batch("DROP TABLE file_readers")
        .expect("as it was");
    drop(store);
    let hub = Hub::start_in(Arc::clone(&dir), None).await;
    let new = hub.human();
    assert!(new != old);
    let beat = hub.client().heartbeat(&me, None).await;
    assert!(matches!(beat, Err(Error::Conflict)), "{beat:?}");
    let hub = hub.restart().await;
    assert!(hub.human() == new, "once");
    hub.stop().await;
}

#[tokio::test]
async fn who_takes_no_stream_finds_its_mentions_in_a_file() {
    let hub = Hub::start().await;
    let file = |name: &str| hub.data_dir().join(format!("{name}_queue.jsonl"));
    let answer = hub
        .rest("POST /api/register", &[], r#"{"base":"qwen"}"#)
        .await;
    let record = answer.json();
    let token = record["token"].as_str().expect("a token").to_owned();
    let headers = [("X-Agent-Token", token.as_str())];
    let say = async |text: &str| {
        let auth = bearer(&hub.human());
        let body = json!({"text": text, "channel": "general"}).to_string();
        let sent = hub
            .rest("POST /api/send", &[("Authorization", &auth)], &body)
            .await;
        assert_eq!(sent.status, 200, "{sent:?}");
    };
    // Its wrapper empties the file first; what comes before waits.
    say("@qwen one").await;
    assert!(!file("qwen").exists());
    hub.rest("POST /api/heartbeat/qwen", &headers, "").await;
    say("@qwen two \u{e9}").await;
    let text = fs::read_to_string(file("qwen")).expect("a queue file");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["text"], "user: @qwen one");
    assert_eq!(lines[1]["sender"], "user");
    assert_eq!(lines[1]["channel"], "general");
    assert_eq!(lines[1]["time"].as_str().map(str::len), Some(8));
    let roles = hub.rest("GET /api/roles", &[], "").await;
    assert_eq!(
        roles.status, 200,
        "agentchattr's wrapper shows no token: {roles:?}"
    );

    // Who registers as ours does never gets a file.
    let me = hub.enter("claude").await;
    hub.client().heartbeat(&me, None).await.expect("alive");
    say("@claude hello").await;
    assert!(!file("claude").exists());
    let mut stream = hub.client().triggers(&me.token).await.expect("a stream");
    let trigger = soon("a trigger", stream.next()).await.expect("a stream");
    assert!(trigger.is_some());

    hub.rest("POST /api/deregister/qwen", &headers, "").await;
    meanwhile("the file is gone", async || {
        (!file("qwen").exists()).then_some(())
    })
    .await;
    hub.stop().await;
}

#[tokio::test]
async fn a_paused_channel_is_told_that_it_goes_on() {
    let hub = Hub::start().await;
    let general = wrapper::types::trigger::ChannelName::general();
    let sent = hub.client().send(&hub.human(), "/continue", &general).await;
    sent.expect("sent");
    let all = hub
        .client()
        .messages(&hub.human(), 0, 10, None)
        .await
        .expect("messages");
    assert!(
        all.iter().any(|one| one.text == "Routing resumed by user."),
        "{all:?}"
    );
    hub.stop().await;
}

#[test]
fn no_hub_is_started_where_agentchattrs_is_at_home() {
    let world = World::new();
    let data = world.path("data/wrapper/hub");
    fs::create_dir_all(&data).expect("made");
    fs::write(data.join("agentchattr_log.jsonl"), "").expect("written");
    let refused = world.verb(&["fake", "--headless", "--", "--exit", "0"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(125), "{words}");
    assert!(
        words.contains("is agentchattr's: ours was not started in its place"),
        "{words}"
    );
    assert!(words.contains("--hub embedded"), "{words}");
    assert!(!data.join("hub.db").exists() && !data.join("human.token").exists());
    let started = world.verb(&[
        "fake",
        "--hub",
        "embedded",
        "--headless",
        "--",
        "--exit",
        "0",
    ]);
    assert!(data.join("hub.db").exists(), "{started:?}");
}

#[test]
fn a_file_that_is_no_token_is_said_to_be_none() {
    let world = World::with_hub();
    let file = world.path("data/wrapper/hub/human.token");
    fs::write(&file, "a".repeat(10 * 1024 * 1024)).expect("written");
    let said = world.verb(&["say", "hello"]);
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(words.contains("does not hold a token"), "{words}");
    assert!(
        !words.contains("another program may have this port"),
        "{words}"
    );
}

#[test]
fn a_store_that_another_program_locks_is_named() {
    let world = World::with_hub();
    let path = world.path("data/wrapper/hub/hub.db");
    let store = rusqlite::Connection::open(path).expect("the store");
    store.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let said = world.verb(&["say", "hello"]);
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(words.contains("database is locked"), "{words}");
    let launched = world.verb(&["fake", "--headless"]);
    let words = String::from_utf8_lossy(&launched.stderr).into_owned();
    assert!(words.contains("database is locked"), "{words}");
    assert!(
        !words.contains("another program may have this port"),
        "{words}"
    );
}

#[test]
fn no_process_of_ours_leaves_its_memory_behind() {
    let limits = "ulimit -c unlimited";
    let mut other = Command::new("sh")
        .args(["-c", &format!("{limits}; exec sleep 60")])
        .current_dir(std::env::temp_dir())
        .spawn()
        .expect("started");
    let abort = |child: &mut Child| {
        let pid = Pid::from_raw(child.id().cast_signed());
        kill(pid, Signal::SIGABRT).expect("signalled");
        child.wait().expect("waited")
    };
    eventually("sleep is there", || {
        let name = fs::read_to_string(format!("/proc/{}/comm", other.id())).ok()?;
        (name.trim() == "sleep").then_some(())
    });
    if !abort(&mut other).core_dumped() {
        // This system dumps nobody's core.
        return;
    }
    let world = World::new();
    let (mut hub, _) = limited(&world, limits);
    let status = abort(&mut hub);
    assert_eq!(status.signal(), Some(6), "{status:?}");
    assert!(!status.core_dumped(), "{status:?}");
}
