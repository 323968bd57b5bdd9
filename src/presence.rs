//! Keeps the session registered: heartbeats, registers again when the hub forgets, publishes the identity.
