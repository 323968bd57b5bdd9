//! Layers of tables, merged key by key. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Where a key was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    BuiltIn,
    File(PathBuf),
    Variable(&'static str),
    Option(&'static str),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in config.toml"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) | Self::Option(name) => f.write_str(name),
        }
    }
}

/// The layers so far, as one table, and who set what: `server.port` and so on.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) table: Table,
    pub(super) origins: BTreeMap<String, Layer>,
}

impl Layers {
    /// Lays `table` over what is there.
    pub(super) fn add(&mut self, table: Table, layer: &Layer) {
        merge(
            &mut self.table,
            table,
            "",
            &mut |key, change| match change {
                Change::Set => drop(self.origins.insert(key.to_owned(), layer.clone())),
                Change::Drop => drop(self.origins.remove(key)),
            },
        );
    }

    /// Lays one value over what is there; `key` is `section.name`.
    pub(super) fn set(&mut self, key: &str, value: Value, layer: &Layer) {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        let inner = Table::from_iter([(name.to_owned(), value)]);
        let outer = Table::from_iter([(section.to_owned(), Value::Table(inner))]);
        self.add(outer, layer);
    }

    /// Adds the agents of `table` that are not there yet; says what it ignored.
    pub(super) fn add_agents(&mut self, mut table: Table, path: &Path) -> Vec<String> {
        let agents = table.remove("agents");
        let mut ignored: Vec<String> = table.keys().map(|key| format!("`{key}`")).collect();
        let Some(Value::Table(mut agents)) = agents else {
            return say(path, &ignored, "only `[agents.NAME]` is read here");
        };
        let mut warnings = say(path, &ignored, "only `[agents.NAME]` is read here");
        ignored.clear();
        agents.retain(|name, _| {
            let known = agents_of(&self.table).is_some_and(|agents| agents.contains_key(name));
            if known {
                ignored.push(format!("`agents.{name}`"));
            }
            !known
        });
        warnings.extend(say(
            path,
            &ignored,
            "there is an agent of that name already",
        ));
        let table = Table::from_iter([("agents".to_owned(), Value::Table(agents))]);
        self.add(table, &Layer::File(path.to_owned()));
        warnings
    }

    /// Lets every agent whose command is that of a built-in agent start from
    /// the settings of that one, all but how it is shown.
    pub(super) fn inherit(&mut self, built_in: &Table) {
        let Some(Value::Table(agents)) = self.table.get_mut("agents") else {
            return;
        };
        let Some(known) = agents_of(built_in) else {
            return;
        };
        for (name, agent) in agents
            .iter_mut()
            .filter(|(name, _)| !known.contains_key(*name))
        {
            let Value::Table(agent) = agent else { continue };
            let command = agent.get("command").and_then(Value::as_str);
            let Some(Value::Table(base)) = command.map(stem).and_then(|stem| known.get(stem))
            else {
                continue;
            };
            let mut base = base.clone();
            base.retain(|key, _| !matches!(key, "label" | "color" | "exported_env"));
            let own = std::mem::take(agent);
            let at = format!("agents.{name}");
            let mut inherited = Vec::new();
            merge(agent, base, &at, &mut |key, _| {
                inherited.push(key.to_owned());
            });
            merge(agent, own, &at, &mut |key, _| {
                inherited.retain(|known| known != key);
            });
            let inherited = inherited.into_iter().map(|key| (key, Layer::BuiltIn));
            self.origins.extend(inherited);
        }
    }
}

/// The name of a command without its directory and extension.
pub(super) fn stem(command: &str) -> &str {
    Path::new(command)
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or(command)
}

enum Change {
    Set,
    Drop,
}

/// Lays `over` over `base`. An agent whose `mcp_inject` is set anew loses the
/// `mcp_*` keys it had: they belong to the mode it had.
fn merge(base: &mut Table, over: Table, at: &str, note: &mut impl FnMut(&str, Change)) {
    if at.starts_with("agents.") && over.contains_key("mcp_inject") {
        base.retain(|key, _| {
            let stale = key.starts_with("mcp_");
            if stale {
                note(&format!("{at}.{key}"), Change::Drop);
            }
            !stale
        });
    }
    for (key, value) in over {
        let path = match at {
            "" => key.clone(),
            at => format!("{at}.{key}"),
        };
        match value {
            Value::Table(inner) => {
                let entry = base
                    .entry(key)
                    .or_insert_with(|| Value::Table(Table::new()));
                if !entry.is_table() {
                    *entry = Value::Table(Table::new());
                }
                if let Value::Table(entry) = entry {
                    merge(entry, inner, &path, note);
                }
            }
            value => {
                note(&path, Change::Set);
                base.insert(key, value);
            }
        }
    }
}

fn agents_of(table: &Table) -> Option<&Table> {
    table.get("agents").and_then(Value::as_table)
}

fn say(path: &Path, ignored: &[String], why: &str) -> Vec<String> {
    ignored
        .iter()
        .map(|key| format!("{}: {key} is ignored: {why}", path.display()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().expect(text)
    }

    fn file(name: &str) -> Layer {
        Layer::File(name.into())
    }

    #[test]
    fn later_wins_key_by_key_and_is_remembered() {
        let mut layers = Layers::default();
        layers.add(
            table("server = { port = 1, host = 'a' }\n[agents.x]\nenv = { A = '1', B = '1' }"),
            &Layer::BuiltIn,
        );
        layers.add(
            table("[server]\nport = 2\n[agents.x]\nargs = ['-v']\nenv = { B = '2' }"),
            &file("f"),
        );
        layers.set("server.port", Value::Integer(3), &Layer::Option("--port"));
        assert_eq!(
            layers.table,
            table(
                "server = { port = 3, host = 'a' }\n\
                 [agents.x]\nenv = { A = '1', B = '2' }\nargs = ['-v']"
            )
        );
        for (key, layer) in [
            ("server.port", Layer::Option("--port")),
            ("server.host", Layer::BuiltIn),
            ("agents.x.args", file("f")),
            ("agents.x.env.A", Layer::BuiltIn),
            ("agents.x.env.B", file("f")),
        ] {
            assert_eq!(layers.origins.get(key), Some(&layer), "{key}");
        }
    }

    #[test]
    fn a_new_mode_drops_the_keys_of_the_old_one() {
        let mut layers = Layers::default();
        layers.add(
            table("[agents.x]\nmcp_inject = 'flag'\nmcp_flag = '--a'\nlabel = 'X'"),
            &Layer::BuiltIn,
        );
        let mut kept = Layers {
            table: layers.table.clone(),
            ..Layers::default()
        };
        layers.add(
            table("[agents.x]\nmcp_inject = 'env'\nmcp_env_var = 'V'"),
            &file("f"),
        );
        assert_eq!(
            layers.table,
            table("[agents.x]\nlabel = 'X'\nmcp_inject = 'env'\nmcp_env_var = 'V'")
        );
        assert!(!layers.origins.contains_key("agents.x.mcp_flag"));

        kept.add(table("[agents.x]\nmcp_flag = '--b'"), &file("f"));
        assert_eq!(
            kept.table,
            table("[agents.x]\nmcp_inject = 'flag'\nmcp_flag = '--b'\nlabel = 'X'")
        );
    }

    #[test]
    fn the_local_file_adds_agents_and_nothing_else() {
        let mut layers = Layers::default();
        layers.add(
            table("[server]\nport = 1\n[agents.x]\nlabel = 'X'"),
            &Layer::BuiltIn,
        );
        let local = table("[server]\nport = 2\n[agents.x]\nlabel = 'no'\n[agents.y]\nlabel = 'Y'");
        let warnings = layers.add_agents(local, Path::new("l"));
        assert_eq!(
            layers.table,
            table("[server]\nport = 1\n[agents.x]\nlabel = 'X'\n[agents.y]\nlabel = 'Y'")
        );
        assert_eq!(
            warnings,
            [
                "l: `server` is ignored: only `[agents.NAME]` is read here",
                "l: `agents.x` is ignored: there is an agent of that name already",
            ]
        );
    }

    #[test]
    fn an_agent_starts_from_the_built_in_one_of_its_command() {
        let built_in = table(
            "[agents.claude]\nlabel = 'Claude'\nmcp_inject = 'proxy_file'\nmcp_flag = '--c'\n\
             env = { A = '1' }",
        );
        let mut layers = Layers::default();
        layers.add(built_in.clone(), &Layer::BuiltIn);
        layers.add(
            table(
                "[agents.claude]\nargs = ['mine']\n\
                 [agents.a]\ncommand = '/opt/claude'\nenv = { B = '2' }\n\
                 [agents.b]\ncommand = 'claude'\nmcp_inject = 'stdio'\n\
                 [agents.c]\ncommand = 'other'",
            ),
            &file("f"),
        );
        layers.inherit(&built_in);
        let agents = agents_of(&layers.table).expect("agents");
        for (name, wanted) in [
            (
                "a",
                "command = '/opt/claude'\nmcp_inject = 'proxy_file'\nmcp_flag = '--c'\n\
                 env = { A = '1', B = '2' }",
            ),
            (
                "b",
                "command = 'claude'\nmcp_inject = 'stdio'\nenv = { A = '1' }",
            ),
            ("c", "command = 'other'"),
        ] {
            assert_eq!(agents[name].as_table(), Some(&table(wanted)), "{name}");
        }
    }
}
