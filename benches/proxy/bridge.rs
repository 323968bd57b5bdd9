//! `wrapper bridge`, one call at a time, against the same calls made directly
//! and, where it is on PATH, by way of `supergateway`, the fastest bridge of
//! npm that we know: this program is the agent of a launch, and starts the
//! bridges as agents do.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use wrapper::terminal::{Launch, Pty};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use super::talk::{Reader, call, post};
use super::{ROLE, Res, Target, UPSTREAM_PORT, median, say};

const WRAPPER: &str = env!("CARGO_BIN_EXE_wrapper");

/// Where the agent writes what it has measured.
const REPORT: &str = "PROXY_BENCH_REPORT";

const CALLS: usize = 200;
const ROUNDS: usize = 15;

/// Launches the agent and prints what it has measured.
pub(super) fn measure(dir: &Path, upstream: u16) -> Res<()> {
    let me = env::current_exe()?.display().to_string();
    let config = format!(
        "[agents.bencher]\ncommand = {me:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         [mcp_servers.up]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{upstream}/mcp\"\n"
    );
    let (file, report) = (dir.join("config.toml"), dir.join("report"));
    fs::write(&file, config)?;
    let set = |name: &str, value: &Path| (name.into(), value.into());
    let launch = Launch {
        program: WRAPPER.into(),
        args: [
            "bencher".into(),
            "--offline".into(),
            "--no-restart".into(),
            "--config".into(),
            file.into(),
        ]
        .into(),
        env: [
            set("HOME", dir),
            ("PATH".into(), env::var_os("PATH").unwrap_or_default()),
            set("WRAPPER_STATE_DIR", &dir.join("state")),
            set(ROLE, Path::new("agent")),
            set(REPORT, &report),
            set(UPSTREAM_PORT, Path::new(&upstream.to_string())),
        ]
        .into(),
        cwd: dir.to_owned(),
    };
    let exit = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(in_a_terminal(&launch))?;
    let (exit, shown) = exit;
    if exit != AgentExit::Code(0) {
        return Err(format!("the launch ended with {exit:?}:\n{shown}").into());
    }
    Ok(say(&fs::read_to_string(report)?)?)
}

/// How it ended, and what it showed.
async fn in_a_terminal(launch: &Launch) -> Res<(AgentExit, String)> {
    const SIZE: TermSize = TermSize::new(24, 80);
    let (pty, mut process) = Pty::spawn(launch, SIZE)?;
    let (mut buf, mut shown) = (vec![0; 1 << 16], String::new());
    while let Ok(n @ 1..) = pty.read(&mut buf).await {
        shown += &String::from_utf8_lossy(&buf[..n]);
    }
    Ok((process.wait().await?, shown))
}

/// A bridge that was started.
struct Bridge {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    line: String,
}

impl Bridge {
    /// Starts it and opens its MCP session.
    fn start(command: &mut Command) -> Res<Self> {
        const HELLO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut bridge = Self {
            to: child.stdin.take().ok_or("no pipe")?,
            from: BufReader::new(child.stdout.take().ok_or("no pipe")?),
            child,
            line: String::new(),
        };
        bridge.ask(&format!("{HELLO}\n"))?;
        Ok(bridge)
    }

    /// Has a call answered.
    fn ask(&mut self, message: &str) -> Res<()> {
        self.line.clear();
        self.to.write_all(message.as_bytes())?;
        self.from.read_line(&mut self.line)?;
        if self.line.contains("\"result\"") {
            Ok(())
        } else {
            Err(format!("the bridge answers {:?}", self.line).into())
        }
    }

    fn end(mut self) -> Res<()> {
        drop(self.to);
        self.child.wait()?;
        Ok(())
    }
}

/// The agent's part.
pub(super) fn agent() -> Res<()> {
    const TOOL: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"chat_send\",\"arguments\":{\"message\":\"hello\"}}}\n";
    let direct = Target {
        name: "direct",
        port: env::var(UPSTREAM_PORT)?.parse()?,
        path: "/mcp",
        process: None,
    };
    let request = post(&direct, "chat_send");
    let io = TcpStream::connect((Ipv4Addr::LOCALHOST, direct.port))?;
    io.set_nodelay(true)?;
    let mut reader = Reader::new(&io);
    let mut ours = Bridge::start(Command::new(WRAPPER).args(["bridge", "up"]))?;
    let url = format!("http://127.0.0.1:{}/mcp", direct.port);
    let mut gateway = if on_path("supergateway") {
        let mut command = Command::new("supergateway");
        command.args(["--streamableHttp", &url, "--logLevel", "none"]);
        Some(Bridge::start(&mut command)?)
    } else {
        None
    };
    let timed = |call: &mut dyn FnMut() -> Res<()>| -> Res<f64> {
        let start = Instant::now();
        call()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for round in 0..=ROUNDS {
        let mut times: [Vec<f64>; 3] = Default::default();
        for _ in 0..CALLS {
            times[0].push(timed(&mut || {
                Ok(call(&io, &mut reader, &request).map(drop)?)
            })?);
            times[1].push(timed(&mut || ours.ask(TOOL))?);
            if let Some(gateway) = &mut gateway {
                times[2].push(timed(&mut || gateway.ask(TOOL))?);
            }
        }
        // The first round opens what stays open.
        if round > 0 {
            for (kept, times) in rounds.iter_mut().zip(&times) {
                kept.extend((!times.is_empty()).then(|| median(times)));
            }
        }
    }
    ours.end()?;
    let [plain, bridged, theirs] = &rounds;
    let ratio = |of: &[f64]| -> f64 {
        median(
            &bridged
                .iter()
                .zip(of)
                .map(|(a, b)| a / b)
                .collect::<Vec<_>>(),
        )
    };
    let peer = match gateway {
        Some(gateway) => {
            gateway.end()?;
            let (ms, ratio) = (median(theirs), ratio(theirs));
            format!("; supergateway {ms:.3} ms: x {ratio:.2}")
        }
        None => String::new(),
    };
    let report = format!(
        "\n`wrapper bridge`, one call at a time: {:.3} ms; direct {:.3} ms: x {:.1}{peer}",
        median(bridged),
        median(plain),
        ratio(plain)
    );
    Ok(fs::write(env::var(REPORT)?, report)?)
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
