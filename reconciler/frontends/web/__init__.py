"""The live page: one application over HTTP, with MCP and the metrics behind the same door."""
