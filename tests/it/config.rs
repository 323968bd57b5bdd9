//! What a configuration may say, and how a wrong one is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use wrapper::config::{self, Config, Error, Layer};
use wrapper::paths::Env;
use wrapper::types::agent::{AgentSpec, Dialect, Inject, Restart, Transport};
use wrapper::types::credential::TokenSource;
use wrapper::types::identity::AgentName;
use wrapper::types::options::{AgentOptions, Options};
use wrapper::types::source::{HeaderPart, Recipe, Source};

/// A user: a home with a configuration, a directory they are in, variables.
struct User {
    dir: TempDir,
    env: Env,
    options: Options,
}

impl User {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::from([("HOME".into(), dir.path().join("home").into())]);
        Self {
            dir,
            env,
            options: Options::default(),
        }
    }

    fn with(config: &str) -> Self {
        Self::new().file("home/.config/wrapper/config.toml", config)
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
        self
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn try_load(&self) -> Result<Config, Error> {
        config::load(&self.env, &self.path("here"), &self.options)
    }

    #[track_caller]
    fn load(&self) -> Config {
        self.try_load().expect("a good configuration")
    }

    #[track_caller]
    fn agent(&self, name: &str) -> AgentSpec {
        let options = AgentOptions::default();
        self.load().agent(name, &options).expect("a good agent")
    }

    /// What is wrong, with the directory taken out, and the hint.
    #[track_caller]
    fn wrong(&self) -> String {
        self.shown(&self.try_load().expect_err("a mistake"))
    }

    #[track_caller]
    fn wrong_agent(&self, name: &str) -> String {
        let options = AgentOptions::default();
        let error = self.load().agent(name, &options).expect_err("a mistake");
        self.shown(&error)
    }

    fn shown(&self, error: &Error) -> String {
        let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
        let text = format!("{error}{}", hint.unwrap_or_default());
        text.replace(&format!("{}/", self.dir.path().display()), "")
            .replace("home/.config/wrapper/", "")
    }
}

#[test]
fn without_a_file_there_are_the_agents_that_are_known() {
    let user = User::new();
    let config = user.load();
    assert_eq!(config.hub.host, "127.0.0.1");
    assert_eq!(
        (config.hub.port, config.mcp.http_port, config.mcp.sse_port),
        (8300, 8200, 8201)
    );
    assert_eq!(
        config.hub.data_dir,
        user.path("home/.local/share/wrapper/hub")
    );
    assert!(config.hub.autostart && config.warnings.is_empty());
    assert_eq!(config.mcp.server_name.as_str(), "agentchattr");
    let names: Vec<&str> = config.agents().map(AgentName::as_str).collect();
    let known =
        "antigravity auggie claude cline codebuddy codex copilot gemini kilo kimi opencode pi qwen";
    assert_eq!(names.join(" "), known);
    assert_eq!(config.origin("server.port"), Some(&Layer::BuiltIn));

    let claude = user.agent("claude");
    assert_eq!(claude.command, Path::new("claude"));
    assert_eq!(claude.cwd.as_os_str(), user.path("here").as_os_str());
    assert_eq!(claude.dialect, Dialect::Claude);
    for name in [
        "CLAUDECODE",
        "CLAUDE_CODE_MESSAGING_TOKEN",
        "CODEX_THREAD_ID",
    ] {
        assert!(claude.strip_env.iter().any(|known| known == name), "{name}");
    }
    assert!(claude.approve_tools);
    assert!(matches!(claude.inject, Some(Inject::ProxyFile { flag }) if flag == "--mcp-config"));
    assert!(
        matches!(user.agent("codex").inject, Some(Inject::ProxyFlag { template }) if template.contains("{key_env}"))
    );
    let gemini = user.agent("gemini");
    assert_eq!(gemini.env["GEMINI_CLI_NO_RELAUNCH"], "true");
    let path = user.path("home/.gemini/settings.json");
    assert_eq!(gemini.inject, Some(Inject::SettingsFile { path }));
}

#[test]
fn layers_win_in_order() {
    let user = User::with(
        "[server]\nport = 1\ndata_dir = 'mine'\n[mcp]\nhttp_port = 1\nsse_port = 1\n\
         [agents.claude]\nlabel = 'Mine'\ncwd = 'there'",
    )
    .var("AGENTCHATTR_MCP_HTTP_PORT", "2")
    .var("AGENTCHATTR_MCP_SSE_PORT", "2")
    .var("AGENTCHATTR_PORT", "")
    .var("AGENTCHATTR_UPLOAD_DIR", "up")
    .options(Options {
        mcp_sse_port: Some(3),
        ..Options::default()
    });
    let config = user.load();
    assert_eq!(
        (config.hub.port, config.mcp.http_port, config.mcp.sse_port),
        (1, 2, 3)
    );
    let file = user.path("home/.config/wrapper/config.toml");
    for (key, layer) in [
        ("server.port", Layer::File(file.clone())),
        (
            "mcp.http_port",
            Layer::Variable("AGENTCHATTR_MCP_HTTP_PORT"),
        ),
        ("mcp.sse_port", Layer::Option("--mcp-sse-port")),
        ("agents.claude.label", Layer::File(file)),
        ("agents.claude.color", Layer::BuiltIn),
    ] {
        assert_eq!(config.origin(key), Some(&layer), "{key}");
    }
    assert_eq!(
        config.hub.data_dir,
        user.path("home/.config/wrapper/mine"),
        "a file's paths start at the file"
    );
    assert_eq!(
        config.hub.upload_dir,
        user.path("here/up"),
        "a variable's paths start where the user is"
    );
    let claude = user.agent("claude");
    assert_eq!(claude.label.as_deref(), Some("Mine"));
    assert_eq!(claude.cwd, user.path("home/.config/wrapper/there"));
    assert!(claude.inject.is_some(), "what a file does not set stays");
}

#[test]
fn options_and_two_variables_speak_of_the_launched_agent() {
    let user = User::with("[agents.gemini]\ncwd = 'file'\nrestart = 'always'\nlabel = 'File'")
        .var("AGENTCHATTR_AGENT_CWD", "variable")
        .var("AGENTCHATTR_AGENT_MCP_SETTINGS_PATH", "set.json")
        .var("AGENTCHATTR_AGENT_COMMAND", "/bin/evil")
        .var("AGENTCHATTR_AGENT_LABEL", "");
    let config = user.load();
    assert_eq!(
        config.warnings,
        ["AGENTCHATTR_AGENT_COMMAND is ignored: the environment may not set that key"]
    );
    let gemini = user.agent("gemini");
    assert_eq!(gemini.command, Path::new("gemini"));
    assert_eq!(gemini.cwd, user.path("here/variable"));
    assert_eq!(gemini.restart, Restart::Always);
    let path = user.path("here/set.json");
    assert_eq!(gemini.inject, Some(Inject::SettingsFile { path }));

    let options = AgentOptions {
        cwd: Some("option".into()),
        label: Some("Option".into()),
        no_restart: true,
        ..AgentOptions::default()
    };
    let gemini = config.agent("gemini", &options).expect("a good agent");
    assert_eq!(gemini.cwd, user.path("here/option"));
    assert_eq!(gemini.label.as_deref(), Some("Option"));
    assert_eq!(gemini.restart, Restart::Never);
}

#[test]
fn a_port_that_is_none_is_a_warning_in_the_environment() {
    for odd in ["x", "70000", "-1", "1.5"] {
        let config = User::new().var("AGENTCHATTR_PORT", odd).load();
        assert_eq!(config.hub.port, 8300);
        assert_eq!(
            config.warnings,
            [format!("AGENTCHATTR_PORT is ignored: {odd} is no port")]
        );
    }
}

#[test]
fn a_named_file_stands_in_place_of_the_users() {
    let user = User::with("[server]\nport = 1")
        .file("here/a.toml", "[server]\nport = 2\ndata_dir = '.'")
        .file("here/b.toml", "[server]\nport = 3")
        .var("WRAPPER_CONFIG", "a.toml");
    let config = user.load();
    assert_eq!(config.hub.port, 2);
    assert_eq!(config.hub.data_dir, user.path("here"));
    let option = |name: &str| Options {
        config: Some(name.into()),
        ..Options::default()
    };
    let user = user.options(option("b.toml"));
    assert_eq!(user.load().hub.port, 3);
    let user = user.options(option("none.toml"));
    assert_eq!(user.wrong(), "cannot read here/none.toml: no such file");
    let user = user.options(option("../here"));
    assert!(
        user.wrong()
            .starts_with("cannot read here/../here: Is a directory")
    );
}

#[test]
fn the_local_file_adds_agents() {
    let user = User::with("[agents.mine]\ncommand = 'mine'").file(
        "home/.config/wrapper/config.local.toml",
        "[agents.claude]\ncommand = 'evil'\n[agents.mine]\ncommand = 'evil'\n[agents.new]\ncwd = 'x'",
    );
    let config = user.load();
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(config.warnings[0].ends_with(
        "config.local.toml: `agents.claude` is ignored: there is an agent of that name already"
    ));
    for name in ["claude", "mine", "new"] {
        assert_eq!(user.agent(name).command, Path::new(name));
    }
    assert_eq!(user.agent("new").cwd, user.path("home/.config/wrapper/x"));
}

#[test]
fn an_agent_of_ones_own_starts_from_the_one_it_runs() {
    let user = User::with(
        "[agents.reviewer]\ncommand = 'claude'\n\
         [agents.tool]\ncommand = './bin/tool'\n[agents.far]\ncommand = '~/bin/codex'",
    );
    let reviewer = user.agent("reviewer");
    assert_eq!(reviewer.dialect, Dialect::Claude);
    assert!(matches!(reviewer.inject, Some(Inject::ProxyFile { .. })));
    assert_eq!(reviewer.label, None);
    let tool = user.agent("tool");
    assert_eq!(tool.command, user.path("home/.config/wrapper/bin/tool"));
    assert_eq!((tool.dialect, tool.inject), (Dialect::Generic, None));
    let far = user.agent("far");
    assert_eq!(far.command, user.path("home/bin/codex"));
    assert_eq!(far.dialect, Dialect::Codex);
}

#[test]
fn agentchattrs_own_file_is_read_as_it_is() {
    let user = User::with(
        r##"
[server]
port = 8301
host = "127.0.0.1"
data_dir = "./data"
trusted_origins = []
[agents.claude]
command = "claude"
cwd = ".."
color = "#da7756"
label = "Claude"
[agents.codex]
mcp_inject = "proxy_flag"
mcp_proxy_flag_template = '-c mcp_servers.{server}.url="{url}"'
[agents.qwen]
command = "qwen"
mcp_inject = "settings_file"
mcp_settings_path = ".qwen/settings.json"
mcp_transport = "streamable-http"
inject_delay = 1.0
[agents.copilot]
mcp_inject = "settings_file"
mcp_settings_path = "~/.copilot/mcp-config.json"
mcp_http_key = "url"
mcp_merge_project = true
enter_backend = "wm_setfocus"
[agents.mycli]
mcp_inject = "env"
mcp_env_var = "MYCLI"
[agents.minimax]
type = "api"
base_url = "https://api.example.com/v1"
model = "m"
api_key_env = "KEY"
temperature = 1
context_messages = 20
system_prompt = "p"
[routing]
default = "none"
max_agent_hops = 4
[mcp]
http_port = 8200
[images]
upload_dir = "./uploads"
max_size_mb = 10
"##,
    );
    let dir = user.path("home/.config/wrapper");
    let config = user.load();
    assert!(config.warnings.is_empty());
    assert_eq!(config.hub.port, 8301);
    assert_eq!(config.hub.data_dir, dir.join("data"));
    assert_eq!(config.hub.upload_dir, dir.join("uploads"));
    let claude = user.agent("claude");
    assert_eq!(claude.cwd, dir.join(".."));
    assert!(matches!(claude.inject, Some(Inject::ProxyFile { .. })));
    assert!(matches!(
        user.agent("codex").inject,
        Some(Inject::ProxyFlag { .. })
    ));
    let qwen = user.agent("qwen");
    let path = user.path("here/.qwen/settings.json");
    assert_eq!(qwen.inject, Some(Inject::SettingsFile { path }));
    assert_eq!(qwen.transport, Transport::Http);
    assert_eq!(qwen.pacing.enter_delay, Duration::from_secs(1));
    assert_eq!(user.agent("copilot").http_key.as_deref(), Some("url"));
    assert_eq!(
        user.wrong_agent("minimax"),
        "config.toml: agent `minimax`: `type = \"api\"` has no terminal: wrapper cannot launch it"
    );
    let var = "MYCLI".to_owned();
    assert_eq!(user.agent("mycli").inject, Some(Inject::Env { var }));
}

#[test]
fn keys_of_a_later_agentchattr_are_left_out_and_named() {
    let text = "[server]\nport = 8301\nnew_key = 1\n[agents.mine]\ncommand = \"mine\"\nicon = \"x\"\n\
                mcp_proxy_flag_template = \"--mcp {url} --key {key_env}\"\n[plugins]\na = 1\n";
    let routed = format!("{text}[routing]\ndefault = \"none\"\n");
    let beside = User::with(text).file("home/.config/wrapper/wrapper.py", "");
    for user in [User::with(&routed), beside] {
        let config = user.load();
        assert_eq!(config.hub.port, 8301);
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        let says =
            "what is not known here was left out: `server.new_key`, `agents.mine.icon`, `plugins`";
        assert!(config.warnings[0].ends_with(says), "{:?}", config.warnings);
        // A template says the mode, as it does there.
        let inject = user.agent("mine").inject;
        assert!(
            matches!(inject, Some(Inject::ProxyFlag { .. })),
            "{inject:?}"
        );
    }
    // In a file of ours it is a mistake, and so is a wrong value in one of theirs.
    assert!(User::with(text).wrong().contains("unknown key `new_key`"));
    let wrong = User::with(&format!("{routed}[mcp]\nhttp_port = \"x\"\n")).wrong();
    assert!(wrong.contains("expected 0 to 65535"), "{wrong}");
    assert!(
        wrong.contains("http_port") && !wrong.contains("new_key"),
        "{wrong}"
    );
}

#[test]
fn mistakes_are_shown_where_they_are() {
    insta::assert_snapshot!(User::with("[server]\nprot = 8300\n").wrong(), @r#"
    config.toml:2:1: unknown key `prot`
      |
    2 | prot = 8300
      | ^^^^
    hint: did you mean `port`?
    "#);
    insta::assert_snapshot!(User::with("[agents.x]\n\tmcp_inject = 'proxyfile' # ä\n").wrong(), @r#"
    config.toml:2:15: unknown value `proxyfile`
      |
    2 | 	mcp_inject = 'proxyfile' #****
      | 	             ^^^^^^^^^^^
    hint: did you mean `proxy_file`?
    "#);
    insta::assert_snapshot!(User::with("[server]\nport = 'x'").wrong(), @r#"
    config.toml:2:8: invalid type: string, expected 0 to 65535
      |
    2 | port = ****
      |        ^^^^
    "#);
    insta::assert_snapshot!(User::with("[server]\nport = 70000").wrong(), @r#"
    config.toml:2:8: invalid value: integer `70000`, expected 0 to 65535
      |
    2 | port = 70000
      |        ^^^^^
    "#);
    insta::assert_snapshot!(User::with("[servers]\nport = 1").wrong(), @r#"
    config.toml:1:2: unknown key `servers`
      |
    1 | [servers]
      |  ^^^^^^^
    hint: did you mean `server`?
    "#);
    insta::assert_snapshot!(User::with("zzz = 1").wrong(), @r#"
    config.toml:1:1: unknown key `zzz`
      |
    1 | zzz = 1
      | ^^^
    hint: known here: server, mcp, images, agents, mcp_servers, routing
    "#);
    insta::assert_snapshot!(User::with("[server\nport = 1").wrong(), @r#"
    config.toml:1:8: unclosed table, expected `]`
      |
    1 | [server
      |        ^
    "#);
    insta::assert_snapshot!(User::with("[agents]\nclaude = 'x'").wrong(), @r#"
    config.toml:2:10: invalid type: string, expected a table
      |
    2 | claude = ****
      |          ^^^^
    "#);
    insta::assert_snapshot!(User::with("\n[agents.serve]\ncommand = 'x'").wrong(), @r#"
    config.toml:2:9: an agent may not be named `serve`: that is a verb of wrapper
      |
    2 | [agents.serve]
      |         ^^^^^
    "#);
    insta::assert_snapshot!(User::with("[agents.'a.b']\ncommand = 'x'").wrong(), @r#"
    config.toml:1:9: "a.b" is no agent name: it takes 1 to 64 letters, digits, `-` and `_`, and does not start with `-`
      |
    1 | [agents.'a.b']
      |         ^^^^^
    "#);
    insta::assert_snapshot!(User::with("[agents.x]\nenv = { A = 1 }").wrong(), @r#"
    config.toml:2:13: invalid type: integer `1`, expected a string
      |
    2 | env = { A = 1 }
      |             ^
    "#);
    let drawn = User::with("[agents.x]\ndraft_wait = \"soon\"").wrong();
    assert!(
        drawn.contains("no duration like `30s` or `1h30m`: expected number at 0"),
        "{drawn}"
    );
    insta::assert_snapshot!(User::with("[agents.x]\ninject_delay = -1").wrong(), @r#"
    config.toml:2:16: -1 is no delay of 0 to 60 seconds
      |
    2 | inject_delay = -1
      |                ^^
    "#);
    insta::assert_snapshot!(User::with("[server]\nhost = '10.0.0.5'").wrong(), @r#"
    config.toml:2:8: `10.0.0.5` is not this machine: a remote hub needs `url` with https, which this version does not speak yet
      |
    2 | host = '10.0.0.5'
      |        ^^^^^^^^^^
    "#);
    insta::assert_snapshot!(User::with("[server]\nurl = 'https://hub'").wrong(), @r#"
    config.toml:2:7: this version does not speak to remote hubs yet
      |
    2 | url = 'https://hub'
      |       ^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(User::with("[mcp]\nserver_name = 'a.b'").wrong(), @r#"
    config.toml:2:15: "a.b" is no server name: it takes 1 to 64 letters, digits, `-` and `_`, and does not start with `-`
      |
    2 | server_name = 'a.b'
      |               ^^^^^
    "#);
}

#[test]
fn mistakes_of_servers_are_shown_where_they_are() {
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\ntype = 'gti'").wrong(), @r#"
    config.toml:2:8: unknown value `gti`
      |
    2 | type = 'gti'
      |        ^^^^^
    hint: known here: local, git, remote
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\ncomand = 'x'").wrong(), @r#"
    config.toml:2:1: unknown key `comand`
      |
    2 | comand = ****
      | ^^^^^^
    hint: did you mean `command`?
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\ncommand = ['npx', '-y']").wrong(), @r#"
    config.toml:2:11: invalid type: sequence, expected a string
      |
    2 | command = [****, ****]
      |           ^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\nargs = '-y'").wrong(), @r#"
    config.toml:2:8: invalid type: string, expected a list of strings
      |
    2 | args = ****
      |        ^^^^
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers]\ndocs = ['npx']").wrong(), @r#"
    config.toml:2:8: invalid type: sequence, expected a table
      |
    2 | docs = [****]
      |        ^^^^^^
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.'a.b']\ncommand = 'x'").wrong(), @r#"
    config.toml:1:14: "a.b" is no server name: it takes 1 to 64 letters, digits, `-` and `_`, and does not start with `-`
      |
    1 | [mcp_servers.'a.b']
      |              ^^^^^
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\nauth = { envv = 'X' }").wrong(), @r#"
    config.toml:2:10: unknown key `envv`
      |
    2 | auth = { envv = **** }
      |          ^^^^
    hint: did you mean `env`?
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\nauth = { command = ['x'], timeout = '10' }").wrong(), @r#"
    config.toml:2:37: no duration like `30s` or `1h30m`: time unit needed, for example 10sec or 10ms
      |
    2 | auth = { command = [****], timeout = '10' }
      |                                      ^^^^
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\ntype = 'remote'\nurl = 'https://x.dev'\nauth = { file = 'x', env = 'X' }").wrong(), @r#"
    config.toml: `mcp_servers.docs.auth.file`: there is `env` already
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\nsession_context = 'ful'").wrong(), @r#"
    config.toml:2:19: unknown value `ful`
      |
    2 | session_context = 'ful'
      |                   ^^^^^
    hint: did you mean `full`?
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\ntype = 'git'\nurl = 'x'").wrong(), @r#"
    config.toml: `mcp_servers.docs.ref`: a git source needs it
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\ntype = 'remote'\nurl = 'https://x.dev'\nref = 'v1'").wrong(), @r#"
    config.toml: `mcp_servers.docs.ref`: a remote server has no such key
    "#);
    insta::assert_snapshot!(User::with("[mcp_servers.docs]\ncommand = 'x'\nagents = ['cluade']").wrong(), @r#"
    config.toml: `mcp_servers.docs.agents[0]`: no agent `cluade`
    hint: did you mean `claude`? agents here: antigravity, auggie, claude, cline, codebuddy, codex, copilot, gemini, kilo, kimi, opencode, pi, qwen
    "#);
}

#[test]
fn servers_of_a_file_start_at_the_file() {
    let user = User::with(
        "[mcp_servers.here]\ntype = 'local'\npath = 'src/x'\ncommand = './run'\ncwd = '${MCP_ROOT}/a'\n\
         [mcp_servers.far]\ntype = 'git'\nurl = '../repo'\nref = 'v1'\ncommand = '${MCP_ROOT}/run'\n\
         agents = ['claude']\n\
         [mcp_servers.net]\ntype = 'remote'\nurl = 'https://x.dev'\nheaders = { A = '@file:~/key' }\n\
         auth = { file = 'token' }\n\
         [mcp_servers.net2]\ntype = 'remote'\nurl = 'https://x.dev'\n\
         auth = { command = ['~/bin/token', './x'] }\n\
         [mcp_servers.net3]\ntype = 'remote'\nurl = 'https://x.dev'\n\
         auth = { command = ['gcloud', 'auth'] }\n",
    )
    .file(
        "home/.config/wrapper/config.local.toml",
        "[mcp_servers.more]\ncommand = 'evil'",
    );
    let config = user.load();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("`mcp_servers` is ignored"));
    let names = |agent: &str| -> Vec<String> {
        let agent = agent.parse().expect("a name");
        let servers = config.servers_for(&agent);
        servers.map(|spec| spec.name.to_string()).collect()
    };
    assert_eq!(names("claude"), ["far", "here", "net", "net2", "net3"]);
    assert_eq!(names("codex"), ["here", "net", "net2", "net3"]);
    let specs: Vec<_> = (config.servers_for(&"claude".parse().expect("a name")))
        .map(|spec| spec.recipe.clone())
        .collect();
    let dir = user.path("home/.config/wrapper");
    let Recipe::Command {
        source, program, ..
    } = &specs[0]
    else {
        panic!("{specs:?}");
    };
    assert!(
        matches!(source, Source::Git(git) if Path::new(git.url.as_str()) == dir.join("../repo"))
    );
    assert_eq!(program, "${MCP_ROOT}/run");
    let Recipe::Command {
        source,
        program,
        cwd,
        ..
    } = &specs[1]
    else {
        panic!("{specs:?}");
    };
    assert_eq!(*source, Source::Local(dir.join("src/x")));
    assert_eq!(Path::new(program), dir.join("./run"));
    assert_eq!(cwd.as_deref(), Some("${MCP_ROOT}/a"));
    let Recipe::Remote { headers, .. } = &specs[2] else {
        panic!("{specs:?}");
    };
    assert_eq!(headers[0].1, [HeaderPart::File(user.path("home/key"))]);
    let source = |index: usize| match &specs[index] {
        Recipe::Remote {
            auth: Some(auth), ..
        } => auth.source.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(source(2), TokenSource::File(dir.join("token")));
    let argv = |index| match source(index) {
        TokenSource::Command(command) => command.argv,
        other => panic!("{other:?}"),
    };
    let program = user.path("home/bin/token").display().to_string();
    assert_eq!(argv(3), [&program, "./x"]);
    assert_eq!(argv(4), ["gcloud", "auth"]);
}

#[test]
fn a_mode_names_what_it_lacks() {
    let lacks = |mode: &str, more: &str| {
        User::with(&format!("[agents.qwen]\nmcp_inject = '{mode}'\n{more}")).wrong_agent("qwen")
    };
    for (mode, key) in [
        ("settings_file", "mcp_settings_path"),
        ("flag", "mcp_flag"),
        ("proxy_file", "mcp_flag"),
        ("proxy_flag", "mcp_proxy_flag_template"),
    ] {
        assert_eq!(
            lacks(mode, ""),
            format!("config.toml: agent `qwen`: `mcp_inject = \"{mode}\"` needs `{key}`")
        );
    }
    for (template, says) in [
        (
            "--u {url}",
            "`mcp_proxy_flag_template` needs `{key_env}`: the agent",
        ),
        (
            "--k {key_env}",
            "`mcp_proxy_flag_template` needs `{url}`: the agent",
        ),
        (
            "\"{url}",
            "cannot split `mcp_proxy_flag_template`: missing closing quote",
        ),
    ] {
        let said = lacks(
            "proxy_flag",
            &format!("mcp_proxy_flag_template = '{template}'"),
        );
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn an_agent_that_is_none_is_told_with_the_nearest() {
    let user = User::new();
    insta::assert_snapshot!(user.wrong_agent("cluade"), @r#"
    no agent `cluade`
    hint: did you mean `claude`? agents here: antigravity, auggie, claude, cline, codebuddy, codex, copilot, gemini, kilo, kimi, opencode, pi, qwen
    "#);
    insta::assert_snapshot!(user.wrong_agent("x"), @r#"
    no agent `x`
    hint: agents here: antigravity, auggie, claude, cline, codebuddy, codex, copilot, gemini, kilo, kimi, opencode, pi, qwen
    "#);
}

/// Runs the real binary: its exit code, what it says, and what it complains.
fn wrapper(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wrapper"))
        .args(args)
        .env_remove("COLUMNS")
        .output()
        .expect("started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn help_is_a_pleasure() {
    let (code, help, complaint) = wrapper(&["--help"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    insta::assert_snapshot!(help, @r#"
    Runs coding agent CLIs side by side: one chat, one proxy, prompts that arrive.

      wrapper <agent> [options] [-- ARGS…]    run claude, codex, gemini … here
      wrapper demo                            the whole loop, with a built-in agent
      wrapper ps                              the sessions; explain, restart SESSION
      wrapper stop SESSION…|--all, logs [-f]  end sessions; what one has logged
      wrapper attach SESSION                  look and type; Ctrl-\ then d leaves
      wrapper send SESSION TEXT, screen …     type a prompt; what the agent shows
      wrapper mcp list|get|set|rm|token …     a session's MCP servers, live
      wrapper serve                           the chat hub, in the foreground
      wrapper say TEXT, read [-f], who        the chat: write, read, who is online
      wrapper token rotate                    new tokens for the chat's users
      wrapper config [--origin]               the configuration, and who set what
      wrapper up [FILE], down [FILE]          start, stop the sessions of a file
      wrapper doctor [AGENT]                  what is wrong here, and the cure
      wrapper trust [list | forget DIR]       what you said of projects' servers
      wrapper completions bash|zsh|fish       has your shell complete all this

    A launch:
      --label TEXT, --cwd DIR  the name shown in the chat; where the agent runs
      -d, --detach, --headless in the background; in a service without a terminal
      --resume                 go on with the agent's last conversation here
      --restart WHEN           never, on-crash (the default) or always; --no-restart
      --offline, --tmux        without a hub; inside tmux
      --mcp NAME=URL, --mcp-file FILE         servers for this session alone
      --trust-project          take the servers of .mcp.json without asking
      --dry-run                show what would be set, written and run; do nothing
    Every verb (`wrapper VERB --help` says more):
      --config FILE            in place of ~/.config/wrapper/config.toml
      --port N, --mcp-http-port N, --mcp-sse-port N, --data-dir DIR, --upload-dir D
      --hub embedded           start our hub also where agentchattr's is at home
      --json, -h, --help, -V, --version
    What follows `--` goes to the agent untouched.
    "#);
    let (code, help, complaint) = wrapper(&["claude", "--help"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    insta::assert_snapshot!(help, @r#"
    Launch an agent here, in this terminal

    Usage: wrapper <agent> [options] [-- ARGS…]

    Arguments:
      <AGENT>    A configured agent: claude, codex, gemini …
      [ARGS]...  Arguments of the agent, untouched

    Options:
          --label <TEXT>       The name shown in the chat, and the session's title
          --cwd <DIR>          Where the agent runs [default: `cwd` of its configuration, else here]
          --restart <WHEN>     When to start the agent again: never, on-crash or always
          --no-restart         The same as --restart never
      -d, --detach             Run in the background: print the session's name once the agent runs
          --headless           Stay in the foreground without a terminal, for service managers and CI
          --resume             Go on with the agent's last conversation here, where the agent can
          --offline            Launch without a hub
          --tmux               Run inside tmux, in a session named after the agent
          --mcp <NAME=URL>     An MCP server for this session alone, by its URL; repeatable
          --mcp-file <FILE>    MCP servers for this session alone, in the form of `.mcp.json`;
                               repeatable
          --trust-project      Accept the servers of the project's `.mcp.json` without asking
          --dry-run            Show what would be set, written and run; do nothing
          --json               Print it as JSON: what would be done, or who was launched out of sight
          --config <FILE>      Read FILE in place of the user's configuration
          --data-dir <DIR>     Where the hub keeps its chat
          --port <N>           The hub's REST port
          --mcp-http-port <N>  The hub's MCP port, streamable HTTP
          --mcp-sse-port <N>   The hub's MCP port, SSE
          --upload-dir <DIR>   Where the hub keeps uploads
          --hub <embedded>     Start our own hub also where agentchattr's is at home
      -h, --help               Print help
    "#);
    let (code, help, complaint) = wrapper(&[]);
    assert_eq!((code, help.as_str()), (Some(2), ""));
    assert!(complaint.contains("wrapper <agent>"));
}

#[test]
fn wrong_usage_ends_with_2() {
    let (code, said, complaint) = wrapper(&["claude", "--model", "opus"]);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    insta::assert_snapshot!(complaint, @r#"
    error: unexpected argument '--model' found

      tip: options of the agent go after `--`: wrapper <agent> -- --model

    Usage: wrapper <agent> [options] [-- ARGS…]

    For more information, try '--help'.
    "#);
    let (code, _, complaint) = wrapper(&["claude", "--restart", "never", "--no-restart"]);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("cannot be used with"), "{complaint}");
}

#[test]
fn the_documented_file_may_be_copied_and_every_line_of_it_used() {
    let text = include_str!("../../config.toml");
    let copied = User::with(text);
    assert!(copied.load().warnings.is_empty());
    for name in ["claude", "codex", "gemini"] {
        let mut spec = copied.agent(name);
        let built_in = User::new();
        spec.cwd = built_in.path("here");
        if let Some(Inject::SettingsFile { path }) = &mut spec.inject {
            *path = built_in.path("home/.gemini/settings.json");
        }
        assert_eq!(spec, built_in.agent(name));
    }
    let (text, servers) = text.split_once("# [mcp_servers.").expect("an example");
    let (server, agent) = text.split_once("# [agents.reviewer]").expect("an example");
    for (table, lines) in [("server", server), ("agents.x", agent)] {
        let examples = lines.lines().filter_map(|line| line.strip_prefix("# "));
        let examples: Vec<_> = examples.filter(|line| line.contains(" = ")).collect();
        assert!(!examples.is_empty());
        for line in examples {
            let loaded = User::with(&format!("[{table}]\n{line}")).try_load();
            assert!(loaded.is_ok(), "{line}: {loaded:?}");
        }
    }
    let tables: Vec<&str> = servers.split("# [mcp_servers.").collect();
    for table in &tables {
        let lines = table.lines().enumerate();
        let lines: Vec<&str> = lines
            .map(|(n, line)| {
                if n == 0 {
                    line
                } else {
                    line.trim_start_matches("# ")
                }
            })
            .filter(|line| *line != "#")
            .collect();
        let loaded = User::with(&format!("[mcp_servers.{}", lines.join("\n"))).try_load();
        assert!(loaded.is_ok(), "{table}: {loaded:?}");
    }
    assert_eq!(tables.len(), 4);
}

#[test]
fn a_hub_that_listens_everywhere_is_spoken_to_here() {
    for (host, here) in [
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("::", "localhost"),
        ("[::]", "localhost"),
        ("[::1]", "::1"),
        ("127.0.0.2", "127.0.0.2"),
    ] {
        let user = User::with(&format!("[server]\nhost = \"{host}\""));
        assert_eq!(user.load().hub.host, here, "{host:?}");
    }
}
