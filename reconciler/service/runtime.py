"""What one process needs to serve: settings, store, drivers, SSH connections and the inline controller."""

import asyncio
from typing import Self

from reconciler.act.outcome import Checkpoint
from reconciler.controller.controller import Controller
from reconciler.controller.round import Rounds
from reconciler.desired.compile import HostFacts
from reconciler.guest.pool import SshPool
from reconciler.host.libvirt.driver import Libvirt
from reconciler.host.virt_type import probe_kvm
from reconciler.settings import Settings
from reconciler.store.lease import Lease
from reconciler.store.sqlite import SqliteStore


def _no_checkpoint(_name: str) -> None:
    """Outside the tests nothing happens at an action's boundary."""


class Runtime:
    """Opened lazily: nothing of the host is touched before the first use."""

    def __init__(self, settings: Settings, *, checkpoint: Checkpoint = _no_checkpoint) -> None:
        self.settings = settings
        self.store = SqliteStore(settings.state_dir)
        self.libvirt = Libvirt(settings.libvirt_uri)
        self.ssh = SshPool()
        self.rounds = Rounds(self.store, self.libvirt, self.ssh, self._host_facts, checkpoint)
        self.controller = Controller(self.store, self.rounds, Lease(settings.state_dir / "controller.lock"))
        self._facts: HostFacts | None = None
        self._probing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ssh.close()
        self.libvirt.close()
        await self.store.close()

    async def _host_facts(self) -> HostFacts:
        async with self._probing:
            if self._facts is None:
                verdict = await probe_kvm(self.settings.state_dir)
                self._facts = HostFacts(kvm_usable=verdict.usable)
            return self._facts
