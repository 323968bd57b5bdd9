//! Real agents' own requests, as `real-agents --record` wrote them down, and
//! rmcp's client, through the proxy to a server that fails in every way, before
//! every request: each is answered once, and no call is executed twice.

mod play;

use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use wrapper::types::agent::Transport;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Upstream};

use crate::support::failing::{FORGOTTEN, Failing, Fault};
use crate::support::rig::{KEY, Rig, identity};
use crate::support::soon;
use play::{Line, Player};

/// How many failures are told of one agent.
const MOST_TOLD: usize = 10;

/// Most of a cell's time it waits: for a server that is away, for a pause.
const AT_A_TIME: usize = 12;

/// A proxy in front of a failing server, and somebody who registers again.
pub(crate) struct Stage {
    pub(crate) rig: Rig,
    pub(crate) failing: Arc<Failing>,
    presence: JoinHandle<()>,
}

impl Stage {
    /// The server is the hub, or one that knows no token.
    fn new(is_hub: bool, streams: bool) -> Self {
        let rig = Rig::new();
        let failing = Arc::new(Failing::start(streams, is_hub));
        let credential = if is_hub {
            Credential::Identity
        } else {
            Credential::Headers(Vec::new())
        };
        let server = Upstream {
            endpoint: Endpoint::loopback(failing.port, "/mcp"),
            transport: Transport::Http,
            credential,
            context: ContextLevel::Full,
            owner: Owner::Us,
            is_guest: false,
        };
        rig.put("hub", server);
        let (stale, live, hub) = (
            Arc::clone(&rig.stale),
            rig.live.clone(),
            Arc::clone(&failing),
        );
        let presence = tokio::spawn(async move {
            loop {
                stale.notified().await;
                live.send_modify(|live| live.identity = Some(identity("claude", hub.token())));
            }
        });
        Self {
            rig,
            failing,
            presence,
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.presence.abort();
        self.rig.task.abort();
    }
}

/// What may strike a server, and whether only the hub.
fn faults() -> Vec<(Fault, bool)> {
    let tokens = [401, 403, 404, 409].map(Fault::Status);
    let tokens = tokens.into_iter().chain([Fault::Text]);
    let others = [
        Fault::Restart,
        Fault::Lost,
        Fault::Cut,
        Fault::Broken,
        Fault::Ended,
    ];
    tokens
        .map(|fault| (fault, true))
        .chain(
            FORGOTTEN
                .into_iter()
                .chain(others)
                .map(|fault| (fault, false)),
        )
        .collect()
}

/// What is tried: which kind of server is struck by what, before which request.
#[derive(Clone, Copy)]
struct Cell {
    is_hub: bool,
    streams: bool,
    fault: Fault,
    at: usize,
}

/// Plays the first connection of an agent once for each cell, many at a time,
/// and tells what was wrong.
async fn play_all(agent: &str) {
    let lines = Arc::new(play::recorded(agent));
    let mut cells = cells(&play::first_connection(&lines)).into_iter();
    let (mut wrong, mut tried) = (Vec::new(), 0);
    let mut playing = JoinSet::new();
    loop {
        // What is broken is broken in many cells, and each may take long.
        while playing.len() < AT_A_TIME
            && wrong.len() < MOST_TOLD
            && let Some(cell) = cells.next()
        {
            let lines = Arc::clone(&lines);
            playing.spawn(async move { play_one(&lines, cell).await });
            tried += 1;
        }
        match playing.join_next().await {
            Some(played) => wrong.extend(played.expect("no panic").err()),
            None => break,
        }
    }
    let (count, wrong) = (wrong.len(), wrong.join("\n"));
    assert!(count == 0, "{agent}, {count} of {tried} cells:\n{wrong}");
}

fn cells(first: &[&Line]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (is_hub, streams) in [(true, true), (false, false), (true, false)] {
        for (fault, needs_token) in faults() {
            for (at, line) in first.iter().enumerate() {
                // Only a call has an answer that is held until it is whole.
                let is_held = fault != Fault::Cut || line.kind() == "tools/call";
                // What has nothing to do with tokens is tried of each kind of server once.
                let is_worth_it = if needs_token {
                    is_hub
                } else {
                    is_hub == streams
                };
                if is_held && is_worth_it {
                    cells.push(Cell {
                        is_hub,
                        streams,
                        fault,
                        at,
                    });
                }
            }
        }
    }
    cells
}

async fn play_one(lines: &[Line], cell: Cell) -> Result<(), String> {
    let Cell {
        is_hub,
        streams,
        fault,
        at,
    } = cell;
    let first = play::first_connection(lines);
    let stage = Stage::new(is_hub, streams);
    let played = Player::new(&stage).play(&first, Some((at, fault))).await;
    let kind = first[at].kind();
    played.map_err(|why| {
        format!("{fault} before {at} {kind}, hub: {is_hub}, streams: {streams}: {why}")
    })
}

#[tokio::test]
async fn claude_sees_no_failure() {
    play_all("claude").await;
}

#[tokio::test]
async fn codex_sees_no_failure() {
    play_all("codex").await;
}

#[tokio::test]
async fn gemini_sees_no_failure() {
    play_all("gemini").await;
}

#[tokio::test]
async fn qwen_sees_no_failure() {
    play_all("qwen").await;
}

#[tokio::test]
async fn opencode_sees_no_failure() {
    play_all("opencode").await;
}

#[tokio::test]
async fn copilot_sees_no_failure() {
    play_all("copilot").await;
}

/// With all that they did when a server had forgotten them: more sessions, in
/// part at a time.
#[tokio::test]
async fn every_request_that_agents_make_is_answered() {
    for agent in ["claude", "codex", "gemini", "qwen", "opencode", "copilot"] {
        let lines = play::recorded(agent);
        let all: Vec<&Line> = lines.iter().collect();
        for streams in [true, false] {
            let stage = Stage::new(true, streams);
            let played = Player::new(&stage).play(&all, None).await;
            assert_eq!(played, Ok(()), "{agent}, streams: {streams}");
        }
    }
}

#[tokio::test]
async fn a_client_of_rmcp_sees_no_failure() {
    let mut wrong = Vec::new();
    for (is_hub, streams) in [(true, true), (false, false)] {
        for (fault, needs_token) in faults() {
            for before in ["initialize", "tools/list", "tools/call"] {
                let only_calls = fault == Fault::Cut && before != "tools/call";
                if needs_token && !is_hub || only_calls {
                    continue;
                }
                let stage = Stage::new(is_hub, streams);
                if let Err(why) = client(&stage, fault, before).await {
                    wrong.push(format!("{fault} before {before}, hub: {is_hub}: {why}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

async fn client(stage: &Stage, fault: Fault, before: &str) -> Result<(), String> {
    let uri = format!("http://127.0.0.1:{}/hub/mcp", stage.rig.port);
    let config = StreamableHttpClientTransportConfig::with_uri(uri).auth_header(KEY);
    let transport = StreamableHttpClientTransport::from_config(config);
    if before == "initialize" {
        stage.failing.strike(fault, before).await;
    }
    let client = soon("the client", ().serve(transport)).await;
    let client = client.map_err(|error| format!("it cannot connect: {error}"))?;
    if before == "tools/list" {
        stage.failing.strike(fault, before).await;
    }
    let tools = soon("the tools", client.list_all_tools()).await;
    let tools = tools.map_err(|error| format!("it has no list: {error}"))?;
    if tools.len() != 1 {
        return Err(format!("it has {} tools", tools.len()));
    }
    for n in 0..2 {
        if n == 0 && before == "tools/call" {
            stage.failing.strike(fault, before).await;
        }
        let arguments = json!({"n": n}).as_object().cloned().unwrap_or_default();
        let params = CallToolRequestParams::new("word").with_arguments(arguments);
        let result = soon("the call", client.call_tool(params)).await;
        let result = result.map_err(|error| format!("call {n} failed: {error}"))?;
        let unknown = n == 0 && before == "tools/call" && play::is_lost(fault);
        let executed = stage.failing.executed(n);
        if result.is_error == Some(true) && !unknown || executed != 1 {
            return Err(format!("call {n}, executed {executed} times: {result:?}"));
        }
    }
    Ok(())
}
