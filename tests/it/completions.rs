//! Command lines that real shells complete, the manual, and the help.

use std::fs;
use std::path::Path;
use std::process::Command;

use wrapper::types::size::TermSize;

use super::support::pty::Outer;
use super::support::world::{WRAPPER, World};

/// What `PATH` is, such that `wrapper` is found on it.
fn path() -> String {
    let bin = Path::new(WRAPPER).parent().expect("a directory");
    format!("{}:{}", bin.display(), std::env::var("PATH").expect("set"))
}

fn is_there(shell: &str) -> bool {
    std::env::split_paths(&path()).any(|dir| dir.join(shell).is_file())
}

/// A session that runs, without a hub.
async fn session(world: &World) -> Outer {
    let mut terminal = world.launch(&["fake", "--offline"]);
    terminal.shows("\n>").await;
    terminal
}

/// A shell in a terminal, in which `wrapper` is found.
async fn shell(world: &World, program: &str, args: &[&str], setup: &str) -> Outer {
    let found = path();
    let whole = world.spawn(&[]);
    let of_world: Vec<(&str, &Path)> = whole
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?, Path::new(value?))))
        .chain([("PATH", Path::new(&found)), ("PS1", Path::new("$ "))])
        .collect();
    let cwd = world.path("project");
    let mut shell = Outer::started(TermSize::default(), program, args, &of_world, &cwd);
    shell.shows("$").await;
    shell.keys(setup.as_bytes()).await;
    shell.keys(b"; echo is set up\r").await;
    // With its prompt: what comes before would stand in front of that.
    shell.shows("\nis set up\n$").await;
    shell
}

/// Types the beginning of a line and the tabulator; waits for the whole.
async fn completes(shell: &mut Outer) {
    for (begun, whole) in [
        ("fa", "$ wrapper fake"),
        ("comp", "$ wrapper completions"),
        ("fake --offl", "$ wrapper fake --offline"),
        ("screen fa", "$ wrapper screen fake"),
        ("mcp list fa", "$ wrapper mcp list fake"),
        ("completions z", "$ wrapper completions zsh"),
    ] {
        shell.keys(format!("wrapper {begun}").as_bytes()).await;
        shell.shows(&format!("$ wrapper {begun}")).await;
        shell.keys(b"\t").await;
        shell.shows(whole).await;
        // The line is given up: its place shows the next.
        shell.keys(b"\x15").await;
        shell
            .until("an empty line", |shell| {
                shell
                    .picture()
                    .rows
                    .iter()
                    .all(|row| !row.starts_with("$ w"))
            })
            .await;
    }
}

#[tokio::test]
async fn bash_completes() {
    let world = World::new();
    let _session = session(&world).await;
    let args = ["--norc", "--noprofile", "-i"];
    let setup = "source <(wrapper completions bash)";
    let mut shell = shell(&world, "/bin/bash", &args, setup).await;
    completes(&mut shell).await;
    shell.keys(b"exit\r").await;
    shell.end().await;
}

#[tokio::test]
async fn zsh_completes() {
    if !is_there("zsh") {
        return;
    }
    let world = World::new();
    let _session = session(&world).await;
    let setup = "autoload -U compinit; compinit -u -D; unsetopt prompt_sp; source <(wrapper completions zsh)";
    let mut shell = shell(&world, "zsh", &["-f", "-i"], setup).await;
    completes(&mut shell).await;
    shell.keys(b"exit\r").await;
    shell.end().await;
}

#[tokio::test]
async fn fish_completes() {
    if !is_there("fish") {
        return;
    }
    let world = World::new();
    let _session = session(&world).await;
    for (line, found) in [
        ("wrapper fa", "fake\tLaunch it here"),
        ("wrapper comp", "completions\t"),
        ("wrapper fake --offl", "--offline\tLaunch without a hub"),
        ("wrapper screen fa", "fake\t"),
        ("wrapper mcp list fa", "fake\t"),
    ] {
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c"]).arg(format!(
            "wrapper completions fish | source; complete -C '{line}'"
        ));
        let whole = world.spawn(&[]);
        let of_world = whole.get_envs();
        fish.envs(of_world.filter_map(|(name, value)| Some((name, value?))));
        let output = fish.env("PATH", path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let mut lines = said.lines();
        assert!(
            lines.any(|line| line.starts_with(found)),
            "{line}: {output:?}"
        );
    }
}

#[test]
fn nothing_breaks_what_is_completed() {
    let world = World::new();
    world.configure("[agents.fake\n");
    let mut asked = world.spawn(&[]);
    let asked = asked.env("_WRAPPER_COMPLETE", "bash");
    // The world's ports are no part of what is completed.
    let mut command = Command::new(WRAPPER);
    command.args(["--", "wrapper", "screen", ""]);
    let of_world = asked.get_envs();
    command.envs(of_world.filter_map(|(name, value)| Some((name, value?))));
    let output = command.env("_CLAP_COMPLETE_INDEX", "2").output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_manual_has_a_page_for_each_verb() {
    let world = World::new();
    let dir = world.path("man");
    let mut command = Command::new(WRAPPER);
    let status = command.arg("man").arg(&dir).status().expect("it runs");
    assert!(status.success());
    let page = |name: &str| fs::read_to_string(dir.join(name)).expect(name);
    assert!(page("wrapper.1").contains("is short for"));
    assert!(page("wrapper-run.1").contains("\\-\\-tmux"));
    assert!(page("wrapper-mcp-set.1").contains("\\-\\-auth\\-command"));
    assert!(!dir.join("wrapper-hosted.1").exists());
}

#[test]
fn the_help_fits_a_screen() {
    let output = Command::new(WRAPPER).arg("--help").output();
    let help = String::from_utf8(output.expect("it runs").stdout).expect("text");
    assert!(help.lines().count() < 40, "{help}");
    assert!(
        help.lines().all(|line| line.chars().count() <= 80),
        "{help}"
    );
}
