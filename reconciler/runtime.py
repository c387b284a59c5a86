"""What one process needs: settings, store, drivers, SSH connections and the inline controller."""

# ruff: noqa: PLC0415  a part is imported when it is first used: a command that only reads records needs the store alone

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

import structlog

from reconciler.errors import ConfigurationInvalid, LibvirtUnavailable
from reconciler.settings import Settings
from reconciler.store.host_identity import HostIdentity
from reconciler.store.protocol import Store
from reconciler.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from reconciler.act.outcome import Checkpoint
    from reconciler.controller.image_exchange import ImageExchange
    from reconciler.controller.inline_controller import Controller
    from reconciler.controller.leavers import Leavers
    from reconciler.controller.looks import Looks
    from reconciler.controller.round import Rounds
    from reconciler.controller.visits import Visits
    from reconciler.desired.compile import HostFacts
    from reconciler.guest.pool import SshPool
    from reconciler.host.host_events import HostEvent
    from reconciler.host.kernel_listener import KernelListener
    from reconciler.host.libvirt.libvirt_driver import Libvirt
    from reconciler.host.links.link_driver import LinkDriver
    from reconciler.model.record import ClusterRecord
    from reconciler.observe.clean_kernels import CleanKernels
    from reconciler.store.host_lease import HostLease
    from reconciler.store.lease import Lease
    from reconciler.templates.cloning import Templates

log = structlog.get_logger(__name__)


def _no_checkpoint(_name: str) -> None:
    """The default hook at the boundary of an action, which tests replace."""


def _host_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def open_store(settings: Settings, *, acts: bool = False) -> Store:
    """The store from the settings, not yet connected; who `acts` on its records does so as this host."""
    if settings.etcd is None:
        return SqliteStore(settings.state_dir)
    try:
        from reconciler.store.etcd.etcd_store import EtcdStore  # gRPC is loaded where it is used
    except ImportError as error:
        raise ConfigurationInvalid(
            f"`store` is an etcd, and its client is not installed: {error}",
            hint='install it with `pip install "vmcluster-mcp[etcd]"`, or unset `store`',
        ) from error
    return EtcdStore(*settings.etcd, host=HostIdentity(settings.own_host, settings.state_dir) if acts else None)


class Runtime:
    """Opened lazily: touches nothing on the host before the first use."""

    def __init__(self, settings: Settings, *, checkpoint: "Checkpoint" = _no_checkpoint) -> None:
        self.settings = settings
        self.store = open_store(settings, acts=True)
        self._checkpoint = checkpoint
        self._kernel: KernelListener | None = None
        self._facts: HostFacts | None = None
        self._probing = asyncio.Lock()

    @cached_property
    def libvirt(self) -> "Libvirt":
        """This host's libvirt, not yet connected."""
        from reconciler.host.libvirt.libvirt_driver import Libvirt

        return Libvirt(self.settings.libvirt_uri)

    @cached_property
    def ssh(self) -> "SshPool":
        """The SSH connections to nodes."""
        from reconciler.guest.pool import SshPool

        return SshPool()

    @cached_property
    def clean_kernels(self) -> "CleanKernels":
        """The kernels whose logs need not be read again."""
        from reconciler.observe.clean_kernels import CleanKernels

        return CleanKernels()

    @cached_property
    def links(self) -> "LinkDriver":
        """The links between nodes, as firewall and queues have them."""
        from reconciler.host.links.link_driver import LinkDriver

        return LinkDriver(self.settings.firewall)

    @cached_property
    def templates(self) -> "Templates":
        """What nodes of this host start from."""
        from reconciler.templates.cloning import Templates

        return Templates(self.settings.template_dir, self.libvirt.templates, self.store.request_round)

    @cached_property
    def images(self) -> "ImageExchange":
        """The base images that hosts fetch from each other."""
        from reconciler.controller.image_exchange import ImageExchange

        return ImageExchange(self.store, self.settings)

    @cached_property
    def looks(self) -> "Looks":
        """What is observed of a record's part on this host."""
        from reconciler.controller.looks import Looks

        return Looks(self.store, self.libvirt, self.links, self._host_facts)

    @cached_property
    def rounds(self) -> "Rounds":
        """The controller's rounds."""
        from reconciler.controller.round import Rounds
        from reconciler.controller.side_files import remove_side_files

        return Rounds(
            self.store,
            self.looks,
            self.libvirt,
            self.links,
            self.ssh,
            self.settings.fault_registry,
            self.templates,
            self._checkpoint,
            partial(remove_side_files, self.settings),
            self.settings.console_log_mb * 1024 * 1024,
            self.images,
        )

    @cached_property
    def controller(self) -> "Controller":
        """The controller that runs in this process where no other one does."""
        from reconciler.controller.inline_controller import Controller

        on_turn = self._leavers.ensure_all if self.store.own_host else None
        return Controller(self.store, self.rounds, self.lease(), self.host_lease(), on_turn)

    @cached_property
    def visits(self) -> "Visits":
        """The networks that this host joins to use nodes on others."""
        from reconciler.controller.visits import Visits

        return Visits(self.store, self.controller, self._leavers)

    @cached_property
    def _leavers(self) -> "Leavers":
        from reconciler.controller.leavers import Leavers

        return Leavers(self.settings, self.lease())

    def lease(self, purpose: str = "controller") -> "Lease":
        """The store's lease, not yet acquired."""
        from reconciler.store.lease import Lease

        return Lease(self.settings.state_dir / "controller.lock", purpose=purpose)

    def host_lease(self, purpose: str = "controller") -> "HostLease":
        """The lease that all stores of this host share, not yet acquired."""
        from reconciler.store.host_lease import HostLease

        return HostLease(self.settings.libvirt_uri, self.settings.state_dir, purpose=purpose)

    async def __aenter__(self) -> Self:
        return self

    async def follow_guests(self) -> None:
        """Close a node's SSH connection as soon as its machine stops or reboots, in long-lived processes.

        While libvirt is unavailable, a dead connection is only noticed when it is used.
        """
        await self.follow_host(self._drop_ended)

    async def follow_host(self, listener: Callable[["HostEvent"], None]) -> None:
        """Report libvirt's events to `listener`, in this event loop; starts when libvirt is available."""
        loop = asyncio.get_running_loop()

        def hand_over(event: "HostEvent") -> None:
            with suppress(RuntimeError):  # an event after the end of the loop is dropped
                loop.call_soon_threadsafe(listener, event)

        try:
            await self.libvirt.connection.follow(hand_over)
        except LibvirtUnavailable as error:
            log.info("guests_not_followed_yet", cause=str(error))

    def follow_kernel(self, listener: Callable[["HostEvent"], None]) -> None:
        """Report changes of this host's interfaces and firewall to `listener`, in this event loop."""
        from reconciler.host.kernel_listener import KernelListener

        self._kernel = KernelListener(listener)
        self._kernel.open()

    async def start_healer(self, cluster: str) -> None:
        """Make sure that the cluster's faults expire in time, even if this process is killed."""
        from reconciler.controller.healers import start_healer

        await asyncio.to_thread(start_healer, self.settings, cluster)

    async def start_fault_watcher(self, cluster: str, handle: str, lifeline: int) -> None:
        """Make sure that a fault ends with the process that holds the other end of a pipe."""
        from reconciler.controller.healers import start_fault_watcher

        await asyncio.to_thread(start_fault_watcher, self.settings, cluster, handle, lifeline)

    def _drop_ended(self, event: "HostEvent") -> None:
        from reconciler.host.host_events import HostEventKind

        if event.kind is HostEventKind.MACHINE_ENDED:
            cluster, _, node = event.name.partition(".")
            self.ssh.drop(cluster, node)

    async def __aexit__(self, *_: object) -> None:
        if self._kernel is not None:
            self._kernel.close()
        used = self.__dict__
        if "images" in used:
            await self.images.close()
        if "templates" in used:
            await self.templates.meanwhile.close()
        if "ssh" in used:
            await self.ssh.close()
        if "libvirt" in used:
            self.libvirt.close()
        await self.store.close()

    async def _host_facts(self, record: "ClusterRecord") -> "HostFacts":
        """Facts about this host that the record's nodes depend on; KVM is only measured if a node needs it."""
        from reconciler.desired.compile import HostFacts, needs_kvm_verdict

        memory_mb = _host_memory_mb()
        if not needs_kvm_verdict(record):
            return HostFacts(kvm_usable=False, memory_mb=memory_mb)
        return replace(await self.kvm_verdict(), memory_mb=memory_mb)

    async def kvm_verdict(self) -> "HostFacts":
        """Whether KVM is faster than emulation on this host; measured once."""
        from reconciler.desired.compile import HostFacts
        from reconciler.host.virt_type import probe_kvm

        async with self._probing:
            if self._facts is None:
                verdict = await probe_kvm(self.settings.state_dir)
                self._facts = HostFacts(kvm_usable=verdict.usable, kvm_reason=verdict.reason)
            return self._facts
