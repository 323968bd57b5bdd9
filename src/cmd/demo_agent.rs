//! The agent of `wrapper demo`: no model, but a terminal program like the real
//! ones, and an honest client of the MCP server that it was told about.
//!
//! It edits a line in raw mode with bracketed paste on. A submitted prompt
//! that names channels makes it read each of them and answer there.

use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use nix::sys::termios::{self, SetArg, Termios};
use serde_json::{Value, json};

use crate::cli::DemoAgent;
use crate::loopback;
use crate::report::Failure;
use crate::types::exit::Exit;
use crate::types::owner::Owner;
use crate::types::upstream::Endpoint;

/// Runs until Ctrl-C or Ctrl-D, or the end of input.
///
/// # Errors
/// If the terminal or the MCP configuration cannot be used.
pub(super) fn run(args: &DemoAgent) -> Result<Exit, Failure> {
    work(args).map_err(|error| Failure::new(Exit::NotDone, error))
}

fn work(args: &DemoAgent) -> Result<Exit> {
    let server = Server::read(&args.mcp_config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _raw = Raw::enter()?;
    let mut line = Line::default();
    say("\x1b[?2004hada, the demo agent, is ready\r\n> ")?;
    let mut buffer = [0; 4096];
    loop {
        let count = io::stdin().read(&mut buffer)?;
        if count == 0 {
            return Ok(Exit::Done);
        }
        for key in line.feed(&buffer[..count]) {
            match key {
                Key::Text(text) => say(&text)?,
                Key::Erase => say("\x08 \x08")?,
                Key::Quit => {
                    say("\x1b[?2004l\r\n")?;
                    return Ok(Exit::Done);
                }
                Key::Submit(prompt) => {
                    say("\r\n")?;
                    if let Err(error) = runtime.block_on(server.answer(&prompt)) {
                        say(&format!("failed: {error:#}\r\n"))?;
                    }
                    say("> ")?;
                }
            }
        }
    }
}

/// The MCP server as the configuration file names it.
struct Server {
    url: Endpoint,
    authorization: String,
}

impl Server {
    /// The one entry of `{"mcpServers":{NAME:{"url","headers"}}}`, its
    /// `${VARIABLES}` replaced from the environment.
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let config: Value = serde_json::from_str(&text)?;
        let entry = config["mcpServers"]
            .as_object()
            .and_then(|servers| servers.values().next())
            .context("no server is configured")?;
        let url = entry["url"]
            .as_str()
            .context("the server has no `url`")?
            .parse()?;
        let mut authorization = entry["headers"]["Authorization"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if let Some((before, rest)) = authorization.split_once("${")
            && let Some((variable, after)) = rest.split_once('}')
        {
            let value = std::env::var(variable)
                .with_context(|| format!("the variable {variable} is not set"))?;
            authorization = format!("{before}{value}{after}");
        }
        Ok(Self { url, authorization })
    }

    /// Reads every channel that the prompt names and answers in it.
    async fn answer(&self, prompt: &str) -> Result<()> {
        self.ask("initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "demo-agent", "version": "1"}})).await?;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await?;
        let tools = self.ask("tools/list", json!({})).await?;
        let count = tools["tools"].as_array().map_or(0, Vec::len);
        say(&format!("  {count} tools are there\r\n"))?;
        for channel in prompt
            .split_whitespace()
            .filter_map(|word| word.strip_prefix('#'))
        {
            let channel = channel.trim_end_matches([',', '.']);
            let read = self.call("chat_read", json!({"channel": channel})).await?;
            let read: Value = serde_json::from_str(&read).unwrap_or_default();
            let last = read["messages"]
                .as_array()
                .and_then(|messages| messages.last())
                .and_then(|last| last["text"].as_str());
            let last = last.unwrap_or("nothing");
            let message = format!("I read \u{201c}{last}\u{201d}, and I am on it.");
            self.call("chat_send", json!({"channel": channel, "message": message}))
                .await?;
        }
        Ok(())
    }

    /// Calls a tool and shows it; its text.
    async fn call(&self, tool: &str, arguments: Value) -> Result<String> {
        say(&format!(
            "  calls {tool} #{}\r\n",
            arguments["channel"].as_str().unwrap_or_default()
        ))?;
        let result = self
            .ask("tools/call", json!({"name": tool, "arguments": arguments}))
            .await?;
        let text = result["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if result["isError"] == true || text.starts_with("Error") {
            bail!("{tool}: {text}");
        }
        Ok(text)
    }

    /// A request and its result.
    async fn ask(&self, method: &str, params: Value) -> Result<Value> {
        let mut answer = self
            .send(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .await?;
        if !answer["error"].is_null() {
            bail!("{method}: {}", answer["error"]["message"]);
        }
        Ok(answer["result"].take())
    }

    /// One POST; the JSON of its answer, null if there is none.
    async fn send(&self, message: &Value) -> Result<Value> {
        let stream =
            tokio::net::TcpStream::connect((self.url.host.as_str(), self.url.port)).await?;
        loopback::prove(&stream, &Owner::Us).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = hyper::Request::post(&self.url.path)
            .header("Host", self.url.authority())
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .body(Full::new(Bytes::from(message.to_string())))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let (status, body) = tokio::select! {
            biased;
            answer = answer => answer?,
            ended = connection => {
                ended?;
                bail!("the server hung up");
            }
        };
        if !status.is_success() {
            bail!("the server answered {status}");
        }
        let text = std::str::from_utf8(&body)?;
        let json = text
            .lines()
            .find_map(|line| line.strip_prefix("data:"))
            .unwrap_or(text)
            .trim();
        Ok(if json.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(json)?
        })
    }
}

/// A line that is being edited.
#[derive(Default)]
struct Line {
    text: String,
    /// Bytes of an escape sequence or a character that are not whole yet.
    pending: Vec<u8>,
    pasting: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Key {
    Text(String),
    Erase,
    Submit(String),
    Quit,
}

impl Line {
    /// What the bytes mean, after those that came before.
    fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for &byte in bytes {
            self.pending.push(byte);
            match (self.pending.as_slice(), byte) {
                (b"\x1b[200~", _) => self.pasting = true,
                (b"\x1b[201~", _) => self.pasting = false,
                // Any other sequence ends with a letter or a tilde.
                ([0x1b] | [0x1b, b'['], _) => continue,
                ([0x1b, ..], b'a'..=b'z' | b'A'..=b'Z' | b'~') => {}
                ([0x1b, ..], _) => continue,
                (_, b'\r' | b'\n') if !self.pasting => {
                    keys.push(Key::Submit(std::mem::take(&mut self.text)));
                }
                (_, 3 | 4) => keys.push(Key::Quit),
                (_, 8 | 127) if self.text.pop().is_some() => keys.push(Key::Erase),
                (_, 0..=31 | 127) => {}
                (whole, _) => match std::str::from_utf8(whole) {
                    Ok(text) => {
                        self.text.push_str(text);
                        keys.push(Key::Text(text.to_owned()));
                    }
                    Err(error) if error.error_len().is_none() => continue,
                    // No character, and none to come.
                    Err(_) => {}
                },
            }
            self.pending.clear();
        }
        keys
    }
}

/// The terminal in raw mode, until dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Result<Self> {
        let before = termios::tcgetattr(io::stdin()).context("the demo agent needs a terminal")?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone, and then there is nothing to restore.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_whatever_pieces_it_comes_in() {
        let input = "h\x7fhallo \u{e4}\x1b[A\x1b[200~pasted\rtext\x1b[201~\r\x03";
        let mut whole = Line::default();
        let keys = whole.feed(input.as_bytes());
        assert!(
            keys.contains(&Key::Submit("hallo \u{e4}pastedtext".into())),
            "{keys:?}"
        );
        assert_eq!(keys.last(), Some(&Key::Quit));
        let mut pieces = Line::default();
        let one_by_one: Vec<Key> = input
            .bytes()
            .flat_map(|byte| pieces.feed(&[byte]))
            .collect();
        assert_eq!(one_by_one, keys);
    }
}
