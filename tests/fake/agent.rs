//! A stand-in for an agent: a raw-mode TUI that does what its arguments say and
//! appends what it saw, as JSON lines, to the file named by `FAKE_REPORT`.
//!
//! A submitted line that begins with `/` is a command: `/exit CODE`,
//! `/die SIGNAL`, `/dialog QUESTION`, `/late QUESTION` (opens after the next
//! paste), `/servers` (connects to all that it was told of), `/call SERVER TOOL
//! JSON` (in a session that `--live` has opened), `/when FILE SERVER TOOL JSON`
//! (the same, once there is that file). Every other one is recorded, and the
//! `--call`s are made. `fake-agent supervise` is the test
//! door of the session instead, `fake-agent tool` an MCP server,
//! `fake-agent queue` a reader of queue files.

mod asks;
mod door;
mod live;
mod mcp;
mod queue;
mod sse;
mod told;
mod tool;
mod tricks;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Arguments that are not listed are taken and ignored, as an agent would take
/// what it is told of its servers.
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "a command line has switches")]
#[command(disable_help_flag = true, ignore_errors = true)]
struct Args {
    /// Milliseconds until bracketed paste is on; input before is lost.
    #[arg(long, default_value_t = 0)]
    ready_after: u64,
    /// Reads nothing until there is this file.
    #[arg(long)]
    reads_with: Option<PathBuf>,
    /// Never switches on bracketed paste.
    #[arg(long)]
    no_paste: bool,
    /// Takes input and shows nothing of it.
    #[arg(long)]
    mute: bool,
    /// Shows nothing of the first paste.
    #[arg(long)]
    deaf_once: bool,
    /// Milliseconds until a paste is shown.
    #[arg(long, default_value_t = 0)]
    slow_echo: u64,
    /// Ctrl-S puts the line aside; it comes back when another was submitted.
    #[arg(long)]
    stash: bool,
    /// Takes Enter and does nothing.
    #[arg(long)]
    ignore_enter: bool,
    /// Redraws a spinner all the time.
    #[arg(long)]
    busy: bool,
    /// A question that is open from the start; Enter approves it.
    #[arg(long)]
    dialog: Option<String>,
    /// Asks in words by which no manifest knows a question.
    #[arg(long)]
    oddly: bool,
    /// Ends at once with this code.
    #[arg(long)]
    exit: Option<u8>,
    /// Kills itself at once with this signal.
    #[arg(long)]
    die: Option<i32>,
    /// With `--exit` or `--die`: only as long as this file does not exist,
    /// which it makes.
    #[arg(long)]
    once: Option<PathBuf>,
    #[arg(long)]
    ignore_hup: bool,
    #[arg(long)]
    ignore_term: bool,
    /// Asks its terminal all there is to ask, and waits for the answers.
    #[arg(long)]
    ask: bool,
    /// Leaves every mode on at the end.
    #[arg(long)]
    dirty: bool,
    /// Leaves a process behind that holds the terminal open.
    #[arg(long)]
    grandchild: bool,
    /// Writes this many kilobytes before anything else.
    #[arg(long)]
    emit: Option<usize>,
    /// Gives the commands that `/servers` starts nothing of its environment.
    #[arg(long)]
    clears: bool,
    /// Connects to its servers at the start, and stays connected.
    #[arg(long)]
    live: bool,
    /// With `--live`: hears of no change of a server's tools.
    #[arg(long)]
    deaf: bool,
    /// Calls these tools, `NAME={"json":"arguments"}`, for every prompt.
    #[arg(long)]
    call: Vec<String>,
}

const DIRTY: &str =
    "\x1b[?1049h\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h\x1b[?1004h\x1b[>7u\x1b[?25l";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match std::env::args().nth(1).as_deref() {
        Some("supervise") => return runtime.block_on(door::run()),
        Some("tool") => return tool::serve(),
        Some("queue") => return runtime.block_on(queue::run()),
        _ => {}
    }
    runtime.block_on(Agent::new(Args::parse_from(own_args())).run())
}

/// Flags that tell an agent of its servers and its conversations.
const TOLD: [&str; 12] = [
    "--additional-mcp-config",
    "--allow-tool",
    "--allowed-tools",
    "--allowedTools",
    "--disable-mcp-server",
    "--mcp-config",
    "--mcp-config-file",
    "--policy",
    "--resume",
    "--session-id",
    "--settings",
    "--settings-file",
];

/// Our arguments without those that tell an agent of its servers, at which
/// clap would stop.
fn own_args() -> Vec<String> {
    let mut own = Vec::new();
    let mut args = std::env::args();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-c" => drop(args.next()),
            told if TOLD.contains(&told) => drop(args.next()),
            told if TOLD
                .iter()
                .any(|flag| told.starts_with(&format!("{flag}="))) => {}
            _ => own.push(arg),
        }
    }
    own
}

struct Agent {
    args: Args,
    line: String,
    /// The line that was put aside.
    stashed: String,
    dialog: Option<String>,
    /// A dialog that opens with the next paste.
    late: Option<String>,
    pasting: Option<String>,
    pending: Vec<u8>,
    deaf: bool,
}

impl Agent {
    fn new(args: Args) -> Self {
        Self {
            dialog: args.dialog.clone(),
            deaf: args.deaf_once,
            args,
            line: String::new(),
            stashed: String::new(),
            late: None,
            pasting: None,
            pending: Vec::new(),
        }
    }

    async fn run(mut self) -> ExitCode {
        report(&json!({"start": {
            "pid": std::process::id(),
            "argv": std::env::args().skip(1).collect::<Vec<_>>(),
            "env": std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect::<Vec<_>>(),
            "cwd": std::env::current_dir().ok(),
            "size": size(),
            "pixels": pixels(),
        }}));
        if let Some(kilobytes) = self.args.emit {
            emit(kilobytes);
        }
        let first = self.args.once.as_ref().is_none_or(|mark| {
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(mark)
                .is_ok()
        });
        if first && let Some(signal) = self.args.die {
            die(signal);
        }
        if first && let Some(code) = self.args.exit {
            return self.end(code);
        }
        let cooked = tcgetattr(std::io::stdin()).ok();
        if let Some(mut raw) = cooked.clone() {
            cfmakeraw(&mut raw);
            tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw).expect("raw mode");
        }
        self.begin();
        let mut input = input(self.args.reads_with.clone());
        let mut winch = signal(SignalKind::window_change()).expect("SIGWINCH");
        let mut hup = self
            .args
            .ignore_hup
            .then(|| signal(SignalKind::hangup()).expect("SIGHUP"));
        let mut term = self
            .args
            .ignore_term
            .then(|| signal(SignalKind::terminate()).expect("SIGTERM"));
        let ready = tokio::time::sleep(Duration::from_millis(self.args.ready_after));
        tokio::pin!(ready);
        let mut is_ready = false;
        let mut turn = 0;
        let code = loop {
            tokio::select! {
                () = &mut ready, if !is_ready => {
                    is_ready = true;
                    while input.try_recv().is_ok() {}
                    if !self.args.no_paste {
                        say("\x1b[?2004h");
                    }
                    self.draw();
                }
                bytes = input.recv() => match bytes {
                    Some(bytes) if is_ready => {
                        report(&json!({"input": String::from_utf8_lossy(&bytes)}));
                        if let Some(code) = self.keys(&bytes).await {
                            break code;
                        }
                    }
                    Some(_) => {}
                    None => break 129,
                },
                _ = winch.recv() => match pixels() {
                    Some((0, 0)) | None => report(&json!({"size": size()})),
                    pixels => report(&json!({"size": size(), "pixels": pixels})),
                },
                () = come(&mut hup) => report(&json!({"signal": "HUP"})),
                () = come(&mut term) => report(&json!({"signal": "TERM"})),
                () = tokio::time::sleep(Duration::from_millis(30)), if self.args.busy => {
                    turn += 1;
                    say(&format!("\x1b7\x1b[1;60H{}\x1b8", ["|", "/", "-", "\\"][turn % 4]));
                }
            }
        };
        if let Some(cooked) = &cooked
            && !self.args.dirty
        {
            // The terminal may be gone already.
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, cooked);
        }
        self.end(code)
    }

    /// What it does before it takes keys.
    fn begin(&self) {
        if self.args.ask {
            asks::all();
        }
        say("fake agent\r\n");
        if self.args.grandchild {
            leave_behind();
        }
        if self.args.live {
            live::connect(self.args.deaf);
        }
    }

    fn end(&self, code: u8) -> ExitCode {
        say(if self.args.dirty {
            DIRTY
        } else {
            "\x1b[?2004l"
        });
        say("\r\nlast words\r\n");
        ExitCode::from(code)
    }

    /// Takes keys; gives a code when it is time to go.
    async fn keys(&mut self, bytes: &[u8]) -> Option<u8> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let text = String::from_utf8_lossy(&pending).into_owned();
        let mut rest = text.as_str();
        while let Some(c) = rest.chars().next() {
            if rest.len() < 6 && "\x1b[200~".starts_with(rest)
                || "\x1b[201~".starts_with(rest) && rest.len() < 6
            {
                self.pending = rest.as_bytes().to_vec();
                break;
            }
            if let Some(after) = rest.strip_prefix("\x1b[200~") {
                self.pasting = Some(String::new());
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix("\x1b[201~") {
                rest = after;
                self.pasted().await;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            if let Some(pasting) = &mut self.pasting {
                pasting.push(c);
                continue;
            }
            if let Some(code) = self.key(c) {
                return Some(code);
            }
        }
        None
    }

    async fn pasted(&mut self) {
        let text = self.pasting.take().unwrap_or_default();
        report(&json!({"paste": &text}));
        if self.dialog.is_some() || std::mem::take(&mut self.deaf) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(self.args.slow_echo)).await;
        self.line.push_str(&text);
        self.draw();
        if let Some(question) = self.late.take() {
            self.dialog = Some(question);
            self.draw();
        }
    }

    fn key(&mut self, c: char) -> Option<u8> {
        if let Some(question) = &self.dialog {
            if matches!(c, '\r' | 'y' | '1') {
                report(&json!({"approved": question}));
                self.dialog = None;
                self.draw();
            }
            return None;
        }
        match c {
            '\r' if self.args.ignore_enter => return None,
            '\r' => {
                let stashed = std::mem::take(&mut self.stashed);
                let line = std::mem::replace(&mut self.line, stashed);
                return self.submit(&line);
            }
            '\x13' if self.args.stash => self.stashed = std::mem::take(&mut self.line),
            '\x03' => return Some(130),
            '\x04' => return Some(0),
            '\x15' => self.line.clear(),
            '\x7f' => drop(self.line.pop()),
            c if !c.is_control() => self.line.push(c),
            _ => return None,
        }
        self.draw();
        None
    }

    fn submit(&mut self, line: &str) -> Option<u8> {
        let (word, argument) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "/exit" => return Some(argument.parse().unwrap_or(0)),
            "/die" => die(argument.parse().unwrap_or(9)),
            "/dialog" => self.dialog = Some(argument.to_owned()),
            "/servers" => {
                report(&json!({"servers": mcp::probe(self.args.clears)}));
                say("asked all\r\n");
            }
            "/call" => {
                let mut words = argument.splitn(3, ' ');
                let mut next = || words.next().unwrap_or_default();
                let (server, tool) = (next(), next());
                let result = live::call(server, tool, next());
                report(&json!({"call": tool, "of": server, "result": result}));
                say("called\r\n");
            }
            "/when" => {
                let (file, rest) = argument.split_once(' ').unwrap_or((argument, ""));
                while !std::path::Path::new(file).exists() {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                return self.submit(&format!("/call {rest}"));
            }
            "/late" => self.late = Some(argument.to_owned()),
            _ => {
                say(&format!("\r\x1b[2K* {}\r\n", line.replace('\n', "\r\n")));
                report(&json!({"prompt": line}));
                for call in &self.args.call {
                    let (tool, arguments) = call.split_once('=').unwrap_or((call, "{}"));
                    let result = mcp::call(tool, arguments);
                    report(&json!({"call": tool, "result": result}));
                    say(&format!("called {tool}\r\n"));
                }
            }
        }
        self.draw();
        None
    }

    fn draw(&self) {
        if let (Some(question), true) = (&self.dialog, self.args.oddly) {
            say(&format!("\r\n\x1b[2K{question}, may I\r\n"));
        } else if let Some(question) = &self.dialog {
            say(&format!(
                "\r\n\x1b[2KAllow {question}?\r\n> 1. Yes\r\n  2. No\r\n"
            ));
        } else if !self.args.mute {
            say(&format!("\r\x1b[2K> {}", self.line.replace('\n', "\r\n")));
        }
    }
}

async fn come(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn leave_behind() {
    let script = "trap '' HUP; echo left behind; sleep 600";
    let child = Command::new("sh").args(["-c", script]).spawn();
    report(&json!({"grandchild": child.expect("a grandchild").id()}));
}

fn emit(kilobytes: usize) {
    // 64 bytes a line, whole lines a kilobyte.
    let line = format!("{}__\r\n", "0123456789".repeat(6));
    for _ in 0..kilobytes {
        say(&line.repeat(16));
    }
    say("end of flood\r\n");
}

fn die(signal: i32) {
    say("\r\nlast words\r\n");
    let signal = Signal::try_from(signal).expect("a signal");
    raise(signal).expect("raised");
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone is not this program's business.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Appends a line to the report.
fn report(entry: &Value) {
    if let Some(path) = std::env::var_os("FAKE_REPORT") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        file.and_then(|mut file| file.write_all(format!("{entry}\n").as_bytes()))
            .expect("the report is written");
    }
}

/// What comes from the terminal, once there is a file `mark`, if one is named.
fn input(mark: Option<PathBuf>) -> mpsc::Receiver<Vec<u8>> {
    let (bytes, input) = mpsc::channel(64);
    std::thread::spawn(move || {
        while mark.as_ref().is_some_and(|mark| !mark.exists()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut buf = [0; 4096];
        while let Ok(n @ 1..) = std::io::stdin().read(&mut buf) {
            if bytes.blocking_send(buf[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    input
}

/// Rows and columns of the terminal.
fn size() -> Option<(u16, u16)> {
    let size = wrapper::terminal::fd::size(std::io::stdin()).ok()?;
    Some((size.rows, size.cols))
}

/// Its width and height in pixels.
fn pixels() -> Option<(u16, u16)> {
    let size = wrapper::terminal::fd::size(std::io::stdin()).ok()?;
    Some((size.x_pixels, size.y_pixels))
}
