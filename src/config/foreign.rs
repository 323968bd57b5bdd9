//! Configuration files of agentchattr: later versions of it have keys that are not
//! known here.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::mistake::Error;
use super::raw::{Raw, RawAgent, RawImages, RawMcp, RawServer};

/// The part of an agentchattr file that is known here, and a warning that names
/// the rest; an error if it has another mistake. None if the file is ours.
pub(super) fn known(path: &Path, text: &str) -> Option<Result<(Table, String), Error>> {
    let mut table: Table = text.parse().ok()?;
    let is_foreign = table.contains_key("routing") || path.with_file_name("wrapper.py").is_file();
    if !is_foreign {
        return None;
    }
    let mut left_out = Vec::new();
    for (name, section) in &mut table {
        let Value::Table(section) = section else {
            continue;
        };
        match name.as_str() {
            "server" => prune::<RawServer>(section, "server", &mut left_out),
            "mcp" => prune::<RawMcp>(section, "mcp", &mut left_out),
            "images" => prune::<RawImages>(section, "images", &mut left_out),
            "agents" => {
                for (agent, keys) in section.iter_mut() {
                    if let Value::Table(keys) = keys {
                        prune::<RawAgent>(keys, &format!("agents.{agent}"), &mut left_out);
                    }
                }
            }
            _ => {}
        }
    }
    prune::<Raw>(&mut table, "", &mut left_out);
    if let Err(error) = Raw::deserialize(Value::Table(table.clone())) {
        return Some(Err(Error::in_values(path, &error)));
    }
    let warning = format!(
        "{}: what is not known here was left out: {}",
        path.display(),
        left_out.join(", ")
    );
    Some(Ok((table, warning)))
}

/// Takes the keys out of `table` that `T` does not know, and names them.
fn prune<'de, T: Deserialize<'de>>(table: &mut Table, at: &str, left_out: &mut Vec<String>) {
    table.retain(|key, value| {
        let alone = Table::from_iter([(key.to_owned(), value.clone())]);
        let is_unknown = T::deserialize(Value::Table(alone)).is_err_and(|error| {
            error
                .message()
                .starts_with(&format!("unknown field `{key}`"))
        });
        if is_unknown {
            let dot = if at.is_empty() { "" } else { "." };
            left_out.push(format!("`{at}{dot}{key}`"));
        }
        !is_unknown
    });
}
