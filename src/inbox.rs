//! Turns the hub's triggers into prompts for the session.
