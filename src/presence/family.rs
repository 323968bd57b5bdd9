//! The other sessions of our base on our hub, as far as presence needs them.

use std::pin::Pin;

use tokio::sync::oneshot;

use crate::types::hub::Until;
use crate::types::identity::InstanceName;

/// A sibling that wants to know whether the hub knows us, and until when it
/// waits for the answer; dropped, if the session ends before.
pub type Check = (Until, oneshot::Sender<bool>);

/// A future as a trait object gives it.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The other sessions of our base on our hub.
pub trait Family: Send + Sync {
    /// Sends the others to the hub, and ends when those are registered who
    /// [go before](super::Rank) a session of this name, and the rest have
    /// heard from the hub: those may have to make room. May be dropped.
    fn go_first<'a>(&'a self, name: &'a InstanceName) -> Waiting<'a, ()>;

    /// True if there are others, and the hub has given up all of them: they
    /// sleep, or are about to register again. One that does not say whose it
    /// is may be another.
    fn are_asleep(&self) -> Waiting<'_, bool>;

    /// True if another session of this machine bears `name` on our hub.
    fn bears<'a>(&'a self, name: &'a InstanceName) -> Waiting<'a, bool>;
}

/// The family of who is alone.
#[derive(Debug)]
pub struct Nobody;

impl Family for Nobody {
    fn go_first<'a>(&'a self, _: &'a InstanceName) -> Waiting<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn are_asleep(&self) -> Waiting<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    fn bears<'a>(&'a self, _: &'a InstanceName) -> Waiting<'a, bool> {
        Box::pin(std::future::ready(false))
    }
}
