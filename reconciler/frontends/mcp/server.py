"""The entry point `vmcluster-mcp`: the tools on stdio, or over HTTP."""

import gc
import logging
import sys

from reconciler.errors import ClusterError
from reconciler.frontends.mcp.server_options import Options, options_of
from reconciler.frontends.mcp.standard_input import end_input_on_signals
from reconciler.frontends.streams import open_closed_streams


def main() -> None:
    """Serve until the client disconnects or a signal arrives."""
    open_closed_streams()
    options = options_of(sys.argv[1:])
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if options.http is None:
        end_input_on_signals()
    try:
        _serve(options)
    except* ClusterError as refused:  # before the first client: a configuration that may have limited the tools
        sys.exit(f"vmcluster-mcp: {refused.exceptions[0]}")
    except* OSError as lost:  # an error of the connection: tools answer with their own errors
        sys.exit(f"vmcluster-mcp: cannot write to the client: {lost.exceptions[0]}")


def _serve(options: Options) -> None:
    gc.disable()  # imported modules stay: searching them for garbage repeatedly takes a fifth of the start
    from reconciler.frontends.mcp.cluster_server import ClusterServer  # noqa: PLC0415
    from reconciler.frontends.mcp.mode import chosen_mode  # noqa: PLC0415

    server = ClusterServer(chosen_mode(options), local=options.http is None)
    gc.freeze()
    gc.enable()
    if options.http is None:
        server.run("stdio")
        return
    from reconciler.frontends.mcp.http_server import serve  # noqa: PLC0415  imports uvicorn

    serve(server, options.http)
