//! The stand-in's client of HTTP with SSE (MCP 2024-11-05).

use std::io::{BufRead, BufReader, Error, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::mcp::post;

/// An open stream, and where its server takes messages.
pub(crate) struct Stream {
    events: BufReader<TcpStream>,
    headers: Vec<(String, String)>,
    messages: String,
}

impl Stream {
    /// Opens the stream, and waits for its endpoint.
    pub(crate) fn open(url: &str, headers: Vec<(String, String)>) -> std::io::Result<Self> {
        let (host, path) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .unwrap_or((url, ""));
        // HTTP/1.0, so that the stream has no chunks.
        let mut head =
            format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\nAccept: text/event-stream\r\n");
        for (name, value) in &headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let mut events = TcpStream::connect(host)?;
        events.write_all(format!("{head}\r\n").as_bytes())?;
        let mut stream = Self {
            events: BufReader::new(events),
            headers,
            messages: String::new(),
        };
        let mut head = String::new();
        while stream.events.read_line(&mut head)? > 2 {}
        let endpoint = stream.event("endpoint")?;
        stream.messages = format!("http://{host}{endpoint}");
        Ok(stream)
    }

    /// Posts a message; its answer from the stream, if it is a request.
    pub(crate) fn send(&mut self, message: &Value) -> std::io::Result<Value> {
        let (said, _) = post(&self.messages, &self.headers, message)?;
        let is_taken = said["status"]
            .as_str()
            .is_some_and(|status| status.contains(" 202"));
        if !is_taken || message["id"].is_null() {
            return Ok(said);
        }
        Ok(serde_json::from_str(&self.event("message")?)?)
    }

    /// The data of the next event, which is one of this name.
    fn event(&mut self, name: &str) -> std::io::Result<String> {
        let (mut lines, name) = (Vec::new(), format!("event: {name}"));
        loop {
            let mut line = String::new();
            if self.events.read_line(&mut line)? == 0 {
                return Err(Error::other("the stream has ended"));
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let data = lines.iter().find_map(|line| line.strip_prefix("data: "));
        match data {
            Some(data) if lines[0] == name => Ok(data.to_owned()),
            _ => Err(Error::other(format!("no `{name}`: {lines:?}"))),
        }
    }
}
