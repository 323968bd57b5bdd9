//! New tokens for the human and for every instance, at a hub that runs and at
//! one that does not.
//!
//! The old ones are of no use from then on. An instance gets its new one when
//! it registers again: with its old token, from a process of the same user.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::sync::broadcast;

use super::chat::{Chat, Fault, News};
use super::files;
use super::store::Store;
use crate::types::identity::{InstanceName, Token};

impl Chat {
    /// Replaces all tokens; the names of the instances.
    pub(super) fn rotate_all(&mut self) -> Result<Vec<InstanceName>, Fault> {
        let fresh = files::new_human_token(&self.dir).map_err(Fault::Token)?;
        self.set_human(fresh);
        let names: Vec<_> = self
            .registry
            .instances
            .iter()
            .map(|one| one.name.clone())
            .collect();
        for name in &names {
            self.rotate(name.as_str())?;
        }
        // Readers with the human's old token end.
        self.tell(News::Message);
        Ok(names)
    }

    /// Replaces all tokens of an earlier version, which may have shown them to
    /// another user's process.
    pub(super) fn renew_old(&mut self) -> Result<(), Fault> {
        if self.store.is_old {
            self.rotate_all()?;
            tracing::info!("the tokens of an earlier version were replaced");
        }
        Ok(())
    }
}

/// Replaces all tokens of a hub that does not run.
///
/// # Errors
/// If it does run after all, or its files cannot be changed.
pub fn rotate_at_rest(data_dir: &Path) -> Result<Vec<InstanceName>> {
    let _lock = files::claim(data_dir)?;
    let path = files::store(data_dir)?;
    let (news, _) = broadcast::channel(1);
    let rotated = Store::open(&path).and_then(|store| {
        let mut chat = Chat::open(store, Token::random(), 0, news, Instant::now())?;
        Ok(chat.rotate_all()?)
    });
    rotated.with_context(|| format!("cannot change the tokens in {}", path.display()))
}
