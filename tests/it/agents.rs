//! Every built-in agent, played by a stand-in that reads what the real one
//! would: it finds every server once, and no credential lies about.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::pty::Outer;
use super::support::upstream::Upstream;
use super::support::world::{FAKE, World};

/// The agents, and the file in which each keeps its servers, if it has one.
const AGENTS: [(&str, Option<&str>); 12] = [
    ("antigravity", Some(".gemini/config/mcp_config.json")),
    ("auggie", None),
    ("claude", None),
    (
        "cline",
        Some(".cline/data/settings/cline_mcp_settings.json"),
    ),
    ("codebuddy", Some(".codebuddy/.mcp.json")),
    ("codex", None),
    ("copilot", None),
    ("gemini", Some(".gemini/settings.json")),
    ("kilo", None),
    ("kimi", None),
    ("opencode", None),
    ("qwen", None),
];

/// What may not be seen where others can look.
const SECRETS: [&str; 4] = [
    "tool-secret",
    "docs-secret",
    "project-secret",
    "asked-secret",
];

const SETTINGS: &str = "{\n\t// mine\n\t\"theme\": \"dark\",\n\t\"mcpServers\": { \"own\": { \"command\": \"true\" } },\n}\n";

/// A world in which every agent is a stand-in with two servers of the
/// configuration, and a project with two of its own.
fn world(upstream: &Upstream) -> World {
    let world = World::with_hub();
    let agents = AGENTS.map(|(agent, settings)| {
        let env = settings.map_or_else(String::new, |settings| {
            let path = world.path("home").join(settings);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(&path, SETTINGS).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
            format!("env = {{ FAKE_SETTINGS = \"{}\" }}\n", path.display())
        });
        format!(
            "[agents.{agent}]\ncommand = {FAKE:?}\nargs = []\nsession_env_prefix = [\"MY\"]\n{env}"
        )
    });
    let url = format!("http://127.0.0.1:{}/mcp", upstream.port);
    let servers = format!(
        "[mcp_servers.tool]\ncommand = {FAKE:?}\nargs = [\"tool\", \"one\"]\n\
         env = {{ API_TOKEN = \"tool-secret\" }}\n\
         [mcp_servers.docs]\ntype = \"remote\"\nurl = {url:?}\n\
         headers = {{ X-Key = \"docs-secret\" }}\n"
    );
    world.configure(&(agents.concat() + &servers));
    let project = json!({"mcpServers": {
        "project-tool": {"command": FAKE, "args": ["tool", "${HOME}"]},
        "project-docs": {"type": "http", "url": url,
                         "headers": {"Authorization": "Bearer project-secret"}},
        "agentchattr": {"type": "http", "url": "http://127.0.0.1:1/mcp"},
    }});
    fs::write(world.path("project/.mcp.json"), project.to_string()).expect("written");
    world
}

#[tokio::test]
async fn every_agent_has_every_server_once_and_shows_no_secret() {
    let upstream = Upstream::start();
    let world = world(&upstream);
    for (agent, settings) in AGENTS {
        one(
            &world,
            agent,
            settings.map(|path| world.path("home").join(path)),
            &upstream,
        )
        .await;
    }
}

async fn one(world: &World, agent: &str, settings: Option<PathBuf>, upstream: &Upstream) {
    let before = settings
        .as_ref()
        .map(|path| fs::read_to_string(path).expect("settings"));
    fs::write(world.path("report"), "").expect("written");
    // Who reads the project's file hands the environment on; the others are
    // taken to hand on none.
    let mut args = vec![agent, "--trust-project", "--label", "Its Title", "--"];
    if !matches!(agent, "claude" | "codebuddy" | "copilot") {
        args.push("--clears");
    }
    let mut terminal = world.launch(&args);
    terminal.shows("\n>").await;
    terminal.keys(b"/servers\r").await;
    let asked = |terminal: &mut Outer| terminal.picture().rows.join("\n").contains("asked all");
    terminal
        .until(&format!("{agent} has asked all"), asked)
        .await;
    let found = world.reported("servers");
    let session = world.sessions().pop().expect("a session");
    let id = session
        .file_name()
        .and_then(|id| id.to_str())
        .expect("an id");

    let names: Vec<&String> = found.as_object().expect("servers").keys().collect();
    let own = settings.is_some().then_some("own");
    let expected = ["agentchattr", "docs"].into_iter().chain(own);
    let expected: Vec<&str> = expected
        .chain(["project-docs", "project-tool", "tool"])
        .collect();
    assert_eq!(names, expected, "{agent}: {found}");
    let chat = found["agentchattr"]["tools"].as_array();
    let has_send = chat.is_some_and(|tools| tools.contains(&json!("chat_send")));
    assert!(has_send, "{agent}: {found}");
    for name in ["docs", "project-docs"] {
        assert_eq!(
            found[name]["tools"],
            json!(["chat_send"]),
            "{agent}: {name}"
        );
    }
    for (name, arg) in [("tool", "one".into()), ("project-tool", world.path("home"))] {
        let told = &found[name]["told"];
        assert_eq!(told["args"], json!([arg]), "{agent}: {name}: {told}");
        assert_eq!(told["cwd"], json!(world.path("project")), "{agent}: {name}");
        for (variable, value) in [
            ("WRAPPER_SESSION_ID", id),
            ("WRAPPER_SESSION_TITLE", "Its Title"),
            ("WRAPPER_SESSION_NAME", agent),
            ("WRAPPER_AGENT", agent),
            ("MY_SESSION_ID", id),
            ("MY_SESSION_TITLE", "Its Title"),
        ] {
            assert_eq!(
                told["env"][variable],
                json!(value),
                "{agent}: {name}: {variable}"
            );
        }
        let control = told["env"]["WRAPPER_CONTROL"].as_str().expect("a socket");
        assert!(
            Path::new(control).starts_with(&session),
            "{agent}: {control}"
        );
    }
    assert_eq!(
        found["tool"]["told"]["env"]["API_TOKEN"],
        json!("tool-secret"),
        "{agent}"
    );
    let heads = upstream.state.heads.lock().expect("no panic").join("");
    for header in ["docs-secret", "Bearer project-secret"] {
        assert!(heads.contains(header), "{agent}: {header}");
    }
    upstream.state.heads.lock().expect("no panic").clear();

    discreet(world, agent, &session);
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0), "{agent}");
    if let Some((path, before)) = settings.zip(before) {
        assert_eq!(
            fs::read_to_string(&path).expect("settings"),
            before,
            "{agent}"
        );
        let mode = fs::metadata(&path).expect("settings").permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{agent}");
    }
    assert_eq!(world.sessions(), Vec::<PathBuf>::new(), "{agent}");
}

/// No credential on a command line, nor in a file but in those of the user's
/// and of the hub's; files of ours are ours alone.
fn discreet(world: &World, agent: &str, session: &Path) {
    let token = world.token(agent);
    let secrets: Vec<&str> = SECRETS.into_iter().chain([token.as_str()]).collect();
    let shows = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    for (pid, args) in world.processes() {
        assert!(!shows(&args), "{agent}: arguments of {pid}: {args}");
    }
    let own = [
        world.path("config.toml"),
        world.path("project/.mcp.json"),
        world.path("report"),
    ];
    for file in super::secrets::files(&world.path("")) {
        let is_hubs = file.starts_with(world.path("data"));
        let Ok(content) = fs::read(&file) else {
            // The control socket.
            continue;
        };
        let content = String::from_utf8_lossy(&content).into_owned();
        assert!(
            is_hubs || own.contains(&file) || !shows(&content),
            "{agent}: {}",
            file.display()
        );
        if file.starts_with(session) {
            let mode = fs::metadata(&file).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{agent}: {}", file.display());
        }
    }
    let mode = fs::metadata(session)
        .expect("a directory")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "{agent}");
}

/// What a launch would do, as JSON.
fn rehearsed(world: &World, args: &[&str]) -> Value {
    world.json(&[args, &["--dry-run", "--json"]].concat())
}

#[tokio::test]
async fn a_dry_run_shows_every_agents_plan_and_writes_nothing() {
    let upstream = Upstream::start();
    let world = world(&upstream);
    for (agent, _) in AGENTS {
        let shown = rehearsed(&world, &[agent, "--trust-project"]);
        let text = shown.to_string();
        assert!(
            !SECRETS.iter().any(|secret| text.contains(secret)),
            "{agent}: {text}"
        );
        for name in ["agentchattr", "tool", "docs"] {
            assert!(text.contains(name), "{agent}: {name}: {text}");
        }
        assert_eq!(shown["set"]["WRAPPER_AGENT"], json!(agent));
        let plain = world.verb(&[agent, "--trust-project", "--dry-run"]);
        let plain = String::from_utf8(plain.stdout).expect("text");
        assert!(
            !SECRETS.iter().any(|secret| plain.contains(secret)),
            "{agent}: {plain}"
        );
    }
    let own = world.path("home/.kimi/mcp.json");
    assert!(
        !rehearsed(&world, &["kimi"])["run"]
            .to_string()
            .contains("/.kimi/")
    );
    fs::create_dir(own.parent().expect("a directory")).expect("made");
    fs::write(&own, "{}").expect("written");
    let run = rehearsed(&world, &["kimi"])["run"].clone();
    assert!(
        run.as_array().is_some_and(|run| run.contains(&json!(own))),
        "{run}"
    );
    assert!(!world.path("state").exists());
}
