//! A proxy in front of an upstream, and a client that says what it is told.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wrapper::credential::Keepers;
use wrapper::hosting::Hosting;
use wrapper::paths::{self, Env};
use wrapper::proxy::{self, Ledger, Patience, Proxy, Settings};
use wrapper::types::agent::Transport;
use wrapper::types::context::SessionContext;
use wrapper::types::identity::{Identity, Token};
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Live, Upstream as Server};

use super::soon;
use super::upstream::Upstream;
use super::world::WRAPPER;

pub(crate) const SESSION: &str = "0123456789ab";
pub(crate) const KEY: &str = "the-key";
pub(crate) const SHORT: Duration = Duration::from_millis(50);

/// A proxy in front of an upstream.
pub(crate) struct Rig {
    pub(crate) upstream: Upstream,
    pub(crate) port: u16,
    pub(crate) live: watch::Sender<Live>,
    pub(crate) stale: Arc<Notify>,
    pub(crate) ledger: Ledger,
    pub(crate) hosting: Arc<Hosting>,
    pub(crate) proxy: Proxy,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn identity(name: &str, token: &str) -> Arc<Identity> {
    let name = name.parse().expect("a name");
    Arc::new(Identity {
        name,
        token: Token::new(token),
    })
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::patient(Patience::default())
    }

    pub(crate) fn patient(patience: Patience) -> Self {
        Self::with(patience, Keepers::default())
    }

    pub(crate) fn with(patience: Patience, keepers: Keepers) -> Self {
        Self::started(patience, keepers, Env::new())
    }

    /// One that goes by way of the proxies that these variables name.
    pub(crate) fn by_way_of(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter();
        let env = variables.map(|(name, value)| (name.into(), value.into()));
        let patience = Patience {
            away: Duration::from_secs(1),
            ..Patience::default()
        };
        Self::started(patience, Keepers::default(), env.collect())
    }

    fn started(patience: Patience, keepers: Keepers, env: Env) -> Self {
        let upstream = Upstream::start();
        let listener = proxy::bind().expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = |credential| {
            Arc::new(Server {
                endpoint: Endpoint::loopback(upstream.port, "/mcp"),
                transport: Transport::Http,
                credential,
                context: ContextLevel::None,
                owner: Owner::Us,
                is_guest: false,
            })
        };
        let name = |name: &str| name.parse().expect("a name");
        let live = watch::Sender::new(Live {
            identity: Some(identity("claude", "token-1")),
            upstreams: Arc::new(
                [
                    (name("hub"), server(Credential::Identity)),
                    (name("open"), server(Credential::Headers(Vec::new()))),
                ]
                .into(),
            ),
        });
        let (stale, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let ledger = Ledger::default();
        let variables = [("WRAPPER_SESSION_ID".to_owned(), SESSION.to_owned())];
        let here = std::env::current_dir().expect("a directory");
        let hosting = Hosting::new(paths::env(), variables.into(), here);
        let hosting = Arc::new(hosting.guarded_by(WRAPPER.into()));
        let settings = Settings {
            key: Token::new(KEY),
            live: live.subscribe(),
            stale: Arc::clone(&stale),
            patience,
            keepers: Arc::new(keepers),
            ledger: ledger.clone(),
            hosting: Arc::clone(&hosting),
            env,
            context: SessionContext {
                id: SESSION.parse().expect("an id"),
                title: "Claude Cod\u{e9}".into(),
                name: "claude".into(),
                agent: "claude".parse().expect("a name"),
                control: "control.sock".into(),
            },
        };
        let (proxy, stopped) = (Proxy::new(settings, port), stop.clone());
        let served = proxy.clone();
        let task = tokio::spawn(async move { served.serve(listener, stopped).await });
        Self {
            upstream,
            port,
            live,
            stale,
            ledger,
            hosting,
            proxy,
            stop,
            task,
        }
    }

    pub(crate) fn renew(&self, name: &str, token: &str) {
        self.live
            .send_modify(|live| live.identity = Some(identity(name, token)));
    }

    /// Puts a server of this name behind the proxy.
    pub(crate) fn put(&self, name: &str, server: Server) {
        let name = name.parse().expect("a name");
        self.live.send_modify(|live| {
            Arc::make_mut(&mut live.upstreams).insert(name, Arc::new(server));
        });
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.port).await
    }

    /// The head of a request that the gate lets in.
    pub(crate) fn head(&self, line: &str, more: &str) -> String {
        let port = self.port;
        format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {KEY}\r\n{more}\r\n"
        )
    }

    /// A message to the hub.
    pub(crate) fn post(&self, message: &Value) -> String {
        self.post_to("/hub/mcp", "", message)
    }

    pub(crate) fn post_to(&self, path: &str, lines: &str, message: &Value) -> String {
        let body = message.to_string();
        let more = format!(
            "{lines}Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.head(&format!("POST {path}"), &more) + &body
    }

    pub(crate) fn call(&self, tool: &str) -> String {
        let params = json!({ "name": tool, "arguments": { "sender": "me", "message": "hi" } });
        self.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }))
    }
}

/// A client that says exactly what it is told.
pub(crate) struct Raw {
    pub(crate) io: TcpStream,
    pub(crate) heard: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(port: u16) -> Self {
        let io = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        let (io, heard) = (io.expect("a connection"), Vec::new());
        Self { io, heard }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.expect("sent");
    }

    /// Reads until `end` has come; returns all up to there.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let what = format!("{end:?}");
        soon(&what, async {
            loop {
                if let Some(at) = memchr::memmem::find(&self.heard, end.as_bytes()) {
                    let heard: Vec<u8> = self.heard.drain(..at + end.len()).collect();
                    return String::from_utf8(heard).expect("text");
                }
                let n = self.io.read_buf(&mut self.heard).await.expect("no reset");
                assert_ne!(
                    n,
                    0,
                    "ended before {end:?}: {:?}",
                    String::from_utf8_lossy(&self.heard)
                );
            }
        })
        .await
    }

    /// Reads one answer with a length: head and body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").await;
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        let length: usize = length.unwrap_or(0);
        while self.heard.len() < length {
            let read = soon("a body", self.io.read_buf(&mut self.heard)).await;
            assert_ne!(read.expect("no reset"), 0, "a short body");
        }
        let body = self.heard.drain(..length).collect();
        (head, String::from_utf8(body).expect("text"))
    }

    /// Everything until the end.
    pub(crate) async fn rest(mut self) -> String {
        let read = soon("the end", self.io.read_to_end(&mut self.heard)).await;
        read.expect("no reset");
        String::from_utf8(self.heard).expect("text")
    }
}
