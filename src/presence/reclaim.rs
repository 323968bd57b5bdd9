//! Gets back the name that we had, where the hub has given us another.
//!
//! agentchattr keeps a name for 30 s from whoever had it, and forgets all
//! names when it restarts; who has registered may claim any that no live
//! instance holds. Ours knows us by the old token: nothing is claimed there.
//!
//! A claim leaves the label that the server would give; another is the human's
//! to set, and no token of ours does.

use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::rank;
use crate::hub::client::{Claim, Claims, Client, Error};
use crate::types::identity::{AgentName, Identity, InstanceName, Token};
use crate::types::upstream::Endpoint;

/// What getting a name back may take. A hub that has just started may not
/// serve MCP yet.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Where and as what we register.
#[derive(Debug, Clone, Copy)]
pub(super) struct Books<'a> {
    pub(super) client: &'a Client,
    /// The hub's MCP endpoint.
    pub(super) tools: &'a Endpoint,
    pub(super) base: &'a AgentName,
    pub(super) label: Option<&'a str>,
}

/// What we are called, and were on the way there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) identity: Identity,
    pub(super) via: Vec<InstanceName>,
}

/// A registration that is a moment old, and how it was made.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    pub client: &'a Client,
    /// The hub's MCP endpoint.
    pub tools: &'a Endpoint,
    pub base: &'a AgentName,
    pub label: Option<&'a str>,
}

/// Gives a newcomer that a hub of agentchattr's has just registered the best
/// name that nobody has: who left less than 30 s ago may come back as itself.
/// `held` are the names that living sessions bear or will want back.
///
/// The hub lets go of a name that it reserves only when somebody claims it,
/// and remembers a claim as a rename, which it follows for ever. So the name
/// is claimed and left again, under other names that nobody will bear, and
/// then given to a fresh registration.
///
/// # Errors
/// If the fresh registration fails: then we have none.
pub async fn settle(
    new: Newcomer<'_>,
    newcomer: Identity,
    held: &[String],
) -> Result<Identity, Error> {
    let wishes = rank::better(new.base, &newcomer.name, held);
    let spares = [spare(new.base), spare(new.base)];
    let ([Some(aside), Some(away)], false) = (spares, wishes.is_empty()) else {
        return Ok(newcomer);
    };
    let mut is_moved = false;
    let freed = async {
        let mut claims = open(new.client, new.tools, &newcomer).await?;
        is_moved = claims.claim(&newcomer, Some(&aside)).await? == Claim::Confirmed(aside.clone());
        for wish in wishes.iter().filter(|_| is_moved) {
            match claims.claim(&newcomer, Some(wish)).await? {
                Claim::Confirmed(name) => {
                    info!(from = %newcomer.name, to = %name, "a name was free");
                    break;
                }
                Claim::Refused(why) => info!(%wish, why, "another has this name"),
            }
        }
        for spare in [&aside, &away].iter().filter(|_| is_moved) {
            claims.claim(&newcomer, Some(spare)).await?;
        }
        claims.close(&newcomer.token).await;
        Ok::<_, Error>(())
    };
    match timeout(PATIENCE, freed).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "cannot ask for a better name"),
        Err(_) => warn!("cannot ask for a better name: the hub does not answer"),
    }
    if !is_moved {
        return Ok(newcomer);
    }
    if let Err(error) = new.client.deregister(&newcomer).await {
        warn!(%error, "a registration of ours is left to time out");
    }
    let again = new.client.register(new.base, new.label, None, None);
    Ok(again.await?.identity)
}

/// A name of the family that says nothing of a slot, and that nobody else has.
fn spare(base: &AgentName) -> Option<InstanceName> {
    let random = Token::random();
    format!("{base}-r{}", &random.expose()[..8]).parse().ok()
}

impl Books<'_> {
    /// Claims `wish` for who was registered as `new`; once, so that two who
    /// want one name do not wrestle for it.
    ///
    /// # Errors
    /// [`Error::Conflict`]: the hub has forgotten us again.
    pub(super) async fn take_back(
        self,
        new: Identity,
        wish: &InstanceName,
    ) -> Result<Called, Error> {
        let mut called = Called::from(new);
        if called.identity.name == *wish {
            return Ok(called);
        }
        match timeout(PATIENCE, self.try_to(&mut called, wish)).await {
            Ok(Ok(())) => {}
            Ok(Err(Error::Conflict)) => return Err(Error::Conflict),
            Ok(Err(error)) => warn!(%wish, %error, "cannot take our name back"),
            Err(_) => warn!(%wish, "cannot take our name back: the hub does not answer"),
        }
        Ok(called)
    }

    /// What the hub calls the instance of this token, however a heartbeat of it
    /// is answered.
    pub(super) async fn owned(self, who: &Identity) -> Result<Claim, Error> {
        let asked = async {
            let mut claims = open(self.client, self.tools, who).await?;
            let owned = claims.claim(who, None).await;
            claims.close(&who.token).await;
            owned
        };
        Box::pin(within(asked)).await
    }

    /// Takes the name of `who` for its token, whatever that is called.
    pub(super) async fn keep(self, who: &Identity) -> Result<(), Error> {
        let kept = async {
            let mut claims = open(self.client, self.tools, who).await?;
            let kept = claims.claim(who, Some(&who.name)).await;
            claims.close(&who.token).await;
            kept
        };
        match Box::pin(within(kept)).await? {
            Claim::Confirmed(_) => Ok(()),
            Claim::Refused(text) => Err(Error::Refused { status: 200, text }),
        }
    }

    async fn try_to(self, called: &mut Called, wish: &InstanceName) -> Result<(), Error> {
        let mut claims = open(self.client, self.tools, &called.identity).await?;
        let spare = self.stand_out(&mut claims, called, wish).await?;
        let claimed = if called.identity.name == *wish {
            Ok(())
        } else {
            match claims.claim(&called.identity, Some(wish)).await {
                Ok(Claim::Confirmed(name)) => {
                    called.is_now(name);
                    Ok(())
                }
                Ok(Claim::Refused(why)) => {
                    warn!(%wish, why, "our name is another's now");
                    Ok(())
                }
                Err(error) => Err(error),
            }
        };
        claims.close(&called.identity.token).await;
        if let Some(spare) = spare
            && let Err(error) = self.client.deregister(&spare).await
        {
            info!(%error, name = %spare.name, "a registration of ours is left to time out");
        }
        claimed
    }

    /// Sees to it that a claim of ours is for us. Who bears the bare name of
    /// the base is taken for the first of the family, whoever that is; the hub
    /// calls it otherwise as soon as there is another, so we register once
    /// more. The registration that is not needed is returned.
    async fn stand_out(
        self,
        claims: &mut Claims,
        called: &mut Called,
        wish: &InstanceName,
    ) -> Result<Option<Identity>, Error> {
        let me = &called.identity;
        if me.name.as_str() != self.base.as_str()
            || claims.claim(me, None).await? == Claim::Confirmed(me.name.clone())
        {
            return Ok(None);
        }
        let second = self.client.register(self.base, self.label, None, None);
        let second = second.await?.identity;
        let first = self.client.heartbeat(me, None).await?;
        info!(%first, second = %second.name, "registered twice: the name of the base is for any of the family");
        called.is_now(first);
        if called.identity.name == *wish {
            return Ok(Some(second));
        }
        called.via.push(called.identity.name.clone());
        Ok(Some(std::mem::replace(&mut called.identity, second)))
    }
}

impl From<Identity> for Called {
    fn from(identity: Identity) -> Self {
        Self {
            identity,
            via: Vec::new(),
        }
    }
}

impl Called {
    fn is_now(&mut self, name: InstanceName) {
        let before = std::mem::replace(&mut self.identity.name, name);
        self.via.push(before);
    }
}

/// Ends what takes too long.
async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::Refused {
            status: 504,
            text: "it does not answer in time".into(),
        }),
    }
}

/// Opens a session for claims, once there is somebody to open it with.
async fn open(hub: &Client, tools: &Endpoint, who: &Identity) -> Result<Claims, Error> {
    loop {
        match Claims::open(hub, tools, &who.token).await {
            Err(Error::Unreachable {
                why: io::ErrorKind::ConnectionRefused,
                ..
            }) => sleep(PAUSE).await,
            other => return other,
        }
    }
}
