"""Sets links: from what nodes should receive to the host's configuration, for the taps that exist."""

from reconciler.act.context import ActContext
from reconciler.faults.compile_links import compile_host
from reconciler.host.links.ports import ports_of
from reconciler.model.plan import HealLinks, SetLinks


async def apply_links(action: SetLinks | HealLinks, context: ActContext) -> None:
    """Apply these links to the host. A node without a tap gets its cuts; the rest follows when it boots."""
    links = action.links if isinstance(action, SetLinks) else {}
    ports = ports_of(context.record)
    # A second look in the round: machines that it started have new taps, and only now does their kernel know them.
    observed = await context.links.observe(context.cluster, ports)
    there = {node for node, port in ports.nodes.items() if port.tap in observed.trees}
    possible = {node: of if node in there else of.cuts_only for node, of in links.items()}
    context.require_term()
    await context.links.apply(context.cluster, compile_host(possible, ports), observed, ports)
