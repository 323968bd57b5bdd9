//! What a launch costs: the time to the agent's first byte, the time from a
//! mention to the agent's terminal, and what a wrapper takes while it idles.
//!
//! `cargo bench --bench launch [-- ROUNDS SECONDS]` runs the real binary with
//! a hub of its own in a temporary directory. Launches take turns within a
//! round with a bare fork and exec and with the least that a relay can do; a
//! ratio is the median over rounds of the ratio within one round. The program
//! runs itself in other roles: the agent, the relay.

#![expect(clippy::print_stdout, reason = "its figures are its output")]
#![expect(clippy::cast_precision_loss, reason = "figures for a table")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use wrapper::hub::{self, Client};
use wrapper::terminal::fd::winsize;
use wrapper::terminal::{Launch, Process, Pty};
use wrapper::types::identity::Token;
use wrapper::types::size::TermSize;
use wrapper::types::trigger::ChannelName;
use wrapper::types::upstream::Endpoint;

const WRAPPER: &str = env!("CARGO_BIN_EXE_wrapper");

const SIZE: TermSize = TermSize {
    rows: 40,
    cols: 120,
};

/// Below the temporary directory.
const DATA: &str = "data";

/// Where the agent reports to.
const REPORT: &str = "LAUNCH_BENCH_REPORT";

/// What nothing here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Until a screen counts as still, and a launch as settled.
const SETTLED: Duration = Duration::from_secs(3);

/// Between two mentions.
const PAUSE: Duration = Duration::from_millis(100);

/// Ends the agent.
const END: &[u8] = b"\x04";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    match args.first().map(String::as_str) {
        Some("agent") => Ok(agent()?),
        Some("relay") => relay(&args[1..]),
        _ => {
            let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
            let (rounds, seconds) = (number(0, 40)?, number(1, 20)?);
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(measure(rounds, Duration::from_secs(seconds as u64)))
        }
    }
}

async fn measure(rounds: usize, time: Duration) -> Result<(), Failure> {
    let world = World::new()?;
    startup(&world, rounds).await?;
    mentions(&world, rounds).await?;
    idle(&world, time).await
}

// ---- exec to the agent's first byte ----

async fn startup(world: &World, rounds: usize) -> Result<(), Failure> {
    let targets = [
        "bare",
        "relay",
        "wrapper --offline",
        "wrapper",
        "ten servers",
        "ten in settings",
        "ten git sources",
    ];
    let mut samples = vec![Vec::new(); targets.len()];
    for round in 0..=rounds {
        for turn in 0..targets.len() {
            // Every target comes first, second and last equally often.
            let at = (turn + round) % targets.len();
            let start = Instant::now();
            let mut outer = Outer::run(&world.command(targets[at]))?;
            outer.until(b"!").await?;
            let took = millis(start.elapsed());
            outer.until(b"> ").await?;
            outer.end().await?;
            // The first round fills the caches.
            if round > 0 {
                samples[at].push(took);
            }
        }
    }
    println!("exec to the agent's first byte, {rounds} rounds");
    for (name, mine) in targets.iter().zip(&samples) {
        let over = |base: &[f64]| {
            let pairs = mine.iter().zip(base);
            median(pairs.map(|(mine, base)| mine / base).collect())
        };
        println!(
            "{name:>18} {} ms   x {:.1} bare   x {:.1} relay   {:+.2} ms over a launch",
            spread(mine),
            over(&samples[0]),
            over(&samples[1]),
            median(
                mine.iter()
                    .zip(&samples[3])
                    .map(|(mine, base)| mine - base)
                    .collect()
            ),
        );
    }
    Ok(())
}

// ---- mention to the agent's terminal ----

async fn mentions(world: &World, rounds: usize) -> Result<(), Failure> {
    let report = world.report()?;
    let mut outer = Outer::run(&world.command("wrapper"))?;
    outer.until(b"> ").await?;
    // The first one waits until the agent's screen is still.
    world.say("@bench hello").await?;
    enter(&mut outer, &report).await?;
    let (mut posts, mut firsts, mut enters) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        outer.rest(PAUSE).await?;
        let start = Instant::now();
        world.say("nobody in particular").await?;
        posts.push(millis(start.elapsed()));
        outer.rest(PAUSE).await?;
        let start = now();
        world.say("@bench hello").await?;
        let (first, entered) = enter(&mut outer, &report).await?;
        firsts.push((first - start) * 1e3);
        enters.push((entered - start) * 1e3);
    }
    outer.end().await?;
    println!("\nmention to the agent's standard input, {rounds} mentions");
    println!("{:>18} {} ms", "message answered", spread(&posts));
    println!("{:>18} {} ms", "first byte", spread(&firsts));
    println!(
        "{:>18} {} ms, 300 of them inject_delay",
        "Enter",
        spread(&enters)
    );
    Ok(())
}

/// When the first byte and Enter came to the agent, which shows what it gets.
async fn enter(outer: &mut Outer, report: &UnixDatagram) -> Result<(f64, f64), Failure> {
    outer.until(b"done").await?;
    let next = || -> Result<f64, Failure> {
        let mut buf = [0; 64];
        let n = report.recv(&mut buf)?;
        Ok(std::str::from_utf8(&buf[..n])?.parse()?)
    };
    Ok((next()?, next()?))
}

// ---- an idle wrapper ----

async fn idle(world: &World, time: Duration) -> Result<(), Failure> {
    // One wrapper: several would share the pages of the program among them.
    let names = ["relay", "wrapper"];
    let mut all = Vec::new();
    for name in names {
        let mut outer = Outer::run(&world.command(name))?;
        outer.until(b"> ").await?;
        all.push(outer);
    }
    sleep(SETTLED).await;
    let mut pids: Vec<u32> = all.iter().map(|outer| outer.process.pid()).collect();
    pids.push(world.hub.id());
    let before = usages(&pids)?;
    sleep(time).await;
    let after = usages(&pids)?;
    println!("\nidle for {} s, all at once", time.as_secs());
    for (at, name) in names.iter().chain(&["the hub"]).enumerate() {
        let (before, after) = (&before[at], &after[at]);
        println!(
            "{name:>18} {:6.2} MB PSS ({:.2} private) {:3} threads {:6.2} switches/s {:3} ticks",
            after.pss,
            after.private,
            after.threads,
            (after.switches - before.switches) as f64 / time.as_secs_f64(),
            after.ticks - before.ticks,
        );
    }
    for outer in all {
        outer.end().await?;
    }
    Ok(())
}

/// What a process has used so far, and what it holds.
struct Usage {
    pss: f64,
    private: f64,
    threads: usize,
    /// Voluntary switches of its threads: how often one of them fell asleep.
    switches: u64,
    ticks: u64,
}

fn usages(pids: &[u32]) -> Result<Vec<Usage>, Failure> {
    pids.iter()
        .map(|pid| {
            let mut whole = usage(*pid)?;
            for anchor in anchors(*pid)? {
                let more = usage(anchor)?;
                whole.pss += more.pss;
                whole.private += more.private;
                whole.threads += more.threads;
                whole.switches += more.switches;
                whole.ticks += more.ticks;
            }
            Ok(whole)
        })
        .collect()
}

/// The children of a process that run its own program: what a wrapper leaves
/// in the session of its agent.
fn anchors(pid: u32) -> Result<Vec<u32>, Failure> {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe"));
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let own = program(pid)?;
    let children: Vec<u32> = children
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(children
        .into_iter()
        .filter(|child| own.ends_with("wrapper") && program(*child).is_ok_and(|of| of == own))
        .collect())
}

fn usage(pid: u32) -> Result<Usage, Failure> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let memory = fs::read_to_string(proc.join("smaps_rollup"))?;
    let tasks: Vec<PathBuf> = fs::read_dir(proc.join("task"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    let mut switches = 0;
    for task in &tasks {
        let status = fs::read_to_string(task.join("status"))?;
        switches += number(&status, "voluntary_ctxt_switches:")?;
    }
    let stat = fs::read_to_string(proc.join("stat"))?;
    // The name, which may hold anything, ends with the last parenthesis.
    let fields = stat.rsplit_once(')').ok_or("a strange stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let private = number(&memory, "Private_Clean:")? + number(&memory, "Private_Dirty:")?;
    Ok(Usage {
        pss: number(&memory, "Pss:")? as f64 / 1024.0,
        private: private as f64 / 1024.0,
        threads: tasks.len(),
        switches,
        ticks: ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?,
    })
}

fn number(text: &str, key: &str) -> Result<u64, Failure> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    Ok(word.ok_or(key)?.parse()?)
}

// ---- the stage ----

/// A hub, a configuration and a home, all below one temporary directory.
struct World {
    dir: tempfile::TempDir,
    me: String,
    hub: Child,
    /// `--port`, its value, `--mcp-http-port`, its value.
    ports: Vec<String>,
    client: Client,
    human: Token,
}

impl World {
    fn new() -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let me = std::env::current_exe()?.display().to_string();
        configure(dir.path(), &me)?;
        let mut hub = Command::new(WRAPPER)
            .args(["serve", "--json", "--port", "0", "--mcp-http-port", "0"])
            .args(["--mcp-sse-port", "0"])
            .envs(variables(dir.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(hub.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)?;
        let port = |key: &str| -> Option<u16> {
            let url = said[key].as_str()?.trim_end_matches("/mcp");
            url.rsplit_once(':')?.1.parse().ok()
        };
        let (rest, mcp) = (
            port("url").ok_or("no port")?,
            port("mcp_url").ok_or("no port")?,
        );
        let ports = ["--port", &rest.to_string()].map(str::to_owned);
        let mcp = ["--mcp-http-port", &mcp.to_string()].map(str::to_owned);
        Ok(Self {
            human: hub::human_token(&dir.path().join(DATA).join("wrapper/hub"))?,
            client: Client::new(Endpoint::loopback(rest, "/")),
            ports: [ports, mcp].concat(),
            hub,
            me,
            dir,
        })
    }

    /// A target by its name.
    fn command(&self, target: &str) -> Launch {
        let agent = [self.me.clone(), "agent".into()];
        let command = match target {
            "bare" => agent.to_vec(),
            "relay" => [&[self.me.clone(), "relay".into()], &agent[..]].concat(),
            wrapper => {
                let (agent, more) = match wrapper {
                    "ten servers" => ("many", None),
                    "ten in settings" => ("merged", None),
                    "ten git sources" => ("sourced", None),
                    plain => ("bench", plain.split_once(' ').map(|(_, option)| option)),
                };
                let words = [agent].into_iter().chain(more);
                let words = words.map(str::to_owned).chain(self.ports.iter().cloned());
                [WRAPPER.to_owned()].into_iter().chain(words).collect()
            }
        };
        let mut env: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        env.extend(
            variables(self.dir.path())
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        Launch {
            program: command[0].clone().into(),
            args: command[1..].iter().map(Into::into).collect(),
            env,
            cwd: self.dir.path().to_owned(),
        }
    }

    fn report(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::bind(self.dir.path().join("report"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    async fn say(&self, text: &str) -> Result<(), Failure> {
        let channel = ChannelName::general();
        self.client.send(&self.human, text, &channel).await?;
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Ended politely, it closes its store before that is removed.
        let asked =
            i32::try_from(self.hub.id()).map(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM));
        if !matches!(asked, Ok(Ok(()))) || self.hub.wait().is_err() {
            println!("the hub did not end");
        }
    }
}

/// Agents with the hub alone, with ten servers more in a file of ours, in a
/// settings file of the user's, and with ten that stand in a git repository.
fn configure(dir: &Path, me: &str) -> Result<(), Failure> {
    let by_flag = "mcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n";
    let settings = dir.join("settings.json").display().to_string();
    let own = json!({"theme": "dark", "mcpServers": {"own": {"command": "true"}}});
    fs::write(&settings, format!("{own:#}\n"))?;
    let by_settings = format!("mcp_inject = \"settings_file\"\nmcp_settings_path = {settings:?}\n");
    let agents = [
        ("bench", by_flag),
        ("many", by_flag),
        ("merged", &by_settings),
        ("sourced", by_flag),
    ]
    .map(|(name, inject)| {
        format!("[agents.{name}]\ncommand = {me:?}\nargs = [\"agent\"]\n{inject}")
    });
    let (repository, commit) = repository(dir)?;
    let servers = (0..10).map(|number| {
        format!(
            "[mcp_servers.s{number}]\nagents = [\"many\", \"merged\"]\ncommand = \"node\"\n\
             args = [\"server.js\"]\nenv = {{ API_TOKEN = \"x\" }}\n\
             [mcp_servers.g{number}]\nagents = [\"sourced\"]\ntype = \"git\"\n\
             url = {repository:?}\nref = \"{commit}\"\ncommand = \"node\"\n\
             args = [\"${{MCP_ROOT}}/server.js\"]\n"
        )
    });
    let config: String = agents.into_iter().chain(servers).collect();
    Ok(fs::write(dir.join("config.toml"), config)?)
}

/// A repository with one commit.
fn repository(dir: &Path) -> Result<(String, String), Failure> {
    let repository = dir.join("repository");
    fs::create_dir(&repository)?;
    fs::write(repository.join("server.js"), "")?;
    let git = |args: &[&str]| -> Result<String, Failure> {
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        let said = Command::new("git")
            .current_dir(&repository)
            .args(identity.iter().chain(args))
            .output()?;
        if !said.status.success() {
            return Err(String::from_utf8_lossy(&said.stderr).into());
        }
        Ok(String::from_utf8(said.stdout)?.trim().to_owned())
    };
    git(&["init", "--quiet"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message", "One file"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    Ok((repository.display().to_string(), commit))
}

fn variables(dir: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("HOME", dir.join("home")),
        ("WRAPPER_CONFIG", dir.join("config.toml")),
        ("WRAPPER_STATE_DIR", dir.join("state")),
        ("XDG_DATA_HOME", dir.join(DATA)),
        (REPORT, dir.join("report")),
    ]
}

/// The user's terminal. Dropped, it ends what runs in it.
struct Outer {
    pty: Pty,
    process: Process,
    buf: Vec<u8>,
    seen: Vec<u8>,
}

impl Outer {
    fn run(launch: &Launch) -> Result<Self, Failure> {
        let (pty, process) = Pty::spawn(launch, SIZE)?;
        Ok(Self {
            pty,
            process,
            buf: vec![0; 64 * 1024],
            seen: Vec::new(),
        })
    }

    /// Reads until a text has come, and forgets what came up to it.
    async fn until(&mut self, text: &[u8]) -> Result<(), Failure> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.seen, text) {
                self.seen.drain(..at + text.len());
                return Ok(());
            }
            let n = timeout(PATIENCE, self.pty.read(&mut self.buf)).await??;
            self.seen.extend_from_slice(&self.buf[..n]);
            if n == 0 {
                return Err(String::from_utf8_lossy(&self.seen).into());
            }
        }
    }

    /// Reads for a while.
    async fn rest(&mut self, time: Duration) -> Result<(), Failure> {
        match timeout(time, self.until(b"nothing says this")).await {
            Ok(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn end(mut self) -> Result<(), Failure> {
        self.pty.write(END).await?;
        while timeout(PATIENCE, self.pty.read(&mut self.buf)).await?? > 0 {}
        timeout(PATIENCE, self.process.wait()).await??;
        Ok(())
    }
}

// ---- the other roles ----

/// Writes a byte at once; then an input line, in which it shows what it gets
/// until Enter. Tells when the first byte and when Enter came.
fn agent() -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"!")?;
    out.flush()?;
    raw()?;
    out.write_all(b"\r\n\x1b[?2004h> ")?;
    out.flush()?;
    let report = UnixDatagram::unbound()?;
    let path = std::env::var_os(REPORT).unwrap_or_default();
    let (mut buf, mut begun) = ([0; 4096], false);
    loop {
        let n = io::stdin().read(&mut buf)?;
        let (at, keys) = (now().to_string(), &buf[..n]);
        if n == 0 || keys.contains(&END[0]) {
            return Ok(());
        }
        if !std::mem::replace(&mut begun, true) {
            report.send_to(at.as_bytes(), &path)?;
        }
        if keys.contains(&b'\r') {
            report.send_to(at.as_bytes(), &path)?;
            begun = false;
            out.write_all(b"\r\ndone\r\n> ")?;
        } else {
            let text = String::from_utf8_lossy(keys);
            let text = text.replace("\x1b[200~", "").replace("\x1b[201~", "");
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
    }
}

/// The least that a relay can do: poll, one read, one write.
fn relay(command: &[String]) -> Result<(), Failure> {
    raw()?;
    let pair = nix::pty::openpty(&winsize(SIZE), None)?;
    let stdio = || pair.slave.try_clone().map(Stdio::from);
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(stdio()?)
        .stdout(stdio()?)
        .stderr(stdio()?)
        .spawn()?;
    drop(pair.slave);
    let (keys, screen) = (
        io::stdin().as_fd().try_clone_to_owned()?,
        io::stdout().as_fd().try_clone_to_owned()?,
    );
    loop {
        let mut fds = [
            PollFd::new(keys.as_fd(), PollFlags::POLLIN),
            PollFd::new(pair.master.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::NONE)?;
        let ready = fds.map(|fd| fd.any().unwrap_or(false));
        if (ready[1] && !copy(&pair.master, &screen)?) || (ready[0] && !copy(&keys, &pair.master)?)
        {
            break;
        }
    }
    child.wait()?;
    Ok(())
}

fn copy(from: &OwnedFd, to: &OwnedFd) -> nix::Result<bool> {
    let mut buf = [0; 4096];
    let Ok(n @ 1..) = nix::unistd::read(from, &mut buf) else {
        return Ok(false);
    };
    let mut rest = &buf[..n];
    while !rest.is_empty() {
        rest = &rest[nix::unistd::write(to, rest)?..];
    }
    Ok(true)
}

fn raw() -> nix::Result<()> {
    let mut settings = tcgetattr(io::stdin())?;
    cfmakeraw(&mut settings);
    tcsetattr(io::stdin(), SetArg::TCSANOW, &settings)
}

/// Seconds on the clock that processes share.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median, and what nine in ten keep within.
fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() * 9 / 10]);
    format!("{:7.2} ({least:.2} to {most:.2})", median(sorted))
}
