"""The MCP server: tools, resources and prompts, on stdio or over HTTP."""
