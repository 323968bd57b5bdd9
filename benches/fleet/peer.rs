//! The server that plays agentchattr in the tests, and its human.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::Failure;
use super::human::Human;

const SERVER: &str = env!("CARGO_BIN_EXE_fake-agentchattr");

pub(super) struct Peer {
    process: Child,
    /// REST and MCP.
    ports: [u16; 2],
    /// What a launch is told of it.
    pub(super) options: Vec<String>,
}

impl Peer {
    /// Starts it on ports that are free, with its data there.
    pub(super) fn start(data: &Path) -> Result<Self, Failure> {
        let mut process = Command::new(SERVER)
            .args(["--agent", "bench", "--port", "0", "--mcp-http-port", "0"])
            .args(["--mcp-sse-port", "0", "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)?;
        let port = |key: &str| -> Result<u16, Failure> {
            Ok(said[key].as_u64().ok_or("no port")?.try_into()?)
        };
        let mut options = vec!["--data-dir".to_owned(), data.display().to_string()];
        for (option, key) in [
            ("--port", "port"),
            ("--mcp-http-port", "mcp_http_port"),
            ("--mcp-sse-port", "mcp_sse_port"),
        ] {
            options.extend([option.to_owned(), port(key)?.to_string()]);
        }
        Ok(Self {
            process,
            ports: [port("port")?, port("mcp_http_port")?],
            options,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Says something, as the human.
    pub(super) async fn say(&self, text: &str) -> Result<(), Failure> {
        let human = Human::meet(self.ports[0], self.ports[1]).await?;
        human.say("general", text).await?;
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.process.kill().is_err() || self.process.wait().is_err() {
            println!("the server did not end");
        }
    }
}
