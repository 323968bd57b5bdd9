//! Servers that are new to a running agent: their tools stand beside the
//! hub's, on the one entry that every agent has.
//!
//! *Invariant*: what is meant for a guest never reaches the hub, and nothing of
//! the hub's reaches a guest: a call goes to it as one to any other server.

mod call;
mod list;
mod names;
mod visits;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use self::call::Asked;
use self::names::{Names, Tool};
use self::visits::Visits;
use super::answer;
use super::exchange::while_wanted;
use super::excuse::Failed;
use super::forward::forward;
use super::framing::Framing;
use super::head::Request;
use super::headers;
use super::listen::Shared;
use super::peer::Peer;
use super::relay::End;
use super::rpc::Members;
use super::session::{ID, VERSION};
use super::target::{Carried, Door};
use super::upload::Gone;
use crate::types::evidence::Step;
use crate::types::identity::ServerName;
use crate::types::upstream::{Credential, Live, Upstream};

pub(super) use list::append;

/// JSON-RPC's word for a request that is none.
const INVALID: i32 = -32600;
const UNCLEAR: &str = "a call of this tool has to be a message of its own, with one `method`, one \
                       `id` and one name. Nothing was done";

/// What is known of the guests of a session.
#[derive(Debug, Default)]
pub(super) struct Guests {
    names: Mutex<Names>,
    visits: Visits,
    calls: Mutex<Vec<Call>>,
}

/// A call of a guest's tool that is not answered yet.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    /// The agent's MCP session, and the id of its request there.
    by: Option<String>,
    id: String,
    server: ServerName,
}

/// The tools of all guests, and the guests.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) tools: Vec<String>,
    pub(super) servers: Vec<ServerName>,
}

/// A call is known as long as this lives.
struct Known<'a>(&'a Guests, Call);

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        if let Some(at) = calls.iter().position(|call| *call == self.1) {
            calls.swap_remove(at);
        }
    }
}

impl Guests {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&self, by: Option<&str>, id: String, server: &ServerName) -> Known<'_> {
        let call = |id| Call {
            by: by.map(str::to_owned),
            id,
            server: server.clone(),
        };
        self.calls().push(call(id.clone()));
        Known(self, call(id))
    }

    fn server_of(&self, by: Option<&str>, id: &str) -> Option<ServerName> {
        let calls = self.calls();
        let call = calls
            .iter()
            .find(|call| call.by.as_deref() == by && call.id == id)?;
        Some(call.server.clone())
    }
}

/// True if what is posted to `server` may be meant for a guest: it is the hub,
/// and there are guests, or were.
pub(super) fn may_be_asked(shared: &Shared, server: &ServerName) -> bool {
    let live = shared.live.borrow();
    let hub = live.upstreams.get(server);
    hub.is_some_and(|hub| hub.credential == Credential::Identity)
        && (live.upstreams.values().any(|one| one.is_guest) || !shared.guests.names().is_empty())
}

/// Does what a body for the hub asks of a guest; None if it asks nothing.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    agent: &mut Peer<TcpStream>,
    carried: &Carried<'_>,
) -> Option<Result<End, Gone>> {
    let request = carried.request;
    let by = headers::value(&request.crossing, ID);
    if let Some((id, params)) = call::cancelled(&carried.body) {
        let server = shared.guests.server_of(by, &id)?;
        let cancelled = visits::cancel(shared, by, &server, &params);
        if let Err(gone) = while_wanted(agent, cancelled).await {
            return Some(Err(gone));
        }
        return Some(say(agent, request, &answer::json("", request.keep_alive)).await);
    }
    let live = shared.live.borrow().clone();
    let asked = {
        let names = shared.guests.names();
        let is_guest = |server: &ServerName| {
            let server = live.upstreams.get(server);
            server.is_some_and(|server| server.is_guest)
        };
        call::asked(&carried.body, |name| names.find(name, is_guest))
    };
    match asked {
        Asked::Nothing => None,
        Asked::Unclear => {
            let error = |_: &Members<'_>| ("error", json!({ "code": INVALID, "message": UNCLEAR }));
            let replies = answer::replies(&carried.body, error).unwrap_or_default();
            Some(say(agent, request, &answer::json(&replies, request.keep_alive)).await)
        }
        Asked::Call(tool, ..) if !live.upstreams.contains_key(&tool.server) => {
            let why = Failed::Absent.words(&tool.server, None);
            let text = answer::unable(&carried.body, &why, request.keep_alive);
            Some(say(agent, request, &text).await)
        }
        Asked::Call(tool, id, body) => Some(pass_on(shared, agent, request, &tool, id, body).await),
    }
}

/// Sends a call to its guest, as one to any server.
async fn pass_on(
    shared: &Arc<Shared>,
    agent: &mut Peer<TcpStream>,
    request: &Request,
    tool: &Tool,
    id: String,
    body: Vec<u8>,
) -> Result<End, Gone> {
    let by = headers::value(&request.crossing, ID);
    let session = visits::with(shared, by, &tool.server);
    let _known = shared.guests.know(by, id, &tool.server);
    // These speak of the agent's session with the hub.
    let mut crossing = headers::without(&request.crossing, |name| {
        name.eq_ignore_ascii_case(ID) || name.eq_ignore_ascii_case(VERSION)
    });
    headers::push(&mut crossing, "Mcp-Protocol-Version", visits::TOLD);
    if let Some(id) = &session.id {
        headers::push(&mut crossing, "Mcp-Session-Id", id);
    }
    let request = Request {
        target: "/".into(),
        crossing,
        ..request.clone()
    };
    let carried = Carried {
        request: &request,
        body,
        rest: Framing::EMPTY,
    };
    Box::pin(forward(shared, agent, &tool.server, Door::Mcp, carried)).await
}

/// The tools of all guests under the names that they have beside those of
/// `hub`; None if there are no guests. One that does not tell them in time is
/// left out.
pub(super) async fn beside(
    shared: &Arc<Shared>,
    hub: &ServerName,
    request: &Request,
) -> Option<Beside> {
    let live = shared.live.borrow().clone();
    visits::tidy(shared, &live);
    let by = headers::value(&request.crossing, ID);
    let listed = visits::tools(shared, by, guests(&live)).await;
    let mut names = shared.guests.names();
    names.tidy(|server| live.upstreams.contains_key(server));
    let mut beside = Beside {
        tools: Vec::new(),
        servers: Vec::new(),
    };
    for (server, tools) in listed {
        let shown = |tool: &String| list::shown(tool, |name| names.give(hub, &server, name));
        beside.tools.extend(tools.iter().filter_map(shown));
        beside.servers.push(server);
    }
    (!beside.servers.is_empty()).then_some(beside)
}

impl Beside {
    /// The agent was shown these tools.
    pub(super) fn note(&self, shared: &Shared) {
        for server in &self.servers {
            shared.ledger.note(server, Step::Listed);
        }
    }
}

fn guests(live: &Live) -> impl Iterator<Item = (&ServerName, &Arc<Upstream>)> {
    live.upstreams.iter().filter(|(_, one)| one.is_guest)
}

async fn say(agent: &mut Peer<TcpStream>, request: &Request, text: &[u8]) -> Result<End, Gone> {
    agent.io.write_all(text).await.map_err(|_| Gone::HungUp)?;
    Ok(if request.keep_alive {
        End::Whole
    } else {
        End::Closing
    })
}
