//! The project's servers: asked for once, told to the agent, kept apart from
//! those of other projects.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::pty::Outer;
use super::support::world::{FAKE, World};

const QUESTION: &str = "Use these servers? [y/N]";

/// A world whose `claude` and `gemini` are stand-ins; gemini's settings are the
/// file that is returned.
fn world() -> (World, std::path::PathBuf) {
    let world = World::with_hub();
    let settings = world.path("home/.gemini/settings.json");
    fs::create_dir_all(settings.parent().expect("a directory")).expect("made");
    fs::write(&settings, "{\n\t// mine\n\t\"theme\": \"dark\"\n}\n").expect("written");
    world.configure(&format!(
        "[agents.claude]\ncommand = {FAKE:?}\n[agents.gemini]\ncommand = {FAKE:?}\n\
         env = {{ FAKE_SETTINGS = \"{}\" }}\n",
        settings.display()
    ));
    (world, settings)
}

/// A project with one server, which tells `word`.
fn project(dir: &Path, word: &str) {
    let file = json!({"mcpServers": {"tool": {"command": FAKE, "args": ["tool", word]}}});
    fs::create_dir_all(dir).expect("made");
    fs::write(dir.join(".mcp.json"), file.to_string()).expect("written");
}

async fn end(mut terminal: Outer) {
    terminal.keys(b"\x04").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

/// What the stand-in found behind the servers that it was told of.
async fn servers(world: &World, terminal: &mut Outer) -> Value {
    fs::write(world.path("report"), "").expect("written");
    terminal.keys(b"/servers\r").await;
    let found = |_: &mut Outer| {
        world
            .report()
            .iter()
            .any(|entry| entry.get("servers").is_some())
    };
    terminal.until("the servers are asked", found).await;
    world.reported("servers")
}

/// The names that claude is told to use and to leave alone.
fn answered(world: &World) -> (Value, Value) {
    let argv = world.reported("start")["argv"].clone();
    let settings = argv.as_array().expect("arguments").iter().find_map(|arg| {
        serde_json::from_str::<Value>(arg.as_str()?.strip_prefix("--settings=")?).ok()
    });
    let settings = settings.expect("settings");
    (
        settings["enabledMcpjsonServers"].clone(),
        settings["disabledMcpjsonServers"].clone(),
    )
}

#[tokio::test]
async fn the_user_is_asked_once_for_one_content() {
    let (world, _) = world();
    let dir = world.path("project");
    project(&dir, "\\u001b[2Jone");
    for (asked, answer, enabled) in [(true, "n\r", false), (false, "", false)] {
        fs::write(world.path("report"), "").expect("written");
        let mut terminal = world.launch(&["claude"]);
        if asked {
            terminal.shows(QUESTION).await;
            terminal.shows(".mcp.json wants these MCP servers:").await;
            terminal.shows("tool: ").await;
            terminal.keys(answer.as_bytes()).await;
        }
        terminal.shows("\n>").await;
        let shown = String::from_utf8_lossy(&terminal.bytes).into_owned();
        assert_eq!(shown.contains(QUESTION), asked);
        assert!(
            !shown.contains("\x1b[2Jone"),
            "the file has drawn on the screen"
        );
        let (on, off) = answered(&world);
        assert_eq!(
            (on == json!(["tool"]), off == json!(["tool"])),
            (enabled, !enabled)
        );
        end(terminal).await;
    }
    // Once, without a word to remember.
    fs::write(world.path("report"), "").expect("written");
    let mut terminal = world.launch(&["claude", "--trust-project"]);
    terminal.shows("\n>").await;
    assert_eq!(answered(&world).0, json!(["tool"]));
    end(terminal).await;
    // Another content is another question.
    project(&dir, "two");
    fs::write(world.path("report"), "").expect("written");
    let mut terminal = world.launch(&["claude"]);
    terminal.shows(QUESTION).await;
    terminal.keys(b"y\r").await;
    terminal.shows("\n>").await;
    assert_eq!(answered(&world), (json!(["tool"]), json!([])));
    end(terminal).await;
    let trust = fs::read_to_string(world.path("state/trust.json")).expect("answers");
    assert!(
        trust.contains("\"yes\"") && trust.contains("\"no\""),
        "{trust}"
    );
}

#[tokio::test]
async fn projects_that_share_a_settings_file_have_their_own_servers() {
    let (world, settings) = world();
    let before = fs::read_to_string(&settings).expect("settings");
    let (one, two, none) = (world.path("one"), world.path("two"), world.path("none"));
    project(&one, "first");
    project(&two, "second");
    fs::create_dir(&none).expect("made");
    let launch = async |dir: &Path| {
        let cwd = dir.display().to_string();
        let args = ["gemini", "--trust-project", "--cwd", &cwd];
        let mut terminal = world.launch(&args);
        terminal.shows("\n>").await;
        terminal
    };
    let mut first = launch(&one).await;
    let mut second = launch(&two).await;
    let mut third = launch(&none).await;
    for (terminal, word) in [(&mut first, "first"), (&mut second, "second")] {
        let found = servers(&world, terminal).await;
        assert_eq!(found["tool"]["told"]["args"], json!([word]), "{found}");
    }
    // It sees the others' entry, and finds an empty server behind it.
    let found = servers(&world, &mut third).await;
    assert_eq!(found["tool"], json!({"tools": []}), "{found}");
    assert!(
        found["agentchattr"]["tools"]
            .as_array()
            .is_some_and(|tools| !tools.is_empty())
    );
    end(first).await;
    let found = servers(&world, &mut second).await;
    assert_eq!(found["tool"]["told"]["args"], json!(["second"]), "{found}");
    end(third).await;
    end(second).await;
    assert_eq!(fs::read_to_string(&settings).expect("settings"), before);
}

#[tokio::test]
async fn what_cannot_be_carried_ends_the_launch_with_its_name() {
    let (world, settings) = world();
    let before = fs::read_to_string(&settings).expect("settings");
    let config = fs::read_to_string(world.path("config.toml")).expect("a configuration");
    let fake = format!("command = {FAKE:?}\n");
    for (more, says) in [
        (
            format!(
                "[agents.x]\n{fake}mcp_inject = \"proxy_flag\"\n\
                 mcp_proxy_flag_template = \"--mcp {{server}}={{url}} {{key_env}}\"\n\
                 [mcp_servers.tool]\n{fake}"
            ),
            "cannot tell `x` of the MCP server `tool`: `proxy_flag` can name a URL alone",
        ),
        (
            format!("[agents.x]\n{fake}[mcp_servers.tool]\n{fake}"),
            "cannot tell `x` of the MCP server `tool`: it has no `mcp_inject`",
        ),
        (
            format!(
                "[agents.x]\n{fake}[mcp_servers.tool]\ntype = \"git\"\nurl = \"{}\"\n\
                 ref = \"v1\"\ncommand = \"x\"\n",
                world.path("no-repository").display()
            ),
            "`mcp_servers.tool`",
        ),
    ] {
        world.configure(&format!("{config}{more}"));
        let mut terminal = world.launch(&["x"]);
        assert_eq!(terminal.end().await, AgentExit::Code(125), "{says}");
        let shown = String::from_utf8_lossy(&terminal.bytes).into_owned();
        let shown = shown.replace("\r\n", "");
        assert!(shown.contains(says), "{shown}");
        assert!(world.online().is_empty(), "nothing was registered");
    }
    // What git said can be read again.
    let logs = super::secrets::files(&world.path("state/logs"));
    let log = fs::read_to_string(&logs[0]).expect("a log");
    assert!(log.contains("`mcp_servers.tool`"), "{log}");
    assert_eq!(fs::read_to_string(&settings).expect("settings"), before);
}

#[test]
fn a_projects_file_never_ends_a_launch_and_what_is_left_out_is_told() {
    let world = World::new();
    world.configure(&format!(
        "[agents.claude]\ncommand = {FAKE:?}\n[agents.codex]\ncommand = {FAKE:?}\n"
    ));
    let file = world.path("project/.mcp.json");
    let dry = |agent: &str| {
        let output = world.verb(&[agent, "--trust-project", "--dry-run", "--json"]);
        assert!(output.status.success(), "{agent}: {output:?}");
        let said = String::from_utf8(output.stderr).expect("text");
        let plan: Value = serde_json::from_slice(&output.stdout).expect("a plan");
        (plan, said)
    };
    for content in ["{", "[]", "{\"mcpServers\": 7}", "\u{1}"] {
        fs::write(&file, content).expect("written");
        for agent in ["claude", "codex"] {
            let (_, said) = dry(agent);
            assert_eq!(said.lines().count(), 1, "{content}: {said}");
            assert!(said.contains("the servers of "), "{said}");
        }
    }
    let odd = json!({"mcpServers": {
        "ok": {"command": FAKE}, "my server": {"command": FAKE},
        "old": {"type": "sse", "url": "https://h.example/"},
        "lacks": {"command": FAKE, "args": ["${NO_SUCH_VARIABLE}"]},
        "editor": {"command": FAKE, "args": ["${input:key}"]},
    }});
    fs::write(&file, odd.to_string()).expect("written");
    let left_out = |plan: &Value| -> Vec<String> {
        let left_out = plan["left_out"].as_array().expect("a list").iter();
        let name = |left_out: &Value| left_out["name"].as_str().expect("a name").to_owned();
        left_out.map(name).collect()
    };
    let (plan, said) = dry("codex");
    assert_eq!(left_out(&plan), ["lacks", "editor", "my server", "old"]);
    for name in left_out(&plan) {
        let line = format!("the server `{name}` of ");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
    }
    let (plan, _) = dry("claude");
    assert_eq!(left_out(&plan), ["lacks", "editor"]);
    // Claude reads the file by itself: it is told not to use those.
    let run = plan["run"].to_string();
    assert!(
        run.contains(r#"\"disabledMcpjsonServers\":[\"lacks\",\"editor\"]"#),
        "{run}"
    );
    let shown = world.verb(&["claude", "--trust-project", "--dry-run"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("without lacks: `args[0]`: "), "{shown}");
    assert!(shown.contains("SESSION      stands for"), "{shown}");
    assert_eq!(shown.matches("--mcp-config").count(), 1, "{shown}");
}

#[tokio::test]
async fn a_server_that_is_left_out_is_listed_with_its_reason() {
    let (world, _) = world();
    let file = json!({"mcpServers": {"lacks": {"command": "x", "args": ["${NO_SUCH}"]}}});
    fs::write(world.path("project/.mcp.json"), file.to_string()).expect("written");
    let mut terminal = world.launch(&["claude", "--offline", "--trust-project"]);
    terminal.shows("\n>").await;
    let listed = world.json(&["mcp", "list", "claude", "--json"]);
    let lacks = &listed[0];
    assert_eq!(
        (&lacks["name"], &lacks["state"]),
        (&json!("lacks"), &json!("left-out"))
    );
    let reason = lacks["reason"].as_str().expect("a reason");
    assert!(reason.contains("`NO_SUCH` is not set"), "{reason}");
    let got = world.json(&["mcp", "get", "claude", "lacks", "--json"]);
    assert_eq!(&got, lacks);
    assert_eq!(answered(&world), (json!([]), json!(["lacks"])));
    end(terminal).await;
}

#[tokio::test]
async fn without_a_terminal_and_without_a_word_a_projects_servers_are_left_out_in_a_line() {
    let (world, _) = world();
    project(&world.path("project"), "one");
    let output = world.verb(&["claude", "-d", "--offline"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("are left out").count(), 1, "{said}");
    let listed = world.json(&["mcp", "list", "claude", "--json"]);
    assert_eq!(listed[0]["state"], "left-out", "{listed}");
    assert!(world.verb(&["stop", "claude"]).status.success());
}

#[tokio::test]
async fn a_command_that_is_not_there_is_told_and_logged() {
    let (world, _) = world();
    let config = fs::read_to_string(world.path("config.toml")).expect("a configuration");
    world.configure(&format!(
        "{config}[mcp_servers.gone]\ncommand = \"no-such-program\"\n"
    ));
    let mut terminal = world.launch(&["claude", "--offline"]);
    terminal.shows("\n>").await;
    let says = "the MCP server `gone` will not start: `no-such-program`: not found on PATH";
    let shown = String::from_utf8_lossy(&terminal.bytes).replace("\r\n", "");
    assert!(shown.contains(says), "{shown}");
    end(terminal).await;
    let logs = super::secrets::files(&world.path("state/logs"));
    let log = fs::read_to_string(&logs[0]).expect("a log");
    assert!(log.contains(says), "{log}");
}

#[tokio::test]
async fn without_a_hub_the_servers_are_there_all_the_same() {
    let (world, _) = world();
    project(&world.path("project"), "lonely");
    let mut terminal = world.launch(&["gemini", "--offline", "--trust-project"]);
    terminal.shows("\n>").await;
    let found = servers(&world, &mut terminal).await;
    assert_eq!(found["tool"]["told"]["args"], json!(["lonely"]), "{found}");
    assert_eq!(found.as_object().expect("servers").len(), 1);
    end(terminal).await;
}
