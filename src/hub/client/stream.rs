//! A stream of events from a hub, each read as what it is of.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::{Client, Error};
use crate::hub::events::TooLong;
use crate::hub::exchange::Stream;

/// A stream of events from the hub.
#[derive(Debug)]
pub struct Events<T> {
    pub(super) client: Client,
    pub(super) stream: Stream,
    pub(super) of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    /// The next event; None when the hub has ended the stream. Safe to drop
    /// while it waits: nothing is lost.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        match self.stream.next().await {
            Ok(Some(data)) => serde_json::from_str(&data)
                .map(Some)
                .map_err(|_| self.client.not_a_hub()),
            Ok(None) => Ok(None),
            Err(TooLong) => Err(self.client.not_a_hub()),
        }
    }
}
