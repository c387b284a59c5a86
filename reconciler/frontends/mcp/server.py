"""The entry point `vmcluster-mcp`: the tools on stdio."""

import gc
import logging
import sys

from reconciler.frontends.mcp.standard_input import end_input_on_signals


def main() -> None:
    """Serve on stdio until the client leaves or a signal asks to end."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    end_input_on_signals()
    gc.disable()  # what is imported stays: to search it for garbage again and again takes a fifth of the start
    from reconciler.frontends.mcp.protocol import ClusterServer  # noqa: PLC0415

    server = ClusterServer()
    gc.freeze()
    gc.enable()
    server.run("stdio")
