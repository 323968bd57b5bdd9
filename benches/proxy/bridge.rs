//! `wrapper bridge`, one call at a time, against the same calls made directly:
//! this program is the agent of a launch, and starts the bridge as agents do.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
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
            "--config".into(),
            file.into(),
        ]
        .into(),
        env: [
            set("HOME", dir),
            set("PATH", Path::new("/usr/bin:/bin")),
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
    const SIZE: TermSize = TermSize { rows: 24, cols: 80 };
    let (pty, mut process) = Pty::spawn(launch, SIZE)?;
    let (mut buf, mut shown) = (vec![0; 1 << 16], String::new());
    while let Ok(n @ 1..) = pty.read(&mut buf).await {
        shown += &String::from_utf8_lossy(&buf[..n]);
    }
    Ok((process.wait().await?, shown))
}

/// The agent's part.
pub(super) fn agent() -> Res<()> {
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
    let mut bridge = Command::new(WRAPPER)
        .args(["bridge", "up"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut to = bridge.stdin.take().ok_or("no pipe")?;
    let mut from = BufReader::new(bridge.stdout.take().ok_or("no pipe")?);
    let mut line = String::new();
    let mut ask = |message: &str| -> Res<()> {
        line.clear();
        to.write_all(message.as_bytes())?;
        from.read_line(&mut line)?;
        if line.contains("\"result\"") {
            Ok(())
        } else {
            Err(format!("the bridge answers {line:?}").into())
        }
    };
    ask(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}\n",
    )?;
    let tool = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"chat_send\",\"arguments\":{\"message\":\"hello\"}}}\n";
    let (mut plain, mut bridged, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            let start = Instant::now();
            call(&io, &mut reader, &request)?;
            theirs.push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            ask(tool)?;
            ours.push(start.elapsed().as_secs_f64() * 1e3);
        }
        // The first round opens what stays open.
        if round > 0 {
            ratios.push(median(&ours) / median(&theirs));
            plain.push(median(&theirs));
            bridged.push(median(&ours));
        }
    }
    drop(to);
    bridge.wait()?;
    let report = format!(
        "\n`wrapper bridge`, one call at a time: {:.3} ms; direct {:.3} ms; x {:.1}",
        median(&bridged),
        median(&plain),
        median(&ratios)
    );
    Ok(fs::write(env::var(REPORT)?, report)?)
}
