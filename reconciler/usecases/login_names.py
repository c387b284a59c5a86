"""The names under which other programs log in to nodes: for configurations of OpenSSH and inventories of Ansible."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.errors import ClusterError, SshError
from reconciler.guest.address import GuestAddress
from reconciler.guest.openssh import render_host_block
from reconciler.model import names
from reconciler.model.record import ClusterRecord
from reconciler.records.stored_records import existing, readable_records
from reconciler.runtime import Runtime
from reconciler.usecases.login import known_hosts_of_nodes

_HEAD = "# Made by `vmcluster ssh-config`; make it again after nodes were added or removed.\n"


@dataclass(frozen=True, slots=True)
class NamedLogin:
    """How to log in to one node, and its names, the first one for people.

    They are `CLUSTER-NODE`, unless that is also a node of another cluster, and `CLUSTER.NODE`.
    """

    names: tuple[str, ...]
    role: str
    address: GuestAddress
    known_hosts_path: Path


@dataclass(frozen=True, slots=True)
class NamedLogins:
    """The logins of each cluster, and why there are none for the others."""

    by_cluster: Mapping[str, tuple[NamedLogin, ...]]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[NamedLogin]:
        for logins in self.by_cluster.values():
            yield from logins


async def named_logins(runtime: Runtime, clusters: Sequence[str] = ()) -> NamedLogins:
    """The logins of these clusters; without names, of all that are not destroyed and whose nodes can be logged in to.

    Writes the known_hosts files that they name. Raises `SshError` if a cluster that is named has no key that this user
    may read, or no host keys.
    """
    records = [record for record in await readable_records(runtime.store) if record.deletion is None]
    wanted = [await existing(runtime.store, name) for name in dict.fromkeys(clusters)] or records
    clear = _clear_names(records)
    found: dict[str, tuple[NamedLogin, ...]] = {}
    left_out: dict[str, str] = {}
    for record in wanted:
        try:
            found[record.cluster_name] = await _logins_of(runtime, record, clear)
        except ClusterError as error:
            if clusters:
                raise
            left_out[record.cluster_name] = str(error)
    return NamedLogins(found, left_out)


def render_ssh_config(logins: NamedLogins) -> str:
    """The configuration for `ssh -F`, or to be included in another one."""
    blocks = [render_host_block(of.names, of.address, of.known_hosts_path) for of in logins]
    return "\n".join([_HEAD, *blocks])


async def _logins_of(runtime: Runtime, record: ClusterRecord, clear: frozenset[str]) -> tuple[NamedLogin, ...]:
    key = record.spec.ssh.key_path
    if not await asyncio.to_thread(os.access, key, os.R_OK):
        cause = "may not be read by this user" if await asyncio.to_thread(os.path.lexists, key) else "is not there"
        raise SshError(
            f"the SSH key of cluster {record.cluster_name!r}, {key}, {cause}",
            hint="run as a user who may read it, or give the topology another `ssh.key_path`",
        )
    path, addresses = await known_hosts_of_nodes(runtime, record)
    return tuple(
        NamedLogin(_names(record.cluster_name, of.node, clear), record.spec.nodes[of.node].role, of, path)
        for of in addresses
    )


def _names(cluster: str, node: str, clear: frozenset[str]) -> tuple[str, ...]:
    return (*(name for name in [_short_name(cluster, node)] if name in clear), names.domain_name(cluster, node))


def _clear_names(records: Iterable[ClusterRecord]) -> frozenset[str]:
    """The short names that one node has: `a-b-c` may be node `c` of cluster `a-b`, or node `b-c` of cluster `a`."""
    counted = Counter(_short_name(record.cluster_name, node) for record in records for node in record.spec.nodes)
    return frozenset(name for name, count in counted.items() if count == 1)


def _short_name(cluster: str, node: str) -> str:
    return f"{cluster}-{node}"
