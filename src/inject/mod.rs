//! How an agent learns where its MCP servers are: a plan of arguments,
//! variables and files, made without touching anything; then applied, and put
//! back at the end.

mod apply;
mod dialect;
mod journal;
mod merge;
mod plan;
mod scan;
mod show;
mod splice;

pub use apply::{Applied, undo_journal};
pub use plan::{Format, InjectPlan, Key, PlannedFile, Server, plan};
pub use show::Masked;
