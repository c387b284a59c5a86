"""The answers about hosts of a store that only this host uses."""

from collections.abc import Collection, Mapping, Sequence, Set
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from reconciler.errors import HostNotFound
from reconciler.model.host import HostRecord, HostReport
from reconciler.store.meeting import SoleMeeting
from reconciler.store.membership import SoleMember


class SoleHost:
    """The part of `reconciler.store.protocol.Store` that is about hosts, where the records are in a directory."""

    own_host = ""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._membership = SoleMember()

    async def hosts(self) -> dict[str, HostRecord]:
        return {}

    async def host_addresses(self, _names: Collection[str]) -> dict[str, IPv4Address | IPv6Address]:
        return {}

    async def put_host(self, report: HostReport) -> None:
        raise self._no_such(report.name)

    async def cordon_host(self, name: str, *, cordoned: bool) -> None:
        raise self._no_such(name)

    async def remove_host(self, name: str) -> None:
        raise self._no_such(name)

    async def leave(self, _cluster_name: str) -> None:
        raise self._no_such(self.own_host)

    async def home_host(self) -> str:
        return ""

    async def take_home(self, name: str) -> None:
        """There is no other."""

    async def network_number(self, _cluster_name: str) -> int:
        raise self._no_such(self.own_host)

    async def visitors(self, _cluster_name: str) -> Mapping[str, IPv4Address]:
        return {}

    async def visit(self, _cluster_name: str, _addresses: Sequence[IPv4Address]) -> None:
        raise self._no_such(self.own_host)

    async def tidy(self) -> None:
        """A changed row takes the place of the old one."""

    def membership(self) -> SoleMember:
        return self._membership

    def meeting(self, _cluster: str, _matter: str, _hosts: Set[str]) -> SoleMeeting:
        return SoleMeeting()

    def _no_such(self, name: str) -> HostNotFound:
        return HostNotFound(
            f"there is no host {name!r}: the records in {self._state_dir} are of this host only",
            hint="several hosts share an etcd: set `store`",
        )
