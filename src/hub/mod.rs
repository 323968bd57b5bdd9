//! The embedded coordination server, and the client of any hub.
