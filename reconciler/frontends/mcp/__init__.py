"""The MCP server: the tools on stdio."""
