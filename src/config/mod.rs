//! Files, environment and options become one configuration.
//!
//! Later wins, key by key: the built-in `config.toml`, the user's file, the
//! agents of `config.local.toml` beside it, the environment, the options.

mod agent;
mod foreign;
mod layer;
mod listing;
mod load;
mod mask;
mod mistake;
mod overrides;
mod raw;
mod resolve;
mod servers;
mod team;

pub use layer::Layer;
pub use listing::Setting;
pub use load::load;
pub use mistake::Error;
pub use resolve::{Config, HubConfig, McpConfig};
pub use team::{Member, TEAM_FILE, team};
