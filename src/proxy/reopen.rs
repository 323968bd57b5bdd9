//! Opens the agent's MCP session anew, where its upstream has forgotten it or
//! is another by now: once, however many requests wait for it.

use std::sync::Arc;
use std::time::Duration;

use super::ask::{Asking, Party, ask};
use super::excuse::Failed;
use super::greeting::{Greeting, News};
use super::listen::Shared;
use super::session::{Message, Place, Session};
use super::talk::{self, Talk};
use crate::types::upstream::Scheme;

/// How long an upstream may take to hear that a session is given up.
const FAREWELL: Duration = Duration::from_secs(5);
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
            new.upstream = Some(Arc::clone(upstream));
            let old = session.standing().place;
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
            give_up(shared, session, &old);
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

/// True if the upstream does not know `session` any more, by its answer to a
/// POST: that to a GET may be about the stream alone.
///
/// # Errors
/// Why it cannot be asked.
pub(super) async fn is_forgotten(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
) -> Result<bool, Failed> {
    let party = Party {
        shared,
        server: &session.server,
        instead: None,
        patience: shared.patience.answer,
    };
    let talk = Talk::within(session, &session.standing().place);
    match talk.ask(party, "ping", "{}").await {
        Err(Failed::Missing { .. }) => Ok(true),
        // Whatever it says to that, it says it in this session.
        Ok(_) | Err(Failed::Odd(_) | Failed::Error { .. }) => Ok(false),
        Err(failed) => Err(failed),
    }
}

/// Ends, where it was, what another session of the upstream's has taken the
/// place of. It may be gone already.
fn give_up(shared: &Arc<Shared>, session: &Arc<Session>, old: &Place) {
    let (Some(upstream), Some(id)) = (&old.upstream, &old.theirs) else {
        return;
    };
    // A server that counts anew may have given the same id again.
    if upstream.endpoint.scheme == Scheme::Hosted || shared.sessions.has(&session.server, id) {
        return;
    }
    let talk = Talk::within(session, old);
    let (shared, server) = (Arc::clone(shared), session.server.clone());
    let upstream = Arc::clone(upstream);
    tokio::spawn(async move {
        let party = Party {
            shared: &shared,
            server: &server,
            instead: Some(&upstream),
            patience: FAREWELL,
        };
        shared.stop.run_until_cancelled(talk.close(party)).await;
    });
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
        ..Place::default()
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
