//! An agent that speaks stdio, and its session's servers: the real program,
//! with a real client or with lines as they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SndBuf;
use nix::unistd::Pid;
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::TokioChildProcess;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wrapper::hub::Client;
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::Token;
use wrapper::types::server::{self, HUB_TOOLS};
use wrapper::types::upstream::Endpoint;

use super::support::desk::{KEY, Room};
use super::support::mcp::{BIG, Mcp};
use super::support::world::{WRAPPER, World};
use super::support::{eventually, soon};

/// `wrapper bridge SERVER` in a room, its environment told by nobody else.
fn command(room: &Room, server: &str) -> Command {
    let mut command = Command::new(WRAPPER);
    command.args(["bridge", server]).env_clear();
    command.env("WRAPPER_CONTROL", room.socket());
    command
}

/// An agent of lines.
struct Agent {
    child: Child,
    say: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Agent {
    /// The most memory that the bridge has had so far, in bytes.
    fn peak(&self) -> usize {
        let pid = self.child.id().expect("a pid");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("text");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = peak.and_then(|peak| peak.split_whitespace().next());
        kb.expect("a line").parse::<usize>().expect("a number") * 1024
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        Self {
            say: child.stdin.take(),
            lines: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// One that has shaken hands.
    async fn ready(room: &Room) -> Self {
        let mut agent = Self::start(command(room, "up"));
        agent.say(&initialize()).await;
        let welcome = agent.hear().await;
        assert_eq!(welcome["result"]["serverInfo"]["name"], "mcp");
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        agent.say(&initialized).await;
        agent
    }

    async fn say(&mut self, message: &Value) {
        self.say_line(&message.to_string()).await;
    }

    async fn say_line(&mut self, line: &str) {
        let say = self.say.as_mut().expect("open");
        let line = format!("{line}\n");
        soon("a line", say.write_all(line.as_bytes()))
            .await
            .expect("heard");
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = soon("a message", self.lines.read_line(&mut line)).await;
        assert_ne!(read.expect("read"), 0, "the bridge ended");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line:?}"))
    }

    /// Closes standard input: everything that is still said, and a clean end.
    async fn end(mut self) -> String {
        drop(self.say.take());
        let mut rest = String::new();
        let read = soon("the end", self.lines.read_to_string(&mut rest)).await;
        read.expect("text");
        let status = soon("the end", self.child.wait()).await.expect("waited");
        assert!(status.success(), "{status:?}");
        rest
    }
}

fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize() -> Value {
    let client = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    request(0, "initialize", &params)
}

fn call(id: u32, tool: &str) -> Value {
    request(id, "tools/call", &json!({"name": tool, "arguments": {}}))
}

fn text(answer: &Value) -> &str {
    let text = &answer["result"]["content"][0]["text"];
    text.as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

#[tokio::test]
async fn a_client_of_stdio_reaches_the_hub_through_its_session() {
    let world = World::with_hub();
    let mut terminal = world.launch(&["fake"]);
    terminal.shows("\n>").await;
    let agent = world.reported("start")["pid"].as_i64().expect("a pid");
    let environ = fs::read_to_string(format!("/proc/{agent}/environ")).expect("text");
    let environ: BTreeMap<&str, &str> = environ
        .split('\0')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let mut bridge = Command::new(WRAPPER);
    bridge.args(["bridge", "agentchattr"]).env_clear();
    // Agents that hide what looks like a secret from their servers.
    let shown = environ.iter().filter(|(name, _)| !name.contains("KEY"));
    bridge.envs(shown);
    let transport = TokioChildProcess::new(bridge).expect("started");
    let pid = transport.id().expect("a pid");
    let client = soon("a handshake", ().serve(transport)).await;
    let client = client.expect("a handshake");
    let tools = soon("tools", client.list_all_tools()).await.expect("tools");
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert!(names.contains(&"chat_send") && names.contains(&"chat_read"));
    assert!(
        names.iter().all(|name| HUB_TOOLS.contains(name)),
        "{names:?}"
    );

    let send = async |message: &str| {
        let arguments = json!({"channel": "general", "message": message});
        let arguments = arguments.as_object().cloned().expect("an object");
        let params = CallToolRequestParams::new("chat_send").with_arguments(arguments);
        let result = soon("a result", client.call_tool(params)).await;
        assert_ne!(result.expect("a result").is_error, Some(true));
    };
    send("one").await;
    let human = wrapper::hub::human_token(&world.path("data/wrapper/hub")).expect("a token");
    let hub = Client::new(Endpoint::loopback(world.port, "/"));
    let name = "fake".parse().expect("a name");
    hub.rotate(&human, &name).await.expect("rotated");
    send("two").await;
    assert_eq!(world.said("fake", 2), "two");

    let key = environ["WRAPPER_MCP_KEY"];
    let argv = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("text");
    assert_eq!(argv, format!("{WRAPPER}\0bridge\0agentchattr\0"));
    let session = world.sessions().pop().expect("a session");
    let socket = session.join("control.sock");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(&session)), (0o600, 0o700));

    // The session ends before its server does.
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    let arguments = CallToolRequestParams::new("chat_who");
    let late = soon("an error", client.call_tool(arguments)).await;
    let late = late.expect_err("no session").to_string();
    assert!(late.contains("has the session ended?"), "{late}");
    soon("the end", client.cancel()).await.expect("ended");
    assert!(!socket.exists());
    let mut logs = fs::read_dir(world.path("state/logs")).expect("logs");
    let log = logs.next().expect("a log").expect("an entry").path();
    assert!(!fs::read_to_string(log).expect("text").contains(key));
}

#[tokio::test]
async fn messages_cross_whole_and_in_both_directions() {
    let mcp = Mcp::start().await;
    let room = Room::new(Some(mcp.port), &[]);
    let mut agent = Agent::ready(&room).await;

    // What the server says unasked, also on a stream that breaks.
    let note = |n: u32| json!({"jsonrpc": "2.0", "method": "notifications/message", "params": n});
    mcp.say(&format!("id: g-1\nretry: 1\ndata: {}\n\n", note(1)))
        .await;
    assert_eq!(agent.hear().await, note(1));
    mcp.hang_up().await;
    mcp.asked("GET g-1").await;
    mcp.say(&format!("data: {}\n\n", note(2))).await;
    assert_eq!(agent.hear().await, note(2));

    // Several messages in one answer; the bad line between is nobody's.
    agent.say(&call(1, "streams")).await;
    assert_eq!(agent.hear().await["method"], "notifications/progress");
    assert_eq!(text(&agent.hear().await), "done");
    agent.say_line("nonsense").await;
    assert_eq!(agent.hear().await["error"]["code"], -32700);

    // The server asks the client.
    agent.say(&call(2, "asks")).await;
    let question = agent.hear().await;
    assert_eq!(
        (&question["id"], &question["method"]),
        (&json!("q-1"), &json!("roots/list"))
    );
    agent
        .say(&json!({"jsonrpc": "2.0", "id": "q-1", "result": {"roots": []}}))
        .await;
    assert_eq!(text(&agent.hear().await), r#"{"roots":[]}"#);

    // An answer that breaks off, and goes on.
    agent.say(&call(3, "breaks")).await;
    assert_eq!(agent.hear().await["method"], "notifications/progress");
    assert_eq!(text(&agent.hear().await), "whole again");

    // A revision that this transport does not carry.
    agent.say(&request(4, "server/discover", &json!({}))).await;
    assert_eq!(agent.hear().await["error"]["code"], -32601);

    assert_eq!(agent.end().await, "");
    mcp.asked("DELETE").await;
}

#[tokio::test]
async fn a_call_that_fails_is_answered_once() {
    let mcp = Mcp::start().await;
    let room = Room::new(Some(mcp.port), &[]);
    let mut agent = Agent::ready(&room).await;
    for (id, tool, why) in [
        (1, "fails", "500 Internal Server Error: the disk is full"),
        (2, "rambles", "the server answers with no JSON-RPC"),
    ] {
        agent.say(&call(id, tool)).await;
        let error = agent.hear().await;
        assert_eq!(
            (&error["id"], &error["error"]["code"]),
            (&json!(id), &json!(-32001))
        );
        let said = error["error"]["message"].as_str().expect("words");
        assert!(said.contains(why), "{said}");
    }
    agent.say(&call(3, "cut")).await;
    assert_eq!(agent.hear().await["method"], "notifications/progress");
    let answer = agent.hear().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["isError"]),
        (&json!(3), &json!(true))
    );
    assert!(text(&answer).contains("may or may not"), "{answer}");
    assert_eq!(agent.end().await, "");
}

#[tokio::test]
async fn calls_do_not_wait_for_each_other_and_are_taken_back() {
    let mcp = Mcp::start().await;
    let room = Room::new(Some(mcp.port), &[]);
    let mut agent = Agent::ready(&room).await;
    agent.say(&call(1, "slow")).await;
    agent.say(&call(2, "quick")).await;
    assert_eq!(agent.hear().await["id"], 2);
    let cancel = json!({"requestId": 1, "reason": "enough"});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel});
    agent.say(&cancel).await;
    assert_eq!(
        mcp.got("the end", |message| *message == cancel).await,
        cancel
    );
    mcp.asked("left").await;
    agent.say(&call(3, "quick")).await;
    assert_eq!(agent.hear().await["id"], 3);
    // No answer to the call that was taken back, also at the end.
    assert_eq!(agent.end().await, "");
}

#[tokio::test]
async fn a_long_result_is_one_line_and_not_kept() {
    let mcp = Mcp::start().await;
    let room = Room::new(Some(mcp.port), &[]);
    let mut agent = Agent::ready(&room).await;
    let before = agent.peak();
    agent.say(&call(1, "big")).await;
    // The long one is not read yet, and holds up nobody's question.
    agent.say(&call(2, "quick")).await;
    mcp.got("the quick one", |message| message["id"] == 2).await;
    let mut answers = [agent.hear().await, agent.hear().await];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(text(&answers[0]), "0123456789abcde\n".repeat(BIG / 16));
    assert_eq!(text(&answers[1]), "done");
    let more = agent.peak() - before;
    assert!(more < BIG / 2, "{more} bytes");
    assert_eq!(agent.end().await, "");
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let mcp = Mcp::start().await;
    let room = Room::new(Some(mcp.port), &[]);
    let mut agent = Agent::start(command(&room, "up"));
    // All at once, as from a file: the handshake is waited for.
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for line in [
        &initialize(),
        &initialized,
        &call(1, "quick"),
        &call(2, "slow"),
    ] {
        agent.say(line).await;
    }
    let rest = agent.end().await;
    let ids: Vec<Value> = rest
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("json")["id"].clone())
        .collect();
    assert_eq!(ids, [0, 1]);
    // It came after the handshake: it is in its session.
    mcp.got("the notification", |message| *message == initialized)
        .await;
    mcp.asked("DELETE").await;
}

#[tokio::test]
async fn a_signal_ends_it_and_its_session_with_the_server() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mcp = Mcp::start().await;
        let room = Room::new(Some(mcp.port), &[]);
        let mut agent = Agent::ready(&room).await;
        agent.say(&call(1, "slow")).await;
        mcp.got("the call", |message| message["id"] == 1).await;
        let pid = agent.child.id().expect("a pid").cast_signed();
        kill(Pid::from_raw(pid), signal).expect("told");
        let status = soon("the end", agent.child.wait()).await.expect("waited");
        assert!(status.success(), "{signal}: {status:?}");
        mcp.asked("DELETE").await;
    }
}

#[tokio::test]
async fn it_dies_with_its_parent() {
    let room = Room::new(None, &[]);
    // The test holds the far ends of the pipes, so that no end of file tells
    // the bridge anything.
    let mut shell = Command::new("/bin/sh");
    let script = "exec 3<&0; \"$0\" bridge down <&3 & wait";
    shell
        .args(["-c", script, WRAPPER])
        .env("WRAPPER_CONTROL", room.socket());
    let mut agent = Agent::start(shell);
    agent.say(&request(1, "ping", &json!({}))).await;
    assert_eq!(agent.hear().await["id"], 1);
    agent.child.kill().await.expect("killed");
    let mut rest = String::new();
    let read = soon("its end", agent.lines.read_to_string(&mut rest)).await;
    assert_eq!(read.expect("text"), 0, "{rest}");
}

#[tokio::test]
async fn it_outlives_the_thread_that_started_it() {
    let room = Room::new(None, &[]);
    let bridge = command(&room, "down");
    let runtime = tokio::runtime::Handle::current();
    let (go, told) = std::sync::mpsc::channel::<()>();
    let (started, agent) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let _runtime = runtime.enter();
        started.send(Agent::start(bridge)).ok().expect("awaited");
        told.recv().expect("told");
    });
    let mut agent = soon("a start", agent).await.expect("started");
    agent.say(&request(1, "ping", &json!({}))).await;
    assert_eq!(agent.hear().await["id"], 1);
    go.send(()).expect("it waits");
    thread.join().expect("no panic");
    agent.say(&request(2, "ping", &json!({}))).await;
    assert_eq!(agent.hear().await["id"], 2);
    assert_eq!(agent.end().await, "");
}

#[tokio::test]
async fn without_a_session_there_is_one_clear_error() {
    let gone = Room::new(None, &[]);
    let bridge = |name: &str, value: &Path| {
        let mut bridge = Command::new(WRAPPER);
        bridge.args(["bridge", "up"]).env_clear().env(name, value);
        bridge
    };
    let ended = bridge("WRAPPER_CONTROL", &gone.socket());
    drop(gone);
    for (bridge, why) in [
        (
            bridge("HOME", Path::new("/")),
            "neither `WRAPPER_CONTROL` nor",
        ),
        (ended, "has ended"),
        (
            bridge("WRAPPER_SESSION_ID", Path::new("0123456789ab")),
            "has ended",
        ),
    ] {
        let mut agent = Agent::start(bridge);
        agent.say(&initialize()).await;
        agent
            .say(&json!({"jsonrpc": "2.0", "method": "notifications/x"}))
            .await;
        let error = agent.hear().await;
        assert_eq!(error["error"]["code"], -32001);
        let said = error["error"]["message"].as_str().expect("words");
        assert!(said.starts_with("this server works only below `wrapper <agent>`: "));
        assert!(said.contains(why), "{said}");
        assert_eq!(agent.end().await, "");
    }
}

/// Many requests to a bridge without a session, and more answers than a stream
/// holds.
#[test]
fn any_file_will_do_for_a_standard_stream() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;
    const MANY: usize = 4000;
    let dir = tempfile::tempdir().expect("a directory");
    let requests: Vec<String> = (0..MANY)
        .map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n"))
        .collect();
    let requests = requests.concat();
    let start = |input: Stdio, output: Stdio| {
        let mut bridge = std::process::Command::new(WRAPPER);
        bridge.args(["bridge", "up"]).env_clear();
        bridge.stdin(input).stdout(output).spawn().expect("started")
    };
    let in_order = |answers: &mut dyn Read| {
        let mut lines = BufReader::new(answers).lines();
        for id in 0..MANY {
            let line = lines.next().expect("an answer").expect("text");
            let answer: Value = serde_json::from_str(&line).expect("a whole message");
            assert_eq!(answer["id"], id);
        }
        assert!(lines.next().is_none());
    };
    let both = |mut to: Box<dyn Write + Send>, from: &mut dyn Read| {
        std::thread::scope(|scope| {
            let requests = &requests;
            scope.spawn(move || to.write_all(requests.as_bytes()).expect("taken"));
            in_order(from);
        });
    };

    // Pipes, as most agents have them.
    let mut bridge = start(Stdio::piped(), Stdio::piped());
    let to = Box::new(bridge.stdin.take().expect("a pipe"));
    both(to, &mut bridge.stdout.take().expect("a pipe"));
    assert!(bridge.wait().expect("ended").success());

    // Sockets, as node has them, and so small that no answer goes in at once.
    let ((to, input), (mut from, output)) = (
        UnixStream::pair().expect("sockets"),
        UnixStream::pair().expect("sockets"),
    );
    setsockopt(&output, SndBuf, &0).expect("an option");
    let [input, output] = [input, output].map(|end| Stdio::from(std::os::fd::OwnedFd::from(end)));
    let mut bridge = start(input, output);
    both(Box::new(to), &mut from);
    assert!(bridge.wait().expect("ended").success());

    // Files.
    let [input, output] = ["in", "out"].map(|name| dir.path().join(name));
    fs::write(&input, &requests).expect("written");
    let mut bridge = start(
        fs::File::open(&input).expect("a file").into(),
        fs::File::create(&output).expect("a file").into(),
    );
    assert!(bridge.wait().expect("ended").success());
    in_order(&mut fs::File::open(&output).expect("a file"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_agent_may_keep_its_environment_from_its_servers() {
    let room = Room::new(None, &[]);
    // What an agent does that knows no variables, and hands none on.
    let script = format!("env -i WRAPPER_CONTROL='${{WRAPPER_CONTROL}}' '{WRAPPER}' bridge up; :");
    let mut agent = Command::new("sh");
    agent.args(["-c", &script]);
    agent.env_clear().env("PATH", "/usr/bin:/bin");
    agent.env("WRAPPER_CONTROL", room.socket());
    let mut agent = Agent::start(agent);
    agent.say(&initialize()).await;
    let answer = agent.hear().await;
    assert!(answer.get("error").is_none(), "{answer}");
}

#[tokio::test]
async fn another_projects_server_is_an_empty_one() {
    let room = Room::new(None, &[]);
    let transport = TokioChildProcess::new(command(&room, "down")).expect("started");
    let client = soon("a handshake", ().serve(transport)).await;
    let client = client.expect("a handshake");
    let info = client.peer_info().expect("a welcome");
    assert_eq!(
        info.instructions.as_deref(),
        Some("this session has no server `down`")
    );
    assert!(info.capabilities.tools.is_none());
    soon("the end", client.cancel()).await.expect("ended");
}

/// A server that is a command of the shell.
fn shell(script: &str, cwd: Option<&Path>) -> server::Command {
    server::Command {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: [
            ("SECRET".to_owned(), Token::new("hush")),
            ("WRAPPER_AGENT".to_owned(), Token::new("forged")),
        ]
        .into(),
        cwd: cwd.map(Path::to_owned),
        is_private: false,
        is_hosted: false,
    }
}

#[tokio::test]
async fn a_command_takes_the_bridges_place() {
    let script = r#"read line
        echo "{\"pid\":$$,\"cwd\":\"$PWD\",\"line\":$line,\"env\":[\"$SECRET\",\"$MINE\",\"$WRAPPER_AGENT\",\"$WRAPPER_SESSION_ID\",\"$OPENCODE_SESSION_TITLE\"]}""#;
    let commands = [
        ("here", shell(script, None)),
        ("root", shell(script, Some(Path::new("/")))),
    ];
    let room = Room::new(None, &commands);
    for (name, cwd) in [("here", room.cwd()), ("root", "/".into())] {
        let mut bridge = command(&room, name);
        bridge.env("MINE", "kept").env("PATH", "/usr/bin:/bin");
        let mut agent = Agent::start(bridge);
        agent.say_line("1").await;
        let told = agent.hear().await;
        let env = json!(["hush", "kept", "claude", "0123456789ab", "The Title"]);
        assert_eq!(
            told,
            json!({"pid": agent.child.id(), "cwd": cwd, "line": 1, "env": env})
        );
        let argv = fs::read(format!("/proc/{}/cmdline", told["pid"])).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&argv).contains("hush"));
        assert_eq!(agent.end().await, "");
    }
}

#[tokio::test]
async fn a_command_that_cannot_run_is_told_to_the_agent_and_the_session() {
    let missing = server::Command {
        program: "/no/such/program".into(),
        ..shell("", None)
    };
    let room = Room::new(None, &[("gone", missing)]);
    let log = room.cwd().join("log");
    let file = fs::File::create(&log).expect("made");
    let subscriber = tracing_subscriber::fmt().with_writer(file).finish();
    // The session is served by this very thread.
    let _log = tracing::subscriber::set_default(subscriber);
    let mut agent = Agent::start(command(&room, "gone"));
    for id in 1..=2 {
        agent.say(&request(id, "initialize", &json!({}))).await;
        let error = agent.hear().await;
        let why = "`gone` did not start: cannot run `/no/such/program`: not found";
        assert_eq!(error["error"], json!({"code": -32001, "message": why}));
        assert_eq!(error["id"], id);
    }
    assert_eq!(agent.end().await, "");
    let log = eventually("the log", || {
        let log = fs::read_to_string(&log).expect("text");
        log.contains("did not start").then_some(log)
    });
    assert!(
        log.contains("WARN") && log.contains("/no/such/program"),
        "{log}"
    );
    assert!(!log.contains("hush") && !log.contains(KEY));
}
