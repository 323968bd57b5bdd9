//! Terminals that look on: what it takes to attach, and what three of them
//! cost the agent.
//!
//! `cargo bench --bench attach [-- ROUNDS MB ATTACHES]` runs the real program
//! in real terminals. A round lets the agent write so many megabytes, once with
//! nobody and once with three terminals that look on and read what they are
//! shown; the median of the rates' ratio within a round is to be 0.8 at least.
//! Attached to a full screen, a terminal has shown all of it within 20 ms, in
//! the median. The session's memory is flat: 2000 MB by hand. The program runs
//! itself as the agent.

#![expect(clippy::print_stdout, reason = "its figures are its output")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/number.rs"]
mod number;
#[path = "shared/outer.rs"]
mod outer;
#[path = "shared/raw.rs"]
mod raw;

use std::io::{Read, Write};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use wrapper::types::size::TermSize;

use figures::median;
use number::number;
use outer::Outer;
use raw::raw;

const SIZE: TermSize = TermSize::new(40, 120);

/// What the agent writes first, and after a flood.
const READY: &[u8] = b"<ready>";
const END: &[u8] = b"<end>";

/// What leaves a session.
const LEAVE: &[u8] = b"\x1cd";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if args.first().is_some_and(|role| role == "agent") {
        return agent(args[1].parse()?);
    }
    let arg = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (rounds, megabytes, attaches) = (arg(0, 6)?, arg(1, 60)?, arg(2, 50)?);
    let home = tempfile::tempdir()?;
    let me = std::env::current_exe()?;
    std::fs::write(
        home.path().join("config.toml"),
        format!(
            "[agents.bench]\ncommand = \"{}\"\nargs = [\"agent\", \"{megabytes}\"]\n",
            me.display()
        ),
    )?;
    let mut own = run(home.path(), &["bench", "--offline"])?;
    own.until(READY)?;
    let session = own.child.id();

    let mut times = Vec::new();
    for _ in 0..attaches {
        let start = Instant::now();
        let mut viewer = run(home.path(), &["attach", "bench"])?;
        viewer.until(READY)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        viewer.write(LEAVE)?;
        viewer.end()?;
    }
    println!(
        "attach to a full screen: {:.1} ms (at most 20)",
        median(times)
    );

    let before = resident(session)?;
    let mut first = before;
    let [mut alone, mut watched, mut ratios] = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let mut rates = [0.0; 2];
        for turn in 0..2 {
            // Each comes first equally often.
            let at = (turn + round) % 2;
            let viewers: Vec<Eyes> = (0..3 * at)
                .map(|_| Eyes::open(home.path()))
                .collect::<Result<_, _>>()?;
            rates[at] = flood(&mut own, megabytes)?;
            for viewer in viewers {
                viewer.close()?;
            }
        }
        alone.push(rates[0]);
        watched.push(rates[1]);
        ratios.push(rates[1] / rates[0]);
        if round == 0 {
            first = resident(session)?;
        }
    }
    println!(
        "{rounds} rounds of {megabytes} MB: alone {:.0} MB/s, with three that look on {:.0} MB/s, {:.2} of it (at least 0.8)",
        median(alone),
        median(watched),
        median(ratios)
    );
    println!(
        "resident: {before} kB before, {first} after the first round, {} at the end, {} at most",
        resident(session)?,
        peak(session)?
    );
    own.write(b"q")?;
    Ok(own.end()?)
}

/// MB/s of a flood, as it comes out of the session's own terminal.
fn flood(own: &mut Outer, megabytes: usize) -> Result<f64, Failure> {
    let start = Instant::now();
    own.write(b"g")?;
    own.until(END)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(megabytes as f64 / start.elapsed().as_secs_f64())
}

/// The resident size of a process, in kB, now and at most.
fn resident(pid: u32) -> Result<u64, Failure> {
    status(pid, "VmRSS:")
}

fn peak(pid: u32) -> Result<u64, Failure> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &str) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(number(&text, name).ok_or("no such line")?)
}

/// A verb of the program in a terminal.
fn run(home: &Path, args: &[&str]) -> Result<Outer, Failure> {
    let command = [&[env!("CARGO_BIN_EXE_wrapper")], args].concat();
    Outer::run(
        &command,
        &[
            ("HOME", home),
            ("WRAPPER_CONFIG", &home.join("config.toml")),
            ("WRAPPER_STATE_DIR", &home.join("state")),
        ],
    )
}

/// A terminal that looks on, and reads whatever it is shown.
struct Eyes {
    keys: std::fs::File,
    reader: JoinHandle<std::io::Result<()>>,
}

impl Eyes {
    fn open(home: &Path) -> Result<Self, Failure> {
        let mut outer = run(home, &["attach", "bench"])?;
        // Of the screen that there is: it has seen something of it.
        outer.until(b"<")?;
        let keys = outer.master.try_clone()?;
        let reader = std::thread::spawn(move || {
            let Outer {
                mut master,
                mut child,
                mut buf,
                ..
            } = outer;
            // The end of the terminal is an error to Linux.
            while master.read(&mut buf).is_ok_and(|n| n > 0) {}
            child.wait().map(drop)
        });
        Ok(Self { keys, reader })
    }

    fn close(mut self) -> Result<(), Failure> {
        self.keys.write_all(LEAVE)?;
        self.reader.join().map_err(|_| "a reader has failed")??;
        Ok(())
    }
}

/// The agent: a full screen, and a flood whenever it is asked for one.
fn agent(megabytes: usize) -> Result<(), Failure> {
    raw()?;
    let mut line = Vec::new();
    for word in 0..12 {
        write!(line, "\x1b[3{}mword {word:04}\x1b[m ", word % 8)?;
    }
    let screen = |out: &mut dyn Write, last: &[u8]| {
        for _ in 1..SIZE.rows {
            out.write_all(&line)?;
            out.write_all(b"\r\n")?;
        }
        out.write_all(last)?;
        out.flush()
    };
    let mut out = std::io::stdout().lock();
    screen(&mut out, READY)?;
    let mut key = [0];
    while std::io::stdin().read(&mut key)? > 0 && key != *b"q" {
        for _ in 0..megabytes * 1_000_000 / (line.len() * usize::from(SIZE.rows)) {
            screen(&mut out, b"")?;
        }
        screen(&mut out, END)?;
    }
    Ok(())
}
