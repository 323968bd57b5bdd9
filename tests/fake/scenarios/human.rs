//! The human of a running agentchattr: what its page does by REST, and words in
//! the chat, which MCP takes of anybody who is no agent.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Human {
    rest: u16,
    mcp: u16,
    /// The session token, which lives as long as the server.
    token: String,
}

impl Human {
    /// Reads the token where the page has it.
    pub(crate) async fn meet(rest: u16, mcp: u16) -> Result<Self> {
        let page = request(rest, "GET /", "", "").await?.body;
        let token = page.split("__SESSION_TOKEN__=\"").nth(1);
        let token = token.and_then(|rest| rest.split('"').next());
        let token = token.context("the page holds no token")?.to_owned();
        Ok(Self { rest, mcp, token })
    }

    /// Asks with the human's token; what must be answered with 200.
    pub(crate) async fn ask(&self, line: &str, body: &Value) -> Result<Value> {
        let token = format!("X-Session-Token: {}\r\n", self.token);
        let answer = request(self.rest, line, &token, &body.to_string()).await?;
        ensure!(answer.status == 200, "{line}: {answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Says something; the number of the message.
    pub(crate) async fn say(&self, channel: &str, text: &str) -> Result<u64> {
        let arguments = json!({"sender": "user", "message": text, "channel": channel});
        let said = self.tool(None, "chat_send", &arguments).await?;
        let id = said
            .strip_prefix("Sent (id=")
            .and_then(|rest| rest.strip_suffix(')'));
        let id = id.with_context(|| format!("not sent: {said}"))?;
        Ok(id.parse()?)
    }

    /// Calls a tool in an MCP session of its own; its text.
    pub(crate) async fn tool(
        &self,
        token: Option<&str>,
        tool: &str,
        arguments: &Value,
    ) -> Result<String> {
        let token = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "human", "version": "1"},
        });
        let opened = self.mcp("initialize", &hello, &token).await?;
        let session = opened.header("mcp-session-id").context("no MCP session")?;
        let lines = format!("{token}Mcp-Session-Id: {session}\r\n");
        let called = json!({"name": tool, "arguments": arguments});
        let answer = self.mcp("tools/call", &called, &lines).await;
        request(self.mcp, "DELETE /mcp", &lines, "").await?;
        let result = answer?.event()?;
        let text = result["result"]["content"][0]["text"].as_str();
        Ok(text
            .with_context(|| format!("{tool}: {result}"))?
            .to_owned())
    }

    async fn mcp(&self, method: &str, params: &Value, lines: &str) -> Result<Answer> {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let lines = format!("{lines}Accept: application/json, text/event-stream\r\n");
        let answer = request(self.mcp, "POST /mcp", &lines, &message.to_string()).await?;
        ensure!(answer.status == 200, "{method}: {answer:?}");
        Ok(answer)
    }
}

/// What an HTTP request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let line = lines.find(|(other, _)| other.eq_ignore_ascii_case(name));
        line.map(|(_, value)| value.trim())
    }

    /// The one event that it is.
    fn event(&self) -> Result<Value> {
        let mut lines = self.body.lines();
        let data = lines.find_map(|line| line.strip_prefix("data:"));
        Ok(serde_json::from_str(data.context("no event")?)?)
    }
}

/// One request on one connection; `line` is `GET /path`, `headers` end with a
/// line break each.
pub(crate) async fn request(port: u16, line: &str, headers: &str, body: &str) -> Result<Answer> {
    let length = body.len();
    // HTTP/1.0, so that the answer ends with the connection.
    let text = format!(
        "{line} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("{line}: no answer");
    };
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.with_context(|| format!("{line}: no status"))?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
