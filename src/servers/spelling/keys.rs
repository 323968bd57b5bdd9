//! The keys of an entry, in every agent's spelling. Pure.

/// Keys whose meaning no other agent could be told.
pub(super) const REFUSED: &[&str] = &[
    "auth",
    "authProviderType",
    "authentication",
    "envFile",
    "headersHelper",
    "oauth",
    "oauth_resource",
    "sandbox",
    "sandboxEnabled",
    "scopes",
    "targetAudience",
    "targetServiceAccount",
];

/// Keys that are left out without a word: they are about waiting and looks, or
/// about what an agent may do unasked, which a project is not to decide.
pub(super) const LEFT_OUT: &[&str] = &[
    "$schema",
    "alwaysAllow",
    "autoApprove",
    "autoStart",
    "default_tools_approval_mode",
    "description",
    "disabledTools",
    "disabled_tools",
    "displayName",
    "enabledTools",
    "enabled_tools",
    "excludeTools",
    "gallery",
    "icon",
    "includeTools",
    "initTimeout",
    "name",
    "required",
    "startup_timeout_ms",
    "startup_timeout_sec",
    "timeout",
    "tool_timeout_sec",
    "tools",
    "trust",
    "version",
];

/// Keys that have a place in an entry.
pub(super) const KNOWN: &[&str] = &[
    "args",
    "bearer_token_env_var",
    "command",
    "cwd",
    "disabled",
    "enabled",
    "env",
    "env_http_headers",
    "env_vars",
    "environment",
    "headers",
    "http_headers",
    "transport",
    "transportType",
    "type",
];

/// Keys of [`KNOWN`] and [`URLS`] that claude and its like pass over.
pub(super) const OTHERS: &[&str] = &[
    "bearer_token_env_var",
    "env_http_headers",
    "env_vars",
    "environment",
    "http_headers",
    "httpUrl",
    "serverURL",
    "serverUrl",
    "transport",
    "transportType",
];

/// Keys that have a URL, each in some agent's spelling.
pub(in crate::servers) const URLS: &[&str] = &["url", "httpUrl", "serverUrl", "serverURL"];
