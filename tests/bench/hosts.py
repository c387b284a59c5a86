"""One cluster over three hosts: how long all of its nodes stand still for a coherent snapshot."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figure import Figure, median_figure
from tests.integration.bed import BASE_IMAGE
from tests.integration.hosts.idle_cluster import running_over, start_logged, vmcluster
from tests.lab import WORK_DIR
from tests.lab.hosts import running_hosts

HOSTS = 3
CLUSTER = "wide"
SNAPSHOTS = 7


async def measure() -> Sequence[Figure]:
    """The longest pause of any host, for disks; their machines sit in the firmware."""
    return await asyncio.to_thread(_measured)


def _measured() -> Sequence[Figure]:
    nodes = {f"n{number}": number for number in range(1, HOSTS + 1)}
    with (
        tempfile.TemporaryDirectory(dir=WORK_DIR) as directory,
        running_hosts(HOSTS, Path(directory), BASE_IMAGE.parent) as hosts,
        running_over(hosts, CLUSTER, nodes, lambda host: start_logged(host, Path(directory), "vmcluster", "watch")),
    ):
        pauses = [_pause_s(vmcluster(hosts[2], *_create, f"s{n}", "-o", "json").stdout) for n in range(SNAPSHOTS)]
    return [median_figure(f"coherent pause over {HOSTS} hosts, disks", pauses, limit=0.3)]


_create = ("snapshot", "create", CLUSTER)


def _pause_s(answer: str) -> float:
    return float(json.loads(answer)["pause_s"])
