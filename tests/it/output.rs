//! Output that cannot be written, that nobody reads, and that must not show what
//! it was made from.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::background::{in_state, number, stop};
use super::support::eventually;
use super::support::world::{FAKE, WRAPPER, World};

/// Runs a verb with that standard output.
fn into(world: &World, args: &[&str], out: impl Into<Stdio>) -> Output {
    let mut command = world.spawn(args);
    command.stdout(out).stderr(Stdio::piped());
    let child = command.spawn().expect("started");
    child.wait_with_output().expect("ended")
}

/// A pipe whose reader has gone.
fn unread() -> OwnedFd {
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    drop(reader);
    writer
}

#[test]
fn a_verb_whose_output_is_lost_has_not_done_what_it_was_asked() {
    let world = World::with_hub();
    assert!(world.verb(&["fake", "-d"]).status.success());
    in_state(&world, "fake", "idle");
    assert!(world.verb(&["say", "hello"]).status.success());
    let verbs: &[&[&str]] = &[
        &["ps"],
        &["ps", "--json"],
        &["config"],
        &["config", "--origin", "--json"],
        &["doctor", "fake"],
        &["doctor", "fake", "--json"],
        &["who"],
        &["who", "--json"],
        &["read"],
        &["read", "--json"],
        &["read", "-f"],
        &["say", "--json", "hello"],
        &["mcp", "list", "fake"],
        &["mcp", "list", "fake", "--json"],
        &["screen", "fake"],
        &["logs", "fake"],
        &["logs", "fake", "-f"],
        &["logs", "fake", "--json"],
        &["explain", "fake"],
        &["explain", "fake", "--json"],
        &["send", "fake", "--json", "hello"],
        &["completions", "bash"],
        &["restart", "fake", "--json"],
        &["--help"],
        &["--version"],
        &["ps", "--help"],
    ];
    for args in verbs {
        let alone = args
            .iter()
            .any(|arg| ["--help", "--version", "completions"].contains(arg));
        let run = |out: Stdio| {
            if alone {
                Command::new(WRAPPER)
                    .args(*args)
                    .stdout(out)
                    .stderr(Stdio::piped())
                    .output()
            } else {
                Ok(into(&world, args, out))
            }
        };
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("opened");
        let output = run(full.into()).expect("ran");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("No space left on device"), "{args:?}: {said}");

        let output = run(unread().into()).expect("ran");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(!said.contains("cannot write"), "{args:?}: {said}");
    }
    stop(&world, "fake");
}

/// Writes to it until it takes no more.
fn fill(fd: &OwnedFd) {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).expect("flags"));
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).expect("set");
    let mut file = File::from(fd.try_clone().expect("cloned"));
    while file.write(&[b'x'; 256]).is_ok() {}
    while file.write(b"x").is_ok() {}
    fcntl(fd, FcntlArg::F_SETFL(flags)).expect("set");
}

#[test]
fn last_words_that_nobody_reads_hold_nobody_up() {
    let world = World::new();
    let (_reader, pipe) = nix::unistd::pipe().expect("a pipe");
    let terminal = openpty(None, None).expect("a terminal");
    for stalled in [pipe, terminal.slave] {
        fill(&stalled);
        let mut command = world.spawn(&["none-such"]);
        command.env("AGENTCHATTR_PORT", "warned of").stderr(stalled);
        let mut child = command.spawn().expect("started");
        let status = eventually("its end", || child.try_wait().expect("asked"));
        assert_eq!(status.code(), Some(125));
    }
}

#[test]
fn a_session_whose_terminal_is_not_read_ends_when_it_is_told_to() {
    let world = World::new();
    let terminal = openpty(None, None).expect("a terminal");
    fill(&terminal.slave);
    let clone = || Stdio::from(terminal.slave.try_clone().expect("cloned"));
    let launch = world.spawn(&["fake", "--offline"]);
    let mut command = Command::new("setsid");
    command
        .arg("--ctty")
        .arg(launch.get_program())
        .args(launch.get_args());
    for (name, value) in launch.get_envs() {
        command.env(name, value.expect("set"));
    }
    command
        .env("AGENTCHATTR_PORT", "warned of")
        .current_dir(world.path("project"));
    let mut child = command
        .stdin(clone())
        .stdout(clone())
        .stderr(clone())
        .spawn()
        .expect("started");
    world.reported("start");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("told");
    eventually("its end", || child.try_wait().expect("asked"));
    assert!(world.sessions().is_empty());
}

#[test]
fn words_of_the_command_line_do_not_act_on_the_terminal() {
    let world = World::new();
    for args in [
        &["\u{1b}[31mred"][..],
        &["ps", "--\u{1b}]0;title\u{7}"],
        &["read", "-n", "\u{1b}[2J"],
        &["fake", "--cwd", "\u{1b}[2J", "--offline"],
        &["attach", "\u{9b}31m"],
        &["config", "--config", "\u{1b}[31m"],
    ] {
        let output = world.verb(args);
        assert!(!output.status.success(), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !said.is_empty() && !said.contains(['\u{1b}', '\u{9b}', '\u{7}']),
            "{said:?}"
        );
    }
}

#[test]
fn a_home_of_any_name_launches_every_agent() {
    let world = World::new();
    let home = world.path("").join(OsStr::from_bytes(b"h\xff"));
    fs::create_dir(&home).expect("made");
    let run = |args: &[&str]| {
        let mut command = world.spawn(args);
        for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        command.env("HOME", &home).output().expect("ran")
    };
    let output = run(&["fake", "--dry-run"]);
    assert!(output.status.success(), "{output:?}");
    // One whose settings are in that home.
    world.configure(&format!(
        "[agents.gemini]\ncommand = {FAKE:?}\n\
         [mcp_servers.theirs]\ncommand = {FAKE:?}\nargs = [\"tool\"]\n"
    ));
    let output = run(&["gemini", "-d", "--offline"]);
    assert!(output.status.success(), "{output:?}");
    let settings = home.join(".gemini/settings.json");
    let text = eventually("an entry", || fs::read_to_string(&settings).ok());
    assert!(text.contains("theirs"), "{text}");
    stop(&world, "gemini");
    assert!(!settings.exists());
}

const SECRET: &str = "hunter2hunter2";

#[test]
fn a_mistake_in_the_configuration_shows_no_secret() {
    let world = World::new();
    let remote = "[mcp_servers.x]\ntype = \"remote\"\nurl = \"https://h/\"\n";
    let cases = [
        format!("[agents.x.env]\nTOKEN = \"{SECRET}\" 1"),
        format!("[agents.x]\nenv = {{ TOKEN = \"{SECRET}\", PORT = 1 }}"),
        format!("[agents.x]\nenv = \"{SECRET}\""),
        format!("[agents.x]\nenv = {{ \"TOKEN={SECRET}\" = \"\" }}"),
        format!("[agents.x]\nargs = \"--token {SECRET}\""),
        format!("[agents.x]\nargs = [\"--token\", \"{SECRET}\", 1]"),
        format!("[agents.x]\ntokn = \"{SECRET}\""),
        format!("[agents.x]\ncommand = [\"x\", \"--token\", \"{SECRET}\"]"),
        format!("{remote}headers = {{ X-Auth = \"{SECRET}\", n = 1 }}"),
        format!("{remote}headers = [\"X-Auth: {SECRET}\"]"),
        format!("{remote}headers = {{ \"X-Auth: {SECRET}\" = \"\" }}"),
        format!("{remote}[mcp_servers.x.headers]\nX-Auth = \"{SECRET}"),
        format!("{remote}auth = \"{SECRET}\""),
        format!("{remote}auth = {{ token = \"{SECRET}\", tokn = 1 }}"),
        format!("{remote}auth = {{ tokn = \"{SECRET}\" }}"),
        format!("{remote}auth = {{ token = \"{SECRET}\", timeout = \"10s\" }}"),
        format!("{remote}auth = {{ command = \"print {SECRET}\" }}"),
        format!("{remote}auth = {{ token = '''\n{SECRET}\n''' , x = 1 }}"),
        format!("{remote}auth = {{ token = \"\"\"\n{SECRET} \\x\n\"\"\" }}"),
        format!("[mcp_servers.x]\ntype = \"remote\"\nurl = \"https://u:{SECRET}@h/?\", 1"),
        format!("[mcp_servers.x]\ntype = \"remote\"\nurl = [\"https://h/?key={SECRET}\"]"),
        format!("[mcp_servers.x]\ntype = \"remote\"\nurl = \"https://u:{SECRET}@h:port/\""),
        format!("[server]\nhost = \"https://u:{SECRET}@h/\""),
        format!("[server]\nport = \"{SECRET}\""),
        format!("[server]\nport = 1 # {SECRET}\nprot = 2"),
        format!("[server]\n{SECRET}\n"),
        format!("token = {SECRET}\n"),
        format!("[agents.x]\napi_key = \"{SECRET}\" # mine\n"),
        format!("[agents.x]\nresume_args = [\"a\", {{ t = \"{SECRET}\" }}]"),
        format!("[agents.x]\nenv = {{ TOKEN = \"{SECRET}\" \n"),
        "[agents.x]\ntype = \"sk-hunter2hunter2\"".to_owned(),
    ];
    for text in &cases {
        world.configure(text);
        for args in [
            &["config"][..],
            &["doctor", "x"],
            &["doctor", "--json"],
            &["x", "--offline"],
        ] {
            let output = world.verb(args);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let is_launch = args == ["x", "--offline"];
            assert!(
                !is_launch || output.status.code() == Some(125),
                "{text}: {said}"
            );
            assert!(!said.contains("hunter2"), "{text}: {said}");
        }
    }
    // A team's file, and settings that do not parse.
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"settings_file\"\n\
         mcp_settings_path = {:?}\n\
         [mcp_servers.theirs]\ncommand = {FAKE:?}\nargs = [\"tool\"]\n",
        world.path("settings.json")
    ));
    let team = world.path("project/wrapper-team.toml");
    for text in [
        format!("[[session]]\nagent = \"fake\"\nenv = {{ TOKEN = \"{SECRET}\", n = 1 }}"),
        format!("[[session]]\nagent = \"fake\"\nenv = {{ \"TOKEN={SECRET}\" = \"1\" }}"),
        format!("[[session]]\nagent = \"fake\"\nargs = \"--token={SECRET}\""),
        format!("[[session]]\nagent = \"fake\"\npromt = \"{SECRET}\""),
    ] {
        fs::write(&team, &text).expect("written");
        let output = world.verb(&["up"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && !said.contains("hunter2"),
            "{text}: {said}"
        );
    }
    for text in [
        format!("{{\"mcpServers\": {{\"x\": {{\"env\": {{\"TOKEN\": \"{SECRET}\",, }}}}}}}}"),
        format!("{{\"mcpServers\": \"{SECRET}\"}}"),
        format!("\"{SECRET}\""),
        format!("{{\"mcpServers\": {SECRET}}}"),
    ] {
        fs::write(world.path("settings.json"), &text).expect("written");
        for args in [&["fake", "--offline"][..], &["doctor", "fake"]] {
            let output = world.verb(args);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(
                !output.status.success() && !said.contains("hunter2"),
                "{text}: {said}"
            );
        }
    }
}

#[test]
fn the_configuration_is_shown_without_what_stands_in_arguments() {
    let world = World::new();
    world.configure(&format!(
        "[agents.x]\nargs = [\"--token\", \"{SECRET}\", \"--key={SECRET}\", \"-v\"]\nenv = {{ A = \"sk-{SECRET}\" }}\n\
         [mcp_servers.y]\ncommand = \"npx\"\nargs = [\"-y\", \"--api-key\", \"{SECRET}\"]\n"
    ));
    for args in [
        &["config"][..],
        &["config", "--json"],
        &["config", "--origin", "--json"],
    ] {
        let output = world.verb(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && !said.contains("hunter2"),
            "{said}"
        );
        assert!(said.contains("--token") && said.contains("-v"), "{said}");
    }
}

#[test]
fn no_process_of_ours_leaves_a_core_and_an_agent_is_as_without_us() {
    let world = World::new();
    // Starts a program that may leave one.
    let start = |program: &OsStr, args: &[&OsStr], envs: &[(&OsStr, &OsStr)]| {
        let mut command = Command::new("sh");
        let script = "ulimit -c unlimited && exec \"$0\" \"$@\"";
        command
            .args(["-c", script])
            .arg(program)
            .args(args)
            .current_dir(world.path("project"));
        command
            .envs(envs.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.spawn().expect("started")
    };
    let end = |mut child: std::process::Child| {
        let pid = Pid::from_raw(child.id().cast_signed());
        kill(pid, Signal::SIGABRT).expect("signalled");
        child.wait().expect("ended")
    };
    let control = start("sleep".as_ref(), &["1000".as_ref()], &[]);
    eventually("it is exec'd", || {
        let path = format!("/proc/{}/comm", control.id());
        fs::read_to_string(path)
            .ok()
            .filter(|name| name.trim() == "sleep")
    });
    if !end(control).core_dumped() {
        // This machine leaves none.
        return;
    }
    let launch = world.spawn(&["serve", "--json"]);
    let args: Vec<&OsStr> = launch.get_args().collect();
    let envs: Vec<_> = launch
        .get_envs()
        .map(|(name, value)| (name, value.expect("set")))
        .collect();
    let mut hub = start(launch.get_program(), &args, &envs);
    let mut line = String::new();
    let out = hub.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("it is up");
    let status = end(hub);
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));

    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    let session = in_state(&world, "fake", "idle");
    let limit = |pid: &str| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        line.expect("the limit").to_owned()
    };
    let agent = number(&session, "agent_pid");
    assert_eq!(limit(&agent.to_string()), limit("self"));
    stop(&world, "fake");
}
