//! Whom a request goes to, and as whom.

use std::sync::Arc;

use crate::types::agent::Transport;
use crate::types::identity::{ServerName, Token};
use crate::types::upstream::{Credential, Endpoint, Live, Upstream};

use super::context::Told;
use super::excuse::Failed;
use super::framing::Framing;
use super::head::Request;
use super::listen::Shared;
use super::outgoing::{self, Voice};
use super::stamp::{Stamped, stamp};

/// The ways into a server: what follows its name in a path of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door<'a> {
    /// Streamable HTTP.
    Mcp,
    /// The stream of the transport before it.
    Sse,
    /// Where messages for such a stream are posted, by its number.
    Messages(&'a str),
}

/// A request with what we read of its body.
#[derive(Debug)]
pub(super) struct Carried<'a> {
    pub(super) request: &'a Request,
    /// All of a JSON body.
    pub(super) body: Vec<u8>,
    /// What is still to come, of any other.
    pub(super) rest: Framing,
}

/// Whom a request goes to, and as whom, at this moment.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) upstream: Arc<Upstream>,
    pub(super) token: Option<Token>,
    pub(super) is_hub: bool,
    /// A tool is called on the hub.
    pub(super) is_call: bool,
    /// Where a message goes that is posted for a stream.
    pub(super) mailbox: Option<Endpoint>,
    told: Option<&'a Told>,
}

impl<'a> Door<'a> {
    pub(super) fn of(rest: &'a str) -> Option<Self> {
        match rest {
            "mcp" => Some(Self::Mcp),
            "sse" => Some(Self::Sse),
            _ => rest.strip_prefix("messages/").map(Self::Messages),
        }
    }

    fn transport(self) -> Transport {
        match self {
            Self::Mcp => Transport::Http,
            Self::Sse | Self::Messages(_) => Transport::Sse,
        }
    }
}

impl<'a> Target<'a> {
    /// Looks up what `server` is now, and makes the body ours: a call on the
    /// hub gets our name, a call on another server what it is told of us.
    pub(super) fn find(
        shared: &'a Shared,
        live: &Live,
        server: &ServerName,
        door: Door<'_>,
        carried: &mut Carried<'_>,
    ) -> Result<Self, Failed> {
        let upstream = live.upstreams.get(server).ok_or(Failed::Absent)?;
        if upstream.transport != door.transport() {
            return Err(Failed::WrongDoor(upstream.transport));
        }
        let mailbox = match (door, carried.request.method.as_str()) {
            (Door::Mcp, _) | (Door::Sse, "GET") => None,
            (Door::Sse, _) => return Err(Failed::NotGet),
            // A server that was set anew has nothing to do with the old one.
            (Door::Messages(number), "POST") => shared
                .mailboxes
                .find(server, number)
                .filter(|mailbox| mailbox.is_at(&upstream.endpoint))
                .map(Some)
                .ok_or(Failed::Closed)?,
            (Door::Messages(_), _) => return Err(Failed::NotPost),
        };
        let mut target = Self {
            upstream: Arc::clone(upstream),
            token: None,
            is_hub: false,
            is_call: false,
            mailbox,
            told: None,
        };
        match &upstream.credential {
            Credential::Identity => target.speak_as_us(live, carried),
            Credential::Headers(headers) => {
                if let Some(name) = outgoing::unsound(headers) {
                    return Err(Failed::Unsound(name.to_owned()));
                }
                target.told = shared.telling.at(upstream.context);
                if let (Some(told), true) = (target.told, carried.request.is_json)
                    && let Some(body) = told.mark(&carried.body)
                {
                    carried.body = body;
                }
            }
        }
        Ok(target)
    }

    fn speak_as_us(&mut self, live: &Live, carried: &mut Carried<'_>) {
        self.is_hub = true;
        let identity = live.identity.as_ref();
        self.token = identity.map(|identity| identity.token.clone());
        if carried.request.is_json {
            let name = identity.map_or("", |identity| identity.name.as_str());
            let stamped = stamp(&carried.body, name);
            self.is_call = stamped != Stamped::NoCall;
            if let (Stamped::New(body), Some(_)) = (stamped, identity) {
                carried.body = body;
            }
        }
    }

    /// Where exactly the request goes.
    pub(super) fn to(&self) -> &Endpoint {
        self.mailbox.as_ref().unwrap_or(&self.upstream.endpoint)
    }

    /// The head of the request as the upstream gets it.
    pub(super) fn head(&self, request: &Request, body: Option<Framing>) -> Vec<u8> {
        // A mailbox has its query already: ours shows the same one.
        let query = match &self.mailbox {
            None => request
                .target
                .split_once('?')
                .map_or("", |(_, query)| query),
            Some(_) => "",
        };
        let voice = match &self.upstream.credential {
            Credential::Identity => Voice::Identity(self.token.as_ref()),
            Credential::Headers(headers) => {
                Voice::Headers(headers, self.told.map_or("", |told| &told.lines))
            }
        };
        outgoing::head(request, self.to(), query, voice, body)
    }
}
