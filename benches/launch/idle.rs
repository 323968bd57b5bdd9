//! What a wrapper takes while it idles.

use std::time::Duration;

use tokio::time::sleep;

use super::stage::{Outer, World};
use super::usage::usages;
use super::{Failure, SETTLED};

pub(super) async fn idle(world: &World, time: Duration) -> Result<(), Failure> {
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
    pids.push(world.hub.pid());
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
