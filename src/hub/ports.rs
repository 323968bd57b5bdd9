//! The ports that a hub listens on, on a loopback address alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};
use tracing::warn;

/// Connections that may wait to be accepted, on each port.
const BACKLOG: u32 = 1024;

/// Every port, bound and listening, not served yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) rest: Port,
    pub(super) mcp: Port,
    pub(super) sse: Option<Port>,
}

/// A port, and what listens there.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) tcp: TcpListener,
    pub(super) number: u16,
}

/// Why a hub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else listens there.
    #[error("cannot listen on port {port}: it is taken")]
    Taken { port: u16 },
    #[error("cannot listen on `{host}`: the hub serves this machine alone")]
    NotLoopback { host: String },
    #[error("cannot listen on port {port}: {why}")]
    Other { port: u16, why: io::Error },
}

impl Bound {
    #[must_use]
    pub fn rest_port(&self) -> u16 {
        self.rest.number
    }

    /// Where MCP is spoken over streamable HTTP.
    #[must_use]
    pub fn mcp_port(&self) -> u16 {
        self.mcp.number
    }

    /// Where MCP is spoken over SSE; None if that port could not be had.
    #[must_use]
    pub fn sse_port(&self) -> Option<u16> {
        self.sse.as_ref().map(|port| port.number)
    }
}

/// Takes the ports on a loopback host; 0 takes any. A hub does without the one
/// for SSE, which few agents speak, and says so in the log.
///
/// # Errors
/// [`BindError`] names the port that cannot be had.
pub fn bind(host: &str, rest_port: u16, mcp_port: u16, sse_port: u16) -> Result<Bound, BindError> {
    let ip = match host {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        other => other.trim_matches(['[', ']']).parse().ok(),
    };
    let ip = ip
        .filter(IpAddr::is_loopback)
        .ok_or_else(|| BindError::NotLoopback { host: host.into() })?;
    let rest = listen(SocketAddr::new(ip, rest_port))?;
    let mcp = listen(SocketAddr::new(ip, mcp_port))?;
    let sse = listen(SocketAddr::new(ip, sse_port))
        .inspect_err(|error| warn!(%error, "agents that speak MCP over SSE cannot be served"))
        .ok();
    Ok(Bound { rest, mcp, sse })
}

fn listen(addr: SocketAddr) -> Result<Port, BindError> {
    let open = || {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let tcp = socket.listen(BACKLOG)?;
        let number = tcp.local_addr()?.port();
        Ok(Port { tcp, number })
    };
    let port = addr.port();
    open().map_err(|why: io::Error| match why.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { port },
        _ => BindError::Other { port, why },
    })
}
