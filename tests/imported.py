"""All that a server imports and makes until its first answers, once for the many that are forked from this process."""

import gc
from importlib import import_module
from pkgutil import iter_modules

from reconciler import usecases
from reconciler.frontends.mcp.cluster_server import offered_tools

import_module("reconciler.frontends.mcp.tool_usecases")
for module in iter_modules(usecases.__path__, f"{usecases.__name__}."):
    import_module(module.name)
offered_tools()
gc.collect()
gc.freeze()
