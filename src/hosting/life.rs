//! The life of one process: what goes in and out, and how it ends.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::group::{Group, Pipes};
use super::pump::pump;
use super::session::Session;

/// How long is listened to what a process said before it ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How the two of us parted.
enum End {
    /// We wanted it to.
    Told,
    /// It hears or says nothing any more, perhaps for this reason.
    Silent(Option<std::io::Error>),
    Dead,
}

/// Lives until the process ends, or is told to, and all of its group with it.
/// In words how it ended, if that was its own doing.
pub(super) async fn live(
    mut group: Group,
    pipes: Pipes,
    session: &Arc<Session>,
    lines: mpsc::Receiver<Bytes>,
) -> Option<String> {
    let chatter = Arc::clone(&session.chatter);
    let mut ear = tokio::spawn(async move { chatter.listen(pipes.errors).await });
    let end = {
        let mut hears = std::pin::pin!(pump(pipes.output, session));
        tokio::select! {
            () = session.end.cancelled() => End::Told,
            heard = &mut hears => End::Silent(heard.err()),
            error = speak(pipes.input, lines) => End::Silent(error),
            _ = group.wait() => {
                if timeout(LAST_WORDS, &mut hears).await.is_err() {
                    tracing::debug!("what a server started holds its output");
                }
                End::Dead
            }
        }
        // Its pipes are closed from here on.
    };
    session.close();
    if matches!(end, End::Told) {
        session.fail(&format!("this MCP server was ended. {FATE}"));
    }
    let status = group.end().await;
    if timeout(LAST_WORDS, &mut ear).await.is_err() {
        ear.abort();
    }
    if matches!(end, End::Told) {
        return None;
    }
    let how = describe(&end, status, session.chatter.last().as_deref());
    session.fail(&format!("this MCP server {how} before it answered. {FATE}"));
    Some(how)
}

const FATE: &str = "The call may or may not have been executed: look before you make it again";

/// Writes lines to a server for as long as it takes them.
async fn speak(mut input: ChildStdin, mut lines: mpsc::Receiver<Bytes>) -> Option<std::io::Error> {
    while let Some(line) = lines.recv().await {
        if let Err(error) = input.write_all(&line).await {
            return Some(error);
        }
    }
    None
}

fn describe(end: &End, status: Option<ExitStatus>, last: Option<&str>) -> String {
    let status = status.map_or_else(String::new, |status| format!(" ({status})"));
    let reason = match end {
        End::Silent(Some(error)) => format!(", as {error}"),
        _ => String::new(),
    };
    let last = last.map_or_else(String::new, |last| format!(", saying `{last}`,"));
    format!("ended{status}{reason}{last}")
}
