"""The entry point `vmcluster-mcp`: the tools on stdio."""

import gc
import logging
import sys

from reconciler.errors import ConfigurationInvalid
from reconciler.frontends.mcp.standard_input import end_input_on_signals
from reconciler.frontends.streams import open_closed_streams


def main() -> None:
    """Serve on stdio until the client disconnects or a signal arrives."""
    open_closed_streams()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    end_input_on_signals()
    gc.disable()  # imported modules stay: searching them for garbage repeatedly takes a fifth of the start
    from reconciler.frontends.mcp.cluster_server import ClusterServer  # noqa: PLC0415
    from reconciler.frontends.mcp.server_options import chosen_mode  # noqa: PLC0415

    try:
        server = ClusterServer(chosen_mode(sys.argv[1:]))
    except ConfigurationInvalid as invalid:  # it may have limited the tools: none is offered
        sys.exit(f"vmcluster-mcp: {invalid}")
    gc.freeze()
    gc.enable()
    try:
        server.run("stdio")
    except* OSError as lost:  # an error of the connection: tools answer with their own errors
        sys.exit(f"vmcluster-mcp: cannot write to the client: {lost.exceptions[0]}")
