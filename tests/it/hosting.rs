//! Stdio servers that we run: real processes behind the real proxy, asked by a
//! real client and by requests to the letter.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use wrapper::hosting::Phase;
use wrapper::types::agent::Transport;
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::{ServerName, Token};
use wrapper::types::owner::Owner;
use wrapper::types::server::{Command, ContextLevel};
use wrapper::types::upstream::{Credential, Endpoint, Upstream as Server};

use crate::support::rig::{KEY, Raw, Rig, SESSION};
use crate::support::world::{FAKE, World};
use crate::support::{meanwhile, soon};

fn name() -> ServerName {
    "tool".parse().expect("a name")
}

fn command(args: &[&str]) -> Command {
    Command {
        program: FAKE.into(),
        args: [&["tool"], args]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect(),
        env: [
            ("OWN".to_owned(), Token::new("own")),
            ("A_TOKEN".to_owned(), Token::new("hunter22")),
        ]
        .into(),
        cwd: None,
        is_private: false,
        is_hosted: true,
    }
}

/// A rig with the fake stdio server behind its proxy.
fn hosted(args: &[&str]) -> Rig {
    let rig = Rig::new();
    put(&rig, command(args));
    rig
}

fn put(rig: &Rig, command: Command) {
    rig.hosting.put(name(), command);
    rig.put(
        "tool",
        Server {
            endpoint: Endpoint::hosted(&name()),
            transport: Transport::Http,
            credential: Credential::Headers(Vec::new()),
            context: ContextLevel::Id,
            owner: Owner::Us,
            is_guest: false,
        },
    );
}

async fn client(rig: &Rig) -> RunningService<RoleClient, ()> {
    let uri = format!("http://127.0.0.1:{}/tool/mcp", rig.port);
    let config = StreamableHttpClientTransportConfig::with_uri(uri).auth_header(KEY);
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = soon("the client", ().serve(transport)).await;
    client.expect("it initializes")
}

/// A client to the letter, with an MCP session or without.
struct Letter<'a> {
    rig: &'a Rig,
    session: Option<String>,
}

impl<'a> Letter<'a> {
    async fn open(rig: &'a Rig) -> Self {
        let mut letter = Self { rig, session: None };
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "l", "version": "1"}},
        });
        let (head, body) = letter.post(&initialize).await;
        assert!(body.contains(r#""name":"tool""#), "{head}{body}");
        let id = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("mcp-session-id")
                .then(|| value.to_owned())
        });
        letter.session = Some(id.expect("a session"));
        letter
    }

    fn lines(&self) -> String {
        let id = self.session.as_ref();
        id.map_or_else(String::new, |id| format!("Mcp-Session-Id: {id}\r\n"))
    }

    async fn send(&self, message: &Value) -> Raw {
        let mut raw = self.rig.raw().await;
        raw.send(&self.rig.post_to("/tool/mcp", &self.lines(), message))
            .await;
        raw
    }

    async fn post(&self, message: &Value) -> (String, String) {
        self.send(message).await.answer().await
    }

    /// Calls a tool; the answer's text.
    async fn call(&self, tool: &str, arguments: Value) -> String {
        self.post(&call(1, tool, &arguments)).await.1
    }

    /// Opens the stream of what the server says unasked.
    async fn listen(&self) -> Raw {
        let mut raw = self.rig.raw().await;
        let lines = format!("{}Accept: text/event-stream\r\n", self.lines());
        raw.send(&self.rig.head("GET /tool/mcp", &lines)).await;
        let head = raw.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        raw
    }
}

fn call(id: i32, tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).expect("a pid");
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH) && !is_zombie(pid)
}

/// One that nobody has waited for has ended all the same.
fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

async fn until_gone(pid: u32) {
    meanwhile("its end", async || (!is_alive(pid)).then_some(())).await;
}

#[tokio::test]
async fn a_real_client_uses_a_server_that_we_run() {
    let rig = hosted(&["an argument"]);
    let standing = rig.hosting.state(&name()).expect("it is known");
    assert_eq!((standing.phase, standing.pids.len()), (Phase::Idle, 0));
    let client = client(&rig).await;
    let tools = soon("the tools", client.list_all_tools()).await;
    assert_eq!(tools.expect("a list")[0].name, "environment");
    let params = CallToolRequestParams::new("environment");
    let result = soon("the call", client.call_tool(params)).await;
    let result = serde_json::to_value(result.expect("a result")).expect("JSON");
    let told = result["content"][0]["text"].as_str().expect("text");
    let told: Value = serde_json::from_str(told).expect("JSON");
    assert_eq!(told["args"], json!(["an argument"]));
    assert_eq!(told["env"]["OWN"], "own");
    assert_eq!(told["env"]["WRAPPER_SESSION_ID"], SESSION);
    let here = std::env::current_dir().expect("a directory");
    assert_eq!(told["cwd"], json!(here));
    let standing = rig.hosting.state(&name()).expect("it is known");
    assert_eq!(standing.phase, Phase::Running);
    let pid = u32::try_from(told["pid"].as_u64().expect("a pid")).expect("a pid");
    assert_eq!(standing.pids, [pid]);
    // Its session ends with the client's.
    soon("the end", client.cancel()).await.expect("no panic");
    until_gone(pid).await;
}

#[tokio::test]
async fn what_a_server_says_beside_its_answer_is_passed_on() {
    let rig = hosted(&[]);
    let letter = Letter::open(&rig).await;
    // Progress goes to who waits for it.
    let mut stream = letter.listen().await;
    let mut progress = call(7, "progress", &json!({}));
    progress["params"]["_meta"] = json!({"progressToken": "p"});
    let mut raw = letter.send(&progress).await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.contains("text/event-stream"), "{head}");
    let heard = raw.until("0\r\n\r\n").await;
    let order: Vec<usize> = [
        "\"progress\":1",
        "\"progress\":2",
        "\"progress\":3",
        "complete",
    ]
    .iter()
    .map(|what| {
        heard
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {heard}"))
    })
    .collect();
    assert!(order.is_sorted(), "{heard}");
    // All else goes into the stream, and the answer stays plain.
    let body = letter.call("note", json!({"data": "one"})).await;
    assert!(body.starts_with('{') && body.contains("noted"), "{body}");
    let heard = stream.until("\n\n\r\n").await;
    assert!(
        heard.contains("event: message\ndata: {") && heard.contains("\"data\":\"one\""),
        "{heard}"
    );
    // Without a stream it comes before the answer, or with the next.
    drop(stream);
    let mut heard = String::new();
    for data in ["two", "three"] {
        let mut raw = letter.send(&call(8, "note", &json!({"data": data}))).await;
        heard += &raw.until("noted").await;
    }
    assert!(heard.contains("two") && heard.contains("three"), "{heard}");
    let body = letter.call("later", json!({"data": "four"})).await;
    assert!(!body.contains("four"), "{body}");
    let mut stream = letter.listen().await;
    stream.until("four").await;
    // A request of the server's, and its answer.
    let mut raw = letter.send(&call(9, "ask", &json!({}))).await;
    stream.until("roots/list").await;
    let answer = json!({"jsonrpc": "2.0", "id": "s1", "result": {"roots": []}});
    let (head, _) = letter.post(&answer).await;
    assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
    let (_, body) = raw.answer().await;
    assert!(body.contains("roots"), "{body}");
    // Lines that are no messages are nobody's answer.
    assert!(letter.call("noise", json!({})).await.contains("quiet"));
}

#[tokio::test]
async fn requests_do_not_wait_for_each_other_and_may_count_alike() {
    let rig = hosted(&["--log", "unused"]);
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    put(&rig, command(&["--log", log.to_str().expect("text")]));
    let letter = Letter::open(&rig).await;
    let hang = letter.send(&call(1, "hang", &json!({}))).await;
    // The same id again, while the other is open.
    let body = letter.call("environment", json!({})).await;
    assert!(body.contains(r#""id":1,"#), "{body}");
    // One that hangs up takes its request back.
    drop(hang);
    let taken_back = meanwhile("a cancellation", async || {
        let log = fs::read_to_string(&log).ok()?;
        log.lines()
            .find(|line| line.contains("notifications/cancelled"))
            .map(str::to_owned)
    })
    .await;
    assert!(taken_back.contains(r#""requestId":1"#), "{taken_back}");
    // One that takes it back in words has its answer.
    let mut hang = letter.send(&call(5, "hang", &json!({}))).await;
    meanwhile("the call", async || {
        let standing = rig.hosting.state(&name())?;
        (standing.phase == Phase::Running).then_some(())
    })
    .await;
    assert!(
        letter
            .call("environment", json!({}))
            .await
            .contains("result")
    );
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}});
    letter.post(&cancelled).await;
    assert!(hang.answer().await.1.contains("it was cancelled"));
    // A batch is answered one by one.
    let batch = json!([
        call(2, "environment", &json!({})),
        call(3, "noise", &json!({})),
        cancelled
    ]);
    let mut raw = letter.send(&batch).await;
    let heard = raw.until("0\r\n\r\n").await;
    assert!(
        heard.contains(r#""id":2,"#) && heard.contains(r#""id":3,"#),
        "{heard}"
    );
    // Without a session there is one process for all.
    let alone = Letter {
        rig: &rig,
        session: None,
    };
    let (one, other) = tokio::join!(
        alone.call("environment", json!({})),
        alone.call("environment", json!({}))
    );
    assert!(
        one.contains("content") && other.contains("content"),
        "{one}{other}"
    );
    let standing = rig.hosting.state(&name()).expect("it is known");
    assert_eq!(standing.pids.len(), 2);
}

#[tokio::test]
async fn a_long_answer_is_passed_on_while_it_comes() {
    let rig = hosted(&[]);
    let letter = Letter::open(&rig).await;
    for late in [false, true] {
        let size = 3 << 20;
        let arguments = json!({"bytes": size, "late": late});
        let mut raw = letter.send(&call(1, "big", &arguments)).await;
        let head = raw.until("\r\n\r\n").await;
        assert_eq!(
            head.to_lowercase().contains("content-length"),
            late,
            "{head}"
        );
        let end = if late { "\"id\":1}" } else { "0\r\n\r\n" };
        let body = raw.until(end).await;
        // Two are its own.
        assert_eq!(body.matches('x').count(), size + 2);
    }
    // One that breaks off is no whole answer.
    let mut raw = letter.send(&call(1, "half", &json!({}))).await;
    raw.until("\"text\":\"x").await;
    let rest = raw.rest().await;
    assert!(!rest.contains("0\r\n\r\n"), "{}", &rest[rest.len() - 20..]);
}

#[tokio::test]
async fn a_server_that_dies_is_told_and_started_again() {
    let rig = hosted(&[]);
    let letter = Letter::open(&rig).await;
    let stream = letter.listen().await;
    let body = letter.call("die", json!({"secret": "hunter22"})).await;
    for said in [
        r#""isError":true"#,
        "ended (exit status: 3), saying `last words, and a ****`",
        "may or may not have been executed",
    ] {
        assert!(body.contains(said), "{said}: {body}");
    }
    // The session goes on with another process, and so does its stream.
    let told = letter.call("environment", json!({})).await;
    assert!(told.contains("WRAPPER_SESSION_ID"), "{told}");
    drop(stream);
    let standing = rig.hosting.state(&name()).expect("it is known");
    let trouble = standing.trouble.expect("trouble");
    assert!(
        trouble.contains("exit status: 3") && standing.pids.len() == 1,
        "{trouble}"
    );
}

#[tokio::test]
async fn what_cannot_run_is_told_in_words() {
    for (program, args, said) in [
        (
            "no-such-program",
            &[][..],
            "cannot be started: `no-such-program` is not found on PATH",
        ),
        (
            "/etc/passwd",
            &[],
            "cannot be started: `/etc/passwd` is not executable",
        ),
        (
            FAKE,
            &["tool", "--broken"],
            "ended (exit status: 7), saying `no license found`",
        ),
    ] {
        let rig = Rig::new();
        let args = args.iter().map(ToString::to_string).collect();
        put(
            &rig,
            Command {
                program: program.into(),
                args,
                ..command(&[])
            },
        );
        let letter = Letter {
            rig: &rig,
            session: None,
        };
        let body = letter.call("environment", json!({})).await;
        assert!(body.contains("isError") && body.contains(said), "{body}");
        let listed = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/list"});
        let (head, body) = letter.post(&listed).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            body.contains(r#""id":"x","error""#) && body.contains(said),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_server_that_ends_again_and_again_has_to_wait() {
    let rig = hosted(&["--broken"]);
    let letter = Letter {
        rig: &rig,
        session: None,
    };
    soon("a pause", async {
        loop {
            let body = letter.call("environment", json!({})).await;
            assert!(body.contains("no license found"), "{body}");
            let standing = rig.hosting.state(&name()).expect("it is known");
            if matches!(standing.phase, Phase::Waiting(_)) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn eight_sessions_are_enough() {
    let rig = hosted(&[]);
    let first = Letter::open(&rig).await;
    let busy = first.send(&call(1, "hang", &json!({}))).await;
    let second = Letter::open(&rig).await;
    let mut others = Vec::new();
    for _ in 0..7 {
        others.push(Letter::open(&rig).await);
    }
    let standing = rig.hosting.state(&name()).expect("it is known");
    assert_eq!(standing.pids.len(), 8);
    // The one that was not used for longest has gone, not the one in use.
    let body = others[0].call("environment", json!({})).await;
    assert!(body.contains("content"), "{body}");
    let body = first.call("environment", json!({})).await;
    assert!(body.contains("content"), "{body}");
    let id = second.session.clone().expect("a session");
    let wire = rig.hosting.connect(&name()).expect("a connection");
    let head = format!("GET /mcp HTTP/1.1\r\nHost: tool\r\nMcp-Session-Id: {id}\r\n\r\n");
    assert!(asked(wire, &head).await.starts_with("HTTP/1.1 404 "));
    drop(busy);
}

/// What the server's own door says to `request`.
async fn asked(mut wire: tokio::io::DuplexStream, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    wire.write_all(request.as_bytes()).await.expect("sent");
    let mut said = vec![0; 4096];
    let n = soon("an answer", wire.read(&mut said)).await.expect("read");
    String::from_utf8_lossy(&said[..n]).into_owned()
}

#[tokio::test]
async fn a_door_is_one_of_streamable_http() {
    let rig = hosted(&[]);
    let letter = Letter::open(&rig).await;
    let id = letter.session.clone().expect("a session");
    let with = format!("Host: t\r\nMcp-Session-Id: {id}\r\n");
    let other = "Host: t\r\nMcp-Session-Id: other\r\n";
    let length = "Content-Length: 2\r\n";
    for (request, status) in [
        (format!("GET /mcp HTTP/1.1\r\n{other}\r\n"), 404),
        (format!("DELETE /mcp HTTP/1.1\r\n{other}\r\n"), 404),
        (
            format!("POST /mcp HTTP/1.1\r\n{other}{length}\r\n{{}}"),
            404,
        ),
        ("GET /mcp HTTP/1.1\r\nHost: t\r\n\r\n".into(), 405),
        (format!("PUT /mcp HTTP/1.1\r\n{with}{length}\r\n{{}}"), 405),
        (format!("POST /mcp HTTP/1.1\r\n{with}{length}\r\n[]"), 400),
        (format!("POST /mcp HTTP/1.1\r\n{with}{length}\r\n{{x"), 400),
        (format!("DELETE /mcp HTTP/1.1\r\n{with}\r\n"), 204),
        (format!("POST /mcp HTTP/1.1\r\n{with}{length}\r\n{{}}"), 404),
    ] {
        let wire = rig.hosting.connect(&name()).expect("a connection");
        let said = asked(wire, &request).await;
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {said}"
        );
    }
    rig.hosting.remove(&name());
    assert!(rig.hosting.connect(&name()).is_err());
    let body = letter.call("environment", json!({})).await;
    assert!(body.contains("was removed"), "{body}");
}

/// Opens a session; the pids of the server and of a process that it started.
async fn family(rig: &Rig) -> [u32; 2] {
    let letter = Letter::open(rig).await;
    let answer: Value = serde_json::from_str(&letter.call("spawn", json!({})).await).expect("JSON");
    let text = answer["result"]["content"][0]["text"]
        .as_str()
        .expect("a pid");
    let pids = rig.hosting.state(&name()).expect("it is known").pids;
    [*pids.last().expect("a pid"), text.parse().expect("a pid")]
}

#[tokio::test]
async fn a_whole_group_ends_however_stubborn_it_is() {
    let rig = hosted(&["--stubborn"]);
    let ends: [fn(&Rig); 3] = [
        |rig| rig.hosting.end_sessions(),
        |rig| put(rig, command(&["--stubborn"])),
        |rig| rig.hosting.remove(&name()),
    ];
    for end in ends {
        let family = family(&rig).await;
        assert!(family.iter().all(|pid| is_alive(*pid)));
        end(&rig);
        for pid in family {
            until_gone(pid).await;
        }
    }
    put(&rig, command(&["--stubborn"]));
    let last = family(&rig).await;
    soon("the end", rig.hosting.end()).await;
    assert!(!last.into_iter().any(is_alive));
    assert!(rig.hosting.connect(&name()).is_err());
}

#[tokio::test]
async fn no_server_outlives_us_when_we_are_killed() {
    let world = World::new();
    let servers = "[mcp_servers.mine]\nargs = [\"tool\", \"--stubborn\"]\nhosted = true\n";
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         {servers}command = {FAKE:?}\n"
    ));
    let mut terminals = Vec::new();
    for n in 0..10 {
        let args = ["fake", "--offline", "--", "--call", "spawn={}"];
        let mut terminal = world.launch(&args);
        terminal.shows("\n>").await;
        terminal.keys(b"go\r").await;
        if n % 2 == 0 {
            // The others are killed wherever they are.
            terminal.shows("called spawn").await;
        }
        terminals.push(terminal);
    }
    let of_ours = |what: &str| {
        let all = world.processes().into_iter();
        all.filter(|(_, args)| args.contains(what)).count()
    };
    assert!(of_ours("tool --stubborn") >= 5 && of_ours("echo ready") >= 5);
    for terminal in &terminals {
        let pid = terminal.pid().cast_signed();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("killed");
    }
    for terminal in &mut terminals {
        assert_eq!(terminal.end().await, AgentExit::Signal(9));
    }
    meanwhile("nobody is left", async || {
        world.processes().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn servers_end_with_their_session() {
    let world = World::new();
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         [mcp_servers.mine]\ncommand = {FAKE:?}\nargs = [\"tool\"]\nhosted = true\n"
    ));
    let mut terminal = world.launch(&["fake", "--offline", "--", "--call", "environment={}"]);
    terminal.shows("\n>").await;
    terminal.keys(b"go\r").await;
    terminal.shows("called environment").await;
    let result = world.reported("result");
    let told = result["result"]["content"][0]["text"]
        .as_str()
        .expect("text");
    let told: Value = serde_json::from_str(told).expect("JSON");
    assert_eq!(told["env"]["WRAPPER_AGENT"], "fake");
    assert_eq!(told["cwd"], json!(world.path("project")));
    #[cfg(target_os = "linux")]
    has_no_terminal(&told["pid"]);
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

/// Sees to it that a process leads a session, one without a terminal.
#[cfg(target_os = "linux")]
fn has_no_terminal(pid: &Value) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let (session, terminal) = (fields[3], fields[4]);
    assert_eq!((session, terminal), (pid.to_string().as_str(), "0"));
}
