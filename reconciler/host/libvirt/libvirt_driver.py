"""All effects on libvirt, and everything that is read from it.

Every method is idempotent: if everything is already as requested, it succeeds. Every method that changes something
checks for our mark first and raises `Conflict` if it is missing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import libvirt

from reconciler.concurrency import together
from reconciler.errors import LibvirtUnavailable
from reconciler.host.libvirt import domains, networks, screen
from reconciler.host.libvirt.domain_file_uses import file_uses_of
from reconciler.host.libvirt.domain_statistics import read_counters
from reconciler.host.libvirt.domain_xml import (
    DomainRecord,
    parse_domain,
)
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection, LibvirtSilent, on_connection
from reconciler.host.libvirt.libvirt_snapshots import LibvirtSnapshots
from reconciler.host.libvirt.machine_power import read_power
from reconciler.host.libvirt.networks import FoundNetwork, names_of
from reconciler.host.libvirt.serial_line import SerialLine
from reconciler.host.libvirt.template_machines import TemplateMachines
from reconciler.host.shared_observation import SharedObservation
from reconciler.model import names
from reconciler.model.document import Halt, PowerState, Unknown
from reconciler.model.file_use import FileUse
from reconciler.model.node_load import NodeCounters

_LOOKED_AT_AT_ONCE = 10
"""One thread reads this many definitions in a row: handing over to more threads would take longer."""


@dataclass(frozen=True, slots=True)
class FoundDomain:
    """A domain with one of our names; `record` is None if it does not carry our mark.

    `record` is from the persistent definition, if there is one; `open_files` are those of an active machine; `halt` is
    why it does not run.
    """

    record: DomainRecord | None
    state: PowerState
    persistent: bool
    open_files: frozenset[str] | None = None
    halt: Halt | Unknown | None = None


class Libvirt:
    """libvirt as this program uses it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.connection = LibvirtConnection(uri)
        self._domains = SharedObservation(partial(self.connection.ask, _list_domains))
        self._networks = SharedObservation(partial(self.connection.ask, networks.list_networks))
        self.snapshots = LibvirtSnapshots(self.connection)
        self.templates = TemplateMachines(self.connection)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    # Reading.

    async def find_domains(self, cluster: str) -> dict[str, FoundDomain]:
        """Every domain whose name is one of this cluster's, by node."""
        await self.connection.settle(cluster)
        try:
            return await self._look_at_domains(cluster)
        except LibvirtSilent:
            raise
        except LibvirtUnavailable:  # a lost connection invalidates the domains listed on it
            return await self._look_at_domains(cluster)

    async def find_networks(self, cluster: str, wanted: frozenset[str]) -> list[FoundNetwork]:
        """The networks that carry this cluster's mark, and those with a name in `wanted`, of any owner."""
        await self.connection.settle(cluster)
        found = await self._networks()
        ours = {of.name for of in found if of.record is not None and of.record.mark.cluster == cluster}
        return [
            of if of.name in ours else FoundNetwork(of.name, None)
            for of in found
            if of.name in ours or of.name in wanted
        ]

    async def file_uses(self) -> tuple[FileUse, ...]:
        """The files that the machines of this host use as disks and below them, of any owner."""
        return await self.connection.ask(file_uses_of)

    async def counters(self) -> Mapping[tuple[str, str], NodeCounters]:
        """What has been counted of every machine with one of our names, by cluster and node."""
        return await self.connection.ask(read_counters)

    async def _look_at_domains(self, cluster: str) -> dict[str, FoundDomain]:
        listed = (await self._domains()).get(cluster, {})
        looks = [self.connection.ask(partial(_look_at_few, listed=few)) for few in _by_few(listed)]
        return {node: found for seen in await together(*looks) for node, found in seen.items()}

    # Networks.

    create_network = on_connection(networks.create_network)
    sign_network = on_connection(networks.sign_network)
    start_network = on_connection(networks.start_network)
    delete_network = on_connection(networks.delete_network)

    # Domains.

    define_domain = on_connection(domains.define_domain)
    sign_domain = on_connection(domains.sign_domain)
    undefine_domain = on_connection(domains.undefine_domain)
    attach_disk = on_connection(domains.attach_disk)
    grow_disk = on_connection(domains.grow_disk)
    start = on_connection(domains.start)
    shut_down = on_connection(domains.shut_down)
    is_active = on_connection(domains.is_active)
    cut_power = on_connection(domains.cut_power)
    note_resume = on_connection(domains.note_resume)
    resume_if_paused = on_connection(domains.resume_if_paused)
    suspend = on_connection(domains.suspend)
    carried_out = on_connection(domains.carried_out)
    defined = on_connection(domains.defined)

    take_screenshot = on_connection(screen.take_screenshot)

    async def open_serial_line(
        self, cluster: str, node: str, on_output: Callable[[bytes], None], *, force: bool
    ) -> SerialLine:
        """The node's serial line; see `SerialLine.open`."""
        return await SerialLine.open(self._uri, cluster, node, on_output, force=force)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A listed domain; one that is not persistent runs without a persistent definition."""

    domain: Any
    persistent: bool


def _list_domains(handle: Any) -> dict[str, dict[str, _Listed]]:
    """Every domain whose name we could have given, by cluster and node."""
    transient = names_of(handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT))
    listed: dict[str, dict[str, _Listed]] = {}
    for domain in handle.listAllDomains():
        name = domain.name()
        if (place := names.parse_domain_name(name)) is not None:
            cluster, node = place
            listed.setdefault(cluster, {})[node] = _Listed(domain, name not in transient)
    return listed


def _by_few(listed: Mapping[str, _Listed]) -> Iterator[dict[str, _Listed]]:
    """Batches of domains; the batches are read concurrently."""
    nodes = iter(listed.items())
    while few := dict(islice(nodes, _LOOKED_AT_AT_ONCE)):
        yield few


def _look_at_few(handle: Any, *, listed: Mapping[str, _Listed]) -> dict[str, FoundDomain]:
    """Read a batch of domains; those deleted meanwhile are left out."""
    domains = [of.domain for of in listed.values()]
    seen = handle.domainListGetStats(domains, libvirt.VIR_DOMAIN_STATS_STATE) if domains else []  # none: all there are
    states = {domain.name(): (stats["state.state"], stats["state.reason"]) for domain, stats in seen}
    found = {node: _look_at(of, states.get(of.domain.name())) for node, of in listed.items()}
    return {node: of for node, of in found.items() if of is not None}


def _look_at(listed: _Listed, state: tuple[int, int] | None) -> FoundDomain | None:
    if state is None:  # deleted since it was listed
        return None
    domain, persistent = listed.domain, listed.persistent
    try:
        record = parse_domain(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if persistent else 0))
        power, halt = read_power(domain, *state)
        open_files = None if power is PowerState.OFF else _open_files(domain)
        return FoundDomain(record, power, persistent, open_files, halt)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # the same, a little later
            return None
        raise


def _open_files(domain: Any) -> frozenset[str] | None:
    live = parse_domain(domain.XMLDesc(0))
    if live is None:
        return None
    return frozenset(
        str(file)
        for disk in live.domain.disks.values()
        for file in (disk.path, *(below.path for below in disk.backing))
    )
