//! Sessions that have no terminal: started, told of, and left alone.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::pty::Outer;
use super::support::world::{FAKE, World};
use super::support::{eventually, soon};

/// A number of a JSON object.
pub(crate) fn number(value: &Value, key: &str) -> i32 {
    let number = value[key].as_i64().and_then(|n| i32::try_from(n).ok());
    number.unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("signalled");
}

fn is_running(world: &World, pid: i32) -> bool {
    world.processes().iter().any(|(other, _)| *other == pid)
}

/// Sees that processes are no more; one may be a moment away from its exit.
#[track_caller]
pub(crate) fn are_gone(world: &World, pids: &[i32]) {
    eventually(&format!("{pids:?} are gone"), || {
        let is_left = pids.iter().any(|pid| is_running(world, *pid));
        (!is_left).then_some(())
    });
}

/// Waits until a session is in that state; the session.
#[track_caller]
pub(crate) fn in_state(world: &World, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), || {
        let all = world.json(&["ps", "--json"]);
        let all = all.as_array().expect("an array").clone();
        all.into_iter()
            .find(|session| session["name"] == name && session["state"] == state)
    })
}

/// Ends a session, and waits until it has.
#[track_caller]
pub(crate) fn stop(world: &World, name: &str) {
    let output = world.verb(&["stop", name]);
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_detached_session_runs_without_a_terminal_and_outlives_its_callers() {
    let world = World::with_hub();
    let mut shell = world.shell();
    shell.shows("$").await;
    let line = format!(
        "{} fake -d --port {} --mcp-http-port {} --mcp-sse-port {}; echo code=$?\r",
        super::support::world::WRAPPER,
        world.port,
        world.mcp_port,
        world.sse_port
    );
    shell.keys(line.as_bytes()).await;
    shell.shows("\nfake\ncode=0\n").await;
    let session = in_state(&world, "fake", "idle");
    let (pid, agent) = (number(&session, "pid"), number(&session, "agent_pid"));
    assert_eq!(session["attached"], false);
    assert_eq!(getsid(Some(Pid::from_raw(pid))), Ok(Pid::from_raw(pid)));
    assert_eq!(world.reported("start")["size"], json!([24, 80]));
    for fd in 0..3 {
        let file = std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("open");
        assert_eq!(file.to_str(), Some("/dev/null"), "{fd}");
    }

    // The window closes, and everybody in it is hung up on.
    let mut shell = shell.hang_up();
    soon("the shell's end", shell.wait()).await.expect("waited");
    let sent = world.json(&["send", "fake", "are you there?", "--json"]);
    assert_eq!(sent["outcome"], "submitted");
    assert_eq!(world.reported("prompt"), "are you there?");

    let second = world.json(&["fake", "-d", "--json"]);
    assert_eq!(second["name"], "fake-2");
    assert_eq!(in_state(&world, "fake-2", "idle")["pid"], second["pid"]);
    assert_eq!(in_state(&world, "fake-2", "idle")["id"], second["id"]);

    for name in ["fake", "fake-2"] {
        stop(&world, name);
    }
    assert!(world.sessions().is_empty() && world.online().is_empty());
    are_gone(&world, &[pid, agent]);
}

#[tokio::test]
async fn what_cannot_be_detached_says_why_with_the_launchs_own_code() {
    let world = World::new();
    let missing = world.path("missing");
    let script = world.path("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").expect("written");
    std::fs::write(world.path("project/broken.json"), "{} mine\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).expect("set");
    for (command, more, code, says) in [
        (missing.as_path(), "", 127, "error: cannot start `"),
        (script.as_path(), "", 126, "error: cannot start `"),
        (FAKE.as_ref(), "comand = 1\n", 125, "config.toml"),
        (
            FAKE.as_ref(),
            "mcp_inject = \"settings_file\"\nmcp_settings_path = \"broken.json\"\n[mcp_servers.x]\ncommand = \"true\"\n",
            125,
            "the file was left as it was",
        ),
    ] {
        world.configure(&format!("[agents.fake]\ncommand = {command:?}\n{more}"));
        let output = world.verb(&["fake", "-d", "--offline"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
        assert!(said.contains(says), "{said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    assert!(world.sessions().is_empty() && world.processes().is_empty());
}

/// How often the agent was started.
fn starts(world: &World) -> usize {
    let report = world.report();
    report.iter().filter(|one| !one["start"].is_null()).count()
}

#[tokio::test]
async fn an_agent_that_cannot_start_in_the_background_says_why_with_its_own_code() {
    for restart in ["never", "on-crash", "always"] {
        for (way, code) in [(["--exit", "3"], 3), (["--die", "6"], 128 + 6)] {
            let world = World::new();
            let launch = ["fake", "-d", "--offline", "--restart", restart, "--"];
            let output = world.verb(&[&launch[..], &way].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{restart}: {said}");
            assert!(output.stdout.is_empty(), "{output:?}");
            assert!(said.contains(" before it was ready\nhint: "), "{said}");
            if code == 3 {
                assert!(
                    said.starts_with("last words\nerror: `fake` ended"),
                    "{said}"
                );
                let log = said.trim().rsplit(' ').next().expect("a path");
                let log = std::fs::read_to_string(log).expect("a log");
                assert!(log.contains("| last words"), "{log}");
            }
            assert_eq!(starts(&world), 1, "{restart}");
            assert!(world.sessions().is_empty());
        }
    }
}

#[tokio::test]
async fn an_agent_that_ends_well_at_once_has_run() {
    let world = World::new();
    let launch = ["fake", "-d", "--offline", "--json", "--", "--exit", "0"];
    let output = world.verb(&launch);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&told["name"], &told["state"]),
        (&json!("fake"), &json!("exited"))
    );
    assert_eq!(starts(&world), 1);
}

#[tokio::test]
async fn an_agent_in_the_background_that_asks_something_is_told_of() {
    let world = World::new();
    let launch = ["fake", "-d", "--offline", "--", "--dialog", "trust this?"];
    let output = world.verb(&launch);
    let advice = "`fake` asks something: `wrapper attach fake`\n";
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"fake\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), advice);
    let listed = world.verb(&["ps"]);
    assert_eq!(String::from_utf8_lossy(&listed.stderr), advice);
    let team = "[[session]]\nagent = \"fake\"\nname = \"asker\"\nargs = [\"--dialog\", \"ok?\"]\n\
        [[session]]\nagent = \"fake\"\nname = \"failing\"\nargs = [\"--exit\", \"3\"]\n";
    std::fs::write(world.path("project/wrapper-team.toml"), team).expect("written");
    let up = world.verb(&["up", "--json", "--offline"]);
    let up = if up.stdout.is_empty() {
        world.verb(&["up", "--json"])
    } else {
        up
    };
    assert_eq!(up.status.code(), Some(1), "{up:?}");
    let told: Value = serde_json::from_slice(&up.stdout).expect("JSON");
    assert_eq!(told[0]["state"], "blocked", "{told}");
    assert_eq!(told[1]["outcome"], "failed", "{told}");
    let why = told[1]["reason"].as_str().expect("a reason");
    assert!(
        why.contains("ended with code 3") && why.contains("last words"),
        "{why}"
    );
    assert!(world.verb(&["stop", "--all"]).status.success());
}

#[tokio::test]
async fn a_signal_of_somebody_else_does_not_suspend_the_session() {
    let world = World::new();
    let mut terminal = world.launch(&["fake", "--offline"]);
    terminal.shows("\n>").await;
    let session = in_state(&world, "fake", "idle");
    signal(number(&session, "pid"), Signal::SIGUSR1);
    eventually("it is logged", || {
        let log = std::fs::read_to_string(session["log"].as_str().expect("a path"));
        let log = log.expect("read");
        assert!(!log.contains("suspended"), "{log}");
        log.contains("the agent has not stopped").then_some(())
    });
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn the_project_is_asked_for_before_the_terminal_is_left() {
    let world = World::new();
    std::fs::write(
        world.path("project/.mcp.json"),
        "{\"mcpServers\":{\"theirs\":{\"command\":\"cat\"}}}",
    )
    .expect("written");
    let mut terminal = world.launch(&["fake", "-d", "--offline"]);
    terminal.shows("theirs").await;
    terminal.shows("[y/N]").await;
    terminal.keys(b"y\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    let session = in_state(&world, "fake", "idle");
    assert_eq!(session["mcp"][0]["name"], "theirs");
    stop(&world, "fake");
}

/// A service manager, and a session that it has started.
struct Service {
    socket: UnixDatagram,
    session: Child,
    world: World,
}

impl Service {
    fn start(name: impl Fn(&World) -> String, args: &[&str]) -> Self {
        let world = World::new();
        let name = name(&world);
        let socket = match name.strip_prefix('@') {
            None => UnixDatagram::bind(&name),
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name);
                UnixDatagram::bind_addr(&address.expect("an address"))
            }
        };
        let socket = socket.expect("a socket");
        let deadline = Some(super::support::DEADLINE);
        socket.set_read_timeout(deadline).expect("a deadline");
        let mut command = world.spawn(&[&["fake", "--headless", "--offline"], args].concat());
        let session = command
            .env("NOTIFY_SOCKET", name)
            .env_remove("TERM")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        Self {
            socket,
            session,
            world,
        }
    }

    /// Waits until the manager is told this.
    #[track_caller]
    fn hears(&self, wanted: &str) {
        let mut buf = [0; 512];
        loop {
            let n = self.socket.recv(&mut buf).expect(wanted);
            if &buf[..n] == wanted.as_bytes() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_service_manager_is_told_and_gets_the_log_and_the_code() {
    let path = |world: &World| world.path("notify").to_str().expect("text").to_owned();
    let hidden = |world: &World| format!("@wrapper-test-{}", world.port);
    let names: [&dyn Fn(&World) -> String; 2] = [&path, &hidden];
    for name in names {
        let Service {
            socket,
            session,
            world,
        } = {
            let service = Service::start(name, &[]);
            service.hears("READY=1");
            service.hears("STATUS=idle");
            service
        };
        let start = world.reported("start");
        let env = start["env"].as_array().expect("names").clone();
        assert!(env.contains(&json!("TERM")) && !env.contains(&json!("NOTIFY_SOCKET")));
        assert_eq!(in_state(&world, "fake", "idle")["attached"], false);
        signal(session.id().cast_signed(), Signal::SIGTERM);
        let service = Service {
            socket,
            session,
            world,
        };
        service.hears("STOPPING=1");
        let output = service.session.wait_with_output().expect("waited");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(128 + 1), "{said}");
        assert!(said.contains("launched session=") && said.contains("told to end"));
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(service.world.sessions().is_empty());
    }
    let service = Service::start(path, &["--no-restart", "--", "--exit", "7"]);
    let output = service.session.wait_with_output().expect("waited");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_service_manager_that_cannot_be_told_is_said() {
    let world = World::new();
    let far = format!("/{}", "x".repeat(200));
    let mut launch = world.spawn(&["fake", "--headless", "--offline", "--no-restart"]);
    launch.args(["--", "--exit", "7"]).env("NOTIFY_SOCKET", far);
    let output = launch.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    let warning = "warning: cannot tell the service manager how it goes, at `NOTIFY_SOCKET=/xxx";
    assert!(said.starts_with(warning), "{said}");
}

#[tokio::test]
async fn a_foreground_session_still_ends_with_its_terminal() {
    let world = World::new();
    let mut terminal: Outer = world.launch(&["fake", "--offline"]);
    terminal.shows("\n>").await;
    assert_eq!(in_state(&world, "fake", "idle")["attached"], true);
    let mut process = terminal.hang_up();
    soon("the end", process.wait()).await.expect("waited");
    assert!(world.sessions().is_empty());
}
