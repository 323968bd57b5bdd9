//! `wrapper config`: the configuration as it is resolved.

use serde_json::{Map, Value, json};

use super::setting::Setting as Loaded;
use crate::cli::Config as Args;
use crate::config::Setting;
use crate::report::{self, Failure};
use crate::types::exit::Exit;

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = Loaded::load(&args.options, Exit::NotDone)?;
    let settings = loaded.config.settings();
    match (args.json, args.origin) {
        (true, true) => {
            let list = settings.iter().map(|setting| {
                json!({
                    "key": setting.path.join("."),
                    "value": setting.value,
                    "origin": origin(setting),
                })
            });
            report::line(list.collect::<Value>());
        }
        (true, false) => report::line(nested(&settings)),
        (false, with_origin) => text(&settings, with_origin).iter().for_each(report::line),
    }
    Ok(Exit::Done)
}

fn origin(setting: &Setting) -> String {
    let layer = setting.origin.as_ref();
    layer.map_or_else(|| "default".to_owned(), ToString::to_string)
}

/// The settings as one document.
fn nested(settings: &[Setting]) -> Value {
    let mut root = Map::new();
    for setting in settings {
        put(&mut root, &setting.path, json!(setting.value));
    }
    Value::Object(root)
}

fn put(table: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => drop(table.insert(name.clone(), value)),
        [key, below @ ..] => {
            if let Value::Object(inner) = table.entry(key).or_insert_with(|| json!({})) {
                put(inner, below, value);
            }
        }
    }
}

/// The settings as TOML, a table under each heading.
fn text(settings: &[Setting], with_origin: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut heading: &[String] = &[];
    let written = settings.iter().map(|setting| {
        let key = setting
            .path
            .last()
            .map_or_else(String::new, |key| word(key));
        format!("{key} = {}", setting.value)
    });
    let written: Vec<String> = written.collect();
    let width = written.iter().map(|line| line.chars().count()).max();
    let width = width.unwrap_or_default().min(48);
    for (setting, line) in settings.iter().zip(written) {
        let above = &setting.path[..setting.path.len() - 1];
        if above != heading {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            let keys: Vec<String> = above.iter().map(|key| word(key)).collect();
            lines.push(format!("[{}]", keys.join(".")));
            heading = above;
        }
        lines.push(if with_origin {
            format!("{line:width$}  # {}", origin(setting))
        } else {
            line
        });
    }
    lines
}

/// A key as TOML writes it: in quotes if it needs them.
fn word(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        toml::Value::from(key).to_string()
    }
}
