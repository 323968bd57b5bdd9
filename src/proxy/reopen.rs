//! Opens the agent's MCP session anew, where its upstream has forgotten it or
//! is another by now: once, however many requests wait for it.

use std::sync::Arc;

use super::ask::{Asking, Party, ask};
use super::excuse::Failed;
use super::greeting::{Greeting, News};
use super::listen::Shared;
use super::session::{Message, Place, Session};
use super::talk::{self, Talk};

/// The end of every start, for an agent that has not said so itself.
const STARTED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Opens `session` with what its server is now, unless that has been done
/// since the generation `seen` was refused there, if one was.
///
/// # Errors
/// [`Failed::Forgotten`], for all that have waited, or [`Failed::Absent`].
pub(super) async fn reopen(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    seen: Option<u64>,
) -> Result<(), Failed> {
    let (before, _) = session.standing().failures;
    let _turn = session.turn.lock().await;
    let live = shared.live.borrow().clone();
    let upstream = live.upstreams.get(&session.server).ok_or(Failed::Absent)?;
    let here = session.generation_at(&upstream.endpoint);
    if here.is_some() && here != seen {
        return Ok(());
    }
    if let (after, Some(why)) = session.standing().failures
        && after != before
    {
        return Err(Failed::Forgotten(why));
    }
    let party = Party {
        shared,
        server: &session.server,
        instead: Some(upstream),
        patience: shared.patience.answer,
    };
    tracing::info!(server = %session.server, "opening an MCP session anew");
    match open(party, session).await {
        Ok(mut new) => {
            new.at = Some(upstream.endpoint.clone());
            let mut is_listed = false;
            session.change(|standing| {
                let news = News::between(
                    &standing.place.greeting.capabilities,
                    &new.greeting.capabilities,
                );
                is_listed = !news.tools && standing.shown.is_asked();
                standing.renew(new, news);
            });
            if is_listed {
                let look = compare(Arc::clone(shared), Arc::clone(session));
                let stop = shared.stop.clone();
                tokio::spawn(async move { stop.run_until_cancelled(look).await });
            }
            Ok(())
        }
        Err(failed) => {
            let why = Arc::new(failed);
            session.note(|standing| {
                standing.failures = (standing.failures.0 + 1, Some(Arc::clone(&why)));
            });
            Err(Failed::Forgotten(why))
        }
    }
}

/// Says to the upstream what the agent said at the start.
async fn open(party: Party<'_>, session: &Session) -> Result<Place, Failed> {
    let stranger = Place::default();
    let said = say(party, session, &session.hello, &stranger).await?;
    let result = talk::result(said.outcome)?;
    let greeting = Greeting::read(&result);
    let new = Place {
        theirs: said.session,
        greeting: greeting.ok_or_else(|| Failed::Odd("its greeting is none".into()))?,
        at: None,
    };
    let started = session.standing().started.unwrap_or_else(|| Message {
        lines: session.hello.lines.clone(),
        body: STARTED.to_vec(),
    });
    say(party, session, &started, &new).await?;
    Ok(new)
}

async fn say(
    party: Party<'_>,
    session: &Session,
    message: &Message,
    place: &Place,
) -> Result<super::ask::Said, Failed> {
    let asking = Asking {
        method: "POST",
        lines: &session.lines(&message.lines, place),
        body: &message.body,
    };
    ask(party, asking).await
}

/// Looks whether the server has other tools now than the agent was shown, and
/// tells it so.
async fn compare(shared: Arc<Shared>, session: Arc<Session>) {
    let party = Party {
        shared: &shared,
        server: &session.server,
        instead: None,
        patience: shared.patience.answer,
    };
    let standing = session.standing();
    let talk = Talk::within(&session, &standing.place);
    match talk.tools(party).await {
        Ok(tools) if session.generation() == standing.generation => {
            if session.standing().shown.differs(&tools) {
                session.tell(News::TOOLS);
            }
        }
        Ok(_) => {}
        Err(failed) => {
            tracing::debug!(server = %session.server, ?failed, "cannot compare its tools");
        }
    }
}
