//! Server-sent events, and identifiers that no one else has.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

/// One event of a stream; without a name for the APIs that give none.
pub(crate) fn event(out: &mut String, name: Option<&str>, data: &Value) {
    if let Some(name) = name {
        let _ = writeln!(out, "event: {name}");
    }
    let _ = write!(out, "data: {data}\n\n");
}

/// An identifier with this prefix, never given before by this process.
pub(crate) fn id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{:08x}{number:08x}", std::process::id())
}
