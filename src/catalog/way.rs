//! How a change of a session's servers reaches its running agent. Pure.

use crate::types::agent::Transport;
use crate::types::server::{Kind, Server};

/// What can be done while the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The agent has an entry that leads to our proxy: what is behind it may
    /// change.
    Replace,
    /// Its tools may stand beside the hub's.
    Guest,
    /// They stand there, and it gets another credential alone.
    Renew,
    /// Nothing before the agent starts again, and why.
    Later(&'static str),
}

/// What is known of the agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agent {
    /// It speaks to the hub through our proxy, over streamable HTTP: tools can
    /// be added there.
    pub(super) has_door: bool,
}

/// The way of `next` in the place of `current`; `is_told` if the agent was
/// told of that when it started.
pub(super) fn way(current: Option<&Server>, is_told: bool, next: &Server, agent: Agent) -> Way {
    let transport = transport(next);
    match current.filter(|_| is_told) {
        Some(current) => match (self::transport(current), transport) {
            (None, _) => Way::Later("the agent runs this server itself"),
            (Some(old), Some(new)) if old == new => Way::Replace,
            (_, None) => Way::Later("the agent is to run this server itself"),
            _ => Way::Later("the agent was told that it speaks another transport"),
        },
        None if transport.is_none() => Way::Later("the agent is to run this server itself"),
        None if transport == Some(Transport::Sse) => {
            Way::Later("a server over SSE cannot stand beside the hub's tools")
        }
        None if agent.has_door && current.is_some_and(|current| is_renewal(current, next)) => {
            Way::Renew
        }
        None if agent.has_door => Way::Guest,
        None => Way::Later("the agent has no entry that new tools could be shown on"),
    }
}

/// True if `next` is the same server at the same place, with another credential
/// perhaps.
fn is_renewal(current: &Server, next: &Server) -> bool {
    match (&current.kind, &next.kind) {
        (Kind::Remote(current), Kind::Remote(next)) => current.endpoint == next.endpoint,
        _ => false,
    }
}

/// What a server speaks behind the proxy; None: it is not there.
fn transport(server: &Server) -> Option<Transport> {
    match &server.kind {
        Kind::Remote(remote) => Some(remote.transport),
        Kind::Command(command) => command.is_hosted.then_some(Transport::Http),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::server::{Command, ContextLevel, Origin, Remote};
    use crate::types::upstream::Endpoint;

    fn server(kind: Kind) -> Server {
        Server {
            name: "docs".parse().expect("a name"),
            origin: Origin::Session,
            kind,
            context: ContextLevel::Id,
        }
    }

    fn remote(transport: Transport) -> Server {
        server(Kind::Remote(Remote {
            endpoint: Endpoint::loopback(1, "/mcp"),
            transport,
            headers: Vec::new(),
            auth: None,
        }))
    }

    fn command(is_hosted: bool) -> Server {
        server(Kind::Command(Command {
            program: "docs".into(),
            args: Vec::new(),
            env: [].into(),
            cwd: None,
            is_private: false,
            is_hosted,
        }))
    }

    #[test]
    fn what_leads_to_the_proxy_can_be_replaced_and_the_rest_waits() {
        let (http, sse) = (remote(Transport::Http), remote(Transport::Sse));
        let (hosted, own) = (command(true), command(false));
        let later = Way::Later("");
        for (current, is_told, next, has_door, expected) in [
            (Some(&http), true, &http, false, Way::Replace),
            (Some(&http), true, &hosted, false, Way::Replace),
            (Some(&hosted), true, &http, true, Way::Replace),
            (Some(&sse), true, &sse, true, Way::Replace),
            (Some(&sse), true, &http, true, later),
            (Some(&http), true, &sse, true, later),
            (Some(&own), true, &http, true, later),
            (Some(&http), false, &http, true, Way::Renew),
            (Some(&http), false, &hosted, true, Way::Guest),
            (None, false, &http, true, Way::Guest),
            (None, false, &hosted, true, Way::Guest),
            (None, false, &hosted, false, later),
            (None, false, &sse, true, later),
            (None, false, &own, true, later),
            (Some(&http), true, &own, true, later),
        ] {
            let found = way(current, is_told, next, Agent { has_door });
            match (found, expected) {
                (Way::Later(_), Way::Later(_)) => {}
                _ => assert_eq!(found, expected, "{current:?} to {next:?}"),
            }
        }
    }
}
