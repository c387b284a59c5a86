"""Logging in with the system's `ssh` client."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from reconciler.errors import ClusterError
from reconciler.guest.address import GuestAddress
from reconciler.guest.openssh import render_ssh_command, write_known_hosts
from reconciler.model.record import ClusterRecord
from reconciler.programs import require_program
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, select_node
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection


async def login_commands(runtime: Runtime, cluster: str) -> dict[str, list[str]]:
    """For each node, the argument vector that logs in to it, with strict host key checking.

    Writes the known_hosts file that it names.
    """
    path, targets = await known_hosts_of_nodes(runtime, await existing(runtime.store, cluster))
    return {address.node: render_ssh_command(address, path) for address in targets}


async def known_hosts_of_nodes(runtime: Runtime, record: ClusterRecord) -> tuple[Path, list[GuestAddress]]:
    """The known_hosts file of a cluster, written now, and the addresses of its nodes."""
    targets = await addresses(runtime, record, record.spec.nodes)
    path = known_hosts_path(runtime.settings.state_dir, record.cluster_name)
    await asyncio.to_thread(write_known_hosts, path, targets)
    return path, targets


async def login_command(
    runtime: Runtime, cluster: str, node: str, remote_command: Sequence[str] = (), *, terminal: bool = False
) -> list[str]:
    """The argument vector that logs in to one running node, or runs one command line there.

    With `terminal` a remote command gets a terminal. Raises `ClusterNotRunning` if the node is not up, and
    `HostCapabilityMissing` if there is no `ssh`.
    """
    record = await existing(runtime.store, cluster)
    select_node(record, node)
    await Inspection(runtime).require_running(record, [node])
    program, *rest = (await login_commands(runtime, cluster))[node]
    return [require_program(program), *(["-t"] if terminal else []), *rest, *remote_command]


async def refresh_known_hosts(runtime: Runtime, record: ClusterRecord) -> None:
    """Keep a cluster's known_hosts file current, for those who log in with a configuration that names it.

    Does nothing where that cannot be done: each command that needs the file writes it, and reports why not.
    """
    with suppress(ClusterError):
        await known_hosts_of_nodes(runtime, record)


def known_hosts_path(state_dir: Path, cluster: str) -> Path:
    """The known_hosts file of a cluster; it can be rebuilt from the host keys at any time."""
    return state_dir / "known_hosts" / cluster
