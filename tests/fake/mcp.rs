//! The stand-in's MCP client: connects to the servers that it was told of, as
//! the real agents do, and calls tools there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use crate::sse::Stream;
use crate::told::{self, Told};

/// An MCP session with one server.
enum Link {
    Http {
        url: String,
        headers: Vec<(String, String)>,
    },
    Sse(Stream),
    Command(Box<Child>),
}

/// The stream that is kept from call to call, as agents do.
static KEPT: Mutex<Option<Link>> = Mutex::new(None);

/// Calls a tool of the hub, or else of the first server; the result, or the
/// error.
pub(crate) fn call(tool: &str, arguments: &str) -> Value {
    let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
    let mut servers = told::servers();
    let hub = servers.remove("agentchattr");
    let Some(server) = hub.or_else(|| servers.into_values().next()) else {
        return json!({"error": "no server was configured"});
    };
    let talk = || -> std::io::Result<Value> {
        let mut kept = KEPT.lock().expect("no panic before");
        let mut link = match kept.take() {
            Some(link) => link,
            None => connect(server, false)?,
        };
        let call = json!({"name": tool, "arguments": arguments});
        let answer = link.request("tools/call", &call)?;
        *kept = matches!(link, Link::Sse(_)).then_some(link);
        Ok(answer)
    };
    talk().unwrap_or_else(|error| json!({"error": error.to_string()}))
}

/// Connects to every server: its tools, and what its tool `environment` says.
/// `cleared`: commands get nothing of our environment but what their entries
/// say.
pub(crate) fn probe(cleared: bool) -> Value {
    let mut found = Map::new();
    for (name, server) in told::servers() {
        let ask = || -> std::io::Result<Value> {
            let mut link = connect(server, cleared)?;
            let listed = link.request("tools/list", &json!({}))?;
            let tools: Vec<&Value> = listed["result"]["tools"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|tool| &tool["name"])
                .collect();
            let mut said = match listed.get("result") {
                Some(_) => json!({"tools": tools}),
                None => json!({"error": listed}),
            };
            if tools.iter().any(|tool| **tool == "environment") {
                let call = json!({"name": "environment", "arguments": {}});
                let result = link.request("tools/call", &call)?;
                let text = result["result"]["content"][0]["text"].as_str();
                said["told"] = serde_json::from_str(text.unwrap_or("null"))?;
            }
            Ok(said)
        };
        let said = ask().unwrap_or_else(|error| json!({"error": error.to_string()}));
        found.insert(name, said);
    }
    Value::Object(found)
}

fn connect(server: Told, cleared: bool) -> std::io::Result<Link> {
    let mut link = match server {
        Told::Http {
            url,
            headers,
            is_sse: true,
        } => Link::Sse(Stream::open(&url, headers)?),
        Told::Http { url, headers, .. } => Link::Http { url, headers },
        Told::Command { words, env, cwd } => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            if cleared {
                let kept = ["PATH", "HOME"].map(|name| (name, std::env::var_os(name)));
                command.env_clear();
                command.envs(
                    kept.into_iter()
                        .filter_map(|(name, value)| Some((name, value?))),
                );
            }
            if let Some(cwd) = cwd {
                command.current_dir(cwd);
            }
            let child = command
                .envs(env)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            Link::Command(Box::new(child))
        }
    };
    let initialize = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "fake-agent", "version": "1"},
    });
    link.request("initialize", &initialize)?;
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    link.send(&ready)?;
    Ok(link)
}

impl Link {
    /// Asks; the answer.
    fn request(&mut self, method: &str, params: &Value) -> std::io::Result<Value> {
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    /// Sends a message; its answer, if it is a request.
    fn send(&mut self, message: &Value) -> std::io::Result<Value> {
        match self {
            Self::Http { url, headers } => {
                let (answer, session) = post(url, headers, message)?;
                headers.extend(session.map(|id| ("Mcp-Session-Id".to_owned(), id)));
                Ok(answer)
            }
            Self::Sse(stream) => stream.send(message),
            Self::Command(child) => {
                let (Some(input), Some(output)) = (&mut child.stdin, &mut child.stdout) else {
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                };
                writeln!(input, "{message}")?;
                if message["id"].is_null() {
                    return Ok(Value::Null);
                }
                let mut line = String::new();
                BufReader::with_capacity(1, output).read_line(&mut line)?;
                Ok(serde_json::from_str(&line)?)
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Self::Command(child) = self {
            drop(child.stdin.take());
            // It ends with its input; what it says then is its own matter.
            let _ = child.wait();
        }
    }
}

/// Posts a message; the answer, and the MCP session that begins with it.
pub(crate) fn post(
    url: &str,
    headers: &[(String, String)],
    body: &Value,
) -> std::io::Result<(Value, Option<String>)> {
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap_or((url, ""));
    let body = body.to_string();
    // HTTP/1.0, so that the answer ends with the connection.
    let mut head = format!(
        "POST /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut stream = BufReader::new(stream);
    let (mut head, mut body) = (String::new(), String::new());
    while stream.read_line(&mut head)? > 2 {}
    let length = head.lines().find_map(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix("content-length:")?.trim().parse().ok()
    });
    stream
        .take(length.unwrap_or(u64::MAX))
        .read_to_string(&mut body)?;
    let id = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("mcp-session-id")
            .then(|| value.trim().to_owned())
    });
    let events = || {
        let mut lines = body.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.find_map(|line| serde_json::from_str(line).ok())
    };
    let json = serde_json::from_str(&body).ok().or_else(events);
    let status = head.lines().next().unwrap_or_default();
    Ok((
        json.unwrap_or_else(|| json!({"status": status, "body": body})),
        id,
    ))
}
