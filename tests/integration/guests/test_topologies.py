"""Every topology in the specs stands on the host as it is, with the default paths that it names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.desired.topology_text import TopologyText
from reconciler.guest.keys import generate_client_key
from reconciler.model.results import DomainState
from reconciler.runtime import Runtime
from reconciler.settings import Settings, load_settings
from tests.integration.bed import Session
from tests.waiting import BOOT_TIMEOUT_S

TOPOLOGIES = sorted(Path("specs/topologies").glob("*.yaml"))
DISKS = Path("/var/lib/vmcluster/disks")
BOOTED = {"mixed-sizes", "direct-kernel"}
"""Machines of another kind than those that other tests boot; `make demo` boots example-3node."""


@pytest.fixture
def default_places() -> Iterator[Settings]:
    """The default paths, which are the lab's own here, with a key and a place for disks."""
    settings = load_settings({})
    settings.ssh_key_path.parent.mkdir(parents=True, exist_ok=True)
    generate_client_key(settings.ssh_key_path)
    DISKS.mkdir(parents=True, exist_ok=True)
    yield settings
    assert not list(DISKS.iterdir())


@pytest.mark.parametrize("path", [path for path in TOPOLOGIES if path.stem in BOOTED], ids=lambda path: path.stem)
async def test_a_topology_of_the_specs_boots_and_goes(path: Path, default_places: Settings) -> None:
    async with Runtime(default_places) as runtime:
        session = Session(runtime)
        try:
            status = await session.clusters.apply(path, timeout_s=BOOT_TIMEOUT_S)
            assert all(node.ssh_reachable for node in status.nodes)
            assert (await session.clusters.plan(path)).plan.converged
            for node in (await session.inspection.handle(path.stem)).nodes:
                for disk in (disk for disk in node.extra_disks if "/ata-" not in disk.guest_path):
                    size = await session.nodes.run(path.stem, node.name, f"blockdev --getsize64 {disk.guest_path}")
                    assert size.stdout.strip() == str(disk.size_bytes), size.stderr
        finally:
            await session.clusters.destroy(path.stem, remove_overlays=True)


@pytest.mark.parametrize("path", [path for path in TOPOLOGIES if path.stem not in BOOTED], ids=lambda path: path.stem)
async def test_a_topology_of_the_specs_is_made_and_goes(path: Path, default_places: Settings) -> None:
    async with Runtime(default_places) as runtime:
        session = Session(runtime)
        try:
            await session.clusters.apply(path, start=False)
            status = await session.clusters.start(path.stem, paused=True)
            assert all(node.domain_state is DomainState.PAUSED for node in status.nodes)
            assert all(fault.parameters["applied"] for fault in await session.faults.listing(path.stem))
        finally:
            await session.clusters.destroy(path.stem, remove_overlays=True)


def _with_one_more(cluster: str) -> TopologyText:
    """The topology with another node, which the others learn of while they run."""
    path = Path(f"specs/topologies/{cluster}.yaml")
    node = "nodes:\n  - {name: cache, vcpus: 1, memory_mb: 512, ip: 192.168.105.12}\n"
    return TopologyText("more", path.read_text().replace("nodes:\n", node).encode(), path.parent)


async def test_a_users_cloud_config_holds_beside_ours_and_over_a_power_cut(default_places: Settings) -> None:
    cluster = "cloud-config"
    async with Runtime(default_places) as runtime:
        session = Session(runtime)

        async def said(node: str, command: str) -> str:
            done = await session.nodes.run(cluster, node, command, timeout_s=BOOT_TIMEOUT_S)
            assert done.exit_code == 0, done.stderr
            return done.stdout.strip()

        try:
            await session.clusters.apply(Path(f"specs/topologies/{cluster}.yaml"), timeout_s=BOOT_TIMEOUT_S)
            await said("web", "cloud-init status --wait")
            assert await said("web", "id -u; getent passwd tester | cut -d: -f5,7") == "2000\nTest runner:/bin/sh"
            assert await said("web", "sudo -n id -u; getent passwd alice | cut -d: -f5,7") == "0\nAlice:/bin/sh"
            assert await said("db", "getent passwd alice | cut -d: -f5") == "Alice"
            assert await said("web", "ready; stat -c %a /usr/local/bin/ready /etc/secret") == "ready\n755\n600"
            assert await said("web", "sudo -n cat /etc/secret") == "hello"
            assert await said("web", "ip -br address show eth0 | tr -s ' ' | cut -d' ' -f3") == "192.168.105.10/24"
            assert await said("db", "df --output=size -BG / | tail -n 1 | tr -d ' '") == "12G"
            assert await said("web", "df --output=size -BG / | tail -n 1 | tr -d ' '") == "8G"
            await said("web", "echo 192.0.2.2 mirror | sudo -n tee -a /etc/hosts; sync")
            await session.clusters.apply(_with_one_more(cluster), start=False)
            before = await said("web", "cat /etc/hosts")
            await session.clusters.crash(cluster, "web", ssh_timeout_s=BOOT_TIMEOUT_S)
            assert await said("web", "cat /etc/hosts") == before
            resolved = await said("web", "getent hosts db cache registry mirror | tr -s ' '")
            assert resolved == "192.168.105.11 db\n192.168.105.12 cache\n192.0.2.1 registry\n192.0.2.2 mirror"
            assert await said("web", "wc -l < /var/log/boots") == "2"
        finally:
            await session.clusters.destroy(cluster, remove_overlays=True)
