//! Launches inside tmux: named, shown, and theirs alone. Each test has a tmux
//! server of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::support::agentchattr::Agentchattr;
use super::support::eventually;
use super::support::pty::Outer;
use super::support::world::World;

/// A tmux server of a world; ended before the world is.
struct Tmux<'a> {
    world: &'a World,
    dir: PathBuf,
}

impl<'a> Tmux<'a> {
    fn of(world: &'a World) -> Self {
        let dir = world.path("tmux");
        fs::create_dir(&dir).expect("made");
        Self { world, dir }
    }

    fn ask(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        let command = command.args(["-f", "/dev/null"]).args(args);
        command.env("TMUX_TMPDIR", &self.dir).env_remove("TMUX");
        command.output().expect("tmux runs")
    }

    /// The names of the sessions that are there.
    fn sessions(&self) -> Vec<String> {
        let said = self.ask(&["list-sessions", "-F", "#{session_name}"]).stdout;
        let said = String::from_utf8(said).expect("text");
        said.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn until(&self, names: &[&str]) {
        eventually(&format!("the sessions {names:?}"), || {
            (self.sessions() == names).then_some(())
        });
    }

    /// A verb that has this server, and no terminal.
    fn verb(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut command = self.world.spawn(args);
        command.env("TMUX_TMPDIR", &self.dir).env_remove("TMUX");
        let command = command.envs(env.iter().copied());
        command.output().expect("it runs")
    }

    /// Launches; what it prints.
    #[track_caller]
    fn launched(&self, args: &[&str], env: &[(&str, &str)]) -> String {
        let output = self.verb(args, env);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// A shell in a terminal, which has this server.
    async fn shell(&self) -> Outer {
        let mut shell = self.world.shell();
        let dir = self.dir.display();
        let line = format!("unset TMUX; export TERM=xterm-256color TMUX_TMPDIR={dir}; clear\r");
        shell.keys(line.as_bytes()).await;
        shell
    }

    fn pane(&self, session: &str) -> String {
        let target = format!("={session}:");
        let said = self.ask(&["capture-pane", "-p", "-t", &target]).stdout;
        String::from_utf8_lossy(&said).into_owned()
    }

    #[track_caller]
    fn shows(&self, session: &str, text: &str) {
        eventually(&format!("{text:?} in {session}"), || {
            self.pane(session).contains(text).then_some(())
        });
    }

    fn keys(&self, session: &str, keys: &str) {
        let target = format!("={session}:");
        let sent = self.ask(&["send-keys", "-t", &target, keys, "Enter"]);
        assert!(sent.status.success(), "{sent:?}");
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.ask(&["kill-server"]);
    }
}

fn wrapper() -> &'static Path {
    Path::new(super::support::world::WRAPPER)
}

/// The ports of a world as options, for a line that a shell is told.
fn line(world: &World, rest: &str) -> String {
    format!(
        "{} --port {} --mcp-http-port {} --mcp-sse-port {} {rest}\r",
        wrapper().display(),
        world.port,
        world.mcp_port,
        world.sse_port
    )
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_terminal_the_name_is_printed() {
    let world = World::with_hub();
    let tmux = Tmux::of(&world);
    // The server has an environment of its own, and it is an old one.
    tmux.ask(&["new-session", "-d", "-s", "agentchattr-fake-fur", "cat"]);
    let secret = [("CALLERS_TOKEN", "sesame-7")];
    let name = tmux.launched(&["fake", "--tmux", "--label", "Inside"], &secret);
    assert_eq!(name, "fake\n");
    assert_eq!(
        tmux.sessions(),
        ["agentchattr-fake", "agentchattr-fake-fur"]
    );
    let start = world.reported("start");
    let env = start["env"].as_array().expect("names").clone();
    assert!(env.contains(&json!("CALLERS_TOKEN")), "{env:?}");
    assert!(env.contains(&json!("TMUX_PANE")), "{env:?}");
    assert_eq!(start["cwd"], json!(world.path("project")));
    for (_, args) in world.processes() {
        assert!(!args.contains("sesame-7"), "{args}");
    }
    assert_eq!(tmux.pane("agentchattr-fake-fur").trim(), "");

    let slug = [("AGENTCHATTR_REPO_SLUG", "me/my.shop")];
    assert_eq!(tmux.launched(&["--tmux", "fake"], &slug), "fake-2\n");
    let session = "agentchattr-me-my-shop-fake-2";
    tmux.shows(session, ">");
    assert!(tmux.sessions().contains(&session.to_owned()));
    // What the agent shows and what it is told goes through tmux.
    let sent = world.verb(&["send", "fake-2", "hello there"]);
    assert!(sent.status.success(), "{sent:?}");
    tmux.shows(session, "hello there");

    tmux.ask(&["kill-session", "-t", "=agentchattr-fake"]);
    tmux.ask(&["kill-session", "-t", &format!("={session}")]);
    eventually("both sessions end", || {
        world.sessions().is_empty().then_some(())
    });
    assert!(world.online().is_empty());
    tmux.until(&["agentchattr-fake-fur"]);
}

#[test]
fn the_session_is_renamed_as_the_agent_is() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let tmux = Tmux::of(&world);
    assert_eq!(tmux.launched(&["fake", "--tmux"], &[]), "fake\n");
    tmux.until(&["agentchattr-fake"]);
    assert_eq!(tmux.launched(&["fake", "--tmux"], &[]), "fake-2\n");
    tmux.until(&["agentchattr-fake-1", "agentchattr-fake-2"]);
    tmux.shows("agentchattr-fake-1", ">");
    tmux.keys("agentchattr-fake-1", "/exit 0");
    tmux.until(&["agentchattr-fake"]);
    tmux.shows("agentchattr-fake", ">");
    tmux.keys("agentchattr-fake", "/exit 0");
    tmux.until(&[]);
    drop(tmux);
    drop(server);
}

#[test]
fn a_session_that_is_there_is_left_alone() {
    let world = World::with_hub();
    let tmux = Tmux::of(&world);
    tmux.ask(&["new-session", "-d", "-s", "agentchattr-fake", "cat"]);
    let output = tmux.verb(&["fake", "--tmux"], &[]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let said = error(&output);
    let line = "error: cannot name the tmux session `agentchattr-fake`: there is one of that name";
    assert_eq!(said.lines().next(), Some(line), "{said}");
    tmux.until(&["agentchattr-fake"]);
    assert_eq!(tmux.pane("agentchattr-fake").trim(), "");
    assert!(world.online().is_empty() && world.report().is_empty());
}

#[test]
fn what_fails_inside_is_told_outside() {
    let world = World::new();
    let tmux = Tmux::of(&world);
    let taken = std::net::TcpListener::bind(("127.0.0.1", world.port)).expect("free");
    let deaf = std::thread::spawn(move || drop(taken.accept()));
    let output = tmux.verb(&["fake", "--tmux"], &[]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(
        error(&output).starts_with("error: cannot register with the hub"),
        "{output:?}"
    );
    tmux.until(&[]);
    deaf.join().expect("called");
}

#[test]
fn nobody_is_asked_in_a_pane_that_nobody_sees() {
    let world = World::new();
    let server = json!({"mcpServers": {"x": {"command": "no-such-command"}}});
    fs::write(world.path("project/.mcp.json"), server.to_string()).expect("written");
    let tmux = Tmux::of(&world);
    // As from a service: there is no terminal at all.
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(wrapper());
    let of_world = world.spawn(&["fake", "--tmux", "--offline"]);
    command.args(of_world.get_args());
    let variables = of_world.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.path("project"));
    command.env("TMUX_TMPDIR", &tmux.dir).env_remove("TMUX");
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert!(error(&output).contains("are left out"), "{output:?}");
    tmux.shows("agentchattr-fake", "fake agent");
}

#[test]
fn without_a_tmux_that_will_do_nothing_is_begun() {
    let world = World::new();
    let tmux = Tmux::of(&world);
    let path = world.path("bin");
    fs::create_dir(&path).expect("made");
    let with = [("PATH", path.to_str().expect("text"))];
    let said = error(&tmux.verb(&["fake", "--tmux"], &with));
    assert_eq!(
        said,
        "error: cannot run tmux: not found on PATH\nhint: install it, or leave `--tmux` out\n"
    );
    let script = path.join("tmux");
    fs::write(&script, "#!/bin/sh\necho tmux 1.8\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("made");
    let output = tmux.verb(&["fake", "--tmux"], &with);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let said = error(&output);
    assert!(
        said.starts_with("error: cannot run tmux: tmux 1.8 is too old"),
        "{said}"
    );
    assert!(world.report().is_empty());
}

#[test]
fn a_team_is_started_from_a_list() {
    let world = World::with_hub();
    let tmux = Tmux::of(&world);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tmux-team.sh");
    // What the script calls has to find the world's hub.
    let with_ports = world.path("wrapper");
    let line = line(&world, "\"$@\"");
    fs::write(
        &with_ports,
        format!("#!/bin/sh\n{}", line.replace('\r', "\n")),
    )
    .expect("written");
    fs::set_permissions(&with_ports, fs::Permissions::from_mode(0o755)).expect("made");
    let team = |agents: &[&str]| {
        let mut command = Command::new("sh");
        command.arg(&script).args(agents);
        let of_world = world.spawn(&[]);
        let variables = of_world.get_envs();
        command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        command.env("TMUX_TMPDIR", &tmux.dir).env_remove("TMUX");
        command.env("WRAPPER", &with_ports);
        command.env("AGENTCHATTR_REPO_SLUG", "shop");
        command.stdin(std::process::Stdio::null());
        command.output().expect("it runs")
    };
    let started = team(&["fake", "fake"]);
    assert!(started.status.success(), "{started:?}");
    let names = "agentchattr-shop-fake\nagentchattr-shop-fake-2\n";
    assert_eq!(String::from_utf8_lossy(&started.stdout), names);
    tmux.until(&["agentchattr-shop-fake", "agentchattr-shop-fake-2"]);
    let partly = team(&["nobody", "fake"]);
    assert_eq!(partly.status.code(), Some(1), "{partly:?}");
    assert!(error(&partly).contains("no agent `nobody`"), "{partly:?}");
    assert_eq!(tmux.sessions().len(), 3);
}

#[tokio::test]
async fn in_a_terminal_it_is_shown() {
    let world = World::with_hub();
    let tmux = Tmux::of(&world);
    let mut shell = tmux.shell().await;
    shell
        .keys(line(&world, "fake --tmux; echo code $?").as_bytes())
        .await;
    shell.shows("fake agent").await;
    shell.shows("\n>").await;
    // What the user types reaches the agent; leaving ends nothing.
    shell.keys(b"hello").await;
    shell.shows("hello").await;
    // Prefix and `d` would count as pasted if they came within a millisecond.
    tmux.ask(&["detach-client", "-s", "=agentchattr-fake"]);
    shell.shows("code 0").await;
    tmux.shows("agentchattr-fake", "hello");

    let again = line(&world, "fake --tmux --no-restart; echo code $?");
    shell.keys(b"clear\r").await;
    shell.keys(again.as_bytes()).await;
    shell.shows("fake agent").await;
    shell.shows("\n>").await;
    shell.keys(b"/exit 7\r").await;
    shell.shows("code 7").await;
    tmux.until(&["agentchattr-fake"]);

    // Ended by its terminal: it ends as a launch in a window that is closed.
    shell.keys(b"clear\r").await;
    shell.keys(again.as_bytes()).await;
    shell.shows("fake agent").await;
    shell.shows("\n>").await;
    tmux.ask(&["kill-session", "-t", "=agentchattr-fake-2"]);
    shell.shows("code 129").await;
}

#[tokio::test]
async fn inside_tmux_the_client_goes_there_and_comes_back() {
    let world = World::with_hub();
    let tmux = Tmux::of(&world);
    let mut shell = tmux.shell().await;
    shell
        .keys(b"tmux -f /dev/null new-session -s mine bash --norc\r")
        .await;
    shell.shows("[mine]").await;
    shell.keys(line(&world, "fake --tmux").as_bytes()).await;
    shell.shows("fake agent").await;
    shell.shows("\n>").await;
    let all = tmux.sessions();
    assert_eq!(all, ["agentchattr-fake", "mine"]);
    shell.keys(b"/exit 0\r").await;
    shell.shows("[mine]").await;
    let start: Value = world.reported("start");
    assert!(
        start["env"]
            .as_array()
            .is_some_and(|env| env.contains(&json!("TMUX")))
    );
}
