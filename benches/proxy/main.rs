//! The proxy against nginx and haproxy, each of them in front of the same small
//! upstream: `cargo bench --bench proxy [-- ROUNDS]`.
//!
//! Targets take turns within a round, in another order each round; a ratio is
//! the median over rounds of the ratio within one round. Upstream and proxy
//! are processes of their own (this program, started again).

#![expect(clippy::cast_precision_loss, reason = "figures for a table")]

mod bridge;
mod idle;
mod peers;
mod talk;
mod upstream;

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wrapper::proxy;
use wrapper::types::agent::Transport;
use wrapper::types::context::SessionContext;
use wrapper::types::identity::{Identity, Token};
use wrapper::types::owner::Owner;
use wrapper::types::server::{ContextLevel, Headers};
use wrapper::types::upstream::{Credential, Endpoint, Live, Upstream};

use peers::{Started, Starter, cpu_seconds, one_core, pin, start_haproxy, start_nginx, start_self};
use talk::{headers, load, post, stream};

const ROLE: &str = "PROXY_BENCH_ROLE";
const UPSTREAM_PORT: &str = "PROXY_BENCH_UPSTREAM";
const KEY: &str = "0123456789abcdef0123456789abcdef";
const SPAN: Duration = Duration::from_millis(700);
const EVENTS: usize = 5;
/// How the ids of MCP sessions begin whose stream is silent.
const IDLE: &str = "idle";

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Res<T> = Result<T, Failure>;

fn main() -> Res<()> {
    match env::var(ROLE).as_deref() {
        Ok("upstream") => upstream::serve(),
        Ok("agent") => bridge::agent(),
        Ok("proxy") => serve_proxy(),
        _ => measure(),
    }
}

// ---- the proxy ----

fn serve_proxy() -> Res<()> {
    let port: u16 = env::var(UPSTREAM_PORT)?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // The hub is told the sender; a server, the session.
        let [hub, server] = [
            Credential::Identity,
            Credential::Headers(Headers::default()),
        ]
        .map(|credential| {
            Arc::new(Upstream {
                endpoint: Endpoint::loopback(port, "/mcp"),
                transport: Transport::Http,
                credential,
                context: ContextLevel::Full,
                owner: Owner::Us,
                is_guest: false,
            })
        });
        let identity = Identity {
            name: "claude".parse()?,
            token: Token::new("the-hubs-token"),
        };
        let (_keep, live) = watch::channel(Live {
            identity: Some(Arc::new(identity)),
            upstreams: Arc::new([("hub".parse()?, hub), ("server".parse()?, server)].into()),
        });
        let settings = proxy::Settings {
            key: Token::new(KEY),
            live,
            stale: Arc::new(Notify::new()),
            keepers: Arc::default(),
            patience: proxy::Patience::default(),
            ledger: proxy::Ledger::default(),
            hosting: Arc::default(),
            env: BTreeMap::new(),
            context: SessionContext {
                id: "0123456789ab".parse()?,
                title: "Claude".into(),
                name: "claude".into(),
                agent: "claude".parse()?,
                control: "control.sock".into(),
            },
        };
        let listener = proxy::bind()?;
        tell(listener.local_addr()?.port())?;
        proxy::serve(listener, settings, CancellationToken::new()).await?;
        Ok(())
    })
}

// ---- what is measured ----

struct Target {
    name: &'static str,
    port: u16,
    path: &'static str,
    process: Option<Started>,
}

/// The figures of one target in one round.
#[derive(Default)]
struct Round {
    one_core_us: f64,
    rps: f64,
    slowest_ms: f64,
    p99_ms: f64,
    /// Of 64 callers at once.
    refused: usize,
    cpu_s_10k: f64,
    big_mb_s: f64,
    post_first_ms: f64,
    post_delay_ms: f64,
    get_first_ms: f64,
}

fn measure() -> Res<()> {
    let rounds: usize = env::args().find_map(|arg| arg.parse().ok()).unwrap_or(7);
    let all_cores = sched_getaffinity(Pid::from_raw(0))?;
    let dir = tempfile::tempdir()?;
    let (upstream, up_port) = start_self("upstream", None)?;
    let mut targets = vec![Target {
        name: "direct",
        port: up_port,
        path: "/mcp",
        process: None,
    }];
    for (name, path) in [("ours, hub", "/hub/mcp"), ("ours, server", "/server/mcp")] {
        let (process, port) = start_self("proxy", Some(up_port))?;
        targets.push(Target {
            name,
            port,
            path,
            process: Some(process),
        });
    }
    for (name, start) in [
        ("nginx", start_nginx as Starter),
        ("haproxy", start_haproxy),
    ] {
        match start(dir.path(), up_port) {
            Ok((process, port)) => targets.push(Target {
                name,
                port,
                path: "/mcp",
                process: Some(process),
            }),
            Err(error) => say(&format!("{name} is left out: {error}"))?,
        }
    }
    // First, as memory that was given back hides what is taken.
    report_idle(&targets)?;
    let mut figures: BTreeMap<&str, Vec<Round>> = BTreeMap::new();
    for round in 0..rounds {
        for i in 0..targets.len() {
            let target = &targets[(i + round) % targets.len()];
            let figure = measure_target(target, &upstream, &all_cores)?;
            figures.entry(target.name).or_default().push(figure);
        }
    }
    report(&targets, &figures)?;
    bridge::measure(dir.path(), up_port)
}

fn measure_target(target: &Target, upstream: &Started, all_cores: &CpuSet) -> Res<Round> {
    let pids: Vec<u32> = target
        .process
        .iter()
        .chain([upstream])
        .map(|p| p.0.id())
        .collect();
    let mut round = Round::default();
    let call = post(target, "chat_send");
    pin(&pids, &one_core(all_cores)?)?;
    round.one_core_us = median(&load(target, &call, 1, SPAN)?.0) / 1e3;
    pin(&pids, all_cores)?;

    let cpu = |target: &Target| {
        target
            .process
            .as_ref()
            .map_or(0.0, |p| cpu_seconds(p.0.id()))
    };
    let before = cpu(target);
    let (calls, _) = load(target, &call, 16, SPAN)?;
    round.rps = calls.len() as f64 / SPAN.as_secs_f64();
    round.cpu_s_10k = (cpu(target) - before) / calls.len() as f64 * 1e4;
    (round.p99_ms, round.slowest_ms) = (quantile(&calls, 0.99) / 1e6, quantile(&calls, 1.0) / 1e6);
    let (_, bytes) = load(target, &post(target, "big"), 4, SPAN)?;
    round.big_mb_s = bytes as f64 / 1e6 / SPAN.as_secs_f64();
    round.refused = talk::refused(target, &call, 64);
    let (first, delay) = stream(target, &post(target, "stream"))?;
    (round.post_first_ms, round.post_delay_ms) = (first, delay);
    let get = format!(
        "GET {} HTTP/1.1\r\n{}Mcp-Session-Id: s\r\n\r\n",
        target.path,
        headers(target)
    );
    round.get_first_ms = stream(target, get.as_bytes())?.0;
    Ok(round)
}

// ---- the table ----

fn report(targets: &[Target], figures: &BTreeMap<&str, Vec<Round>>) -> Res<()> {
    say(
        "\n| target | one core us | added us | added / nginx | c16 req/s | / haproxy | p99 ms | slowest ms | refused of 64 | CPU s / 10k | / nginx | 1 MB MB/s | / nginx | POST first ms | next ms | GET first ms |",
    )?;
    say("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for target in targets {
        let rounds = &figures[target.name];
        let over = |peer: &str, figure: &dyn Fn(&Round, &Round) -> f64| {
            let Some(peers) = figures.get(peer) else {
                return "-".into();
            };
            let direct = &figures["direct"];
            let ratios = rounds.iter().zip(peers).zip(direct);
            let ratios: Vec<f64> = ratios
                .map(|((a, b), d)| figure(a, d) / figure(b, d))
                .collect();
            format!("{:.2}", median(&ratios))
        };
        let of =
            |figure: &dyn Fn(&Round) -> f64| median(&rounds.iter().map(figure).collect::<Vec<_>>());
        let added: Vec<f64> = rounds
            .iter()
            .zip(&figures["direct"])
            .map(|(a, d)| a.one_core_us - d.one_core_us)
            .collect();
        say(&format!(
            "| {} | {:.1} | {:.1} | {} | {:.0} | {} | {:.2} | {:.1} | {} | {:.2} | {} | {:.0} | {} | {:.3} | {:.3} | {:.3} |",
            target.name,
            of(&|r| r.one_core_us),
            median(&added),
            over("nginx", &|r, d| r.one_core_us - d.one_core_us),
            of(&|r| r.rps),
            over("haproxy", &|r, _| r.rps),
            of(&|r| r.p99_ms),
            of(&|r| r.slowest_ms),
            rounds.iter().map(|r| r.refused).sum::<usize>(),
            of(&|r| r.cpu_s_10k),
            over("nginx", &|r, _| r.cpu_s_10k),
            of(&|r| r.big_mb_s),
            over("nginx", &|r, _| r.big_mb_s),
            of(&|r| r.post_first_ms),
            of(&|r| r.post_delay_ms),
            of(&|r| r.get_first_ms),
        ))?;
    }
    Ok(())
}

/// What a stream costs on which nothing happens.
fn report_idle(targets: &[Target]) -> Res<()> {
    say("| target | kB for an idle stream | threads more for 200 |\n|---|---|---|")?;
    for target in targets {
        if let Some(process) = &target.process {
            let idle = idle::measure(target, process.0.id())?;
            say(&format!(
                "| {} | {:.1} | {} |",
                target.name, idle.kb, idle.threads
            ))?;
        }
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this part of all does not exceed.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let at = (values.len() as f64 * part) as usize;
    values
        .get(at.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Now, on a clock that processes share, in ns.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

fn tell(port: u16) -> io::Result<()> {
    say(&port.to_string())
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
