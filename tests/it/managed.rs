//! Sessions ended, followed, and read about.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wrapper::control::Client;

use super::background::{are_gone, in_state, number, signal, stop};
use super::support::eventually;
use super::support::world::{FAKE, World};

/// A program that follows something, line by line; ended when dropped.
struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Follower {
    fn start(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let out = child.stdout.take().expect("a pipe");
        Self {
            child,
            lines: BufReader::new(out).lines(),
        }
    }

    /// What follows a session's events by its socket.
    fn events(world: &World) -> Self {
        let [dir] = world.sessions().try_into().expect("one session");
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sN", "--max-time", "60", "--unix-socket"])
            .arg(dir.join("control.sock"))
            .arg("http://wrapper/v1/events");
        Self::start(curl)
    }

    /// The next event that is of this kind and says this; its number.
    #[track_caller]
    fn event(&mut self, kind: &str, says: &dyn Fn(&Value) -> bool) -> (u64, Value) {
        let (mut id, mut of) = (0, String::new());
        for line in self.lines.by_ref() {
            let line = line.expect("text");
            match line.split_once(": ") {
                Some(("id", number)) => id = number.parse().expect("a number"),
                Some(("event", word)) => word.clone_into(&mut of),
                Some(("data", data)) if of == kind => {
                    let data: Value = serde_json::from_str(data).expect("json");
                    if says(&data) {
                        return (id, data);
                    }
                }
                _ => {}
            }
        }
        panic!("no `{kind}` came");
    }

    /// Waits for a line with this text.
    #[track_caller]
    fn line(&mut self, text: &str) -> String {
        let mut lines = self.lines.by_ref().map(|line| line.expect("text"));
        let found = lines.find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no line with {text}"))
    }

    /// What is left, to the end.
    fn rest(&mut self) -> Vec<String> {
        let lines = self.lines.by_ref().map(|line| line.expect("text"));
        let lines = lines.collect();
        self.child.wait().expect("waited");
        lines
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sessions_are_stopped_at_once_and_tell_how_they_ended() {
    let world = World::with_hub();
    for args in [&["fake", "-d"][..], &["fake", "-d", "--", "--ignore-hup"]] {
        assert!(world.verb(args).status.success());
    }
    let (one, two) = (
        in_state(&world, "fake", "idle"),
        in_state(&world, "fake-2", "idle"),
    );
    let args = ["stop", "--all", "--grace", "2s", "--json"];
    let mut told = world.json(&args).as_array().expect("an array").clone();
    told.sort_by_key(|one| one["name"].to_string());
    for (told, session, name, number) in
        [(&told[0], &one, "fake", 1), (&told[1], &two, "fake-2", 15)]
    {
        assert_eq!(
            told,
            &json!({
                "id": session["id"], "name": name, "outcome": "stopped",
                "exit": { "signal": number }, "reason": null,
            })
        );
    }
    // All that they were is gone by now.
    assert!(world.sessions().is_empty() && world.online().is_empty());
    for session in [&one, &two] {
        are_gone(
            &world,
            &[number(session, "pid"), number(session, "agent_pid")],
        );
    }
    let output = world.verb(&["stop", "--all"]);
    assert!(output.status.success(), "{output:?}");
    let output = world.verb(&["stop", "fake"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no session `fake`"), "{said}");
}

#[tokio::test]
async fn the_shells_prompt_stands_below_what_a_stopped_agent_has_left() {
    let world = World::new();
    let script = world.path("boxed.sh");
    let draws = "printf '+--+\\r\\n|  |\\r\\n+--+\\033[1A\\033[2D'; exec sleep 1000";
    std::fs::write(&script, draws).expect("written");
    world.configure(&format!(
        "[agents.boxed]\ncommand = \"sh\"\nargs = [{script:?}]\n"
    ));
    let mut shell = world.shell();
    shell.shows("$").await;
    let line = format!("{} boxed --offline\r", super::support::world::WRAPPER);
    shell.keys(line.as_bytes()).await;
    shell.shows("+--+\n|  |\n+--+").await;
    assert!(world.verb(&["stop", "boxed"]).status.success());
    shell.shows("+--+\n|  |\n+--+\n$").await;
}

#[test]
fn what_is_stopped_has_left_with_all_it_started() {
    let world = World::new();
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         [mcp_servers.theirs]\ncommand = {FAKE:?}\nargs = [\"tool\", \"--stubborn\"]\nhosted = true\n"
    ));
    let launch = ["fake", "-d", "--offline", "--", "--live"];
    assert!(world.verb(&launch).status.success());
    world.reported("tools");
    stop(&world, "fake");
    // Its agent ended long before its server.
    assert!(world.sessions().is_empty());
    let left = world.processes();
    assert!(
        left.iter().all(|(_, args)| !args.contains("tool")),
        "{left:?}"
    );
}

#[test]
fn one_that_is_not_there_does_not_keep_another() {
    let world = World::new();
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    let id = in_state(&world, "fake", "idle")["id"]
        .as_str()
        .expect("text")
        .to_owned();
    let output = world.verb(&["stop", "nobody", "fa", &id]);
    let (out, said) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "fake was ended by signal 1\n"
    );
    assert!(said.contains("no session `nobody`") && said.contains("running sessions: fake"));
    assert!(world.sessions().is_empty());
}

#[test]
fn a_session_that_hangs_is_shown_in_time_and_can_be_ended() {
    let world = World::new();
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    let session = in_state(&world, "fake", "idle");
    let (pid, agent) = (number(&session, "pid"), number(&session, "agent_pid"));
    signal(pid, Signal::SIGSTOP);
    let suspended = in_state(&world, "fake", "suspended");
    for key in ["id", "pid", "name", "agent", "cwd", "log", "started_at"] {
        assert_eq!(suspended[key], session[key], "{key}");
    }
    let output = world.verb(&["ps"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(
        table.contains("suspended") && table.contains("ATTACHED"),
        "{table}"
    );
    let ended = world.json(&["stop", "fake", "--grace", "5s", "--json"]);
    assert_eq!(ended[0]["outcome"], "stopped", "{ended}");
    assert!(world.sessions().is_empty());
    are_gone(&world, &[pid, agent]);

    // No grace at all: it has no time to clear up after itself.
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    let session = in_state(&world, "fake", "idle");
    let (pid, agent) = (number(&session, "pid"), number(&session, "agent_pid"));
    signal(pid, Signal::SIGSTOP);
    assert!(
        world
            .verb(&["stop", "fake", "--grace", "0s"])
            .status
            .success()
    );
    are_gone(&world, &[agent]);
    assert!(world.sessions().is_empty());
    are_gone(&world, &[pid, agent]);
}

#[test]
fn events_tell_all_that_happens_to_a_session() {
    let world = World::with_hub();
    assert!(world.verb(&["fake", "-d"]).status.success());
    let session = in_state(&world, "fake", "idle");
    let mut events = Follower::events(&world);
    let (first, now) = events.event("session", &|_| true);
    assert_eq!(now["id"], session["id"]);
    assert_eq!(
        (&now["state"], &now["hub"]["state"]),
        (&json!("idle"), &json!("registered"))
    );

    let sent = world.json(&["send", "fake", "hello", "--json"]);
    let is = |word: &'static str| move |data: &Value| data["outcome"] == word;
    let (queued, data) = events.event("delivery", &is("queued"));
    assert_eq!(data["id"], sent["id"]);
    let (typing, _) = events.event("delivery", &is("typing"));
    let (busy, _) = events.event("state", &|data| data["state"] == "busy");
    let (submitted, _) = events.event("delivery", &is("submitted"));
    assert!(first < queued && queued < typing && typing < busy && busy < submitted);
    events.event("state", &|data| data["state"] == "idle");

    // Seen by nobody's looking: whoever opens a question is not asked first.
    let sent = world.json(&["send", "fake", "/dialog rm -rf", "--json"]);
    assert_eq!(sent["outcome"], "submitted");
    events.event("state", &|data| data["state"] == "blocked");

    let set = ["mcp", "rm", "fake", "agentchattr"];
    assert!(!world.verb(&set).status.success(), "the hub's entry stays");
    let restarted = world.json(&["restart", "fake", "--json"]);
    let (_, restart) = events.event("restart", &|_| true);
    assert_eq!(restart, json!({"restarts": 1, "exit": {"signal": 1}}));
    let pid = &restarted["agent_pid"];
    events.event("state", &|data| {
        data["agent_pid"] == *pid && data["state"] == "starting"
    });
    stop(&world, "fake");
    let (_, exit) = events.event("exit", &|_| true);
    assert_eq!(exit, json!({"state": "exited", "exit": {"signal": 1}}));
    assert!(events.rest().iter().all(String::is_empty), "the last");
}

#[tokio::test]
async fn a_log_is_read_while_it_grows_and_after_its_session() {
    let world = World::new();
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    let session = in_state(&world, "fake", "idle");
    let id = session["id"].as_str().expect("text").to_owned();
    let mut command = world.spawn(&["logs", "fake", "-f"]);
    command.stderr(Stdio::null());
    let mut follower = Follower::start(command);
    follower.line("launched session=");
    assert_eq!(
        world.json(&["send", "fake", "hello", "--json"])["outcome"],
        "submitted"
    );
    follower.line("a prompt has come further");
    stop(&world, "fake");
    follower.rest();
    assert!(follower.child.wait().expect("waited").success());

    for asked in ["fake", &id, &id[..6]] {
        let told = world.json(&["logs", asked, "--json", "-n", "1000"]);
        let first = &told[0];
        assert_eq!(
            (&first["level"], &first["target"]),
            (&json!("info"), &json!("wrapper::cmd::launch"))
        );
        assert!(
            first["text"].as_str().expect("text").contains(&id),
            "{first}"
        );
        let one = world.verb(&["logs", asked, "-n", "1"]);
        assert_eq!(String::from_utf8_lossy(&one.stdout).lines().count(), 1);
    }
    // Of two that had the name, the newer one.
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    let newer = in_state(&world, "fake", "idle")["id"].clone();
    stop(&world, "fake");
    let told = world.json(&["logs", "fake", "--json"]);
    assert!(
        told[0]["text"]
            .as_str()
            .expect("text")
            .contains(newer.as_str().expect("text"))
    );

    std::fs::remove_file(world.path(&format!("state/logs/{id}.log"))).expect("removed");
    let output = world.verb(&["logs", &id]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("no session `{id}`")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_holds_nobody_up() {
    let world = World::new();
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    in_state(&world, "fake", "idle");
    let [dir] = world.sessions().try_into().expect("one session");
    let socket = dir.join("control.sock");
    let mut asleep = tokio::net::UnixStream::connect(&socket)
        .await
        .expect("connected");
    let ask = b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut asleep, ask)
        .await
        .expect("asked");
    let client = Client::new(&socket);
    // Each queues, and is refused when its asker goes: far more than is kept.
    let prompt = wrapper::control::protocol::Prompt {
        text: String::new(),
        no_wait: true,
        ..Default::default()
    };
    for _ in 0..2000 {
        client.prompt(&prompt).await.expect("answered");
    }
    let mut told = Vec::new();
    let read = tokio::io::AsyncReadExt::read_buf;
    super::support::soon("it is told what it missed", async {
        while !String::from_utf8_lossy(&told).contains("event: lagged\ndata: {\"missed\":") {
            assert!(read(&mut asleep, &mut told).await.expect("read") > 0);
        }
    })
    .await;
    stop(&world, "fake");
    eventually("the end", || world.sessions().is_empty().then_some(()));
}
