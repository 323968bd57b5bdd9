//! Bytes and screens. Knows no agents and no MCP.
