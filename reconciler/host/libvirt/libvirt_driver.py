"""All effects on libvirt, and everything that is read from it.

Every method is idempotent: if everything is already as requested, it succeeds. Every method that changes something
checks for our mark first and raises `Conflict` if it is missing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import libvirt

from reconciler.concurrency import together
from reconciler.errors import LibvirtUnavailable
from reconciler.host.libvirt import networks
from reconciler.host.libvirt.definition import read_persistent
from reconciler.host.libvirt.domain_file_uses import file_uses_of
from reconciler.host.libvirt.domain_xml import (
    DomainRecord,
    has_scsi,
    parse_domain,
    render_disk,
    render_domain,
    render_scsi_controller,
)
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection, LibvirtSilent
from reconciler.host.libvirt.libvirt_snapshots import LibvirtSnapshots
from reconciler.host.libvirt.lookup import find_domain, our_domain, require_mark
from reconciler.host.libvirt.machine_power import read_power
from reconciler.host.libvirt.mark import NAMESPACE, PREFIX, DomainMark, bare_domain_mark
from reconciler.host.libvirt.networks import FoundNetwork, names_of
from reconciler.host.libvirt.serial_line import SerialLine
from reconciler.host.shared_observation import SharedObservation
from reconciler.model import names
from reconciler.model.document import Domain, DomainDisk, Halt, Network, PowerState, Unknown
from reconciler.model.file_use import FileUse
from reconciler.model.origin import Origin
from reconciler.model.plan import Epochs
from reconciler.model.topology import DiskBus

_UNDEFINE_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM  # it is deleted with the disks
)


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

    async def defined(self, cluster: str, node: str) -> Domain:
        """A node's persistent definition, which the next boot uses."""
        return await self.connection.call(
            cluster, lambda handle: read_persistent(our_domain(handle, cluster, node), node).domain
        )

    async def file_uses(self) -> tuple[FileUse, ...]:
        """The files that the machines of this host use as disks and below them, of any owner."""
        return await self.connection.ask(file_uses_of)

    async def _look_at_domains(self, cluster: str) -> dict[str, FoundDomain]:
        listed = (await self._domains()).get(cluster, {})
        looks = [self.connection.ask(partial(_look_at_few, listed=few)) for few in _by_few(listed)]
        return {node: found for seen in await together(*looks) for node, found in seen.items()}

    # Networks.

    async def create_network(self, cluster: str, name: str, network: Network, origin: Origin | None = None) -> None:
        """Define a network and start it; our own of that name is removed first if it differs."""
        create = partial(networks.create_network, cluster=cluster, name=name, network=network, origin=origin)
        await self.connection.call(cluster, create)

    async def sign_network(self, cluster: str, name: str, origin: Origin) -> None:
        """Record the origin of a network; one that is gone, or active without a definition, is left alone."""
        await self.connection.call(cluster, partial(networks.sign_network, cluster=cluster, name=name, origin=origin))

    async def start_network(self, cluster: str, name: str) -> None:
        """Start a defined network."""
        await self.connection.call(cluster, partial(networks.start_network, cluster=cluster, name=name))

    async def delete_network(self, cluster: str, name: str) -> None:
        """Stop and undefine a network."""
        await self.connection.call(cluster, partial(networks.delete_network, cluster=cluster, name=name))

    # Domains.

    async def define_domain(
        self, cluster: str, node: str, domain: Domain, carried_out: Epochs, origin: Origin | None = None
    ) -> None:
        """Write the persistent definition; a running machine is not touched."""
        define = partial(_define_domain, cluster=cluster, node=node, domain=domain, done=carried_out, origin=origin)
        await self.connection.call(cluster, define)

    async def sign_domain(self, cluster: str, node: str, origin: Origin) -> None:
        """Record the origin of a definition; one that is gone is left alone."""
        await self.connection.call(cluster, partial(_sign_domain, cluster=cluster, node=node, origin=origin))

    async def undefine_domain(self, cluster: str, node: str) -> None:
        """Remove a definition with managed saves and snapshot metadata; the UEFI variables stay with the disks."""
        await self.connection.call(cluster, partial(_undefine_domain, cluster=cluster, node=node))

    async def attach_disk(self, cluster: str, node: str, target: str, disk: DomainDisk) -> None:
        """Plug a disk into a running machine and into its persistent definition."""
        await self.connection.call(cluster, partial(_attach_disk, cluster=cluster, node=node, target=target, disk=disk))

    async def start(self, cluster: str, node: str, *, paused: bool, resume_epoch: int) -> None:
        """Power on. The boot satisfies every resume requested so far; that is recorded first."""
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
        """Cut the power, then record which power cycle that was."""
        await self.connection.call(cluster, partial(_cut_power, cluster=cluster, node=node, boot_epoch=boot_epoch))

    async def note_resume(self, cluster: str, node: str, *, resume_epoch: int) -> None:
        """Record the last request for a resume that was satisfied; the CPUs stay as they are."""
        await self.connection.call(
            cluster, lambda handle: _write_epochs(our_domain(handle, cluster, node), resume_epoch=resume_epoch)
        )

    async def resume_if_paused(self, cluster: str, node: str) -> None:
        """Resume the CPUs if they are paused; this satisfies no request."""
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
        """Pause the CPUs."""
        await self.connection.call(cluster, lambda handle: our_domain(handle, cluster, node).suspend())


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


def _define_domain(
    handle: Any, *, cluster: str, node: str, domain: Domain, done: Epochs, origin: Origin | None
) -> None:
    if (there := find_domain(handle, cluster, node)) is not None:
        require_mark(there, cluster, node)
    handle.defineXML(render_domain(cluster, node, domain, done, origin))


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
        domain.attachDeviceFlags(render_scsi_controller(), both)  # libvirt itself would add an lsilogic
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
    """Write the requests that were carried out into the persistent definition, where they are read from."""
    record = parse_domain(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    assert record is not None
    before = record.carried_out
    after = Epochs(
        boot=before.boot if boot_epoch is None else boot_epoch,
        resume=before.resume if resume_epoch is None else resume_epoch,
    )
    if after != before:
        _write_mark(domain, replace(record.mark, boot_epoch=after.boot, resume_epoch=after.resume))


def _sign_domain(handle: Any, *, cluster: str, node: str, origin: Origin) -> None:
    domain = find_domain(handle, cluster, node)
    if domain is None or not domain.isPersistent():
        return
    require_mark(domain, cluster, node)
    record = parse_domain(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    assert record is not None
    _write_mark(domain, replace(record.mark, origin=origin))


def _write_mark(domain: Any, mark: DomainMark) -> None:
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        bare_domain_mark(mark),
        PREFIX,
        NAMESPACE,
        libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )
