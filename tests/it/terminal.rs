//! The user's terminal around an agent: the session's own binary door in a
//! real PTY, a stand-in agent inside.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use wrapper::terminal::tty::{LEAVE, UNDO};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use crate::support::pty::Outer;
use crate::support::{eventually, soon};

const FAKE: &str = env!("CARGO_BIN_EXE_fake-agent");

/// A session in a terminal, and the other end of its door.
struct Stage {
    outer: Outer,
    door: BufReader<UnixStream>,
    dir: TempDir,
}

impl Stage {
    async fn open(restart: &str, args: &[&str]) -> Self {
        Self::sized(TermSize::default(), restart, FAKE, args).await
    }

    async fn sized(size: TermSize, restart: &str, program: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("door");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let socket = socket.to_str().expect("text");
        let args = [&["supervise", socket, restart, program], args].concat();
        let report = dir.path().join("report");
        let outer = Outer::run(size, FAKE, &args, &[("FAKE_REPORT", &report)]);
        let (door, _) = soon("the door", listener.accept())
            .await
            .expect("connected");
        Self {
            outer,
            door: BufReader::new(door),
            dir,
        }
    }

    async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.door.write_all(line.as_bytes()).await.expect("said");
    }

    /// Waits for a receipt or a view, while the terminal goes on.
    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let (door, outer) = (&mut self.door, &mut self.outer);
        tokio::select! {
            read = soon("an answer", door.read_line(&mut line)) => read.expect("an answer"),
            () = outer.until("nothing", |_| false) => unreachable!("it waits for ever"),
        };
        serde_json::from_str(&line).expect("JSON")
    }

    async fn prompt(&mut self, text: &str) -> Value {
        self.say(&format!("type {text}")).await;
        self.hear().await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the agent reported under a name, in order.
    fn reported(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("report")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter_map(|entry| entry.get(name).cloned())
            .collect()
    }

    /// How often the user has seen the ten digits that floods are made of.
    fn tens(&self) -> usize {
        let text = String::from_utf8_lossy(&self.outer.bytes);
        text.matches("0123456789").count()
    }

    fn agent(&self) -> i32 {
        pid(&self.reported("start")[0]["pid"])
    }
}

fn pid(value: &Value) -> i32 {
    value
        .as_i64()
        .and_then(|pid| pid.try_into().ok())
        .expect("a pid")
}

fn submitted() -> Value {
    json!({"outcome": "submitted"})
}

/// Waits until a process is gone, or only its parent has to notice.
#[track_caller]
fn gone(pid: i32) {
    eventually("the process is gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        match stat {
            Ok(stat) => stat
                .rsplit(')')
                .next()?
                .trim()
                .starts_with('Z')
                .then_some(()),
            Err(_) => Some(()),
        }
    });
}

fn terminate(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("sent");
}

#[tokio::test]
async fn keys_and_output_pass_and_the_code_is_the_agents() {
    let mut stage = Stage::open("never", &[]).await;
    let before = nix::pty::openpty(None, None).expect("a terminal");
    let before = nix::sys::termios::tcgetattr(&before.slave).expect("settings");
    stage.outer.shows(">").await;
    assert_ne!(stage.outer.termios(), before, "raw");
    stage.outer.keys("häßlich 漢".as_bytes()).await;
    stage.outer.shows("> häßlich 漢").await;
    stage.outer.keys(b"\x15/exit 7\r").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(7));
    assert_eq!(stage.outer.termios(), before, "restored");
    assert!(stage.outer.bytes.ends_with(UNDO));
    let leave = |bytes: &[u8]| bytes.windows(LEAVE.len()).any(|at| at == LEAVE);
    assert!(
        !leave(&stage.outer.bytes),
        "the alternate screen was never on"
    );
    assert_eq!(stage.reported("input")[0], "häßlich 漢");
}

#[tokio::test]
async fn a_signal_that_ends_the_agent_is_told_as_shells_do() {
    let mut stage = Stage::open("never", &["--die", "9"]).await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(137));
}

#[tokio::test]
async fn what_cannot_run_and_what_is_not_there_differ() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/nonexistent/interpreter\n").expect("written");
    let file = dir.path().join("file");
    std::fs::write(&file, "text").expect("written");
    make_executable(&script);
    for (program, code) in [
        (script.as_path(), 126),
        (&file, 126),
        (Path::new("/nonexistent/agent"), 127),
    ] {
        let program = program.to_str().expect("text");
        let mut stage = Stage::sized(TermSize::default(), "always", program, &[]).await;
        assert_eq!(stage.outer.end().await, AgentExit::Code(code), "{program}");
    }
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
}

#[tokio::test]
async fn the_agent_has_the_size_of_the_terminal_from_the_smallest_on() {
    let mut stage = Stage::sized(TermSize::new(1, 1), "never", FAKE, &[]).await;
    stage
        .outer
        .until("ready", |outer| outer.picture().bracketed_paste)
        .await;
    stage.outer.resize(TermSize {
        rows: 0,
        cols: 0,
        ..TermSize::default()
    });
    eventually("a size that can be used", || {
        stage
            .reported("size")
            .contains(&json!([24, 80]))
            .then_some(())
    });
    stage.outer.resize(TermSize::new(50, 132));
    eventually("the new size", || {
        stage
            .reported("size")
            .contains(&json!([50, 132]))
            .then_some(())
    });
    assert_eq!(stage.reported("start")[0]["size"], json!([1, 1]));
    stage.outer.keys(b"\x04").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn modes_that_the_agent_leaves_on_are_undone() {
    let mut stage = Stage::open("never", &["--dirty"]).await;
    stage.outer.shows(">").await;
    stage.outer.keys(b"/die 9\r").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(137));
    let picture = stage.outer.picture();
    assert!(!picture.alternate && !picture.bracketed_paste);
}

#[tokio::test]
async fn a_panic_of_ours_leaves_the_terminal_as_it_was_and_no_agent() {
    let mut stage = Stage::open("always", &["--ignore-hup"]).await;
    let before = nix::pty::openpty(None, None).expect("a terminal");
    let before = nix::sys::termios::tcgetattr(&before.slave).expect("settings");
    stage.outer.shows(">").await;
    let agent = stage.agent();
    assert_ne!(stage.outer.termios(), before, "raw");
    stage.say("panic").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(101));
    assert_eq!(stage.outer.termios(), before, "restored");
    let picture = stage.outer.picture();
    assert!(!picture.alternate && !picture.bracketed_paste);
    let shown = String::from_utf8_lossy(&stage.outer.bytes).into_owned();
    assert!(!shown.contains("as the test wanted it"), "{shown}");
    gone(agent);
}

#[tokio::test]
async fn sigterm_ends_the_whole_group_even_if_it_ignores_hup_and_term() {
    let args = ["--ignore-hup", "--ignore-term", "--grandchild"];
    let mut stage = Stage::open("always", &args).await;
    stage.outer.shows("left behind").await;
    stage.outer.shows(">").await;
    terminate(stage.outer.pid());
    assert_eq!(stage.outer.end().await, AgentExit::Code(137));
    assert_eq!(stage.reported("signal"), ["HUP", "TERM"]);
    gone(stage.agent());
    gone(pid(&stage.reported("grandchild")[0]));
}

#[tokio::test]
async fn a_terminal_that_closes_hangs_up() {
    let mut stage = Stage::open("always", &[]).await;
    stage.outer.shows(">").await;
    let agent = stage.agent();
    let mut session = stage.outer.hang_up();
    let exit = soon("the end", session.wait()).await.expect("waited");
    assert_eq!(exit, AgentExit::Code(129));
    gone(agent);
}

#[tokio::test]
async fn a_process_that_keeps_the_terminal_open_is_not_waited_for() {
    let mut stage = Stage::open("never", &["--grandchild"]).await;
    stage.outer.shows("left behind").await;
    stage.outer.shows(">").await;
    stage.outer.keys(b"/exit 3\r").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(3));
    let text = String::from_utf8_lossy(&stage.outer.bytes);
    assert!(text.contains("last words"));
    let left = Pid::from_raw(pid(&stage.reported("grandchild")[0]));
    kill(left, Signal::SIGKILL).expect("it is alive");
}

#[tokio::test]
async fn a_flood_passes_whole_and_its_end_is_seen() {
    let mut stage = Stage::open("never", &["--emit", "6000"]).await;
    stage
        .outer
        .until("the end", |outer| outer.bytes.ends_with(b"> "))
        .await;
    assert_eq!(stage.tens(), 6000 * 16 * 6);
    stage.say("view").await;
    let view = stage.hear().await;
    let rows: Vec<&str> = view
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(rows.contains(&"end of flood"), "{rows:?}");
    assert!(rows.contains(&">"), "{rows:?}");
    stage.outer.keys(b"\x04").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn what_the_agent_wrote_last_is_shown_although_it_is_gone() {
    let mut stage = Stage::open("never", &["--emit", "20", "--exit", "3"]).await;
    eventually("the start", || {
        (!stage.reported("start").is_empty()).then_some(())
    });
    gone(stage.agent());
    assert_eq!(stage.outer.end().await, AgentExit::Code(3));
    let text = String::from_utf8_lossy(&stage.outer.bytes);
    assert!(text.contains("last words"));
    assert_eq!(stage.tens(), 20 * 16 * 6);
}

#[tokio::test]
async fn what_a_stopped_agent_leaves_in_its_group_ends_too() {
    let mut stage = Stage::open("always", &["--grandchild"]).await;
    stage.outer.shows("left behind").await;
    stage.outer.shows(">").await;
    stage.say("stop 10000").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(129));
    gone(pid(&stage.reported("grandchild")[0]));
}

#[tokio::test]
async fn without_a_terminal_output_goes_to_standard_output() {
    let mut door = Command::new(FAKE);
    door.args(["supervise", "/nonexistent", "never", FAKE, "--exit", "5"]);
    // Without a session of its own it would still find our terminal.
    door.stdin(Stdio::null()).stderr(Stdio::null());
    let output = door.output().expect("it runs");
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stdout).contains("last words"));
}

#[tokio::test]
async fn a_prompt_is_typed_once_and_submitted() {
    let mut stage = Stage::open("never", &["--ready-after", "300"]).await;
    assert_eq!(stage.prompt("mcp read #general").await, submitted());
    assert_eq!(stage.prompt("and\x1b[201~\ragain").await, submitted());
    assert_eq!(
        stage.reported("prompt"),
        ["mcp read #general", "and[201~ again"]
    );
    assert_eq!(stage.reported("paste").len(), 2);
}

#[tokio::test]
async fn an_agent_works_from_a_prompt_on_until_it_falls_silent() {
    let mut stage = Stage::open("on-crash", &[]).await;
    stage.outer.shows("\n>").await;
    for _ in 0..2 {
        stage.say("busy false").await;
        assert_eq!(stage.hear().await, true);
        stage.say("type mcp read").await;
        assert_eq!(stage.hear().await, submitted());
        stage.say("busy true").await;
        assert_eq!(stage.hear().await, true);
    }
    stage.outer.keys(b"/exit 1\r").await;
    stage.outer.shows("wrapper: the agent ended").await;
    stage.say("busy false").await;
    assert_eq!(stage.hear().await, true);
}

#[tokio::test]
async fn an_agent_without_pastes_gets_a_plain_line() {
    let mut stage = Stage::open("never", &["--no-paste"]).await;
    assert_eq!(stage.prompt("mcp read").await, submitted());
    assert_eq!(stage.reported("prompt"), ["mcp read"]);
    assert!(stage.reported("paste").is_empty());
}

#[tokio::test]
async fn a_dialog_that_no_rule_sees_is_not_answered_either() {
    let mut stage = Stage::open("never", &["--dialog", "rm", "--oddly"]).await;
    stage.say("type mcp read").await;
    eventually("two attempts", || {
        (stage.reported("paste").len() >= 2).then_some(())
    });
    assert!(stage.reported("approved").is_empty());
    stage.outer.keys(b"\r").await;
    assert_eq!(stage.hear().await["outcome"], "submitted");
    assert_eq!(stage.reported("approved"), ["rm"]);
    assert_eq!(stage.reported("prompt"), ["mcp read"]);
}

#[tokio::test]
async fn a_paste_that_was_lost_is_repeated() {
    let mut stage = Stage::open("never", &["--deaf-once", "--busy"]).await;
    assert_eq!(stage.prompt("mcp read").await, submitted());
    // Its spinner passes for a reaction: the report may come a moment later.
    eventually("the prompt", || {
        (stage.reported("prompt") == ["mcp read"]).then_some(())
    });
    assert!(stage.reported("paste").len() >= 2);
}

#[tokio::test]
async fn a_late_echo_is_not_pasted_twice() {
    let mut stage = Stage::open("never", &["--slow-echo", "1100"]).await;
    assert_eq!(stage.prompt("mcp read").await, submitted());
    assert_eq!(stage.reported("prompt"), ["mcp read"]);
}

#[tokio::test]
async fn without_a_reaction_the_outcome_is_unknown() {
    let mut stage = Stage::open("never", &["--ignore-enter"]).await;
    let unknown = json!({"outcome": "unknown", "reason": "no reaction to Enter"});
    assert_eq!(stage.prompt("mcp read").await, unknown);
    assert_eq!(stage.reported("paste").len(), 1);
}

#[tokio::test]
async fn a_users_line_is_finished_first() {
    let mut stage = Stage::open("never", &[]).await;
    stage.outer.shows(">").await;
    stage.outer.keys(b"half a li").await;
    stage.outer.shows("> half a li").await;
    stage.say("type mcp read").await;
    stage.say("view").await;
    assert!(stage.hear().await.is_array());
    stage.outer.keys(b"ne\r").await;
    assert_eq!(stage.hear().await["outcome"], "submitted");
    assert_eq!(stage.reported("prompt"), ["half a line", "mcp read"]);
}

#[tokio::test]
async fn a_prompt_outlives_a_crash_and_a_key_shortens_the_wait() {
    let dir = tempfile::tempdir().expect("a directory");
    let mark = dir.path().join("mark");
    let mark = mark.to_str().expect("text");
    let mut stage = Stage::open("on-crash", &["--die", "9", "--once", mark]).await;
    stage.say("type mcp read").await;
    stage
        .outer
        .shows("wrapper: the agent was ended by signal 9")
        .await;
    stage.outer.keys(b" ").await;
    assert_eq!(stage.hear().await["outcome"], "submitted");
    assert_eq!(stage.reported("start").len(), 2);
    stage.outer.keys(b"\x04").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn an_agent_that_dies_too_often_is_given_up_and_ctrl_c_ends_the_wait() {
    let mut stage = Stage::open("always", &["--die", "9"]).await;
    for wait in ["1 s", "2 s", "4 s", "8 s"] {
        stage.outer.shows(&format!("again in {wait}")).await;
        stage.outer.keys(b" ").await;
    }
    stage.outer.shows("the agent died 5 times").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(128 + 9));

    let mut stage = Stage::open("always", &["--die", "9"]).await;
    stage.outer.shows("again in 1 s").await;
    stage.outer.keys(b"\x03").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(128 + 9));
    assert_eq!(stage.reported("start").len(), 1);
}

#[tokio::test]
async fn a_session_that_ends_refuses_what_waits() {
    let mut stage = Stage::open("never", &["--mute"]).await;
    stage.outer.shows("fake agent").await;
    stage.say("type mcp read").await;
    stage.say("stop 2000").await;
    assert_eq!(stage.outer.end().await, AgentExit::Code(129));
}
