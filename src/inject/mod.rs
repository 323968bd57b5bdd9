//! How an agent learns where its MCP servers are: a plan of arguments,
//! variables and files, made without touching anything; then applied, and put
//! back at the end.

mod apply;
mod attributes;
mod dialect;
mod document;
mod entries;
mod in_place;
mod journal;
mod json_scan;
mod json_splice;
mod list;
mod merge;
mod native;
mod peers;
mod plan;
#[cfg(test)]
mod random;
mod raw_path;
mod reach;
mod settings;
mod show;
mod toml_place;
mod toml_scan;
mod toml_splice;
mod toml_write;
mod user_file;

pub use apply::{Applied, Owed, settle, undo_journal};
pub use dialect::trusts_entry;
pub use merge::Refused;
pub use native::Project;
pub use peers::introduce;
pub use plan::{Format, InjectPlan, PlannedFile, Unable, plan};
pub use reach::{Link, Proxy};
pub use settings::settings;
pub use show::Masked;
