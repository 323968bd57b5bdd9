//! What may be tried again when a request came to nothing, and how often.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::types::identity::ServerName;

use super::excuse::Failed;
use super::listen::Shared;
use super::target::Target;

/// How many tokens are tried for one request: one may be stale again by the
/// time that it arrives.
const MOST_RENEWALS: u32 = 3;
/// How many redirects are followed for one request.
const MOST_REDIRECTS: u32 = 5;
/// The pause before a request that could not be sent is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// What was tried already for one request.
#[derive(Debug, Default)]
pub(super) struct Chances {
    renewals: u32,
    is_reauthorized: bool,
    is_repeated: bool,
    unsent: Option<Instant>,
    redirects: u32,
    has_returned: bool,
}

impl Chances {
    /// True if the request is to be sent to where the server is configured to
    /// be: there is nothing any more where it has redirected others.
    pub(super) fn returns(
        &mut self,
        shared: &Shared,
        server: &ServerName,
        target: &Target<'_>,
        failed: &Failed,
    ) -> bool {
        let is_gone = matches!(failed, Failed::Missing { .. }) && target.is_moved();
        if !is_gone || self.has_returned || self.redirects > 0 {
            return false;
        }
        self.has_returned = true;
        shared.remembered.unfollow(server);
        true
    }

    /// Mends what `failed` of a request to `server`, if that can be done: true
    /// if it may be sent again. `is_harmless` says whether that is so even
    /// if it may have arrived. Why it cannot be mended is added to `failed`.
    pub(super) async fn mend(
        &mut self,
        shared: &Shared,
        server: &ServerName,
        target: &Target<'_>,
        failed: &mut Failed,
        is_harmless: impl FnOnce() -> bool,
    ) -> bool {
        match failed {
            Failed::Stale if self.renewals < MOST_RENEWALS => {
                self.renewals += 1;
                tracing::info!(%server, "our token is stale");
                shared.renewed(target.token.as_ref()).await
            }
            Failed::Denied {
                status: 401, why, ..
            } if !self.is_reauthorized => {
                self.is_reauthorized = true;
                tracing::info!(%server, "its credential is refused");
                *why = target.reauthorize(&shared.keepers, server).await.err();
                why.is_none()
            }
            // Where messages of a stream go is for that stream to say.
            Failed::Redirected(_) if target.mailbox.is_some() => false,
            Failed::Redirected(to) if self.redirects < MOST_REDIRECTS => {
                self.redirects += 1;
                tracing::info!(%server, %to, "following a redirect");
                shared.remembered.follow(server, target.home(), to);
                true
            }
            Failed::Redirected(_) => {
                shared.remembered.unfollow(server);
                false
            }
            Failed::Missing { .. } => self.returns(shared, server, target, failed),
            Failed::Unsent(_) => {
                let since = *self.unsent.get_or_insert_with(Instant::now);
                sleep(PAUSE).await;
                since.elapsed() < shared.patience.away
            }
            Failed::Lost(_) if !self.is_repeated && is_harmless() => {
                self.is_repeated = true;
                true
            }
            _ => false,
        }
    }
}
