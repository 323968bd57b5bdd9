//! A hub of the bench's own, in the foreground, on ports that were free.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use wrapper::hub::{self, Client};
use wrapper::types::identity::Token;
use wrapper::types::trigger::ChannelName;
use wrapper::types::upstream::Endpoint;

use super::Failure;

pub(crate) struct Hub {
    process: Child,
    client: Client,
    human: Token,
    /// `--port`, its value, `--mcp-http-port`, its value.
    pub(crate) ports: Vec<String>,
}

impl Hub {
    /// Starts it: the program in its environment, and where that has it keep
    /// its data.
    pub(crate) fn start(mut program: Command, data: &Path) -> Result<Self, Failure> {
        let mut process = program
            .args(["serve", "--json", "--port", "0", "--mcp-http-port", "0"])
            .args(["--mcp-sse-port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)?;
        let port = |key: &str| -> Option<u16> {
            let url = said[key].as_str()?.trim_end_matches("/mcp");
            url.rsplit_once(':')?.1.parse().ok()
        };
        let (rest, mcp) = (
            port("url").ok_or("no port")?,
            port("mcp_url").ok_or("no port")?,
        );
        let ports = ["--port", &rest.to_string()].map(str::to_owned);
        let mcp = ["--mcp-http-port", &mcp.to_string()].map(str::to_owned);
        Ok(Self {
            process,
            client: Client::new(Endpoint::loopback(rest, "/")),
            human: hub::human_token(data)?,
            ports: [ports, mcp].concat(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Says something, as the human.
    pub(crate) async fn say(&self, text: &str) -> Result<(), Failure> {
        let channel = ChannelName::general();
        self.client.send(&self.human, text, &channel).await?;
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Ended politely, it closes its store before that is removed.
        let asked = kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM);
        if asked.is_err() || self.process.wait().is_err() {
            println!("the hub did not end");
        }
    }
}
