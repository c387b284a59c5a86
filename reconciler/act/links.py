"""Setting links: from what nodes shall receive to what the host is told, for the taps that are there."""

from collections.abc import Mapping

from reconciler.act.context import ActContext
from reconciler.faults.compile import compile_host
from reconciler.host.links.ports import ports_of
from reconciler.model.links import Inbound


async def apply_links(links: Mapping[str, Inbound], context: ActContext) -> None:
    """Make the host's links these. A node whose tap is not there gets its cuts; the rest waits until it comes up."""
    ports = ports_of(context.record)
    observed = await context.links.observe(context.cluster, ports)
    there = {node for node, port in ports.nodes.items() if port.tap in observed.trees}
    possible = {node: of if node in there else of.cuts_only for node, of in links.items()}
    await context.links.apply(context.cluster, compile_host(possible, ports), observed, ports)
