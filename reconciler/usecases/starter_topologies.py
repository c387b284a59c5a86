"""Writes the text of a new topology, and checks it like any other before anybody sees it."""

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path

from reconciler.desired.load import find_problems
from reconciler.desired.starter_topology import StarterTopology, render_starter
from reconciler.desired.topology_text import TopologyText, text_bytes
from reconciler.errors import InvalidArgument, LibvirtUnavailable
from reconciler.observe.host_observation import observe_host
from reconciler.records.stored_records import readable_records
from reconciler.runtime import Runtime
from reconciler.source.problems import Problem


async def starter_text(runtime: Runtime, chosen: StarterTopology) -> tuple[str, list[str]]:
    """The text, in a subnet that is free on this host, and what is still missing here, such as its image.

    Raises `InvalidArgument` with everything that a topology cannot have.
    """
    text = render_starter(chosen, await _taken(runtime))
    given = TopologyText("", text_bytes(text), Path("/"))
    _, wrong = await asyncio.to_thread(find_problems, given, runtime.settings, with_files=False)
    if wrong:
        of_name = [of for of in wrong if of.path == "cluster_name"]  # other names are made from it
        raise InvalidArgument("\n".join(_told(of_name or wrong)))
    _, missing = await asyncio.to_thread(find_problems, given, runtime.settings, with_files=True)
    return text, _told(missing)


async def _taken(runtime: Runtime) -> list[IPv4Network]:
    """The addresses of all clusters, and those that this host has or reaches, as far as it can be looked at."""
    recorded = [record.spec.network.subnet for record in await readable_records(runtime.store)]
    try:
        seen = await observe_host(runtime.libvirt)
    except LibvirtUnavailable:
        return recorded
    return [*recorded, *seen.taken]


def _told(problems: Iterable[Problem]) -> list[str]:
    """Each problem once, however many nodes have it."""
    return list(dict.fromkeys(f"{of.path.rpartition('.')[2]}: {of.message}" for of in problems))
