//! Ends of all kinds, while terminals look on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wrapper::terminal::tty::{LEAVE, UNDO};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use super::{Stage, reported, sizes};
use crate::support::soon;
use crate::support::world::{WRAPPER, World};

fn end(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid"));
    kill(pid, Signal::SIGKILL).expect("sent");
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|at| at == part)
}

#[tokio::test]
async fn a_viewer_stays_over_restarts_and_is_told() {
    let mut stage = Stage::open().await;
    let mut viewer = stage.viewer().await.outer;
    stage
        .does(r"printf '\033[?1049h\033[?1000h\033[Habove'")
        .await;
    viewer.shows("above").await;
    stage.does("kill -9 $$").await;
    viewer
        .shows("the agent was ended by signal 9: again in")
        .await;
    assert!(has(&viewer.bytes, LEAVE) && has(&viewer.bytes, UNDO));
    // Any key starts it now, of any terminal.
    let seen = viewer.bytes.len();
    viewer.keys(b" ").await;
    let ready = |bytes: &[u8]| has(bytes, b"ready");
    viewer
        .until("another life", |viewer| ready(&viewer.bytes[seen..]))
        .await;
    let seen = viewer.bytes.len();
    let restarted = stage.world.verb(&["restart", "sh"]);
    assert!(restarted.status.success(), "{restarted:?}");
    viewer
        .until("a third", |viewer| ready(&viewer.bytes[seen..]))
        .await;
    let text = String::from_utf8_lossy(&viewer.bytes[seen..]).into_owned();
    assert!(
        text.contains("wrapper: the agent starts again\r\n"),
        "{text:?}"
    );
    viewer.keys(b"echo from here\r").await;
    stage.own.outer.shows("from here").await;
}

#[tokio::test]
async fn a_viewer_ends_with_the_session() {
    let mut stage = Stage::open().await;
    let mut viewer = stage.viewer().await.outer;
    let cooked = nix::pty::openpty(None, None).expect("a terminal");
    let cooked = nix::sys::termios::tcgetattr(&cooked.slave).expect("settings");
    stage.does("echo last words; exit 0").await;
    assert_eq!(viewer.end().await, AgentExit::Code(0));
    let text = String::from_utf8_lossy(&viewer.bytes).into_owned();
    assert!(text.contains("last words"), "{text:?}");
    assert!(
        text.ends_with("sh has ended: the agent ended with code 0\r\n"),
        "{text:?}"
    );
    assert_eq!(viewer.termios(), cooked, "restored");
    assert_eq!(stage.own.outer.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn a_viewer_of_a_session_that_is_killed_ends_with_a_line() {
    let mut stage = Stage::open().await;
    stage
        .does(r"printf '\033[?1049h\033[?1000h\033[Habove'")
        .await;
    stage.own.outer.shows("above").await;
    let mut viewer = stage.viewer().await.outer;
    end(stage.own.outer.pid());
    assert_eq!(viewer.end().await, AgentExit::Code(1));
    let text = String::from_utf8_lossy(&viewer.bytes).into_owned();
    let last = "error: the session `sh` is gone: its process has ended\r\n";
    assert!(text.ends_with(last), "{text:?}");
    assert!(has(&viewer.bytes, LEAVE) && has(&viewer.bytes, UNDO));
}

#[tokio::test]
async fn a_viewer_that_is_killed_or_hung_up_on_is_gone_and_nothing_else() {
    let world = World::new();
    let mut own = world.launch(&["fake", "--offline"]);
    own.shows(">").await;
    let mut all = Vec::new();
    for size in [[30, 100], [31, 101]] {
        let mut viewer = world.launch(&["attach", "fake"]);
        viewer.resize(TermSize::new(size[0], size[1]));
        viewer.shows(">").await;
        viewer.keys(b"x").await;
        all.push(size);
        sizes(&world, &all);
        let mut process = if size[0] == 30 {
            end(viewer.pid());
            viewer.hang_up()
        } else {
            // As when a connection drops.
            viewer.hang_up()
        };
        soon("its end", process.wait()).await.expect("waited");
        all.push([24, 80]);
        sizes(&world, &all);
    }
    own.keys(b"y").await;
    own.shows("> xxy").await;
    assert!(reported(&world, "signal").is_empty());
}

#[tokio::test]
async fn an_agent_does_not_attach_to_itself() {
    let mut stage = Stage::open().await;
    stage.does(&format!("{WRAPPER} attach sh")).await;
    let refused = "error: cannot attach to `sh`: this terminal is the agent's own";
    stage.own.outer.shows(refused).await;
}

#[tokio::test]
async fn without_a_terminal_or_a_session_there_is_one_line() {
    let world = World::new();
    for (command, says) in [
        (
            "attach fake",
            "error: cannot attach to `fake`: there is no terminal\n",
        ),
        ("attach", "<SESSION>"),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let output = world.verb(&words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says) && !output.status.success(), "{text}");
    }
    let mut nobody = world.launch(&["attach", "fake"]);
    assert_eq!(nobody.end().await, AgentExit::Code(1));
    nobody.shows("error: no session `fake`").await;
}
