//! The configuration as users write it: every key that is known, all optional.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::servers::RawSource;
use crate::types::agent::{Restart, Transport, VERBS};
use crate::types::identity::{AgentName, BadWord, ServerName};
use crate::types::owner::Owner;
use crate::types::span::Span;
use crate::types::upstream::{Endpoint, Scheme};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct Raw {
    pub(super) server: Only<RawServer>,
    pub(super) mcp: Only<RawMcp>,
    pub(super) images: Only<RawImages>,
    pub(super) agents: BTreeMap<Name, Only<RawAgent>>,
    pub(super) mcp_servers: BTreeMap<Slug, Only<RawSource>>,
    /// Only agentchattr has it.
    pub(super) routing: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawServer {
    pub(super) host: Option<Host>,
    pub(super) port: Option<u16>,
    pub(super) data_dir: Option<String>,
    pub(super) autostart: Option<bool>,
    pub(super) owner: Option<Owner>,
    url: Option<NoUrl>,
    trusted_origins: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawMcp {
    pub(super) http_port: Option<u16>,
    pub(super) sse_port: Option<u16>,
    pub(super) server_name: Option<Slug>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawImages {
    pub(super) upload_dir: Option<String>,
    max_size_mb: Option<IgnoredAny>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawAgent {
    pub(super) command: Option<String>,
    pub(super) args: Vec<String>,
    pub(super) cwd: Option<String>,
    pub(super) label: Option<String>,
    pub(super) color: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) strip_env: Vec<String>,
    pub(super) exported_env: Vec<String>,
    pub(super) mcp_inject: Option<Mode>,
    pub(super) mcp_flag: Option<String>,
    pub(super) mcp_settings_path: Option<String>,
    pub(super) mcp_env_var: Option<String>,
    pub(super) mcp_transport: Option<Transport>,
    pub(super) mcp_http_key: Option<String>,
    pub(super) mcp_proxy_flag_template: Option<String>,
    pub(super) mcp_merge_project: Option<bool>,
    pub(super) restart: Option<Restart>,
    pub(super) resume_args: Vec<String>,
    pub(super) session_args: Vec<String>,
    pub(super) resume_session_args: Vec<String>,
    pub(super) session_env_prefix: Vec<String>,
    pub(super) approve_tools: Option<bool>,
    pub(super) inject_delay: Option<Seconds>,
    pub(super) draft_wait: Option<Span>,
    pub(super) undelivered_after: Option<Span>,
    pub(super) r#type: Option<String>,
    enter_backend: Option<IgnoredAny>,
    base_url: Option<IgnoredAny>,
    model: Option<IgnoredAny>,
    api_key_env: Option<IgnoredAny>,
    temperature: Option<IgnoredAny>,
    context_messages: Option<IgnoredAny>,
    system_prompt: Option<IgnoredAny>,
}

/// A table that is one: serde would take an array for it, value by value.
#[derive(Debug, Default)]
pub(super) struct Only<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Only<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Table(PhantomData)).map(Self)
    }
}

/// The modes of injection, later versions' included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Flag,
    SettingsFile,
    Env,
    EnvContent,
    ProxyFlag,
    ProxyFile,
    Stdio,
}

impl Mode {
    /// The mode as users write it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::SettingsFile => "settings_file",
            Self::Env => "env",
            Self::EnvContent => "env_content",
            Self::ProxyFlag => "proxy_flag",
            Self::ProxyFile => "proxy_file",
            Self::Stdio => "stdio",
        }
    }
}

/// The name of an agent, which is no verb.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) AgentName);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if VERBS.contains(&text.as_str()) {
            return Err(format!(
                "an agent may not be named `{text}`: that is a verb of wrapper"
            ));
        }
        text.try_into()
            .map(Self)
            .map_err(|bad: BadWord| bad.to_string())
    }
}

/// The name of a server as the configuration may give one: every agent takes
/// it, and it needs no quotes anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Slug(pub(super) ServerName);

impl TryFrom<String> for Slug {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = ServerName::try_from(text).map_err(|bad| bad.to_string())?;
        if name.is_slug() {
            Ok(Self(name))
        } else {
            Err(format!(
                "{:?} is no server name: it takes 1 to 64 letters, digits, `-` and `_`, and does not \
                 start with `-`",
                name.as_str()
            ))
        }
    }
}

/// A host that is this machine.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Host(pub(super) String);

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(host: String) -> Result<Self, String> {
        // A server that listens everywhere is also here.
        let host = match host.trim().trim_matches(['[', ']']) {
            "" | "0.0.0.0" | "*" => "127.0.0.1".to_owned(),
            "::" => "localhost".to_owned(),
            "::1" => "::1".to_owned(),
            _ => host,
        };
        let endpoint = Endpoint {
            scheme: Scheme::Http,
            host,
            ..Endpoint::loopback(0, "/")
        };
        if endpoint.is_loopback() {
            Ok(Self(endpoint.host))
        } else {
            Err(format!(
                "`{}` is not this machine: a remote hub needs `url` with https, \
                 which this version does not speak yet",
                endpoint.host
            ))
        }
    }
}

/// Seconds, as agentchattr writes a delay: 0 to 60.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Seconds(pub(super) std::time::Duration);

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.0..=60.0).contains(&seconds) {
            Ok(Self(std::time::Duration::from_secs_f64(seconds)))
        } else {
            Err(format!("{seconds} is no delay of 0 to 60 seconds"))
        }
    }
}

/// The place of `url`, which is refused.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct NoUrl;

impl TryFrom<String> for NoUrl {
    type Error = &'static str;

    fn try_from(_: String) -> Result<Self, &'static str> {
        Err("this version does not speak to remote hubs yet")
    }
}
