"""All that a server imports and makes until its first answer, once for the many that are forked from this process."""

import gc

import reconciler.frontends.mcp.host
import reconciler.frontends.mcp.protocol

reconciler.frontends.mcp.protocol.offered_tools()
gc.collect()
gc.freeze()
