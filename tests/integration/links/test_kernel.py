"""What is read from the kernel itself is what the programs show of it."""

from collections.abc import AsyncIterator

import pytest

from reconciler import process
from reconciler.host.netlink.dump import Kernel
from reconciler.host.tap import Cable, observe_cables, observe_ports, read_cables
from reconciler.host.tc.listing import parse_qdiscs, parse_trees, render_roots

BRIDGE = "vbkernel"
TABLE = "vmcluster-kernel"
TAPS = ("vmck-up", "vmck-down", "vmck-away", "vmck-queue")
GONE = "vmck-gone"
FOREIGN_QUEUE = "tc qdisc replace dev vmck-queue root handle 77: tbf rate 1mbit burst 10k latency 50ms"


@pytest.fixture
async def taps() -> AsyncIterator[None]:
    """Taps that differ, on the lab's own host."""
    batch = [f"link add {BRIDGE} type bridge", *(f"tuntap add {tap} mode tap" for tap in TAPS)]
    batch += [f"link set {tap} master {BRIDGE}" for tap in TAPS if tap != "vmck-away"]
    batch += [f"link set {tap} up" for tap in TAPS if tap != "vmck-down"]
    await process.run(["ip", "-batch", "-"], stdin="\n".join(batch).encode())
    await process.run(["tc", "qdisc", "replace", "dev", "vmck-up", "root", "noqueue"])
    await process.run(FOREIGN_QUEUE.split())
    await process.run(["nft", "add", "table", "bridge", TABLE])
    yield
    await process.run(["nft", "delete", "table", "bridge", TABLE])
    for name in (*TAPS, BRIDGE):
        await process.run(["ip", "link", "del", name])


@pytest.mark.usefixtures("taps")
async def test_taps_and_their_roots_are_read_as_the_programs_show_them() -> None:
    asked = [*TAPS, GONE]
    shown = (await process.run(["tc", "-j", "qdisc", "show"])).stdout
    assert read_cables(asked) == await observe_cables(asked, process.run)
    assert read_cables(asked)["vmck-down"] == Cable(up=False)
    roots = Kernel().root_queues(TAPS)
    assert roots is not None
    assert parse_trees(render_roots(roots)) == parse_trees(parse_qdiscs(shown, TAPS))
    assert parse_trees(render_roots(roots))["vmck-queue"].foreign == "tbf 77:"


@pytest.mark.usefixtures("taps")
async def test_the_ports_of_a_bridge_are_those_that_are_plugged_in() -> None:
    assert observe_ports(BRIDGE) == frozenset(TAPS) - {"vmck-away"}
    assert observe_ports("vmck-up") == frozenset()
    assert observe_ports(GONE) == frozenset()


@pytest.mark.usefixtures("taps")
async def test_tables_of_the_bridge_family_are_read_and_no_others() -> None:
    await process.run(["nft", "add", "table", "ip", "vmcluster-other"])
    tables = Kernel().bridge_tables()
    await process.run(["nft", "delete", "table", "ip", "vmcluster-other"])
    assert tables is not None
    assert TABLE in tables
    assert "vmcluster-other" not in tables
