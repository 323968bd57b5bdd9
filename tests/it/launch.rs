//! A launch from end to end: its exit codes, what it leaves, and what it does
//! not even begin.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use super::background::in_state;
use super::support::eventually;
use super::support::pty::Outer;
use super::support::world::{FAKE, WRAPPER, World};

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("signalled");
}

#[tokio::test]
async fn the_agents_exit_is_ours() {
    let world = World::with_hub();
    for (args, exit) in [
        (&["fake", "--no-restart", "--", "--exit", "0"][..], 0),
        (&["fake", "--no-restart", "--", "--exit", "7"], 7),
        (&["--no-restart", "fake", "--", "--die", "9"], 128 + 9),
        (
            &["run", "fake", "--restart", "never", "--", "--die", "15"],
            128 + 15,
        ),
    ] {
        let mut terminal = world.launch(args);
        assert_eq!(terminal.end().await, AgentExit::Code(exit), "{args:?}");
    }
    assert!(world.online().is_empty());
    assert!(world.sessions().is_empty());
}

#[tokio::test]
async fn the_agent_gets_its_arguments_its_context_and_its_place() {
    let world = World::with_hub();
    let mut terminal = world.launch(&[
        "fake",
        "--no-restart",
        "--label",
        "My Fake",
        "--",
        "--odd arg",
        "-c",
        "x=\"y\"",
        "--",
        "--port",
    ]);
    terminal.shows("\n>").await;
    let start = world.reported("start");
    let argv: Vec<&str> = start["argv"]
        .as_array()
        .expect("argv")
        .iter()
        .filter_map(|arg| arg.as_str())
        .collect();
    assert_eq!(argv[0], "--mcp-config");
    assert!(argv[1].ends_with("/mcp.json"), "{argv:?}");
    assert_eq!(argv[2..], ["--odd arg", "-c", "x=\"y\"", "--", "--port"]);
    assert_eq!(
        start["cwd"],
        world.path("project").to_str().expect("a path")
    );
    assert_eq!(start["size"], serde_json::json!([24, 80]));
    let env = start["env"].as_array().expect("names");
    for name in [
        "WRAPPER_SESSION_ID",
        "WRAPPER_SESSION_TITLE",
        "WRAPPER_SESSION_NAME",
        "WRAPPER_AGENT",
        "WRAPPER_MCP_KEY",
        "HOME",
    ] {
        assert!(env.iter().any(|known| known == name), "{name}");
    }
    let file = fs::metadata(argv[1]).expect("the injected file");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let sessions = world.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!(
        fs::metadata(&sessions[0])
            .expect("there")
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    assert_eq!(world.online(), ["fake"]);
    assert_eq!(world.json(&["who", "--json"])[0]["label"], "My Fake");

    terminal.keys(b"/exit 3\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(3));
    assert!(world.sessions().is_empty() && world.online().is_empty());
}

#[tokio::test]
async fn signals_and_a_closed_terminal_end_the_agent_and_deregister_it() {
    for how in ["TERM", "HUP", "INT", "closed"] {
        let world = World::with_hub();
        let terminal = world.launch(&["fake"]);
        let agent = world.reported("start")["pid"].as_i64().expect("a pid");
        assert_eq!(world.online(), ["fake"], "{how}");
        let pid = terminal.pid();
        let mut process = match how {
            "closed" => terminal.hang_up(),
            name => {
                signal(pid, format!("SIG{name}").parse().expect("a signal"));
                // Somebody reads on, as a terminal does.
                let mut terminal = terminal;
                terminal.end().await;
                terminal.hang_up()
            }
        };
        super::support::soon("the end", process.wait())
            .await
            .expect("waited");
        assert!(world.online().is_empty(), "{how}");
        assert!(world.sessions().is_empty(), "{how}");
        assert!(
            !world
                .processes()
                .iter()
                .any(|(pid, _)| i64::from(*pid) == agent),
            "{how}"
        );
    }
}

#[tokio::test]
async fn a_suspended_agent_gives_the_shell_its_terminal_and_comes_back() {
    let world = World::new();
    let mut shell = world.shell();
    shell.shows("$").await;
    shell
        .keys(format!("{WRAPPER} fake --offline --no-restart\r").as_bytes())
        .await;
    shell.shows("\n>").await;
    for round in 1..=2 {
        // 20 is SIGTSTP on this system.
        shell.keys(b"/die 20\r").await;
        shell.shows("Stopped").await;
        prompt(&mut shell).await;
        shell.keys(b"clear; stty -a | grep -o icanon\r").await;
        shell
            .until("a terminal for lines", |shell| {
                shell.picture().rows.contains(&"icanon".into())
            })
            .await;
        prompt(&mut shell).await;
        shell.keys(b"fg\r").await;
        // A shell that edits a line keeps Ctrl-C to itself; we do not.
        eventually("a raw terminal again", || {
            (!shell.termios().local_flags.contains(LocalFlags::ISIG)).then_some(())
        });
        shell.keys(format!("round {round}\r").as_bytes()).await;
        shell.shows(&format!("* round {round}")).await;
    }
    shell.keys(b"/exit 5\r").await;
    shell.shows("last words").await;
    prompt(&mut shell).await;
    shell.keys(b"echo code=$?\r").await;
    shell.shows("\ncode=5").await;
    prompt(&mut shell).await;
    shell.keys(b"exit\r").await;
    assert_eq!(shell.end().await, AgentExit::Code(0));
}

/// Waits until the shell asks for a command.
async fn prompt(shell: &mut Outer) {
    shell
        .until("the shell's prompt", |shell| {
            let rows = shell.picture().rows;
            rows.iter().rfind(|row| !row.is_empty()).map(String::as_str) == Some("$")
        })
        .await;
}

#[tokio::test]
async fn an_agent_that_ignores_the_hang_up_does_not_outlive_us() {
    let world = World::new();
    world.configure(
        "[agents.deaf]\ncommand = \"sh\"\nargs = [\"-c\", \"trap '' HUP; echo deaf; while :; do sleep 600; done\"]\n",
    );
    let mut terminal = world.launch(&["deaf", "--offline"]);
    terminal.shows("deaf").await;
    signal(terminal.pid(), Signal::SIGKILL);
    terminal.end().await;
    eventually("nobody is left", || {
        world.processes().is_empty().then_some(())
    });
}

#[tokio::test]
async fn after_a_kill_the_agent_ends_and_the_next_launch_clears_up() {
    let world = World::with_hub();
    let settings = world.path("home/settings.json");
    fs::write(&settings, "{\n  \"theme\": \"dark\"\n}\n").expect("written");
    world.configure(&format!("[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"settings_file\"\nmcp_settings_path = \"~/settings.json\"\n"));
    let mut terminal = world.launch(&["fake"]);
    let agent = world.reported("start")["pid"].as_i64().expect("a pid");
    assert!(
        fs::read_to_string(&settings)
            .expect("there")
            .contains("agentchattr")
    );
    signal(terminal.pid(), Signal::SIGKILL);
    assert_eq!(terminal.end().await, AgentExit::Signal(9));
    eventually("the agent does not outlive us", || {
        (!world
            .processes()
            .iter()
            .any(|(pid, _)| i64::from(*pid) == agent))
        .then_some(())
    });
    assert_eq!(world.sessions().len(), 1);

    let mut next = world.launch(&["fake", "--no-restart", "--", "--exit", "0"]);
    assert_eq!(next.end().await, AgentExit::Code(0));
    assert!(world.sessions().is_empty());
    assert_eq!(
        fs::read_to_string(&settings).expect("there"),
        "{\n  \"theme\": \"dark\"\n}\n"
    );
}

#[tokio::test]
async fn two_launches_at_once_start_one_hub_that_stays() {
    let world = World::new();
    let (mut one, mut two) = (world.launch(&["fake"]), world.launch(&["fake"]));
    one.shows("\n>").await;
    two.shows("\n>").await;
    assert_eq!(world.online(), ["fake", "fake-2"]);
    let hubs = || {
        world
            .processes()
            .into_iter()
            .filter(|(_, args)| args.contains(" serve "))
            .count()
    };
    assert_eq!(hubs(), 1);
    for terminal in [&mut one, &mut two] {
        terminal.keys(b"/exit 0\r").await;
        assert_eq!(terminal.end().await, AgentExit::Code(0));
    }
    assert_eq!(hubs(), 1);
    assert!(world.online().is_empty());
}

#[tokio::test]
async fn offline_needs_no_hub_and_starts_none() {
    let world = World::new();
    let mut terminal = world.launch(&["fake", "--offline"]);
    terminal.shows("\n>").await;
    assert!(
        !world
            .processes()
            .iter()
            .any(|(_, args)| args.contains(" serve "))
    );
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    assert_eq!(world.reported("start")["argv"], serde_json::json!([]));
}

#[tokio::test]
async fn a_crash_is_restarted_under_the_same_name() {
    let world = World::with_hub();
    let mut terminal = world.launch(&["fake"]);
    terminal.shows("\n>").await;
    terminal.keys(b"/exit 9\r").await;
    terminal.shows("again in 1 s").await;
    terminal.keys(b" ").await;
    eventually("another start", || {
        let report = world.report();
        let starts = report.iter().filter(|entry| entry.get("start").is_some());
        (starts.count() == 2).then_some(())
    });
    in_state(&world, "fake", "idle");
    assert_eq!(world.online(), ["fake"]);
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn an_agent_that_refuses_to_start_is_started_once_whatever_the_policy() {
    for restart in ["on-crash", "always"] {
        let world = World::new();
        let args = [
            "fake",
            "--offline",
            "--restart",
            restart,
            "--",
            "--exit",
            "9",
        ];
        let mut terminal = world.launch(&args);
        terminal.shows("last words").await;
        assert_eq!(terminal.end().await, AgentExit::Code(9), "{restart}");
        let report = world.report();
        let starts = report.iter().filter(|entry| entry.get("start").is_some());
        assert_eq!(starts.count(), 1, "{restart}");
    }
}

#[tokio::test]
async fn the_size_in_pixels_reaches_the_agent() {
    let world = World::new();
    let mut terminal = world.launch(&["fake", "--offline"]);
    terminal.shows("\n>").await;
    assert_eq!(world.reported("start")["pixels"], serde_json::json!([0, 0]));
    terminal.resize(TermSize::new(40, 120).with_pixels(1080, 720));
    let is_told = |pixels: [u16; 2]| {
        eventually("a size in pixels", || {
            let told = serde_json::json!({"size": [40, 120], "pixels": pixels});
            world.report().contains(&told).then_some(())
        });
    };
    is_told([1080, 720]);
    // Another font, in the same cells.
    terminal.resize(TermSize::new(40, 120).with_pixels(2160, 1440));
    is_told([2160, 1440]);
    // A life that begins has it from its start.
    world.json(&["restart", "fake", "--json"]);
    eventually("another start", || {
        let report = world.report();
        let mut starts = report.iter().filter_map(|entry| entry.get("start"));
        let last = starts.next_back()?.clone();
        (last["pixels"] == serde_json::json!([2160, 1440])).then_some(())
    });
    // And so has one who attaches.
    let mut looking = world.launch(&["attach", "fake"]);
    looking.resize(TermSize::new(40, 120).with_pixels(600, 400));
    looking.keys(b"x").await;
    is_told([600, 400]);
    looking.keys(b"\x1cd").await;
    terminal.keys(b"\x7f").await;
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn what_cannot_run_says_why_and_leaves_nothing() {
    let world = World::with_hub();
    fs::write(world.path("plain"), "no program").expect("written");
    fs::write(world.path("project/broken.json"), "{} mine\n").expect("written");
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = stranger
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    let answers = std::thread::spawn(move || {
        // Whatever it is, it is no hub; it ends with the first caller.
        let (mut caller, _) = stranger.accept().expect("a caller");
        let mut asked = [0; 64];
        std::io::Read::read(&mut caller, &mut asked).expect("read");
        std::io::Write::write_all(&mut caller, b"SSH-2.0-nothing\r\n").expect("written");
    });
    let plain = world.path("plain");
    let agent = |keys: &str| format!("[agents.fake]\ncommand = {FAKE:?}\n{keys}");
    let cases: Vec<(String, Vec<&str>, u8, &str)> = vec![
        (
            "[agents.fake]\ncommand = \"no-such-program\"\n".into(),
            vec!["fake"],
            127,
            "not found on PATH",
        ),
        (
            format!("[agents.fake]\ncommand = {plain:?}\n"),
            vec!["fake"],
            126,
            "no executable file",
        ),
        (
            agent("cwd = \"/no/such/place\"\n"),
            vec!["fake"],
            125,
            "/no/such/place: no such directory",
        ),
        (
            agent("comand = \"x\"\n"),
            vec!["fake"],
            125,
            "config.toml:3:1",
        ),
        (
            agent("mcp_inject = \"telepathy\"\n"),
            vec!["fake"],
            125,
            "telepathy",
        ),
        (
            agent("mcp_inject = \"settings_file\"\nmcp_settings_path = \"broken.json\"\n"),
            vec!["fake"],
            125,
            "the file was left as it was",
        ),
        (
            agent("mcp_inject = \"proxy_file\"\n"),
            vec!["fake"],
            125,
            "`mcp_flag`",
        ),
        (agent("args = 3\n"), vec!["fake"], 125, "config.toml:3:8"),
        (agent(""), vec!["fakee"], 125, "did you mean `fake`"),
        (
            agent(""),
            vec!["fake", "--cwd", "/no/such/place"],
            125,
            "no such directory",
        ),
        (agent(""), vec!["fake", "--port", &port], 125, "no hub"),
        (agent(""), vec!["fake", "--frobnicate"], 2, "`--`"),
        (
            agent(""),
            vec!["fake", "--config", "/no/such/file"],
            125,
            "/no/such/file",
        ),
    ];
    for (config, args, exit, says) in cases {
        world.configure(&config);
        let mut terminal = if args.contains(&"--port") {
            world.launch_raw(&args)
        } else {
            world.launch(&args)
        };
        assert_eq!(
            terminal.end().await,
            AgentExit::Code(exit),
            "{args:?} {config}"
        );
        let said = String::from_utf8_lossy(&terminal.bytes).into_owned();
        assert!(said.contains(says), "{args:?}: {said}");
        assert!(!world.path("state").exists(), "{args:?}");
    }
    answers.join().expect("it answered");
    assert!(world.report().is_empty());
    world.configure(&agent(""));
    assert_eq!(world.json(&["who", "--json"]), serde_json::json!([]));
}

#[tokio::test]
async fn without_a_terminal_nothing_is_launched() {
    let world = World::new();
    let output = world.verb(&["fake"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("there is no terminal"),
        "{output:?}"
    );
    assert!(!world.path("state").exists() && !world.path("data").exists());
}

#[tokio::test]
async fn a_dry_run_shows_all_and_does_nothing() {
    let world = World::new();
    let plan = world.json(&[
        "fake",
        "--dry-run",
        "--json",
        "--label",
        "L",
        "--",
        "--more",
    ]);
    assert_eq!(plan["agent"], "fake");
    assert_eq!(plan["label"], "L");
    assert_eq!(plan["run"][0], FAKE);
    assert_eq!(plan["run"][1], "--mcp-config");
    assert_eq!(plan["run"][3], "--more");
    assert_eq!(plan["inject"]["mode"], "proxy_file");
    assert_eq!(plan["inject"]["plan"]["env"]["WRAPPER_MCP_KEY"], "****");
    let text = world.verb(&["fake", "--dry-run"]);
    assert!(text.status.success());
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("proxy_file"),
        "{text:?}"
    );
    assert!(!world.path("state").exists() && !world.path("data").exists());
    assert!(world.report().is_empty() && world.processes().is_empty());
}
