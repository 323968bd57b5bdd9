//! The user's bytes through a session, against the least that a relay can do:
//! output in MB/s with the screen model on, and what a keystroke's echo takes.
//!
//! `cargo bench --bench terminal [-- ROUNDS MB KEYS]` runs every target once a
//! round in a shuffled order, and prints medians over rounds of the ratio
//! within one round. tmux takes part where it is installed. The program runs
//! itself in other roles: the relay, our session, the agent inside.

#![expect(clippy::print_stdout, reason = "its figures are its output")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/outer.rs"]
mod outer;
#[path = "shared/raw.rs"]
mod raw;
#[path = "shared/relay.rs"]
mod relay;

use std::io::{Read, Write};
use std::process::{Command, ExitCode};
use std::time::Instant;

use wrapper::terminal::Launch;
use wrapper::types::size::TermSize;

use figures::median;
use outer::Outer;
use raw::raw;

const SIZE: TermSize = TermSize::new(40, 120);

const START: &[u8] = b"<start>";
const END: &[u8] = b"<end>";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    match args.first().map(String::as_str) {
        Some("relay") => relay::run(&args[1..], SIZE)?,
        Some("ours") => return ours(&args[1..]),
        Some("flood") => flood(&args[1], args[2].parse()?)?,
        Some("echo") => echo()?,
        _ => {
            let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
            compare(number(0, 8)?, number(1, 60)?, number(2, 500)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is measured, and in which unit.
const FIGURES: [&str; 4] = ["plain MB/s", "sgr MB/s", "tui MB/s", "echo us"];

fn compare(rounds: usize, megabytes: usize, keys: usize) -> Result<(), Failure> {
    let me = std::env::current_exe()?
        .to_str()
        .ok_or("a path that is no text")?
        .to_owned();
    let mut targets = vec![
        ("relay", vec![me.clone(), "relay".into()]),
        ("ours", vec![me.clone(), "ours".into()]),
    ];
    if Command::new("tmux").arg("-V").output().is_ok() {
        let tmux = "tmux -f /dev/null -L bench-terminal new-session";
        targets.push(("tmux", tmux.split(' ').map(str::to_owned).collect()));
    }
    // Per target, figure and round.
    let mut samples = vec![vec![Vec::new(); FIGURES.len()]; targets.len()];
    for round in 0..rounds {
        for turn in 0..targets.len() {
            // Every target comes first, second and last equally often.
            let at = (turn + round) % targets.len();
            let prefix = &targets[at].1;
            for (figure, kind) in ["plain", "sgr", "tui"].iter().enumerate() {
                let child = [
                    me.clone(),
                    "flood".into(),
                    (*kind).into(),
                    megabytes.to_string(),
                ];
                samples[at][figure].push(output(&[prefix, &child[..]].concat(), megabytes)?);
            }
            samples[at][3].push(keystrokes(
                &[prefix, &[me.clone(), "echo".into()][..]].concat(),
                keys,
            )?);
        }
    }
    println!(
        "{rounds} rounds of {megabytes} MB and {keys} keys; over the relay: median of the rounds"
    );
    for (at, (name, _)) in targets.iter().enumerate() {
        for (figure, unit) in FIGURES.iter().enumerate() {
            let (mine, base) = (&samples[at][figure], &samples[0][figure]);
            let pairs = mine.iter().zip(base);
            let compared = if figure < 3 {
                format!("x {:.2}", median(pairs.map(|(a, b)| a / b).collect()))
            } else {
                format!("{:+.1}", median(pairs.map(|(a, b)| a - b).collect()))
            };
            println!(
                "{name:>6} {unit:>10} {:>8.1} {compared:>8}",
                median(mine.clone())
            );
        }
    }
    Ok(())
}

/// MB/s between the markers, as they come out of the outer terminal.
fn output(command: &[String], megabytes: usize) -> Result<f64, Failure> {
    let mut outer = Outer::run(command, &[])?;
    outer.until(START)?;
    outer.write(b"g")?;
    let start = Instant::now();
    outer.until(END)?;
    let seconds = start.elapsed().as_secs_f64();
    outer.write(b"q")?;
    outer.end()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(megabytes as f64 / seconds)
}

/// The median microseconds from a key to its echo, one at a time.
fn keystrokes(command: &[String], keys: usize) -> Result<f64, Failure> {
    let mut outer = Outer::run(command, &[])?;
    outer.until(START)?;
    let mut times = Vec::with_capacity(keys);
    for key in (b'a'..=b'z').cycle().take(keys) {
        let start = Instant::now();
        outer.write(&[key])?;
        outer.until(&[key])?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    outer.write(b"\x04")?;
    outer.end()?;
    Ok(median(times))
}

/// The session as a launch runs it.
fn ours(command: &[String]) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (_session, mailbox) = wrapper::session::open();
        let launch = Launch {
            program: command[0].clone().into(),
            args: command[1..].iter().map(Into::into).collect(),
            env: std::env::vars_os().collect(),
            cwd: std::env::current_dir()?,
        };
        let life = wrapper::session::Prepared {
            launch,
            resumes: false,
        };
        let job = wrapper::session::Job {
            life: life.clone(),
            restart: wrapper::types::agent::Restart::Never,
            pacing: wrapper::types::agent::Pacing::default(),
            manifest: wrapper::session::detect::Manifest::default(),
        };
        let tty = wrapper::terminal::DevTty::open()?;
        let again = async |_| life.clone();
        wrapper::session::supervise(job, tty, mailbox, again).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// An agent that says much.
fn flood(kind: &str, megabytes: usize) -> Result<(), Failure> {
    raw()?;
    let mut text = Vec::new();
    for line in 0..1000 {
        match kind {
            "plain" => write!(
                text,
                "line {line} of a long answer in plain words, as logs are, to the right margin\r\n"
            )?,
            "sgr" => write!(
                text,
                "\x1b[1;38;5;{}mword {line}\x1b[0m \x1b[32mgreen\x1b[0m and \x1b[4munderlined\x1b[24m text\r\n",
                line % 256
            )?,
            _ => write!(
                text,
                "\x1b[{};{}H\x1b[38;2;9;9;{}m* frame {line}\x1b[K\x1b[m\x1b[?25l",
                1 + line % 40,
                1 + line % 60,
                line % 256
            )?,
        }
    }
    let mut out = std::io::stdout().lock();
    out.write_all(START)?;
    out.flush()?;
    std::io::stdin().read_exact(&mut [0])?;
    for _ in 0..=megabytes * 1_000_000 / text.len() {
        out.write_all(&text)?;
    }
    out.write_all(b"\x1b[m\r\n")?;
    out.write_all(END)?;
    out.flush()?;
    // tmux would not draw the end of a program that has gone.
    std::io::stdin().read_exact(&mut [0])?;
    Ok(())
}

/// An agent that says every key again.
fn echo() -> Result<(), Failure> {
    raw()?;
    let mut buf = [0; 4096];
    let mut out = std::io::stdout().lock();
    out.write_all(START)?;
    out.flush()?;
    loop {
        let n = std::io::stdin().read(&mut buf)?;
        if n == 0 || buf[..n].contains(&0x04) {
            return Ok(());
        }
        out.write_all(&buf[..n])?;
        out.flush()?;
    }
}
