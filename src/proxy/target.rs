//! Whom a request goes to, and as whom.

use std::sync::Arc;

use crate::credential::{Granted, Keepers, Ungranted};
use crate::types::agent::Transport;
use crate::types::identity::{ServerName, Token};
use crate::types::owner::Owner;
use crate::types::server::Headers;
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
    /// The path that the server redirects to.
    moved: Option<Endpoint>,
    /// The value of the `Cookie` header.
    cookies: String,
    /// The credential that [`Target::authorize`] got, and all headers with it.
    granted: Option<(Arc<Granted>, Headers)>,
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
                .and_then(|mailbox| mailbox.to())
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
            moved: shared.remembered.moved(server, &upstream.endpoint),
            cookies: String::new(),
            granted: None,
            told: None,
        };
        target.cookies = shared.remembered.cookies(server, upstream, target.to());
        match &upstream.credential {
            Credential::Identity => target.speak_as_us(live, carried),
            Credential::Headers(headers) | Credential::Auth(_, headers) => {
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

    /// True if the request needs [`Target::authorize`].
    pub(super) fn is_to_be_authorized(&self) -> bool {
        matches!(self.upstream.credential, Credential::Auth(..)) && self.granted.is_none()
    }

    /// Gets the credential of an upstream that has one that lives. It takes the
    /// place of configured headers of the same names.
    pub(super) async fn authorize(
        &mut self,
        keepers: &Keepers,
        server: &ServerName,
    ) -> Result<(), Failed> {
        let Credential::Auth(auth, configured) = &self.upstream.credential else {
            return Ok(());
        };
        let at = &self.upstream.endpoint;
        let granted = keepers.grant(server, at, auth).await;
        let granted = granted.map_err(Failed::Ungranted)?;
        if let Some(name) = outgoing::unsound(&granted.headers) {
            return Err(Failed::Ungranted(Ungranted {
                kind: auth.source.kind(),
                why: format!("its header `{name}` is not for it to set").into(),
            }));
        }
        let mut headers = granted.headers.clone();
        let is_new = |(name, _): &&(String, Token)| {
            let mut names = granted.headers.iter().map(|(name, _)| name);
            !names.any(|granted| granted.eq_ignore_ascii_case(name))
        };
        headers.extend(configured.iter().filter(is_new).cloned());
        self.granted = Some((granted, headers));
        Ok(())
    }

    /// Has the credential renewed that the upstream has refused.
    ///
    /// # Errors
    /// Why there is no other.
    pub(super) async fn reauthorize(
        &self,
        keepers: &Keepers,
        server: &ServerName,
    ) -> Result<(), Arc<str>> {
        let (Credential::Auth(auth, _), Some((used, _))) =
            (&self.upstream.credential, &self.granted)
        else {
            return Err("it has none that lives".into());
        };
        let renewed = keepers.renew(server, &self.upstream.endpoint, auth, used);
        renewed.await.map_err(|ungranted| ungranted.why)
    }

    /// What a refusal with `status` means: of a credential that lives, or of
    /// fixed headers.
    pub(super) fn refused(&self, status: u16) -> Failed {
        match &self.upstream.credential {
            Credential::Auth(auth, _) => Failed::Denied {
                status,
                kind: auth.source.kind(),
                why: None,
            },
            _ => Failed::Refused(status),
        }
    }

    /// Where exactly the request goes.
    pub(super) fn to(&self) -> &Endpoint {
        let moved = self.mailbox.as_ref().or(self.moved.as_ref());
        moved.unwrap_or(&self.upstream.endpoint)
    }

    /// Where the server is configured to be, wherever it redirects to.
    pub(super) fn home(&self) -> &Endpoint {
        &self.upstream.endpoint
    }

    /// True if the request goes where the server has redirected others.
    pub(super) fn is_moved(&self) -> bool {
        self.mailbox.is_none() && self.moved.is_some()
    }

    /// Whose process may get it there.
    pub(super) fn owner(&self) -> &Owner {
        &self.upstream.owner
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
        let voice = self.voice();
        outgoing::head(request, self.to(), query, voice, &self.cookies, body)
    }

    /// As whom it is spoken to.
    pub(super) fn voice(&self) -> Voice<'_> {
        let told = self.told.map_or("", |told| &told.lines);
        match (&self.upstream.credential, &self.granted) {
            (Credential::Identity, _) => Voice::Identity(self.token.as_ref()),
            (_, Some((_, headers))) => Voice::Headers(headers, told),
            (Credential::Headers(headers) | Credential::Auth(_, headers), None) => {
                Voice::Headers(headers, told)
            }
        }
    }
}
