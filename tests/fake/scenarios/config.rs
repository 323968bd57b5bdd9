//! The configuration of the server that is tried, and the one that `wrapper` is
//! given: the same, with an agent that plays tricks.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

pub(crate) struct Config {
    table: Table,
    /// The agent that is played.
    pub(crate) agent: String,
    /// REST, MCP, MCP over SSE.
    pub(crate) ports: [u16; 3],
}

impl Config {
    /// Reads a `config.toml` of agentchattr. `agent` is to be played, or else its
    /// first one.
    pub(crate) fn read(path: &Path, agent: Option<String>) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: Table =
            toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
        let agents = table.get("agents").and_then(Value::as_table);
        let names: Vec<&String> = agents.into_iter().flat_map(Table::keys).collect();
        let agent = match agent {
            Some(agent) if names.contains(&&agent) => agent,
            Some(agent) => bail!("{}: no agent `{agent}`", path.display()),
            None => (*names.first().context("the configuration has no agent")?).clone(),
        };
        let port = |section: &str, key: &str, default| {
            let value = table.get(section).and_then(|section| section.get(key));
            let port = value.and_then(Value::as_integer).unwrap_or(default);
            u16::try_from(port).with_context(|| format!("`{section}.{key}` is no port"))
        };
        Ok(Self {
            ports: [
                port("server", "port", 8300)?,
                port("mcp", "http_port", 8200)?,
                port("mcp", "sse_port", 8201)?,
            ],
            agent,
            table,
        })
    }

    /// Writes one for a server of ours, on ports that are free.
    pub(crate) fn write(path: &Path) -> Result<()> {
        let free = || TcpListener::bind("127.0.0.1:0");
        let listeners = [free()?, free()?, free()?];
        let [rest, http, sse] = listeners.map(|one| one.local_addr().map(|at| at.port()));
        let text = format!(
            "[server]\nport = {}\nhost = \"127.0.0.1\"\n\n[mcp]\nhttp_port = {}\nsse_port = {}\n\n[routing]\ndefault = \"none\"\nmax_agent_hops = 4\n\n[agents.scout]\ncommand = \"scout\"\ncolor = \"#808080\"\nlabel = \"Scout\"\n",
            rest?, http?, sse?
        );
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the configuration for `wrapper`.
    pub(crate) fn derive(&self, to: &Path, data_dir: &Path, program: &Path) -> Result<()> {
        let mut table = self.table.clone();
        let text = |path: &Path| Value::String(path.display().to_string());
        let server = section(&mut table, "server")?;
        server.insert("data_dir".into(), text(data_dir));
        server.insert("autostart".into(), false.into());
        let agent = section(section(&mut table, "agents")?, &self.agent)?;
        agent.retain(|key, _| key == "label" || key == "color");
        agent.insert("command".into(), text(program));
        agent.insert("mcp_inject".into(), "proxy_file".into());
        agent.insert("mcp_flag".into(), "--mcp-config".into());
        fs::write(to, toml::to_string(&table)?)
            .with_context(|| format!("cannot write {}", to.display()))
    }
}

fn section<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Table> {
    let section = table.entry(name).or_insert_with(|| Table::new().into());
    section
        .as_table_mut()
        .with_context(|| format!("`{name}` is no table"))
}

/// Where this program and those that it runs are.
pub(crate) fn programs() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    Ok(this
        .parent()
        .context("a program in no directory")?
        .to_owned())
}
