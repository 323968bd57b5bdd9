//! Many sessions in the background, whose agents idle: what they hold and use
//! together, and how long mentions take to reach them.
//!
//! `cargo bench --bench fleet [-- SESSIONS SECONDS [ours|agentchattr]]` starts 50
//! sessions, unless told otherwise, of the real program, one after the other, in
//! one project and with a hub of their own, all below a temporary directory. They
//! are left alone for 60 s; then each is mentioned, and then all at once. That is
//! done with our hub, and with the server that plays agentchattr in the tests,
//! unless one of them is named. The program runs itself as the agent. Whatever
//! happens, the sessions are stopped at the end.

#![expect(clippy::print_stdout, reason = "its figures are its output")]
#![expect(clippy::cast_precision_loss, reason = "figures for a table")]

#[path = "../shared/agent.rs"]
mod agent;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/hub.rs"]
mod hub;
#[expect(dead_code, reason = "the bench needs no more of the human than words")]
#[path = "../../tests/fake/scenarios/human.rs"]
mod human;
mod mentions;
#[path = "../shared/number.rs"]
mod number;
mod peer;
#[path = "../shared/raw.rs"]
mod raw;
mod stage;
#[path = "../shared/usage.rs"]
mod usage;

use std::time::{Duration, Instant};

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use stage::{Kind, World};
use usage::{anchors, usages};

/// Until the last launch counts as settled.
const SETTLED: Duration = Duration::from_secs(3);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if args.first().is_some_and(|role| role == "agent") {
        return Ok(agent::run()?);
    }
    let arg = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (sessions, seconds) = (arg(0, 50)?, arg(1, 60)?);
    if sessions == 0 || seconds == 0 {
        return Err("no sessions, or no time".into());
    }
    let kinds = match args.get(2).map(String::as_str) {
        None => &[Kind::Ours, Kind::Agentchattr][..],
        Some("ours") => &[Kind::Ours],
        Some("agentchattr") => &[Kind::Agentchattr],
        Some(other) => return Err(format!("no hub `{other}`").into()),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            // Nothing would end the sessions if these ended us.
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                measured = all(kinds, sessions, Duration::from_secs(seconds)) => measured,
                _ = interrupt.recv() => Err("interrupted".into()),
                _ = terminate.recv() => Err("told to end".into()),
            }
        })
}

async fn all(kinds: &[Kind], sessions: u64, time: Duration) -> Result<(), Failure> {
    for kind in kinds {
        println!("hub: {kind:?}");
        measure(*kind, sessions, time).await?;
    }
    Ok(())
}

async fn measure(kind: Kind, sessions: u64, time: Duration) -> Result<(), Failure> {
    let mut world = World::new(kind)?;
    let start = Instant::now();
    for _ in 0..sessions {
        world.start()?;
        // Here the bench can be interrupted, and nowhere within a start.
        tokio::task::yield_now().await;
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "{sessions} sessions, all running {took:.1} s after the first was started, {:.0} ms each",
        took * 1e3 / sessions as f64
    );
    sleep(SETTLED).await;
    world.ask_names()?;
    let mut processes = world.pids();
    for pid in world.pids() {
        processes.extend(anchors(pid)?);
    }
    idle(&world, &processes, time).await?;
    mentions::one_by_one(&world).await?;
    let hub = [world.hub.pid()];
    let before = (cpu(&processes)?, cpu(&hub)?);
    let count = mentions::all_at_once(&world).await? as f64;
    println!(
        "{:>12} {:.2} ms of CPU until Enter, {:.2} of the hub's",
        "each of them",
        (cpu(&processes)? - before.0) * 1e3 / count,
        (cpu(&hub)? - before.1) * 1e3 / count
    );
    let after = usages(&world.pids())?;
    println!(
        "{:>12} {:.2} MB PSS a session",
        "afterwards",
        after.iter().map(|one| one.pss).sum::<f64>() / after.len() as f64
    );
    Ok(())
}

/// What nothing costs.
async fn idle(world: &World, processes: &[u32], time: Duration) -> Result<(), Failure> {
    let (pids, hub) = (world.pids(), [world.hub.pid()]);
    let start = Instant::now();
    let before = (usages(&pids)?, cpu(processes)?, cpu(&hub)?);
    sleep(time).await;
    let after = (usages(&pids)?, cpu(processes)?, cpu(&hub)?);
    let minutes = start.elapsed().as_secs_f64() / 60.0;

    let count = pids.len() as f64;
    let pss: f64 = after.0.iter().map(|one| one.pss).sum();
    let most = after.0.iter().map(|one| one.pss).fold(0.0, f64::max);
    let private: f64 = after.0.iter().map(|one| one.private).sum();
    let threads: usize = after.0.iter().map(|one| one.threads).sum();
    println!(
        "{:>12} {:.2} MB PSS a session (at most 6, aim 3), {most:.2} the largest, {:.2} private, {:.0} in all; {} processes, {threads} threads; the hub {:.2}",
        "memory",
        pss / count,
        private / count,
        pss,
        processes.len(),
        usages(&hub)?[0].pss,
    );
    let ticks = |usages: &[usage::Usage]| usages.iter().map(|one| one.ticks).sum::<u64>();
    let switches = |usages: &[usage::Usage]| usages.iter().map(|one| one.switches).sum::<u64>();
    println!(
        "{:>12} {:.2} s a minute in all (at most 0.5), {} ticks in {:.0} s, {:.2} switches/s a session, {:.1} in all (at most 30 of 50); the hub {:.2} s",
        "CPU",
        (after.1 - before.1) / minutes,
        ticks(&after.0) - ticks(&before.0),
        minutes * 60.0,
        (switches(&after.0) - switches(&before.0)) as f64 / count / (minutes * 60.0),
        (switches(&after.0) - switches(&before.0)) as f64 / (minutes * 60.0),
        (after.2 - before.2) / minutes,
    );
    Ok(())
}

/// Seconds of the processor that processes have used. A tick, in which the
/// kernel's files have it, is all that a session may use in a minute.
fn cpu(pids: &[u32]) -> Result<f64, Failure> {
    let mut sum = Duration::ZERO;
    for pid in pids {
        let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
        sum += Duration::from(clock.now()?);
    }
    Ok(sum.as_secs_f64())
}
