//! From a mention's being sent until the agent has its first byte.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Failure;
use super::agent::{now, told};
use super::figures::median;
use super::stage::World;

/// What nothing here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two mentions: what the last one left to be done is done.
const PAUSE: Duration = Duration::from_millis(100);

/// How often all are mentioned at once.
const TIMES: usize = 5;

pub(super) async fn one_by_one(world: &World) -> Result<(), Failure> {
    let mut times = Vec::new();
    for session in &world.sessions {
        let took = mention(world, &session.name, &[&session.first_name]).await?;
        times.extend(took);
    }
    println!(
        "{:>12} {:.2} ms to the agent's first byte, {:.2} the slowest (at most 100)",
        "a mention",
        median(times.clone()),
        slowest(&times)
    );
    Ok(())
}

/// How many mentions that were.
pub(super) async fn all_at_once(world: &World) -> Result<usize, Failure> {
    let sessions = world.sessions.iter();
    let names: Vec<&str> = sessions
        .map(|session| session.first_name.as_str())
        .collect();
    let (mut halves, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let times = mention(world, "all", &names).await?;
        ends.push(slowest(&times));
        halves.push(median(times));
    }
    println!(
        "{:>12} {:.1} ms, {:.1} the slowest; the slowest of {TIMES} such messages {:.1}",
        "to all",
        median(halves),
        median(ends.clone()),
        slowest(&ends)
    );
    Ok(TIMES * names.len())
}

/// Mentions somebody, and waits until it was submitted to all of these and to
/// nobody else; the milliseconds until each had its first byte.
async fn mention(world: &World, whom: &str, names: &[&str]) -> Result<Vec<f64>, Failure> {
    sleep(PAUSE).await;
    // When the first byte came to each, and when Enter.
    let mut reports: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let start = now();
    world.hub.say(&format!("@{whom} hello")).await?;
    for _ in 0..2 * names.len() {
        let mut buf = [0; 256];
        let report = timeout(PATIENCE, world.report.recv(&mut buf)).await;
        let n = report.map_err(|_| format!("@{whom}: only {reports:?}"))??;
        let (at, name) = told(&buf[..n]).ok_or("a strange report")?;
        reports.entry(name.to_owned()).or_default().push(at);
    }
    let firsts = names
        .iter()
        .map(|name| match reports.get(*name)?.as_slice() {
            [first, _] => Some((first - start) * 1e3),
            _ => None,
        });
    let firsts: Option<Vec<f64>> = firsts.collect();
    firsts.ok_or_else(|| format!("@{whom} came as {reports:?}").into())
}

fn slowest(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}
