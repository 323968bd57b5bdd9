//! The configuration for eyes: every key, its value and who set it, without
//! credentials. Pure.

use toml::{Table, Value};

use super::layer::Layer;
use super::resolve::Config;
use crate::types::secret;

/// One key of the resolved configuration.
#[derive(Debug)]
pub struct Setting {
    /// From the root: `["server", "port"]`.
    pub path: Vec<String>,
    /// A credential is shown as `****`.
    pub value: Value,
    /// None: it follows from the others.
    pub origin: Option<Layer>,
}

impl Config {
    /// Every key that is set, in the order of the layers that brought them, and
    /// what follows where the hub's own are not. A table's values come before
    /// its tables, as TOML has it.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut table = self.table.clone();
        for (section, key, path) in [
            ("server", "data_dir", &self.hub.data_dir),
            ("images", "upload_dir", &self.hub.upload_dir),
        ] {
            let section = table.entry(section).or_insert_with(|| Table::new().into());
            if let Value::Table(section) = section {
                let value = || path.to_string_lossy().into_owned().into();
                section.entry(key).or_insert_with(value);
            }
        }
        let mut settings = Vec::new();
        self.flatten(&table, &mut Vec::new(), &mut settings);
        settings
    }

    fn flatten(&self, table: &Table, path: &mut Vec<String>, settings: &mut Vec<Setting>) {
        let (tables, values): (Vec<_>, Vec<_>) =
            table.iter().partition(|(_, value)| value.is_table());
        for (key, value) in values.into_iter().chain(tables) {
            path.push(key.clone());
            if let Value::Table(inner) = value {
                self.flatten(inner, path, settings);
            } else {
                settings.push(Setting {
                    path: path.iter().map(|key| secret::name_of(key)).collect(),
                    value: masked(path, value),
                    origin: self.origin(&path.join(".")).cloned(),
                });
            }
            path.pop();
        }
    }
}

/// A value without what may be a credential in it.
fn masked(path: &[String], value: &Value) -> Value {
    let named: Vec<&str> = path.iter().map(String::as_str).collect();
    let hidden = || Value::String("****".to_owned());
    match (named.as_slice(), value) {
        (
            ["mcp_servers", _, "headers", ..] | ["mcp_servers", _, "auth", "token" | "command"],
            _,
        ) => hidden(),
        ([.., "env", name], Value::String(text)) if secret::is_likely(name, text) => hidden(),
        (
            [
                ..,
                "args" | "resume_args" | "session_args" | "resume_session_args",
            ],
            Value::Array(words),
        ) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            let shown = secret::of_args(&words).into_iter().map(Value::String);
            Value::Array(shown.collect())
        }
        (_, Value::String(text)) if secret::is_token(text) => hidden(),
        (_, Value::String(text)) => Value::String(secret::without_query(text)),
        _ => value.clone(),
    }
}
