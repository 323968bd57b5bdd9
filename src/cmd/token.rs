//! `wrapper token rotate`: new tokens for the human and for all sessions.

use std::io::ErrorKind;

use anyhow::anyhow;
use serde_json::json;

use super::setting::{Setting, block_on, hub_failure};
use crate::cli::Token;
use crate::hub;
use crate::hub::client::{Error, Kind};
use crate::report::{self, Failure};
use crate::types::exit::Exit;

pub(super) fn run(verb: &Token) -> Result<Exit, Failure> {
    let Token::Rotate(args) = verb;
    let setting = Setting::load(&args.options, Exit::NotDone)?;
    let client = setting.client();
    let failed = |error: anyhow::Error| Failure::new(Exit::NotDone, error);
    let (names, hub) = block_on(Exit::NotDone, async {
        match client.health().await {
            Ok(Kind::Ours(_)) => {
                let human = setting.human()?;
                let names = client.rotate_all(&human).await.map_err(hub_failure)?;
                Ok((names, "running"))
            }
            Ok(Kind::Agentchattr) => Err(failed(anyhow!(
                "the hub at {} is agentchattr's: it makes its tokens by itself, at each of its starts",
                client.url()
            ))),
            // Ours does not run: what is there is not it, or nothing.
            Err(
                Error::Foreign { .. }
                | Error::Unreachable {
                    why: ErrorKind::ConnectionRefused,
                    ..
                },
            ) => {
                let names = hub::rotate_at_rest(&setting.config.hub.data_dir).map_err(failed)?;
                Ok((names, "stopped"))
            }
            Err(error) => Err(hub_failure(error)),
        }
    })?;
    if args.json {
        report::line(json!({"human": true, "sessions": names, "hub": hub}));
    } else {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let sessions = match &names[..] {
            [] => "no session is registered".to_owned(),
            names => names.join(", "),
        };
        report::line(format_args!(
            "new tokens: the human, and every session ({sessions})"
        ));
    }
    Ok(Exit::Done)
}
