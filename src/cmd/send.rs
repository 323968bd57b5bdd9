//! `wrapper send SESSION TEXT`: types a prompt, and says what became of it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::time::sleep;

use super::found;
use super::setting::block_on;
use crate::cli::Send;
use crate::control::client;
use crate::control::find::Found;
use crate::control::protocol::{Prompt, Receipt};
use crate::control::stopped::is_stopped;
use crate::report::{self, Failure};
use crate::session::Word;
use crate::terminal::keys::MAX_PROMPT;
use crate::types::exit::Exit;
use crate::types::text::{as_written, one_line};

/// How long a prompt waits before that is said, and how often it is looked at.
const WHILE: Duration = Duration::from_secs(1);

const SUSPENDED: &str = "the session is suspended";

pub(super) fn run(args: &Send) -> Result<Exit, Failure> {
    let began = Instant::now();
    let text = text(args)?;
    let (name, receipt) = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        // A session that was slow to say who it is has taken of the time.
        let spent = Some(began.elapsed()).filter(|spent| *spent >= WHILE);
        let left = (args.timeout).map(|time| time.saturating_sub(spent.unwrap_or_default()));
        let prompt = Prompt {
            text,
            wait: args.wait,
            timeout_ms: left.map(|time| time.as_millis().try_into().unwrap_or(u64::MAX)),
            no_wait: args.no_wait,
        };
        let receipt = if args.no_wait {
            found.client.prompt(&prompt).await
        } else {
            follow(&found, &prompt).await
        };
        Ok((
            found.session.name.clone(),
            receipt.map_err(|error| silent(&found, error))?,
        ))
    })?;
    let is_done = match receipt.outcome {
        Word::Submitted => true,
        Word::Queued | Word::Typing => args.no_wait,
        Word::Refused | Word::Unknown => false,
    };
    if receipt.joined && receipt.outcome != Word::Refused {
        report::warning(format_args!(
            "the text goes in as one line: `{}` is not known to take line ends and tabs \
             (`lines` of its manifest, docs/manifests.md)",
            one_line(&name, 100)
        ));
    }
    match (args.json, is_done) {
        (true, true) => report::json(&receipt),
        (true, false) => {
            report::json(&receipt);
            return Ok(Exit::NotDone);
        }
        (false, true) => {
            let outcome = report::word(&receipt.outcome);
            report::line(format_args!("{} {outcome}", receipt.id));
        }
        (false, false) => return Err(failure(&name, &receipt)),
    }
    Ok(Exit::Done)
}

/// Waits for the end of a prompt, no longer than its time, and says meanwhile
/// what it waits for.
async fn follow(found: &Found, prompt: &Prompt) -> Result<Receipt, client::Error> {
    let last: RefCell<Option<Receipt>> = RefCell::default();
    let followed = found.client.follow(prompt, |receipt| {
        last.replace(Some(receipt.clone()));
    });
    let mut receipt = tokio::select! {
        biased;
        receipt = followed => receipt?,
        never = tell(found, &last) => match never {},
    };
    // The time is over, and the session has not said so.
    receipt.outcome = match receipt.outcome {
        Word::Queued => Word::Refused,
        Word::Typing => Word::Unknown,
        ended => {
            return Ok(Receipt {
                outcome: ended,
                ..receipt
            });
        }
    };
    let why = waits(found, Some(&receipt));
    receipt.reason = Some(why.unwrap_or_else(|| "timeout".to_owned()));
    Ok(receipt)
}

/// Says what a prompt waits for, if it does for a while, whenever it is
/// something else.
async fn tell(found: &Found, last: &RefCell<Option<Receipt>>) -> Infallible {
    let mut told = None;
    loop {
        sleep(WHILE).await;
        let waits = waits(found, last.borrow().as_ref());
        if let Some(why) = &waits
            && told != waits
        {
            report::note(format_args!("waiting: {}", words(why)));
            told = waits;
        }
    }
}

/// What a prompt waits for: as its receipt says, unless the session cannot speak.
fn waits(found: &Found, last: Option<&Receipt>) -> Option<String> {
    if is_stopped(found.session.pid) {
        return Some(SUSPENDED.to_owned());
    }
    match last {
        Some(receipt) => receipt.reason.clone(),
        None => Some("the session does not answer".to_owned()),
    }
}

/// A reason in a sentence.
fn words(reason: &str) -> String {
    if let Some(rule) = reason.strip_prefix("dialog open: ") {
        return format!("a dialog is open ({})", one_line(rule, 100));
    }
    match reason {
        "draft" => "a line is begun at its terminal",
        "starting" => "the agent is starting",
        "busy" => "the agent works",
        "unknown screen" => "the agent shows an unknown screen",
        other => other,
    }
    .to_owned()
}

/// Why a session said nothing of a prompt.
fn silent(found: &Found, error: client::Error) -> Failure {
    if !is_stopped(found.session.pid) {
        return found::refused(error);
    }
    let name = one_line(&found.session.name, 100);
    let error = anyhow!("`{name}` did not get the prompt: {SUSPENDED}");
    Failure::new(Exit::NotDone, error).hint(format!(
        "nothing was typed; `fg` in its shell or `kill -CONT {}` continues it",
        found.session.pid
    ))
}

/// What is to be typed. Nothing that would be refused is sent.
fn text(args: &Send) -> Result<String, Failure> {
    let failed = |error: anyhow::Error| Failure::new(Exit::NotDone, error);
    let text = if args.text == "-" {
        // A character takes up to four bytes; what follows is not needed.
        let longest = u64::try_from(4 * MAX_PROMPT + 1).unwrap_or(u64::MAX);
        let mut text = Vec::new();
        std::io::stdin()
            .take(longest)
            .read_to_end(&mut text)
            .context("cannot read standard input")
            .map_err(failed)?;
        String::from_utf8_lossy(&text).into_owned()
    } else {
        args.text.clone()
    };
    if as_written(&text).trim().is_empty() {
        let error = anyhow!("cannot send that: there is nothing to type");
        return Err(failed(error));
    }
    if as_written(&text).chars().nth(MAX_PROMPT).is_some() {
        let error = anyhow!("cannot send that: it is longer than {MAX_PROMPT} characters");
        let hint = "write it into a file where the agent runs, and send the file's name";
        return Err(failed(error).hint(hint));
    }
    Ok(text)
}

fn failure(name: &str, receipt: &Receipt) -> Failure {
    let reason = receipt.reason.as_deref().unwrap_or("it does not say why");
    let name = one_line(name, 100);
    let (error, hint) = match receipt.outcome {
        Word::Unknown => (
            anyhow!("cannot tell whether `{name}` took the prompt: {reason}"),
            "if you send it again it may be there twice",
        ),
        _ => (
            anyhow!("`{name}` did not get the prompt: {reason}"),
            "nothing was typed",
        ),
    };
    Failure::new(Exit::NotDone, error).hint(format!(
        "{hint}; `wrapper screen {name}` shows what it shows"
    ))
}
