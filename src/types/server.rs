//! One MCP server, in no agent's spelling.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::agent::{Dialect, Transport};
use super::credential::Auth;
use super::identity::{ServerName, Token};
use super::owner::Owner;
use super::upstream::{Credential, Endpoint, Scheme, Upstream};

/// A server that an agent is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub name: ServerName,
    pub origin: Origin,
    pub kind: Kind,
    pub context: ContextLevel,
}

/// Who wants the agent to have a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// We do: it is the hub.
    Hub,
    /// `.mcp.json` of the project.
    Project,
    /// The same, in words that an agent which reads the file would take for
    /// something else: it is told of it by us.
    Rewritten,
    /// `[mcp_servers]` of the configuration.
    Config,
    /// This session alone: `--mcp`, `--mcp-file` or `wrapper mcp set`.
    Session,
}

impl Server {
    /// The server as an agent sees it: a command that we run is one that is
    /// spoken to over HTTP, through the proxy.
    #[must_use]
    pub fn as_told(&self) -> Self {
        let kind = match &self.kind {
            Kind::Command(command) if command.is_hosted => Kind::Remote(Remote {
                endpoint: Endpoint::hosted(&self.name),
                transport: Transport::Http,
                headers: Headers::new(),
                auth: None,
            }),
            kind => kind.clone(),
        };
        Self {
            kind,
            ..self.clone()
        }
    }

    /// True if the agent connects to it by itself. Claude takes a remote one of
    /// the project from us, but for what it may have to log in to, as only claude
    /// can do that. The others would connect to the project's server where ours
    /// has its name.
    #[must_use]
    pub fn is_left_to(&self, dialect: Dialect) -> bool {
        let is_left = match (&self.kind, dialect) {
            (Kind::Remote(remote), Dialect::Claude) => {
                remote.endpoint.is_tls() && remote.headers.is_empty() && remote.auth.is_none()
            }
            _ => true,
        };
        dialect.reads_project() && self.origin == Origin::Project && is_left
    }

    /// The server as the proxy carries it; none for a command that the agent
    /// runs.
    #[must_use]
    pub fn upstream(&self) -> Option<Upstream> {
        let mut owner = match self.origin {
            Origin::Hub | Origin::Project | Origin::Rewritten => Owner::Us,
            // The user's word names it.
            Origin::Config | Origin::Session => Owner::Anyone,
        };
        let (endpoint, transport, credential) = match &self.kind {
            Kind::Command(command) if !command.is_hosted => return None,
            Kind::Command(_) => (
                Endpoint::hosted(&self.name),
                Transport::Http,
                Credential::Headers(Headers::new()),
            ),
            Kind::Remote(remote) => {
                let headers = remote.headers.clone();
                let is_projects = matches!(self.origin, Origin::Project | Origin::Rewritten);
                if is_projects && headers.is_empty() && remote.auth.is_none() {
                    // There is nothing of the user's to send.
                    owner = Owner::Anyone;
                }
                let credential = match (self.origin, &remote.auth) {
                    (Origin::Hub, _) => Credential::Identity,
                    (_, None) => Credential::Headers(headers),
                    (_, Some(auth)) => Credential::Auth(auth.clone(), headers),
                };
                (remote.endpoint.clone(), remote.transport, credential)
            }
        };
        Some(Upstream {
            endpoint,
            transport,
            credential,
            context: self.context,
            owner,
            is_guest: false,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Remote(Remote),
    Command(Command),
}

/// A server that is spoken to over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub endpoint: Endpoint,
    pub transport: Transport,
    pub headers: Headers,
    /// A credential that lives, besides `headers`.
    pub auth: Option<Auth>,
}

impl Remote {
    /// True if nobody but our proxy can speak to it.
    #[must_use]
    pub fn needs_proxy(&self) -> bool {
        self.auth.is_some() || self.endpoint.scheme == Scheme::Hosted
    }
}

/// Headers as they are sent; a value may be a credential.
pub type Headers = Vec<(String, Token)>;

/// A server that is a command, spoken to over its standard input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// On `PATH`, or a path.
    pub program: String,
    pub args: Vec<String>,
    /// Variables set for it; a value may be a credential.
    pub env: BTreeMap<String, Token>,
    /// Absolute; none: where the agent runs.
    pub cwd: Option<PathBuf>,
    /// Something in it came from the environment: it may hold a credential,
    /// wherever it stands.
    pub is_private: bool,
    /// We run it, behind the proxy; else the agent does.
    pub is_hosted: bool,
}

/// What a server is told of the session that it serves. Correlation, not
/// authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContextLevel {
    None,
    /// The session's id.
    #[default]
    Id,
    /// Its title and name as well.
    Full,
}

/// The variable that holds the key of the session's proxy.
pub const KEY_VAR: &str = "WRAPPER_MCP_KEY";

/// The variable that holds the proxy's base URL, `http://127.0.0.1:PORT`, for
/// entries that stay the same whatever session reads them.
pub const URL_VAR: &str = "WRAPPER_MCP_URL";

/// The hub's tools, as agentchattr names them: what `approve_tools` approves,
/// and nothing else.
pub const HUB_TOOLS: [&str; 12] = [
    "chat_send",
    "chat_read",
    "chat_resync",
    "chat_join",
    "chat_who",
    "chat_rules",
    "chat_decision",
    "chat_channels",
    "chat_set_hat",
    "chat_claim",
    "chat_summary",
    "chat_propose_job",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_may_send_what_is_the_users_to_the_users_processes_alone() {
        let key = || vec![("X-Key".to_owned(), Token::new("k"))];
        for (origin, headers, owner) in [
            (Origin::Hub, key(), Owner::Us),
            (Origin::Project, key(), Owner::Us),
            (Origin::Project, Headers::new(), Owner::Anyone),
            (Origin::Config, key(), Owner::Anyone),
            (Origin::Session, key(), Owner::Anyone),
        ] {
            let server = Server {
                name: "docs".parse().expect("a name"),
                origin,
                kind: Kind::Remote(Remote {
                    endpoint: Endpoint::loopback(1, "/mcp"),
                    transport: Transport::Http,
                    headers,
                    auth: None,
                }),
                context: ContextLevel::Id,
            };
            let upstream = server.upstream().expect("an upstream");
            assert_eq!(upstream.owner, owner, "{origin:?}");
        }
    }
}
