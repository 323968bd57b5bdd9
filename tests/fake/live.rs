//! The stand-in's MCP client as the real agents have it: connected from the
//! start, an open stream for what a server has to tell, the list of tools read
//! again when the server says that it has changed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::mcp::post;
use crate::report;
use crate::told::{self, Told};

/// An MCP session over HTTP.
#[derive(Clone)]
struct Link {
    url: String,
    headers: Vec<(String, String)>,
}

/// The sessions that are open, by their servers.
static LINKS: Mutex<BTreeMap<String, Link>> = Mutex::new(BTreeMap::new());

/// Connects to every server over HTTP, and reports its tools; `is_deaf`: hears
/// of no change.
pub(crate) fn connect(is_deaf: bool) {
    for (name, server) in told::servers() {
        let Told::Http {
            url,
            headers,
            is_sse: false,
        } = server
        else {
            continue;
        };
        let mut link = Link { url, headers };
        let initialize = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "fake-agent", "version": "1"},
        });
        let greeting = link.request("initialize", &initialize);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        link.send(&ready);
        let listens = greeting["result"]["capabilities"]["tools"]["listChanged"] == true;
        report(&json!({"connected": &name, "listens": listens}));
        links().insert(name.clone(), link.clone());
        list(&name, &mut link);
        if listens && !is_deaf {
            std::thread::spawn(move || listen(&name, link));
        }
    }
}

/// Calls a tool in the session with a server; the result, or the error.
pub(crate) fn call(server: &str, tool: &str, arguments: &str) -> Value {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
    let link = links().get(server).cloned();
    let Some(mut link) = link else {
        return json!({"error": "not connected"});
    };
    link.request("tools/call", &json!({"name": tool, "arguments": arguments}))
}

/// Reads a server's tools, and reports their names.
fn list(name: &str, link: &mut Link) {
    let listed = link.request("tools/list", &json!({}));
    let tools: Vec<&Value> = listed["result"]["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tool| &tool["name"])
        .collect();
    report(&json!({"tools": tools, "of": name}));
}

/// Reads the stream of a session to its end.
fn listen(name: &str, mut link: Link) {
    let heard = link.stream();
    report(&json!({"stream": name, "opened": heard.is_ok()}));
    let Ok(stream) = heard else { return };
    for line in stream.lines().map_while(Result::ok) {
        let Some(data) = line.strip_prefix("data:") else {
            continue;
        };
        let message: Value = serde_json::from_str(data).unwrap_or_default();
        if message["method"] == "notifications/tools/list_changed" {
            list(name, &mut link);
        }
    }
    report(&json!({"stream": name, "ended": true}));
}

impl Link {
    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    fn send(&mut self, message: &Value) -> Value {
        match post(&self.url, &self.headers, message) {
            Ok((answer, session)) => {
                self.headers
                    .extend(session.map(|id| ("Mcp-Session-Id".to_owned(), id)));
                answer
            }
            Err(error) => json!({"error": error.to_string()}),
        }
    }

    /// The lines of the stream of what the server has to tell.
    fn stream(&self) -> std::io::Result<BufReader<TcpStream>> {
        let (host, path) = self
            .url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .unwrap_or((&self.url, ""));
        let mut head =
            format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\nAccept: text/event-stream\r\n");
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let mut stream = TcpStream::connect(host)?;
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while stream.read_line(&mut head)? > 2 {}
        if head.contains(" 200 ") {
            Ok(stream)
        } else {
            Err(std::io::Error::other(head))
        }
    }
}

fn links() -> MutexGuard<'static, BTreeMap<String, Link>> {
    LINKS.lock().unwrap_or_else(PoisonError::into_inner)
}
