//! The test door of the session: `fake-agent supervise SOCKET RESTART PROGRAM
//! [ARGS…]` runs a program as a launch would, without configuration, hub and
//! proxy. Lines `type TEXT`, `view`, `busy BOOL`, `stop MS` and `panic` on the
//! socket are commands; receipts and views come back as JSON lines, and `true`
//! once the agent is as busy as that. SIGTERM and SIGHUP stop, as for a
//! launch.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use wrapper::session::{self, Job, Options, Prepared, Session, detect::Manifest};
use wrapper::terminal::{DevTty, Headless, Launch, SpawnError, foreground};
use wrapper::types::agent::{Pacing, Restart};
use wrapper::types::exit::Exit;
use wrapper::types::size::TermSize;

pub(crate) async fn run() -> ExitCode {
    let mut args = std::env::args_os().skip(2);
    let mut next = || args.next().expect("an argument");
    let (socket, restart, program) = (next(), next(), next());
    let stem = std::path::Path::new(&program)
        .file_stem()
        .unwrap_or_default();
    let life = Prepared {
        launch: Launch {
            program: program.clone().into(),
            args: args.collect(),
            env: std::env::vars_os().collect(),
            cwd: std::env::current_dir().expect("a directory"),
        },
        resumes: false,
    };
    let job = Job {
        restart: Restart::from_str(&restart.to_string_lossy(), true).expect("a policy"),
        pacing: Pacing {
            enter_delay: Duration::from_millis(50),
            settle: Duration::from_millis(200),
            echo_timeout: Duration::from_secs(1),
            ..Pacing::default()
        },
        manifest: Manifest::of(&stem.to_string_lossy()),
        life: life.clone(),
    };
    let (session, mailbox) = session::open();
    for kind in [SignalKind::terminate(), SignalKind::hangup()] {
        let stop = session.clone();
        let mut signals = signal(kind).expect("a signal");
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                stop.stop(Duration::from_millis(400)).await;
            }
        });
    }
    let (panic, panics) = mpsc::channel(1);
    if let Ok(stream) = UnixStream::connect(socket).await {
        tokio::spawn(serve(stream, session, panic));
    }
    let again = async |_| life.clone();
    let result = if foreground() {
        let tty = DevTty::open().expect("a terminal");
        let broken = async {
            let mut panics = panics;
            match panics.recv().await {
                Some(()) => panic!("as the test wanted it"),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = session::supervise(job, tty, mailbox, again) => ended,
            ended = broken => ended,
        }
    } else {
        let tty = Headless::open(TermSize::default()).expect("a thread");
        session::supervise(job, tty, mailbox, again).await
    };
    ExitCode::from(match result {
        Ok(exit) => Exit::Agent(exit).code(),
        Err(SpawnError::NotFound(_)) => Exit::NotFound.code(),
        Err(SpawnError::CannotRun(..)) => Exit::CannotRun.code(),
        Err(_) => Exit::Failed.code(),
    })
}

async fn serve(stream: UnixStream, session: Session, panic: mpsc::Sender<()>) {
    let (read, write) = stream.into_split();
    let write = std::sync::Arc::new(tokio::sync::Mutex::new(write));
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "panic" {
            panic.send(()).await.expect("somebody panics");
            continue;
        }
        let (session, write) = (session.clone(), std::sync::Arc::clone(&write));
        tokio::spawn(async move {
            let answer = match line.split_once(' ') {
                Some(("type", text)) => {
                    let mut prompt = session.prompt(text, Options::default()).await;
                    let receipt = prompt.ended().await;
                    match receipt.reason() {
                        None => json!({"outcome": receipt.word()}),
                        Some(why) => json!({"outcome": receipt.word(), "reason": why.to_string()}),
                    }
                }
                Some(("busy", wanted)) => {
                    let mut busy = session.busy();
                    let seen = busy.wait_for(|busy| busy.to_string() == wanted).await;
                    json!(seen.is_ok())
                }
                Some(("stop", ms)) => {
                    let ms = ms.parse().expect("milliseconds");
                    return session.stop(Duration::from_millis(ms)).await;
                }
                _ => {
                    let judged = session.judged().await;
                    json!(judged.map(|judged| judged.view.rows).unwrap_or_default())
                }
            };
            // The test may have gone already.
            let _ = write
                .lock()
                .await
                .write_all(format!("{answer}\n").as_bytes())
                .await;
        });
    }
}
