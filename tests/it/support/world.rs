//! A user's world in a temporary directory: home, configuration, state, hub;
//! the real binary runs in it, and nothing of it is left at the end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use wrapper::types::size::TermSize;

use super::eventually;
use super::pty::Outer;

pub(crate) const WRAPPER: &str = env!("CARGO_BIN_EXE_wrapper");
pub(crate) const FAKE: &str = env!("CARGO_BIN_EXE_fake-agent");

/// Dropped, it ends the hub that a launch has started, and sees to it that
/// no process of this world is left.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) mcp_port: u16,
    pub(crate) sse_port: u16,
    hub: Option<Child>,
}

impl World {
    /// A world with an agent `fake`, told of its servers by `--mcp-config`,
    /// and ports on which nothing listens.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (rest, mcp, sse) = (free(), free(), free());
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let world = Self {
            port: port(&rest),
            mcp_port: port(&mcp),
            sse_port: port(&sse),
            dir,
            hub: None,
        };
        for sub in ["home", "project"] {
            fs::create_dir(world.path(sub)).expect("made");
        }
        world.configure(&format!(
            "[agents.fake]\ncommand = {FAKE:?}\nlabel = \"Fake\"\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n"
        ));
        world
    }

    /// The same with a hub of its own process, in the foreground.
    pub(crate) fn with_hub() -> Self {
        let mut world = Self::new();
        world.start_hub();
        world
    }

    pub(crate) fn start_hub(&mut self) {
        let mut hub = self
            .command(&["serve", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the hub starts");
        let mut line = String::new();
        BufReader::new(hub.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("read");
        assert!(line.contains("mcp_url"), "{line:?}");
        self.hub = Some(hub);
    }

    /// Ends the hub without a word.
    pub(crate) fn kill_hub(&mut self) {
        let mut hub = self.hub.take().expect("a hub");
        hub.kill().expect("killed");
        hub.wait().expect("waited");
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("config.toml"), text).expect("written");
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// The variables of this world; none of the caller's that matter.
    fn env(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("HOME", self.path("home")),
            ("WRAPPER_STATE_DIR", self.path("state")),
            ("WRAPPER_CONFIG", self.path("config.toml")),
            ("XDG_DATA_HOME", self.path("data")),
            ("XDG_CONFIG_HOME", self.path("xdg-config")),
            ("XDG_STATE_HOME", self.path("xdg-state")),
            ("FAKE_REPORT", self.path("report")),
            ("WRAPPER_LOG", "debug".into()),
        ]
    }

    fn args<'a>(args: &[&'a str], ports: &'a [String; 6]) -> Vec<&'a str> {
        let dashes = args
            .iter()
            .position(|arg| *arg == "--")
            .unwrap_or(args.len());
        let (own, agents) = args.split_at(dashes);
        own.iter()
            .copied()
            .chain(ports.iter().map(String::as_str))
            .chain(agents.iter().copied())
            .collect()
    }

    fn ports(&self) -> [String; 6] {
        [
            "--port".into(),
            self.port.to_string(),
            "--mcp-http-port".into(),
            self.mcp_port.to_string(),
            "--mcp-sse-port".into(),
            self.sse_port.to_string(),
        ]
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(WRAPPER);
        command
            .args(Self::args(args, &self.ports()))
            .envs(self.env())
            .current_dir(self.path("project"))
            .stdin(Stdio::null());
        command
    }

    /// A verb that is to be run with a terminal of its own, or none.
    pub(crate) fn spawn(&self, args: &[&str]) -> Command {
        self.command(args)
    }

    /// Runs a verb without a terminal.
    pub(crate) fn verb(&self, args: &[&str]) -> Output {
        // A session of its own: what has no terminal cannot open /dev/tty.
        let mut command = Command::new("setsid");
        command
            .arg("--wait")
            .arg(WRAPPER)
            .args(Self::args(args, &self.ports()))
            .envs(self.env())
            .current_dir(self.path("project"));
        command
            .stdin(Stdio::null())
            .output()
            .expect("the verb runs")
    }

    /// Runs a verb that must succeed; what it prints as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.verb(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
    }

    /// Runs the program in a terminal, in the project.
    #[track_caller]
    pub(crate) fn launch(&self, args: &[&str]) -> Outer {
        self.launch_raw(&Self::args(args, &self.ports()))
    }

    /// Runs a shell in a terminal, in the project.
    #[track_caller]
    pub(crate) fn shell(&self) -> Outer {
        let env = self.env();
        let mut env: Vec<(&str, &Path)> = env
            .iter()
            .map(|(name, value)| (*name, value.as_path()))
            .collect();
        env.push(("PS1", Path::new("$ ")));
        Outer::started(
            TermSize::default(),
            "/bin/bash",
            &["--norc", "--noprofile", "-i"],
            &env,
            &self.path("project"),
        )
    }

    /// As [`World::launch`], with no ports named but by `args`.
    #[track_caller]
    pub(crate) fn launch_raw(&self, args: &[&str]) -> Outer {
        let env = self.env();
        let env: Vec<(&str, &Path)> = env
            .iter()
            .map(|(name, value)| (*name, value.as_path()))
            .collect();
        Outer::started(
            TermSize::default(),
            WRAPPER,
            args,
            &env,
            &self.path("project"),
        )
    }

    /// What the fake agent has seen so far, a JSON value a line.
    pub(crate) fn report(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("report")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for an entry of the report that has this key; its value.
    #[track_caller]
    pub(crate) fn reported(&self, key: &str) -> Value {
        eventually(&format!("`{key}` in the report"), || {
            self.report()
                .into_iter()
                .find_map(|mut entry| entry.get_mut(key).map(Value::take))
        })
    }

    /// Waits for the n-th message of this sender; its text.
    #[track_caller]
    pub(crate) fn said(&self, sender: &str, n: usize) -> String {
        eventually(&format!("message {n} of {sender}"), || {
            let all = self.json(&["read", "--json", "-n", "100"]);
            let mut of_sender = all
                .as_array()
                .expect("an array")
                .iter()
                .filter(|message| message["sender"] == sender && message["type"] == "chat");
            of_sender
                .nth(n - 1)
                .map(|message| message["text"].as_str().expect("text").to_owned())
        })
    }

    /// The names that are online.
    pub(crate) fn online(&self) -> Vec<String> {
        let all = self.json(&["who", "--json"]);
        let mut names: Vec<String> = all
            .as_array()
            .expect("an array")
            .iter()
            .filter(|entry| entry["online"] == true)
            .map(|entry| entry["name"].as_str().expect("a name").to_owned())
            .collect();
        names.sort();
        names
    }

    /// The token of an instance, as the hub keeps it.
    pub(crate) fn token(&self, instance: &str) -> String {
        let store = rusqlite::Connection::open_with_flags(
            self.path("data/wrapper/hub/hub.db"),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
        )
        .expect("the store");
        let query = "SELECT token FROM instances WHERE name = ?";
        let token = store.query_row(query, [instance], |row| row.get(0));
        token.expect("the token")
    }

    /// Every live process that has to do with this world, with its arguments.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let mark = self.dir.path().to_string_lossy().into_owned();
        let Ok(all) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        all.flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != std::process::id().cast_signed())
            .filter_map(|pid: i32| {
                let read = |file| {
                    fs::read(format!("/proc/{pid}/{file}"))
                        .ok()
                        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
                };
                let args = read("cmdline")?;
                let ours =
                    args.contains(&mark) || read("environ").is_some_and(|env| env.contains(&mark));
                (ours && !args.is_empty()).then_some((pid, args))
            })
            .collect()
    }

    /// The session directories that are there.
    pub(crate) fn sessions(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path("state/sessions")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.hub.is_some() {
            self.kill_hub();
        }
        for (pid, args) in self.processes() {
            // A session in the background has no terminal whose end would be its own.
            let is_orphan = std::thread::panicking() && args.contains(" --detached ");
            if is_orphan || args.contains(" serve --background ") {
                // It may have ended since.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if !std::thread::panicking() {
            eventually("nothing of this world is left running", || {
                let left = self.processes();
                left.is_empty().then_some(())
            });
        }
    }
}
