"""The MCP server: the tools of the contract on stdio."""
