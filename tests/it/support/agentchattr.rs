//! The server that plays agentchattr, as a process, and its human.

#[path = "../../fake/scenarios/human.rs"]
mod human;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::human::{Human, request};
use super::soon;
use super::world::{FAKE, World};

const SERVER: &str = env!("CARGO_BIN_EXE_fake-agentchattr");

/// A server on ports of its own; ended when it is dropped.
pub(crate) struct Agentchattr {
    child: Option<Child>,
    /// REST, MCP, MCP over SSE.
    pub(crate) ports: [u16; 3],
    pub(crate) data_dir: PathBuf,
    pub(crate) session_token: String,
    options: Vec<String>,
    /// Its own, if it is nobody else's world.
    dir: Option<TempDir>,
}

impl Agentchattr {
    /// One with the agents `claude`, `codex` and `fake`, on ports that are
    /// free, with these options besides.
    pub(crate) fn start(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let agents = ["--agent", "claude", "--agent", "codex", "--agent", "fake"];
        let options = [&agents, options].concat();
        let mut server = Self::started(&options, [0; 3], dir.path().join("data"));
        server.dir = Some(dir);
        server
    }

    /// One for a world, whose configuration becomes one of agentchattr's: on the
    /// world's ports, with the world's agent.
    pub(crate) fn of(world: &World, options: &[&str]) -> Self {
        let data_dir = world.path("agentchattr");
        world.configure(&format!(
            "[server]\ndata_dir = \"{}\"\n\n[routing]\ndefault = \"none\"\n\n[agents.fake]\ncommand = {FAKE:?}\nlabel = \"Fake\"\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n",
            data_dir.display()
        ));
        let config = world.path("config.toml");
        let config = ["--config", config.to_str().expect("text")];
        let ports = [world.port, world.mcp_port, world.sse_port];
        Self::started(&[&config, options].concat(), ports, data_dir)
    }

    fn started(options: &[&str], ports: [u16; 3], data_dir: PathBuf) -> Self {
        let mut server = Self {
            child: None,
            ports,
            data_dir,
            session_token: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            dir: None,
        };
        server.restart();
        server
    }

    /// Ends it without a word.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("waited");
        }
    }

    /// Stops it and starts it again on its ports, with its data directory.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let mut command = Command::new(SERVER);
        command
            .args(&self.options)
            .arg("--data-dir")
            .arg(&self.data_dir);
        let flags = ["--port", "--mcp-http-port", "--mcp-sse-port"];
        for (flag, port) in flags.into_iter().zip(self.ports) {
            command.args([flag, &port.to_string()]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("read");
        self.child = Some(child);
        let told: Value = serde_json::from_str(&line).expect("a line of JSON");
        let port = |key: &str| told[key].as_u64().and_then(|port| port.try_into().ok());
        let keys = ["port", "mcp_http_port", "mcp_sse_port"];
        self.ports = keys.map(|key| port(key).expect("a port"));
        told["session_token"]
            .as_str()
            .expect("a token")
            .clone_into(&mut self.session_token);
    }

    /// A request to the REST port: status and body. `headers` end with a line
    /// break each.
    pub(crate) async fn rest(&self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let asked = request(self.ports[0], line, headers, body);
        let answer = soon(line, asked).await.expect("an answer");
        (answer.status, answer.body)
    }

    /// What a request without a token is answered, which must go well.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let line = format!("POST {path}");
        let (status, body) = self.rest(&line, "", &body.to_string()).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Registers an instance: its name and token.
    pub(crate) async fn register(&self, base: &str) -> (String, String) {
        let record = self.post("/api/register", &json!({"base": base})).await;
        let text = |key: &str| record[key].as_str().expect("text").to_owned();
        (text("name"), text("token"))
    }

    /// Sends a heartbeat: status and body.
    pub(crate) async fn beat(&self, token: &str) -> (u16, String) {
        self.rest("POST /api/heartbeat/x", &bearer(token), "").await
    }

    pub(crate) async fn deregister(&self, token: &str) -> (u16, String) {
        self.rest("POST /api/deregister/x", &bearer(token), "")
            .await
    }

    async fn human(&self) -> Human {
        let [rest, mcp, _] = self.ports;
        let met = soon("the page", Human::meet(rest, mcp));
        met.await.expect("a human")
    }

    /// What the human's page is answered.
    pub(crate) async fn ask(&self, line: &str, body: &Value) -> Value {
        let human = self.human().await;
        soon(line, human.ask(line, body)).await.expect("an answer")
    }

    /// The human says something.
    pub(crate) async fn say(&self, channel: &str, text: &str) -> u64 {
        let human = self.human().await;
        let said = soon("a message", human.say(channel, text));
        said.await.expect("it is said")
    }

    /// Calls a tool with a token, or without one: its text.
    pub(crate) async fn tool(&self, token: Option<&str>, tool: &str, arguments: Value) -> String {
        let human = self.human().await;
        let called = soon(tool, human.tool(token, tool, &arguments));
        called.await.expect("a text")
    }

    /// The last messages, as `sender: text`.
    pub(crate) async fn said(&self) -> Vec<String> {
        let all = self.ask("GET /api/messages", &Value::Null).await;
        let all = all.as_array().expect("messages");
        let text = |one: &Value, key: &str| one[key].as_str().expect("text").to_owned();
        let shown = all
            .iter()
            .map(|one| text(one, "sender") + ": " + &text(one, "text"));
        shown.collect()
    }

    /// What was said to the server so far, by its kind.
    pub(crate) async fn told(&self, what: &str) -> Vec<Value> {
        let (_, body) = self.rest("GET /__test/log", "", "").await;
        let all: Vec<Value> = serde_json::from_str(&body).expect("a log");
        all.into_iter().filter(|one| one["what"] == what).collect()
    }

    /// The queue file of an instance.
    pub(crate) fn queue(&self, name: &str) -> String {
        let path = self.data_dir.join(format!("{name}_queue.jsonl"));
        fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Agentchattr {
    fn drop(&mut self) {
        self.stop();
        drop(self.dir.take());
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}
