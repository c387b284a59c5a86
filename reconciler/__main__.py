"""`python -m reconciler` serves MCP on stdio, as `vmcluster-mcp` does."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the directory that a client happens to start us in: no module is loaded from there
    from reconciler.frontends.mcp.server import main

    main()
