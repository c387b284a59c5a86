"""All effects on libvirt, and all that is read from it.

Every method is idempotent: what is already as asked is a success. Every method that changes something looks
for our mark first and raises `Conflict` where it is missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import libvirt

from reconciler.errors import Conflict, LibvirtUnavailable
from reconciler.host.libvirt.connection import Connection, LibvirtSilent
from reconciler.host.libvirt.definition import read_persistent
from reconciler.host.libvirt.domain_xml import (
    DomainRecord,
    domain_mark,
    has_scsi,
    parse_domain,
    render_disk,
    render_domain,
    render_scsi_controller,
)
from reconciler.host.libvirt.file_uses import file_uses_of
from reconciler.host.libvirt.lookup import find_domain, our_domain, require_mark
from reconciler.host.libvirt.mark import NAMESPACE, PREFIX, bare_domain_mark
from reconciler.host.libvirt.network_xml import NetworkRecord, parse_network, render_network
from reconciler.host.libvirt.power import read_power
from reconciler.host.libvirt.serial_line import SerialLine
from reconciler.host.libvirt.snapshots import Snapshots
from reconciler.host.shared_look import SharedLook
from reconciler.model import names
from reconciler.model.document import Domain, DomainDisk, Halt, Network, PowerState, Unknown
from reconciler.model.file_use import FileUse
from reconciler.model.plan import Epochs
from reconciler.model.topology import DiskBus
from reconciler.together import together

_UNDEFINE_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM  # it goes with the disks
)


_LOOKED_AT_AT_ONCE = 10
"""A thread asks for so many definitions one after another: handing over to more threads would take longer."""


@dataclass(frozen=True, slots=True)
class FoundDomain:
    """A domain with a name of ours; `record` is None where it does not carry our mark.

    `record` is of the persistent definition, where there is one; `open_files` are those of an active machine; `halt` is
    why it does not run.
    """

    record: DomainRecord | None
    state: PowerState
    persistent: bool
    open_files: frozenset[str] | None = None
    halt: Halt | Unknown | None = None


@dataclass(frozen=True, slots=True)
class FoundNetwork:
    """A network; `record` is None where it does not carry our mark."""

    name: str
    record: NetworkRecord | None


class Libvirt:
    """libvirt as this program uses it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.connection = Connection(uri)
        self._domains = SharedLook(partial(self.connection.ask, _list_domains))
        self._networks = SharedLook(partial(self.connection.ask, _list_networks))
        self.snapshots = Snapshots(self.connection)

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
        except LibvirtUnavailable:  # a connection that is lost takes what was listed on it with it
            return await self._look_at_domains(cluster)

    async def find_networks(self, cluster: str, wanted: frozenset[str]) -> list[FoundNetwork]:
        """The networks that carry this cluster's mark, and those with a wanted name, whosever they are."""
        await self.connection.settle(cluster)
        found = await self._networks()
        ours = {of.name for of in found if of.record is not None and of.record.mark.cluster == cluster}
        return [
            of if of.name in ours else FoundNetwork(of.name, None)
            for of in found
            if of.name in ours or of.name in wanted
        ]

    async def defined(self, cluster: str, node: str) -> Domain:
        """A node's persistent definition, which the next boot uses."""
        return await self.connection.call(
            cluster, lambda handle: read_persistent(our_domain(handle, cluster, node), node).domain
        )

    async def file_uses(self) -> tuple[FileUse, ...]:
        """The files that the machines of this host have as disks and below them, whosever they are."""
        return await self.connection.ask(file_uses_of)

    async def _look_at_domains(self, cluster: str) -> dict[str, FoundDomain]:
        listed = (await self._domains()).get(cluster, {})
        looks = [self.connection.ask(partial(_look_at_few, listed=few)) for few in _by_few(listed)]
        return {node: found for seen in await together(*looks) for node, found in seen.items()}

    # Networks.

    async def create_network(self, cluster: str, name: str, network: Network) -> None:
        """Define a network and start it; one of ours with that name is taken away first when it differs."""
        await self.connection.call(cluster, partial(_create_network, cluster=cluster, name=name, network=network))

    async def start_network(self, cluster: str, name: str) -> None:
        """Start a defined network."""
        await self.connection.call(cluster, partial(_start_network, cluster=cluster, name=name))

    async def delete_network(self, cluster: str, name: str) -> None:
        """Stop and undefine a network."""
        await self.connection.call(cluster, partial(_delete_network, cluster=cluster, name=name))

    # Domains.

    async def define_domain(self, cluster: str, node: str, domain: Domain, carried_out: Epochs) -> None:
        """Write the persistent definition; a running machine is not touched."""
        await self.connection.call(
            cluster, partial(_define_domain, cluster=cluster, node=node, domain=domain, done=carried_out)
        )

    async def undefine_domain(self, cluster: str, node: str) -> None:
        """Remove a definition with managed saves and snapshot metadata; UEFI's variables stay with the disks."""
        await self.connection.call(cluster, partial(_undefine_domain, cluster=cluster, node=node))

    async def attach_disk(self, cluster: str, node: str, target: str, disk: DomainDisk) -> None:
        """Plug a disk into a running machine and into its persistent definition."""
        await self.connection.call(cluster, partial(_attach_disk, cluster=cluster, node=node, target=target, disk=disk))

    async def start(self, cluster: str, node: str, *, paused: bool, resume_epoch: int) -> None:
        """Power on. The boot meets every resume asked for until now; that is written down first."""
        await self.connection.call(
            cluster, partial(_start, cluster=cluster, node=node, paused=paused, resume_epoch=resume_epoch)
        )

    async def shut_down(self, cluster: str, node: str) -> None:
        """Press the ACPI power button."""
        await self.connection.call(cluster, partial(_shut_down, cluster=cluster, node=node))

    async def is_active(self, cluster: str, node: str) -> bool:
        """Whether the domain has a QEMU process."""
        return await self.connection.call(cluster, lambda handle: bool(our_domain(handle, cluster, node).isActive()))

    async def cut_power(self, cluster: str, node: str, *, boot_epoch: int) -> None:
        """Cut the power, then write down which power cycle that was."""
        await self.connection.call(cluster, partial(_cut_power, cluster=cluster, node=node, boot_epoch=boot_epoch))

    async def note_resume(self, cluster: str, node: str, *, resume_epoch: int) -> None:
        """Write down the last request for a resume that was met; the CPUs stay as they are."""
        await self.connection.call(
            cluster, lambda handle: _write_epochs(our_domain(handle, cluster, node), resume_epoch=resume_epoch)
        )

    async def resume_if_paused(self, cluster: str, node: str) -> None:
        """Let the CPUs run where they stand still; no request is met by it."""
        await self.connection.call(cluster, partial(_resume_if_paused, cluster=cluster, node=node))

    async def carried_out(self, cluster: str, node: str) -> Epochs:
        """The requests that the persistent definition says were carried out."""
        return await self.connection.call(cluster, partial(_carried_out, cluster=cluster, node=node))

    async def open_serial_line(
        self, cluster: str, node: str, on_output: Callable[[bytes], None], *, force: bool
    ) -> SerialLine:
        """The node's serial line; see `SerialLine.open`."""
        return await SerialLine.open(self._uri, cluster, node, on_output, force=force)

    async def suspend(self, cluster: str, node: str) -> None:
        """Stop the CPUs."""
        await self.connection.call(cluster, lambda handle: our_domain(handle, cluster, node).suspend())


@dataclass(frozen=True, slots=True)
class _Listed:
    """A domain that was listed; one that is not persistent runs without a definition."""

    domain: Any
    persistent: bool


def _list_domains(handle: Any) -> dict[str, dict[str, _Listed]]:
    """Every domain whose name could be one of ours, by cluster and node."""
    transient = _names(handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT))
    listed: dict[str, dict[str, _Listed]] = {}
    for domain in handle.listAllDomains():
        name = domain.name()
        if (place := names.parse_domain_name(name)) is not None:
            cluster, node = place
            listed.setdefault(cluster, {})[node] = _Listed(domain, name not in transient)
    return listed


def _by_few(listed: Mapping[str, _Listed]) -> Iterator[dict[str, _Listed]]:
    """Portions that are looked at at the same time."""
    nodes = iter(listed.items())
    while few := dict(islice(nodes, _LOOKED_AT_AT_ONCE)):
        yield few


def _look_at_few(handle: Any, *, listed: Mapping[str, _Listed]) -> dict[str, FoundDomain]:
    """Those of the domains that are still there."""
    domains = [of.domain for of in listed.values()]
    seen = handle.domainListGetStats(domains, libvirt.VIR_DOMAIN_STATS_STATE) if domains else []  # none: all there are
    states = {domain.name(): (stats["state.state"], stats["state.reason"]) for domain, stats in seen}
    found = {node: _look_at(of, states.get(of.domain.name())) for node, of in listed.items()}
    return {node: of for node, of in found.items() if of is not None}


def _look_at(listed: _Listed, state: tuple[int, int] | None) -> FoundDomain | None:
    if state is None:  # went between the listing and the look
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


def _list_networks(handle: Any) -> list[FoundNetwork]:
    """Every network, whosever it is."""
    active = _names(handle.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE))
    transient = _names(handle.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_TRANSIENT))
    seen = (
        _look_at_network(network, active=network.name() in active, persistent=network.name() not in transient)
        for network in handle.listAllNetworks()
    )
    return [found for found in seen if found is not None]


def _look_at_network(network: Any, *, active: bool, persistent: bool) -> FoundNetwork | None:
    try:
        xml = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE if active and persistent else 0)
        return FoundNetwork(network.name(), parse_network(xml, active=active))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:  # went between the listing and the look
            return None
        raise


def _names(listed: Iterable[Any]) -> frozenset[str]:
    return frozenset(of.name() for of in listed)


def _create_network(handle: Any, *, cluster: str, name: str, network: Network) -> None:
    _delete_network(handle, cluster=cluster, name=name)
    made = handle.networkDefineXML(render_network(cluster, name, network))
    try:
        made.create()
    except libvirt.libvirtError:
        made.undefine()  # one that cannot be started would stand in the way of others
        raise


def _start_network(handle: Any, *, cluster: str, name: str) -> None:
    network = _our_network(handle, cluster, name)
    if network is not None and not network.isActive():
        network.create()


def _delete_network(handle: Any, *, cluster: str, name: str) -> None:
    network = _our_network(handle, cluster, name)
    if network is None:
        return
    if network.isActive():
        network.destroy()
    if _our_network(handle, cluster, name) is not None:  # a transient one goes when it is stopped
        network.undefine()


def _our_network(handle: Any, cluster: str, name: str) -> Any:
    try:
        network = handle.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
            return None
        raise
    record = parse_network(network.XMLDesc(0), active=True)
    if record is None or record.mark.cluster != cluster:
        raise Conflict(
            f"a network named {name!r} is there that is not of cluster {cluster!r}",
            hint="give the network of the topology another name",
        )
    return network


def _define_domain(handle: Any, *, cluster: str, node: str, domain: Domain, done: Epochs) -> None:
    if (there := find_domain(handle, cluster, node)) is not None:
        require_mark(there, cluster, node)
    handle.defineXML(render_domain(cluster, node, domain, done))


def _undefine_domain(handle: Any, *, cluster: str, node: str) -> None:
    domain = find_domain(handle, cluster, node)
    if domain is None:
        return
    require_mark(domain, cluster, node)
    domain.undefineFlags(_UNDEFINE_ALL)


def _attach_disk(handle: Any, *, cluster: str, node: str, target: str, disk: DomainDisk) -> None:
    both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain = our_domain(handle, cluster, node)
    if disk.bus is DiskBus.SCSI and not has_scsi(domain.XMLDesc(0)):
        domain.attachDeviceFlags(render_scsi_controller(), both)  # libvirt itself would take an lsilogic
    domain.attachDeviceFlags(render_disk(target, disk), both)


def _start(handle: Any, *, cluster: str, node: str, paused: bool, resume_epoch: int) -> None:
    domain = our_domain(handle, cluster, node)
    if domain.isActive():
        return
    _write_epochs(domain, resume_epoch=resume_epoch)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)


def _shut_down(handle: Any, *, cluster: str, node: str) -> None:
    domain = our_domain(handle, cluster, node)
    if domain.isActive():
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def _cut_power(handle: Any, *, cluster: str, node: str, boot_epoch: int) -> None:
    domain = our_domain(handle, cluster, node)
    if domain.isActive():
        domain.destroy()
    if domain.isPersistent():
        _write_epochs(domain, boot_epoch=boot_epoch)


def _resume_if_paused(handle: Any, *, cluster: str, node: str) -> None:
    domain = our_domain(handle, cluster, node)
    match domain.state()[0]:
        case libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        case libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup(0)


def _carried_out(handle: Any, *, cluster: str, node: str) -> Epochs:
    record = parse_domain(our_domain(handle, cluster, node).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    assert record is not None
    return record.carried_out


def _write_epochs(domain: Any, *, boot_epoch: int | None = None, resume_epoch: int | None = None) -> None:
    """Write the requests that were carried out into the persistent definition, which is where they are read."""
    record = parse_domain(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    assert record is not None
    before = record.carried_out
    after = Epochs(
        boot=before.boot if boot_epoch is None else boot_epoch,
        resume=before.resume if resume_epoch is None else resume_epoch,
    )
    if after == before:
        return
    mark = domain_mark(record.mark.cluster, record.mark.node, record.domain, after)
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        bare_domain_mark(mark),
        PREFIX,
        NAMESPACE,
        libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )
