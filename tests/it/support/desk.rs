//! A session's control socket and proxy, served in this process, without an
//! agent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use wrapper::catalog::{Catalog, Parts};
use wrapper::control::{self, Desk};
use wrapper::proxy::{self, Ledger, Patience, Settings};
use wrapper::session;
use wrapper::types::agent::{Dialect, Transport};
use wrapper::types::context::SessionContext;
use wrapper::types::identity::{Identity, ServerName, Token};
use wrapper::types::owner::Owner;
use wrapper::types::server::{Command, ContextLevel, Kind, Origin, Remote, Server};
use wrapper::types::upstream::{Endpoint, Live};

use super::hub::Answer;
use super::soon;

pub(crate) const KEY: &str = "the-key-of-the-proxy";

/// A session named `claude`, and nobody in it.
pub(crate) struct Room {
    dir: tempfile::TempDir,
    pub(crate) live: watch::Sender<Live>,
    _stop: DropGuard,
    _tasks: JoinSet<()>,
}

impl Room {
    /// A session with a server `up` at that port, if any, and commands.
    pub(crate) fn new(upstream: Option<u16>, commands: &[(&str, Command)]) -> Self {
        Self::deep(upstream, commands, "state")
    }

    /// The same with its socket that far down.
    pub(crate) fn deep(upstream: Option<u16>, commands: &[(&str, Command)], below: &str) -> Self {
        let name = |name: &str| -> ServerName { name.parse().expect("a name") };
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join(below);
        std::fs::create_dir_all(&place).expect("made");
        let server = |name: ServerName, kind| Server {
            name,
            origin: Origin::Config,
            kind,
            context: ContextLevel::None,
        };
        let remote = upstream.map(|port| {
            let remote = Remote {
                endpoint: Endpoint::loopback(port, "/mcp"),
                transport: Transport::Http,
                headers: Vec::new(),
                auth: None,
            };
            server(name("up"), Kind::Remote(remote))
        });
        let commands = commands
            .iter()
            .map(|(of, command)| server(name(of), Kind::Command(command.clone())));
        let servers: Vec<Server> = remote.into_iter().chain(commands).collect();
        let live = watch::Sender::new(Live::default());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let listener = proxy::bind().expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let socket = place.join(control::NAME);
        let context = SessionContext {
            id: "0123456789ab".parse().expect("an id"),
            title: "The Title".into(),
            name: "claude".into(),
            agent: "claude".parse().expect("a name"),
            control: socket,
        };
        let settings = Settings {
            key: Token::new(KEY),
            live: live.subscribe(),
            stale: Arc::new(Notify::new()),
            context: context.clone(),
            keepers: Arc::default(),
            patience: Patience::default(),
            ledger: Ledger::default(),
            hosting: Arc::default(),
            env: std::collections::BTreeMap::new(),
        };
        let stopped = stop.clone();
        tasks.spawn(async move {
            let served = proxy::serve(listener, settings, stopped).await;
            served.expect("served");
        });
        let parts = Parts {
            own: name("agentchattr"),
            dialect: Dialect::Generic,
            owner: Owner::Us,
            has_door: false,
            live: live.clone(),
            proxy: None,
            keepers: Arc::default(),
            hosting: Arc::default(),
            ledger: Ledger::default(),
            env: [].into(),
            cwd: dir.path().to_owned(),
        };
        let (session, _mailbox) = session::open();
        let desk = Desk {
            context,
            cwd: dir.path().to_owned(),
            proxy: Some((port, Token::new(KEY))),
            live: live.subscribe(),
            catalog: Arc::new(Catalog::new(parts, &servers)),
            prefixes: vec!["OPENCODE".into()],
            session,
            hub: None,
            started_at: SystemTime::UNIX_EPOCH,
            is_attached: false,
            log: "session.log".into(),
            team: None,
        };
        let listener = control::bind(&place).expect("a socket");
        tasks.spawn(control::serve(listener, desk, stop.clone()));
        Self {
            dir,
            live,
            _stop: stop.drop_guard(),
            _tasks: tasks,
        }
    }

    pub(crate) fn cwd(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Where the socket is, unless it is deep.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("state").join(control::NAME)
    }

    /// The hub has given the session another name.
    pub(crate) fn rename(&self, name: &str) {
        let identity = Identity {
            name: name.parse().expect("a name"),
            token: Token::new("the-token-of-the-hub"),
        };
        self.live
            .send_modify(|live| live.identity = Some(Arc::new(identity)));
    }

    /// A request as it is; `head` is `GET /path`.
    pub(crate) async fn ask(&self, head: &str, body: &str) -> Answer {
        let length = body.len();
        let text = format!("{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = soon(head, async {
            let mut stream = UnixStream::connect(self.socket()).await?;
            stream.write_all(text.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        });
        let answer = answer.await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        Answer {
            status: head[9..12].parse().expect("a status"),
            body: body.to_owned(),
        }
    }
}
