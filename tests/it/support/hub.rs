//! A hub of ours, served in this process on ports of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wrapper::hub::{self, Client, Settings};
use wrapper::types::identity::{Identity, Token};
use wrapper::types::upstream::Endpoint;

use super::soon;

pub(crate) struct Hub {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) rest_port: u16,
    pub(crate) mcp_port: u16,
    pub(crate) sse_port: u16,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::start_in(Arc::new(dir), None).await
    }

    /// A hub with what is in the directory, as after a restart.
    pub(crate) async fn start_in(dir: Arc<TempDir>, idle_exit: Option<Duration>) -> Self {
        let bound = hub::bind("127.0.0.1", 0, 0, 0).expect("three ports");
        let (rest_port, mcp_port) = (bound.rest_port(), bound.mcp_port());
        let sse_port = bound.sse_port().expect("a port for SSE");
        let stop = CancellationToken::new();
        let settings = Settings {
            data_dir: dir.path().join("hub"),
            max_hops: 4,
            idle_exit,
        };
        let served = tokio::spawn(hub::serve(
            hub::open(bound, &settings).expect("a hub"),
            stop.clone(),
        ));
        let hub = Self {
            dir,
            rest_port,
            mcp_port,
            sse_port,
            stop,
            served,
        };
        soon("health", hub.client().health())
            .await
            .expect("it is up");
        hub
    }

    /// Stops it in the ordinary way, and starts it again on other ports.
    pub(crate) async fn restart(self) -> Self {
        let dir = Arc::clone(&self.dir);
        self.stop().await;
        Self::start_in(dir, None).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.end().await;
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(self) {
        soon("the end of the hub", self.served)
            .await
            .expect("no panic")
            .expect("a clean end");
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("hub")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(Endpoint::loopback(self.rest_port, "/"))
    }

    pub(crate) fn human(&self) -> Token {
        human(&self.data_dir())
    }

    /// Registers an instance with the human's token.
    pub(crate) async fn enter(&self, base: &str) -> Identity {
        let base = base.parse().expect("a base");
        self.client()
            .register(&base, None, None, Some(&self.human()))
            .await
            .expect("registered")
            .identity
    }

    /// A request as it is, to the REST port.
    pub(crate) async fn rest(&self, head: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = format!("127.0.0.1:{}", self.rest_port);
        ask(self.rest_port, head, &host, headers, body).await
    }

    /// A POST as it is, to the MCP endpoint.
    pub(crate) async fn mcp(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = format!("127.0.0.1:{}", self.mcp_port);
        ask(self.mcp_port, "POST /mcp", &host, headers, body).await
    }

    /// A real MCP client with this token.
    pub(crate) async fn tools(&self, token: &Token) -> Tools {
        let url = format!("http://127.0.0.1:{}/mcp", self.mcp_port);
        let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token.expose());
        let transport = StreamableHttpClientTransport::from_config(config);
        Tools(soon("MCP", ().serve(transport)).await.expect("a handshake"))
    }
}

pub(crate) fn human(data_dir: &Path) -> Token {
    hub::human_token(data_dir).expect("the human's token")
}

/// What an HTTP request was answered.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }
}

/// One request on one connection; `head` is `GET /path`.
pub(crate) async fn ask(
    port: u16,
    head: &str,
    host: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let host = [("Host", host)];
    let lines: String = host
        .iter()
        .filter(|(_, host)| !host.is_empty())
        .chain(headers)
        .flat_map(|(name, value)| [name, ": ", value, "\r\n"])
        .collect();
    let length = body.len();
    let text = format!(
        "{head} HTTP/1.1\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = soon(head, exchange).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    Answer {
        status: head[9..12].parse().expect("a status"),
        body: body.to_owned(),
    }
}

/// `Authorization` with a token.
pub(crate) fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

/// A real MCP client in its session.
pub(crate) struct Tools(pub(crate) RunningService<RoleClient, ()>);

impl Tools {
    pub(crate) async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().cloned().expect("an object");
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        soon(tool, self.0.call_tool(params))
            .await
            .expect("a result")
    }

    /// Calls a tool that works, and returns its text.
    pub(crate) async fn text(&self, tool: &'static str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{result:?}");
        text(&result)
    }

    /// The messages that a read returns, as `sender: text`.
    pub(crate) async fn read(&self, arguments: Value) -> Vec<String> {
        let text = self.text("chat_read", arguments).await;
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            return Vec::new();
        };
        value["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|one| {
                let field = |key: &str| one[key].as_str().expect("a string").to_owned();
                format!("{}: {}", field("sender"), field("text"))
            })
            .collect()
    }
}

/// The text of a result, which it carries twice.
pub(crate) fn text(result: &CallToolResult) -> String {
    let value = serde_json::to_value(result).expect("json");
    let text = value["content"][0]["text"].as_str().expect("a text");
    assert_eq!(value["structuredContent"]["result"], text);
    text.to_owned()
}
