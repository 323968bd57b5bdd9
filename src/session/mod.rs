//! One supervised agent.
