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

#[path = "../shared/agent.rs"]
mod agent;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/hub.rs"]
mod hub;
mod idle;
#[path = "../shared/number.rs"]
mod number;
mod queue;
#[path = "../shared/raw.rs"]
mod raw;
#[path = "../shared/relay.rs"]
mod relay;
mod stage;
#[path = "../shared/usage.rs"]
mod usage;

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use wrapper::types::size::TermSize;

use agent::now;
use figures::median;
use stage::{Outer, World};

const WRAPPER: &str = env!("CARGO_BIN_EXE_wrapper");

const SIZE: TermSize = TermSize::new(40, 120);

/// Below the temporary directory.
const DATA: &str = "data";

/// What nothing here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Until a screen counts as still, and a launch as settled.
const SETTLED: Duration = Duration::from_secs(3);

/// Between two mentions.
const PAUSE: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    match args.first().map(String::as_str) {
        Some("agent") => Ok(agent::run()?),
        Some("relay") => relay::run(&args[1..], SIZE),
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
    queue::measure(&world, rounds).await?;
    idle::idle(&world, time).await
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
    let mut outer = Outer::run(&world.command("wrapper"))?;
    outer.until(b"> ").await?;
    // The first one waits until the agent's screen is still.
    world.hub.say("@bench hello").await?;
    enter(&mut outer, &world.report).await?;
    let (mut posts, mut firsts, mut enters) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        outer.rest(PAUSE).await?;
        let start = Instant::now();
        world.hub.say("nobody in particular").await?;
        posts.push(millis(start.elapsed()));
        outer.rest(PAUSE).await?;
        let start = now();
        world.hub.say("@bench hello").await?;
        let (first, entered) = enter(&mut outer, &world.report).await?;
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
        Ok(agent::told(&buf[..n]).ok_or("a strange report")?.0)
    };
    Ok((next()?, next()?))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The median, and what nine in ten keep within.
fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() * 9 / 10]);
    format!("{:7.2} ({least:.2} to {most:.2})", median(sorted))
}
