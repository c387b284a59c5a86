"""All that a server imports and makes until its first answers, once for the many that are forked from this process."""

import gc
from importlib import import_module
from pkgutil import iter_modules

from reconciler import usecases
from reconciler.frontends.mcp.callable_tools import DEFINITIONS, callable_tool
from reconciler.frontends.mcp.listed_tools import listed_tools

for name in ("cluster_server", "tool_calls", "tool_usecases"):
    import_module(f"reconciler.frontends.mcp.{name}")
for module in iter_modules(usecases.__path__, f"{usecases.__name__}."):
    import_module(module.name)
listed_tools()
for tool in DEFINITIONS:
    callable_tool(tool)
gc.collect()
gc.freeze()
