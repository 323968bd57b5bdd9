//! `wrapper send SESSION TEXT`: types a prompt, and says what became of it.

use std::io::Read;

use anyhow::{Context, anyhow};

use super::found;
use super::setting::block_on;
use crate::cli::Send;
use crate::control::protocol::{Prompt, Receipt};
use crate::report::{self, Failure};
use crate::session::Word;
use crate::terminal::keys::MAX_PROMPT;
use crate::types::exit::Exit;
use crate::types::text::one_line;

pub(super) fn run(args: &Send) -> Result<Exit, Failure> {
    let prompt = Prompt {
        text: text(args).map_err(|error| Failure::new(Exit::NotDone, error))?,
        wait: args.wait,
        timeout_ms: (args.timeout).map(|time| time.as_millis().try_into().unwrap_or(u64::MAX)),
        no_wait: args.no_wait,
    };
    let (name, receipt) = block_on(Exit::NotDone, async {
        let found = found::session(&args.session).await?;
        let receipt = found.client.prompt(&prompt).await.map_err(found::refused)?;
        Ok((found.session.name, receipt))
    })?;
    let is_done = match receipt.outcome {
        Word::Submitted => true,
        Word::Queued | Word::Typing => args.no_wait,
        Word::Refused | Word::Unknown => false,
    };
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

/// What is to be typed. Nothing that would be refused is sent.
fn text(args: &Send) -> anyhow::Result<String> {
    let text = if args.text == "-" {
        // A character takes up to four bytes; what follows is not needed.
        let longest = u64::try_from(4 * MAX_PROMPT + 1)?;
        let mut text = Vec::new();
        std::io::stdin()
            .take(longest)
            .read_to_end(&mut text)
            .context("cannot read standard input")?;
        String::from_utf8_lossy(&text).into_owned()
    } else {
        args.text.clone()
    };
    let line = one_line(&text, usize::MAX);
    if line.is_empty() {
        return Err(anyhow!("cannot send that: there is nothing to type"));
    }
    if line.chars().nth(MAX_PROMPT).is_some() {
        return Err(anyhow!(
            "cannot send that: it is longer than {MAX_PROMPT} characters"
        ));
    }
    Ok(line)
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
