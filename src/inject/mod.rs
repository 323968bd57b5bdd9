//! How an agent learns where its MCP servers are.
