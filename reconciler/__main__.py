"""`python -m reconciler` serves MCP on stdio, as `vmcluster-mcp` does."""

from reconciler.frontends.mcp.server import main

if __name__ == "__main__":
    main()
