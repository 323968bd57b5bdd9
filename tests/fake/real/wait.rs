//! Waiting for what sends no event, under one deadline for each step.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::time::{sleep, timeout};
use wrapper::report;

/// How long one step may take, on a machine that has other things to do.
const DEADLINE: Duration = Duration::from_secs(120);

/// How long a screen takes to be the next one, and to stay it.
pub(crate) const SETTLED: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Result<Option<T>>>>(
    mut probe: impl FnMut() -> F,
) -> Result<T> {
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        sleep(PAUSE).await;
    }
}

/// One line of the report.
pub(crate) async fn step<T>(
    agent: &str,
    what: &str,
    doing: impl Future<Output = Result<T>>,
) -> Result<T> {
    let start = Instant::now();
    let done = timeout(DEADLINE, doing)
        .await
        .unwrap_or_else(|_| Err(anyhow!("nothing happened for {} s", DEADLINE.as_secs())));
    let verdict = if done.is_ok() { "ok" } else { "FAILED" };
    let seconds = start.elapsed().as_secs_f64();
    report::line(format_args!(
        "{agent:<11} {what:<43} {verdict} ({seconds:.1} s)"
    ));
    done.with_context(|| what.to_owned())
}
