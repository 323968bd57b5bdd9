//! The room behind its lock, the clock, the timers and the three ports.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::middleware;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use wrapper::report;
use wrapper::types::identity::Token;

use crate::room::Room;
use crate::settings::Settings;
use crate::{gate, rest, sse, store, streamable};

pub(crate) struct Server {
    room: Mutex<Room>,
    pub(crate) data_dir: PathBuf,
    /// REST, streamable HTTP, SSE.
    pub(crate) ports: [u16; 3],
    /// The human's.
    pub(crate) session_token: String,
    /// MCP sessions over streamable HTTP.
    pub(crate) sessions: watch::Sender<BTreeSet<String>>,
    pub(crate) streams: sse::Streams,
}

impl Server {
    /// Does something to the room, and writes what follows from it before
    /// anybody else is let in.
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut Room, f64) -> T) -> T {
        let mut room = self.room();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let out = what(&mut room, now.unwrap_or_default().as_secs_f64());
        let effects = std::mem::take(&mut room.effects);
        if let Err(error) = store::apply(&self.data_dir, effects) {
            let dir = self.data_dir.display();
            report::warning(format_args!("cannot write into {dir}: {error}"));
        }
        out
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What agentchattr does every three seconds.
    async fn tick(&self, pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            self.with(Room::sweep);
            for name in store::recovered(&self.data_dir).unwrap_or_default() {
                let text = format!(
                    "Agent routing for {name} interrupted — auto-recovered. If agents aren't responding, try sending your message again."
                );
                self.with(|room, now| room.say(&text, "chat", "general", now));
            }
        }
    }
}

/// 32 random hexadecimal digits.
pub(crate) fn hex() -> String {
    Token::random().expose().to_owned()
}

/// Serves until it is ended. Says its ports and the human's token first, in one
/// line.
pub(crate) async fn serve(settings: Settings) -> Result<()> {
    let kept = store::load(&settings.data_dir, settings.rules.keeps_registry)?;
    let mut listeners = Vec::new();
    for port in settings.ports {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        listeners.push(listener.with_context(|| format!("cannot listen on port {port}"))?);
    }
    let [rest, http, sse] = <[TcpListener; 3]>::try_from(listeners).expect("three listeners");
    let port = |listener: &TcpListener| -> Result<u16> { Ok(listener.local_addr()?.port()) };
    let server = Arc::new(Server {
        room: Mutex::new(Room::new(settings.rules, kept)),
        data_dir: settings.data_dir,
        ports: [port(&rest)?, port(&http)?, port(&sse)?],
        session_token: hex() + &hex(),
        sessions: watch::Sender::default(),
        streams: sse::Streams::default(),
    });
    report::line(told(&server));
    let barred = middleware::from_fn_with_state(Arc::clone(&server), gate::pass);
    let routes = rest::routes().layer(barred).with_state(Arc::clone(&server));
    let http_routes = streamable::routes().with_state(Arc::clone(&server));
    let sse_routes = sse::routes().with_state(Arc::clone(&server));
    let pause = Duration::from_secs(3).mul_f64(settings.time_scale);
    tokio::select! {
        served = axum::serve(rest, routes) => served?,
        served = axum::serve(http, http_routes) => served?,
        served = axum::serve(sse, sse_routes) => served?,
        () = server.tick(pause) => {}
    }
    Ok(())
}

fn told(server: &Server) -> Value {
    let [rest, http, sse] = server.ports;
    json!({
        "port": rest,
        "mcp_http_port": http,
        "mcp_sse_port": sse,
        "session_token": server.session_token,
        "data_dir": server.data_dir,
    })
}
