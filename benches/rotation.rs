//! Calls through the proxy while everything changes: `cargo bench --bench
//! rotation [-- SECONDS]`, a minute unless told.
//!
//! 50 calls/s in an open loop by the agent of a real launch, which is this
//! program in another role, to a hub that is a process of its own. Its token is
//! rotated every 2 s, and the hub is ended and started again every 10 s. Told
//! are the calls that failed, the longest that one took, and for how long the
//! hub itself was not there.

#![expect(clippy::print_stdout, reason = "its figures are its output")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep};
use wrapper::hub::{self, Client};
use wrapper::terminal::{Launch, Pty};
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::Token;
use wrapper::types::size::TermSize;
use wrapper::types::trigger::ChannelName;
use wrapper::types::upstream::Endpoint;

const WRAPPER: &str = env!("CARGO_BIN_EXE_wrapper");

/// The agent's arguments: where it reports to, and for how many seconds.
const REPORT: &str = "ROTATION_BENCH_REPORT";
const SECONDS: &str = "ROTATION_BENCH_SECONDS";

const SIZE: TermSize = TermSize::new(24, 80);

const CALL_EVERY: Duration = Duration::from_millis(20);
const ROTATE_EVERY: Duration = Duration::from_secs(2);
const RESTART_EVERY: Duration = Duration::from_secs(10);
/// Between two looks whether the hub is there again.
const LOOK: Duration = Duration::from_millis(1);

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Res<T> = Result<T, Failure>;

fn main() -> Res<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if env::var_os(REPORT).is_some() {
        return runtime.block_on(agent());
    }
    let seconds = env::args().find_map(|arg| arg.parse().ok()).unwrap_or(60);
    runtime.block_on(measure(seconds))
}

// ---- the stage ----

struct World {
    dir: tempfile::TempDir,
    ports: [u16; 3],
}

impl World {
    fn new() -> Res<Self> {
        let dir = tempfile::tempdir()?;
        let me = env::current_exe()?.display().to_string();
        let config = format!(
            "[agents.rotor]\ncommand = {me:?}\nmcp_inject = \"proxy_flag\"\n\
             mcp_proxy_flag_template = \"{{url}} {{key_env}}\"\n"
        );
        fs::write(dir.path().join("config.toml"), config)?;
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = [bind()?, bind()?, bind()?];
        let mut ports = [0; 3];
        for (port, listener) in ports.iter_mut().zip(&held) {
            *port = listener.local_addr()?.port();
        }
        Ok(Self { dir, ports })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A verb of the wrapper that finds this hub.
    fn wrapper(&self, verb: &str) -> Command {
        let mut command = Command::new(WRAPPER);
        command
            .arg(verb)
            .args(["--port", &self.ports[0].to_string()])
            .args(["--mcp-http-port", &self.ports[1].to_string()])
            .args(["--mcp-sse-port", &self.ports[2].to_string()])
            .arg("--data-dir")
            .arg(self.path("hub"))
            .arg("--config")
            .arg(self.path("config.toml"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", "/usr/bin:/bin")
            .env("WRAPPER_STATE_DIR", self.path("state"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Launches the agent in a terminal of its own, whose output is read and
    /// thrown away.
    fn launch(
        &self,
        report: &Path,
        seconds: u64,
    ) -> Res<impl Future<Output = Res<AgentExit>> + Send + use<>> {
        let mut command = self.wrapper("rotor");
        command
            .env(REPORT, report)
            .env(SECONDS, seconds.to_string());
        let launch = Launch {
            program: WRAPPER.into(),
            args: command.get_args().map(Into::into).collect(),
            env: command
                .get_envs()
                .filter_map(|(name, value)| Some((name.into(), value?.into())))
                .collect(),
            cwd: self.dir.path().to_owned(),
        };
        let (pty, mut process) = Pty::spawn(&launch, SIZE)?;
        Ok(async move {
            let mut buf = vec![0; 1 << 16];
            while let Ok(1..) = pty.read(&mut buf).await {}
            Ok(process.wait().await?)
        })
    }

    async fn hub(&self) -> Res<Ended> {
        let child = Ended(self.wrapper("serve").spawn()?);
        self.answers().await;
        Ok(child)
    }

    /// Waits until the hub takes connections.
    async fn answers(&self) {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[1]))
            .await
            .is_err()
        {
            sleep(LOOK).await;
        }
    }
}

/// A process that ends with its owner.
struct Ended(Child);

impl Ended {
    fn end(&mut self) -> Res<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn measure(seconds: u64) -> Res<()> {
    let world = World::new()?;
    let mut hub = world.hub().await?;
    let client = Client::new(Endpoint::loopback(world.ports[0], "/"));
    let human = hub::human_token(&world.path("hub"))?;
    // The first message is the one that cannot be asked for.
    client
        .send(&human, "hello", &ChannelName::general())
        .await?;
    let report = world.path("report.json");
    let mut launch = tokio::spawn(world.launch(&report, seconds)?);
    let name = "rotor".parse()?;
    let mut rotations = interval(ROTATE_EVERY);
    let mut restarts = interval(RESTART_EVERY);
    for timer in [&mut rotations, &mut restarts] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer.tick().await;
    }
    let (mut rotated, mut downtimes) = (0, Vec::new());
    loop {
        tokio::select! {
            ended = &mut launch => {
                let exit = ended??;
                if exit != AgentExit::Code(0) {
                    return Err(log(&world));
                }
                break;
            }
            _ = rotations.tick() => rotated += usize::from(client.rotate(&human, &name).await.is_ok()),
            _ = restarts.tick() => {
                let start = Instant::now();
                hub.end()?;
                hub = world.hub().await?;
                downtimes.push(millis(start.elapsed()));
            }
        }
    }
    let in_the_chat = in_the_chat(&client, &human).await?;
    print(&report, rotated, &downtimes, in_the_chat, &world)
}

/// How many calls have a message in the chat, and how many of them more than one.
async fn in_the_chat(client: &Client, human: &Token) -> Res<(usize, usize)> {
    let (mut calls, mut since) = (Vec::new(), 1);
    loop {
        let page = client.messages(human, since, 500, None).await?;
        let Some(last) = page.last() else {
            break;
        };
        since = last.id;
        let texts = page.into_iter().map(|one| one.text);
        calls.extend(texts.filter(|text| text.starts_with("call ")));
    }
    let count = calls.len();
    calls.sort_unstable();
    calls.dedup();
    Ok((calls.len(), count - calls.len()))
}

fn print(
    report: &Path,
    rotated: usize,
    downtimes: &[f64],
    (sent, twice): (usize, usize),
    world: &World,
) -> Res<()> {
    let told = fs::read_to_string(report).map_err(|_| log(world))?;
    let told: Value = serde_json::from_str(&told)?;
    let down = downtimes.iter().copied().fold(0.0, f64::max);
    let longest = told["longest_ms"].as_f64().ok_or("no time")?;
    println!(
        "{rotated} rotations, {} restarts of the hub",
        downtimes.len()
    );
    println!(
        "{} calls, {} failed; {sent} messages in the chat, {twice} of them twice",
        told["calls"], told["failed"]
    );
    println!(
        "longest call {longest:.0} ms, longest restart of the hub {down:.0} ms, difference {:+.0} ms; median call {:.1} ms",
        longest - down,
        told["median_ms"].as_f64().ok_or("no time")?
    );
    for (why, count) in told["why"].as_object().into_iter().flatten() {
        println!("{count} x {why}");
    }
    Ok(())
}

/// What the launch has logged, if the agent has told nothing.
fn log(world: &World) -> Failure {
    let logs = fs::read_dir(world.path("state/logs"));
    let texts = logs.into_iter().flatten().flatten();
    let texts = texts.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    format!("the agent told nothing:\n{}", texts.collect::<String>()).into()
}

// ---- the agent ----

#[derive(Default)]
struct Told {
    times: Vec<f64>,
    why: BTreeMap<String, usize>,
}

async fn agent() -> Res<()> {
    let args: Vec<String> = env::args().collect();
    let [_, url, key] = args.as_slice() else {
        return Err(format!("it was started as {args:?}").into());
    };
    let at: Endpoint = url.parse()?;
    let key = env::var(key)?;
    let seconds: u64 = env::var(SECONDS)?.parse()?;
    let session = connect(&at, &key).await?;
    let told = Arc::new(Mutex::new(Told::default()));
    let mut ticks = interval(CALL_EVERY);
    let calls = seconds * 1000 / 20;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..calls {
        ticks.tick().await;
        let lines = format!("Authorization: Bearer {key}\r\n{session}");
        let (at, told) = (at.clone(), Arc::clone(&told));
        running.spawn(async move {
            let message = json!({"jsonrpc": "2.0", "id": n, "method": "tools/call",
                "params": {"name": "chat_send", "arguments": {"channel": "general", "message": format!("call {n}")}}});
            let start = Instant::now();
            let answer = ask(&at, &lines, &message).await;
            let took = millis(start.elapsed());
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.times.push(took);
            match answer {
                Ok((_, body)) if body.contains("Sent (id=") => {}
                Ok((_, body)) => *told.why.entry(body).or_default() += 1,
                Err(error) => *told.why.entry(error.to_string()).or_default() += 1,
            }
        });
    }
    while running.join_next().await.is_some() {}
    let mut told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    told.times.sort_by(f64::total_cmp);
    let report = json!({
        "calls": told.times.len(),
        "failed": told.why.values().sum::<usize>(),
        "longest_ms": told.times.last(),
        "median_ms": told.times.get(told.times.len() / 2),
        "why": told.why,
    });
    Ok(fs::write(env::var(REPORT)?, report.to_string())?)
}

/// Opens an MCP session; the header line that names it.
async fn connect(at: &Endpoint, key: &str) -> Res<String> {
    let lines = format!("Authorization: Bearer {key}\r\n");
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "rotor", "version": "1"}}});
    let (head, _) = ask(at, &lines, &hello).await?;
    let session = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("mcp-session-id: "));
    let session = session.map_or_else(String::new, |line| format!("{line}\r\n"));
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    ask(at, &format!("{lines}{session}"), &ready).await?;
    Ok(session)
}

async fn ask(at: &Endpoint, lines: &str, message: &Value) -> Res<(String, String)> {
    let mut io = TcpStream::connect((at.host.as_str(), at.port)).await?;
    let body = message.to_string();
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\n{lines}Accept: application/json, text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        at.path,
        at.authority(),
        body.len()
    );
    io.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    io.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if head.starts_with("HTTP/1.1 2") {
        Ok((head.to_owned(), body.to_owned()))
    } else {
        Err(answer.into())
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
