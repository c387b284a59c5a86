"""A guest that writes to its console without an end: the log stays short, and what comes behind is seen."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.names import console_path
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import small_nodes
from tests.lab.daemons import start_libvirtd, stop_libvirtd
from tests.waiting import PATIENCE_S, eventually

CLUSTER = "loud"
MIB = 1024 * 1024
PANIC = "Kernel panic - not syncing: the guest has had enough"
BLOCKS = 40
"""Of 64 KiB: more than virtlogd keeps in one file."""
CODE = bytes.fromhex(
    "31c0 8ed8"  # xor ax, ax; mov ds, ax
    "baf803"  # mov dx, 0x3f8 (COM1)
    f"bb{BLOCKS:02x}00"  # mov bx, BLOCKS
    "31c9"  # xor cx, cx: 65536 times
    "b078 ee e2fb"  # mov al, 'x'; out dx, al; loop
    "b00a ee"  # mov al, newline; out dx, al
    "4b 75f3"  # dec bx; jnz
    "bafd03 ec a801 74f8"  # wait until something is typed
    "baf803 ec"
    "be407c"  # mov si, 0x7c40
    "ac 84c0 7403 ee ebf8"  # lodsb; test al, al; jz; out dx, al; jmp
    "f4 ebfd"  # hlt forever
)
SECTOR = CODE.ljust(0x40, b"\0") + f"[    9.000000] {PANIC}\n".encode() + b"\0"


@pytest.fixture(params=["file", "logd"])
def handler(request: pytest.FixtureRequest) -> Iterator[str]:
    """libvirt, set to have QEMU write consoles itself, or virtlogd."""
    configuration = Path("/etc/libvirt/qemu.conf")
    before = configuration.read_text()
    stop_libvirtd()
    configuration.write_text(f'{before}stdio_handler = "{request.param}"\n')
    start_libvirtd()
    yield request.param
    stop_libvirtd()
    configuration.write_text(before)
    start_libvirtd()


@pytest.fixture
async def loud(handler: str, bed: Bed) -> AsyncIterator[Session]:
    """One node that writes 2.5 MiB to its console and then, as soon as somebody types, that its kernel panics."""
    (bed.directory / "config.yaml").write_text("console_log_mb: 1\n")
    bed = Bed.found_in(bed.directory)

    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        document["virt_type"] = "qemu"
        document["nodes"][0]["base_image"] = str(bed.sector_image(SECTOR))

    bed.write_topology(CLUSTER, nodes=1, edit=edit)
    async with bed.runtime() as runtime:
        yield Session(runtime)


async def typed(log: Path) -> AsyncIterator[bytes]:
    """A key, and nothing more before the answer is there: what is under way on a line that is left is lost."""
    yield b"\r"
    await eventually(lambda: PANIC.encode() in log.read_bytes()[-1000:])


def sizes(log: Path) -> list[int]:
    return [file.stat().st_size for file in log.parent.glob(f"{log.name}*")]


async def kernel_healthy(session: Session) -> Condition:
    (node,) = (await session.inspection.status(CLUSTER)).nodes
    (healthy,) = [of for of in node.conditions if of.type is ConditionType.KERNEL_HEALTHY]
    return healthy


async def test_a_loud_console_is_kept_short_and_a_panic_behind_it_is_seen(loud: Session, handler: str) -> None:
    await loud.clusters.define(CLUSTER)
    await loud.clusters.start(CLUSTER, wait_for_ssh=False)
    log = console_path(loud.runtime.settings.overlay_dir, CLUSTER, "n0")
    await eventually(lambda: log.exists() and sum(sizes(log)) >= BLOCKS * 65537, timeout_s=4 * PATIENCE_S)

    await loud.clusters.start(CLUSTER, wait_for_ssh=False)  # a round, as each resync of a service is one
    taken = log.stat().st_blocks * 512
    assert taken <= (MIB if handler == "file" else 2 * MIB + 64 * 1024)
    (before,) = (await loud.inspection.status(CLUSTER)).nodes
    assert [of.status for of in before.conditions if of.type is ConditionType.KERNEL_HEALTHY] == [
        ConditionStatus.UNKNOWN
    ]

    await loud.consoles.attach(CLUSTER, "n0", typed(log), lambda _: None, on_attached=lambda: None)
    healthy = await kernel_healthy(loud)
    assert (healthy.status, healthy.reason, healthy.message) == (ConditionStatus.FALSE, "Panic", PANIC)
    shown = await loud.consoles.show(CLUSTER, "n0", tail=1)
    assert PANIC in shown.lines[-1]
    assert "older parts of the console log were rotated away" in (shown.message or "")
