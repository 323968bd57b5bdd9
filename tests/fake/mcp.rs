//! The stand-in's MCP client: finds its server where its arguments say, as the
//! real agents do, and calls tools there.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// Where the server is, and the headers that it wants.
struct Server {
    url: String,
    headers: Vec<(String, String)>,
}

/// Calls a tool in an MCP session of its own; the result, or the error.
pub(crate) fn call(tool: &str, arguments: &str) -> Value {
    let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
    let Some(server) = find() else {
        return json!({"error": "no server was configured"});
    };
    let initialize = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "fake-agent", "version": "1"},
    });
    let talk = || -> std::io::Result<Value> {
        let (_, session) = post(&server, None, &request(1, "initialize", &initialize))?;
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        post(&server, session.as_deref(), &ready)?;
        let call = json!({"name": tool, "arguments": arguments});
        Ok(post(
            &server,
            session.as_deref(),
            &request(2, "tools/call", &call),
        )?
        .0)
    };
    talk().unwrap_or_else(|error| json!({"error": error.to_string()}))
}

fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The server that `--mcp-config`, `--settings` or `-c` name.
fn find() -> Option<Server> {
    let args: Vec<String> = std::env::args().collect();
    let mut server = Server {
        url: String::new(),
        headers: Vec::new(),
    };
    for pair in args.windows(2) {
        match pair[0].as_str() {
            "--mcp-config" | "--settings" => {
                let text = std::fs::read_to_string(&pair[1]).unwrap_or_else(|_| pair[1].clone());
                let file: Value = serde_json::from_str(&text).ok()?;
                let entry = file["mcpServers"].as_object()?.values().next()?;
                let url = entry.get("url").or(entry.get("httpUrl"))?;
                server.url = expand(url.as_str()?);
                for (name, value) in entry["headers"].as_object().into_iter().flatten() {
                    server.headers.push((name.clone(), expand(value.as_str()?)));
                }
            }
            "-c" => {
                let (key, value) = pair[1].split_once('=')?;
                let value = value.trim_matches('"');
                match key.rsplit('.').next()? {
                    "url" => value.clone_into(&mut server.url),
                    "bearer_token_env_var" => {
                        let token = format!("Bearer {}", std::env::var(value).ok()?);
                        server.headers.push(("Authorization".into(), token));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    (!server.url.is_empty()).then_some(server)
}

/// Replaces every `${VAR}`.
fn expand(text: &str) -> String {
    let mut parts = text.split("${");
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        expanded.push_str(&std::env::var(name).unwrap_or_default());
        expanded.push_str(rest);
    }
    expanded
}

/// Posts a message; the answer, and the MCP session that it belongs to.
fn post(
    server: &Server,
    session: Option<&str>,
    body: &Value,
) -> std::io::Result<(Value, Option<String>)> {
    let (host, path) = server
        .url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap_or((&server.url, ""));
    let body = body.to_string();
    // HTTP/1.0, so that the answer ends with the connection.
    let mut head = format!(
        "POST /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n",
        body.len()
    );
    let session = session.map(|id| ("Mcp-Session-Id".to_owned(), id.to_owned()));
    for (name, value) in server.headers.iter().chain(&session) {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let id = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("mcp-session-id")
            .then(|| value.trim().to_owned())
    });
    let json = body.lines().find_map(|line| {
        let line = line.strip_prefix("data:").unwrap_or(line).trim();
        serde_json::from_str(line).ok()
    });
    let status = head.lines().next().unwrap_or_default();
    Ok((
        json.unwrap_or_else(|| json!({"status": status, "body": body})),
        id,
    ))
}
