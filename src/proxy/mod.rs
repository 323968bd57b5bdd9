//! The MCP proxy between the agent and its upstreams.
