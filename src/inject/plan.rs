//! What an agent is given so that it finds its server. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::dialect::{self, SERVERS};
use super::show::Masked;
use crate::types::agent::{AgentSpec, Dialect, Inject, Route};
use crate::types::identity::ServerName;
use crate::types::identity::Token;
use crate::types::server::{KEY_VAR, URL_VAR};
use crate::types::upstream::Endpoint;

/// A server entry before it is written in an agent's dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub name: ServerName,
    pub url: Endpoint,
    pub key: Key,
}

/// What opens the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// This bearer token, which the agent looks up in [`KEY_VAR`] by itself:
    /// the key of the session's proxy.
    Env(Token),
    /// This bearer token, written out: only into files of ours.
    Literal(Token),
}

/// Arguments, variables and files, and nothing else. Shown by `Display` and as
/// JSON without secrets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InjectPlan {
    /// They stand before the user's own.
    pub args: Vec<OsString>,
    pub env: BTreeMap<&'static str, Masked>,
    pub files: Vec<PlannedFile>,
}

/// A file to be written, or written to.
#[derive(Debug, PartialEq, Eq)]
pub enum PlannedFile {
    /// A file of ours in the session's directory, 0600.
    Owned { path: PathBuf, body: Masked },
    /// A member of the user's file, at these keys from its root. Several may
    /// be of one file.
    Merged {
        path: PathBuf,
        format: Format,
        keys: Vec<String>,
        entry: Value,
    },
}

/// What a settings file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With comments, where the user has some.
    Json,
    Toml,
}

/// Plans how `spec`'s agent is told of `server`; files of ours go to
/// `session_dir`.
///
/// # Errors
/// A template that cannot be split; a key that does not fit the agent's route:
/// what goes through the proxy is opened by a variable, the hub by its token.
pub fn plan(spec: &AgentSpec, server: &Server, session_dir: &Path) -> Result<InjectPlan> {
    let Some(inject) = &spec.inject else {
        return Ok(InjectPlan::default());
    };
    let mut plan = InjectPlan::default();
    let token = match (inject.route(), &server.key) {
        (Route::Proxy, Key::Env(token)) => {
            let base = format!("http://{}", server.url.authority());
            plan.env.insert(URL_VAR, Masked::plain(base));
            plan.env
                .insert(KEY_VAR, Masked::with(token.expose(), token));
            token
        }
        (Route::Direct, Key::Literal(token)) => token,
        _ => bail!(
            "cannot tell `{}` of its server: `{}` has no use for such a key",
            spec.name,
            inject.mode()
        ),
    };
    let variable = format!("${{{KEY_VAR}}}");
    let approvals = dialect::approvals(spec, &server.name);
    match inject {
        Inject::Flag { flag } => {
            let path = plan.owned(spec, server, token.expose(), Some(token), session_dir);
            plan.args.extend(file_args(spec, flag, &path, &approvals));
        }
        Inject::ProxyFile { flag } => {
            let path = plan.owned(spec, server, &variable, None, session_dir);
            plan.args.extend(file_args(spec, flag, &path, &approvals));
        }
        Inject::Env { .. } | Inject::EnvContent { .. } | Inject::Stdio { .. } => {
            bail!("not planned yet")
        }
        Inject::ProxyFlag { template } => {
            let args = from_template(spec, template, server)?;
            plan.args.extend(args.into_iter().map(OsString::from));
        }
        Inject::SettingsFile { path } => {
            // The same for every session: so sessions that share the file do
            // not disturb each other.
            let url = format!("${{{URL_VAR}}}{}", server.url.path);
            plan.files.push(PlannedFile::Merged {
                path: path.clone(),
                format: Format::Json,
                keys: vec![SERVERS.into(), server.name.to_string()],
                entry: dialect::entry(spec, &url, &variable),
            });
        }
    }
    plan.args.extend(approvals.into_iter().map(OsString::from));
    Ok(plan)
}

impl InjectPlan {
    /// Adds the file that names the server; returns its path.
    fn owned(
        &mut self,
        spec: &AgentSpec,
        server: &Server,
        bearer: &str,
        secret: Option<&Token>,
        session_dir: &Path,
    ) -> PathBuf {
        let path = session_dir.join("mcp.json");
        let entry = dialect::entry(spec, &server.url.to_string(), bearer);
        let body = format!(
            "{:#}\n",
            json!({ SERVERS: { server.name.as_str(): entry } })
        );
        self.files.push(PlannedFile::Owned {
            path: path.clone(),
            body: match secret {
                Some(secret) => Masked::with(body, secret),
                None => Masked::plain(body),
            },
        });
        path
    }
}

/// The arguments that name a file. Claude's flag takes many values: another
/// flag must follow, or the file be in one argument with it, lest the user's
/// prompt be taken for a second file.
fn file_args(spec: &AgentSpec, flag: &str, path: &Path, approvals: &[String]) -> Vec<OsString> {
    if spec.dialect == Dialect::Claude && approvals.is_empty() {
        let mut arg = OsString::from(format!("{flag}="));
        arg.push(path);
        vec![arg]
    } else {
        vec![flag.into(), path.into()]
    }
}

/// A template's words, as a shell splits them, with their places filled.
fn from_template(spec: &AgentSpec, template: &str, server: &Server) -> Result<Vec<String>> {
    let words = shell_words::split(template)
        .with_context(|| format!("cannot split `mcp_proxy_flag_template` of `{}`", spec.name))?;
    let url = server.url.to_string();
    let mut args: Vec<String> = words
        .iter()
        .map(|word| {
            word.replace("{server}", server.name.as_str())
                .replace("{key_env}", KEY_VAR)
                .replace("{url}", &url)
        })
        .collect();
    if spec.dialect == Dialect::Codex && !template.contains("{key_env}") {
        args.extend(dialect::codex_key(&server.name));
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::agent::{Pacing, Restart, Transport};
    use crate::types::server::HUB_TOOLS;

    fn spec(name: &str, inject: Inject) -> AgentSpec {
        AgentSpec {
            name: name.parse().expect(name),
            command: name.into(),
            args: Vec::new(),
            cwd: "/src".into(),
            label: None,
            color: None,
            env: BTreeMap::new(),
            strip_env: Vec::new(),
            inject: Some(inject),
            dialect: Dialect::of(name),
            transport: Transport::Http,
            http_key: None,
            merge_project: true,
            approve_tools: true,
            restart: Restart::Never,
            resume_args: Vec::new(),
            session_env_prefix: Vec::new(),
            pacing: Pacing::default(),
        }
    }

    fn proxy() -> Server {
        Server {
            name: "chat".parse().expect("a name"),
            url: Endpoint::loopback(4711, "/chat/mcp"),
            key: Key::Env(Token::new("sesame")),
        }
    }

    fn hub() -> Server {
        Server {
            key: Key::Literal(Token::new("sesame")),
            ..proxy()
        }
    }

    fn shown(spec: &AgentSpec, server: &Server) -> String {
        let plan = plan(spec, server, Path::new("/run/my session")).expect("a plan");
        let json = serde_json::to_string(&plan).expect("JSON");
        let text = plan.to_string();
        for shown in [&text, &json, &format!("{plan:?}{plan:#?}")] {
            assert!(!shown.contains("sesame"), "{shown}");
        }
        text
    }

    fn flag() -> String {
        "--mcp-config".into()
    }

    #[test]
    fn claude_gets_a_file_of_ours_that_names_a_variable() {
        let mut spec = spec("claude", Inject::ProxyFile { flag: flag() });
        insta::assert_snapshot!(shown(&spec, &proxy()), @r#"
        argument  --mcp-config
        argument  '/run/my session/mcp.json'
        argument  '--allowedTools=mcp__chat__chat_send,mcp__chat__chat_read,mcp__chat__chat_resync,mcp__chat__chat_join,mcp__chat__chat_who,mcp__chat__chat_rules,mcp__chat__chat_decision,mcp__chat__chat_channels,mcp__chat__chat_set_hat,mcp__chat__chat_claim,mcp__chat__chat_summary,mcp__chat__chat_propose_job'
        variable  WRAPPER_MCP_KEY=****
        variable  WRAPPER_MCP_URL=http://127.0.0.1:4711
        file      /run/my session/mcp.json (0600)
                  {
                    "mcpServers": {
                      "chat": {
                        "type": "http",
                        "url": "http://127.0.0.1:4711/chat/mcp",
                        "headers": {
                          "Authorization": "Bearer ${WRAPPER_MCP_KEY}"
                        }
                      }
                    }
                  }
        "#);
        spec.approve_tools = false;
        let plan = plan(&spec, &proxy(), Path::new("/s")).expect("a plan");
        assert_eq!(plan.args, ["--mcp-config=/s/mcp.json"]);
        assert_eq!(plan.env[KEY_VAR].expose(), "sesame");
    }

    #[test]
    fn codex_gets_arguments_that_name_a_variable() {
        let template = "-c 'mcp_servers.{server}.url=\"{url}\"' --dir 'a b' \
                        -c mcp_servers.{server}.bearer_token_env_var=\\\"{key_env}\\\"";
        let mut spec = spec(
            "codex",
            Inject::ProxyFlag {
                template: template.into(),
            },
        );
        spec.approve_tools = false;
        insta::assert_snapshot!(shown(&spec, &proxy()), @r#"
        argument  -c
        argument  'mcp_servers.chat.url="http://127.0.0.1:4711/chat/mcp"'
        argument  --dir
        argument  'a b'
        argument  -c
        argument  'mcp_servers.chat.bearer_token_env_var="WRAPPER_MCP_KEY"'
        variable  WRAPPER_MCP_KEY=****
        variable  WRAPPER_MCP_URL=http://127.0.0.1:4711
        "#);
        // agentchattr's own template knows of no key.
        let template = "-c mcp_servers.{server}.url=\"{url}\"";
        spec.inject = Some(Inject::ProxyFlag {
            template: template.into(),
        });
        insta::assert_snapshot!(shown(&spec, &proxy()), @r#"
        argument  -c
        argument  'mcp_servers.chat.url=http://127.0.0.1:4711/chat/mcp'
        argument  -c
        argument  'mcp_servers.chat.bearer_token_env_var="WRAPPER_MCP_KEY"'
        variable  WRAPPER_MCP_KEY=****
        variable  WRAPPER_MCP_URL=http://127.0.0.1:4711
        "#);
    }

    #[test]
    fn codex_may_use_the_hubs_tools_and_no_others() {
        let template = "{url}".into();
        let spec = spec("codex", Inject::ProxyFlag { template });
        let plan = plan(&spec, &proxy(), Path::new("/s")).expect("a plan");
        let args: Vec<_> = plan.args.iter().filter_map(|arg| arg.to_str()).collect();
        let approved: Vec<_> = args.iter().filter(|arg| arg.contains("approval")).collect();
        assert_eq!(approved.len(), HUB_TOOLS.len());
        for (arg, tool) in approved.iter().zip(HUB_TOOLS) {
            let table: toml::Table = arg.parse().expect(arg);
            let tool = &table["mcp_servers"]["chat"]["tools"][tool];
            assert_eq!(tool["approval_mode"].as_str(), Some("approve"));
        }
    }

    #[test]
    fn gemini_gets_an_entry_that_is_the_same_for_every_session() {
        let path = PathBuf::from("/home/u/.gemini/settings.json");
        let spec = spec("gemini", Inject::SettingsFile { path });
        insta::assert_snapshot!(shown(&spec, &proxy()), @r#"
        variable  WRAPPER_MCP_KEY=****
        variable  WRAPPER_MCP_URL=http://127.0.0.1:4711
        file      /home/u/.gemini/settings.json: mcpServers.chat, until the end
                  {
                    "httpUrl": "${WRAPPER_MCP_URL}/chat/mcp",
                    "headers": {
                      "Authorization": "Bearer ${WRAPPER_MCP_KEY}"
                    },
                    "trust": true
                  }
        "#);
        let at = |port, dir| {
            let url = Endpoint::loopback(port, "/chat/mcp");
            let server = Server { url, ..proxy() };
            plan(&spec, &server, Path::new(dir)).expect("a plan").files
        };
        assert_eq!(at(1, "/a"), at(2, "/b"));
    }

    #[test]
    fn entries_follow_what_the_configuration_says() {
        let settings = || Inject::SettingsFile { path: "/f".into() };
        let entry = |change: &dyn Fn(&mut AgentSpec)| {
            let mut spec = spec("other", settings());
            change(&mut spec);
            dialect::entry(&spec, "URL", "B").to_string()
        };
        for (entry, wanted) in [
            (
                entry(&|_| ()),
                r#"{"type":"http","httpUrl":"URL","headers":{"Authorization":"Bearer B"},"trust":true}"#,
            ),
            (
                entry(&|spec| spec.approve_tools = false),
                r#"{"type":"http","httpUrl":"URL","headers":{"Authorization":"Bearer B"}}"#,
            ),
            (
                entry(&|spec| spec.http_key = Some("serverURL".into())),
                r#"{"type":"http","serverURL":"URL","headers":{"Authorization":"Bearer B"},"trust":true}"#,
            ),
            (
                entry(&|spec| spec.transport = Transport::Sse),
                r#"{"type":"sse","url":"URL","headers":{"Authorization":"Bearer B"},"trust":true}"#,
            ),
            (
                entry(&|spec| {
                    spec.dialect = Dialect::Gemini;
                    spec.transport = Transport::Sse;
                }),
                r#"{"url":"URL","headers":{"Authorization":"Bearer B"},"trust":true}"#,
            ),
            (
                entry(&|spec| spec.dialect = Dialect::Claude),
                r#"{"type":"http","url":"URL","headers":{"Authorization":"Bearer B"},"trust":true}"#,
            ),
        ] {
            assert_eq!(entry, wanted);
        }
    }

    #[test]
    fn without_the_proxy_the_token_stands_in_a_file_of_ours_alone() {
        let spec = spec("other", Inject::Flag { flag: flag() });
        insta::assert_snapshot!(shown(&spec, &hub()), @r#"
        argument  --mcp-config
        argument  '/run/my session/mcp.json'
        file      /run/my session/mcp.json (0600)
                  {
                    "mcpServers": {
                      "chat": {
                        "type": "http",
                        "url": "http://127.0.0.1:4711/chat/mcp",
                        "headers": {
                          "Authorization": "Bearer ****"
                        }
                      }
                    }
                  }
        "#);
        let plan = plan(&spec, &hub(), Path::new("/s")).expect("a plan");
        let PlannedFile::Owned { body, .. } = &plan.files[0] else {
            panic!("{plan:?}");
        };
        assert!(body.expose().contains("Bearer sesame"));
    }

    #[test]
    fn a_key_goes_the_way_of_its_route() {
        let session = Path::new("/s");
        let direct = spec("x", Inject::Flag { flag: flag() });
        let proxied = spec("x", Inject::ProxyFile { flag: flag() });
        assert!(plan(&direct, &proxy(), session).is_err());
        assert!(plan(&proxied, &hub(), session).is_err());
        let told_nothing = AgentSpec {
            inject: None,
            ..direct
        };
        let plan = plan(&told_nothing, &hub(), session).expect("a plan");
        assert_eq!(plan, InjectPlan::default());
    }
}
