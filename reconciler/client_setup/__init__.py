"""The configuration files of MCP clients: where they are, how an entry is added to them, and how they come back."""
