//! Files, environment and options become one configuration.
