"""What one process needs to serve: settings, store, drivers, SSH connections and the inline controller."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import structlog

from reconciler.act.outcome import Checkpoint
from reconciler.controller.controller import Controller
from reconciler.controller.healers import leave_healer, leave_watcher
from reconciler.controller.leavings import remove_leavings
from reconciler.controller.round import Rounds
from reconciler.desired.compile import HostFacts, needs_kvm_verdict
from reconciler.errors import ConfigurationInvalid, LibvirtUnavailable
from reconciler.guest.pool import SshPool
from reconciler.host.host_events import HostEvent, HostEventKind
from reconciler.host.kernel_listener import KernelListener
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.links.link_driver import LinkDriver
from reconciler.host.virt_type import probe_kvm
from reconciler.model.record import ClusterRecord
from reconciler.observe.quiet_kernels import QuietKernels
from reconciler.settings import Settings
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.store.protocol import Store
from reconciler.store.sqlite import SqliteStore

log = structlog.get_logger(__name__)


def _no_checkpoint(_name: str) -> None:
    """Outside the tests nothing happens at an action's boundary."""


def _host_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _host_name() -> str:
    """What tells this machine from others, for people too: its name, and the beginning of its machine-id(5)."""
    try:
        machine_id = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine_id = ""
    return f"{socket.gethostname()} {machine_id[:12]}".strip()


def open_store(settings: Settings, *, host: str | None = None) -> Store:
    """The store that the settings name, not connected yet; `host` is the machine that is to work on its records."""
    if settings.etcd is None:
        return SqliteStore(settings.state_dir)
    try:
        from reconciler.store.etcd.etcd_store import EtcdStore  # noqa: PLC0415  gRPC is loaded where it is used
    except ImportError as error:
        raise ConfigurationInvalid(
            f"`store` is an etcd, and its client is not installed: {error}",
            hint='install it with `pip install "vmcluster-mcp[etcd]"`, or unset `store`',
        ) from error
    return EtcdStore(*settings.etcd, host=host)


class Runtime:
    """Opened lazily: nothing of the host is touched before the first use."""

    def __init__(self, settings: Settings, *, checkpoint: Checkpoint = _no_checkpoint) -> None:
        self.settings = settings
        self.store = open_store(settings, host=_host_name())
        self.libvirt = Libvirt(settings.libvirt_uri)
        self.ssh = SshPool()
        self.quiet_kernels = QuietKernels()
        self.links = LinkDriver(settings.firewall)
        self.rounds = Rounds(
            self.store,
            self.libvirt,
            self.links,
            self.ssh,
            self._host_facts,
            settings.fault_registry,
            checkpoint,
            partial(remove_leavings, settings),
            settings.console_log_mb * 1024 * 1024,
        )
        self.controller = Controller(self.store, self.rounds, self.lease(), self.host_lease())
        self._kernel: KernelListener | None = None
        self._facts: HostFacts | None = None
        self._probing = asyncio.Lock()

    def lease(self, purpose: str = "controller") -> Lease:
        """The store's lease, not taken yet."""
        return Lease(self.settings.state_dir / "controller.lock", purpose=purpose)

    def host_lease(self, purpose: str = "controller") -> HostLease:
        """The lease that all stores of this host share, not taken yet."""
        return HostLease(self.settings.libvirt_uri, self.settings.state_dir, purpose=purpose)

    async def __aenter__(self) -> Self:
        return self

    async def follow_guests(self) -> None:
        """Close a node's SSH connection at once when its machine ends or reboots: for processes that live long.

        Where libvirt is away, this begins when it is back; until then a dead connection is noticed when it is used.
        """
        await self.follow_host(self._drop_ended)

    async def follow_host(self, listener: Callable[[HostEvent], None]) -> None:
        """Tell `listener`, in this event loop, of what happens on the host; from when libvirt is there."""
        loop = asyncio.get_running_loop()

        def hand_over(event: HostEvent) -> None:
            with suppress(RuntimeError):  # an event that comes when the loop has ended concerns nobody
                loop.call_soon_threadsafe(listener, event)

        try:
            await self.libvirt.connection.follow(hand_over)
        except LibvirtUnavailable as error:
            log.info("guests_not_followed_yet", cause=str(error))

    def follow_kernel(self, listener: Callable[[HostEvent], None]) -> None:
        """Tell `listener`, in this event loop, of what is done to this host's interfaces and firewall."""
        self._kernel = KernelListener(listener)
        self._kernel.open()

    async def leave_healer(self, cluster: str) -> None:
        """See to it that the cluster's faults end in time, whatever becomes of this process."""
        await asyncio.to_thread(leave_healer, self.settings, cluster)

    async def leave_watcher(self, cluster: str, handle: str, lifeline: int) -> None:
        """See to it that a fault ends with the process that holds the other end of a pipe."""
        await asyncio.to_thread(leave_watcher, self.settings, cluster, handle, lifeline)

    def _drop_ended(self, event: HostEvent) -> None:
        if event.kind is HostEventKind.MACHINE_ENDED:
            cluster, _, node = event.name.partition(".")
            self.ssh.drop(cluster, node)

    async def __aexit__(self, *_: object) -> None:
        if self._kernel is not None:
            self._kernel.close()
        await self.ssh.close()
        self.libvirt.close()
        await self.store.close()

    async def _host_facts(self, record: ClusterRecord) -> HostFacts:
        """Facts about this host that nodes of the record depend on; KVM is not tried for those that do not need it."""
        memory_mb = _host_memory_mb()
        if not needs_kvm_verdict(record):
            return HostFacts(kvm_usable=False, memory_mb=memory_mb)
        return replace(await self.kvm_verdict(), memory_mb=memory_mb)

    async def kvm_verdict(self) -> HostFacts:
        """Whether KVM is worth it on this host; tried once."""
        async with self._probing:
            if self._facts is None:
                verdict = await probe_kvm(self.settings.state_dir)
                self._facts = HostFacts(kvm_usable=verdict.usable, kvm_reason=verdict.reason)
            return self._facts
