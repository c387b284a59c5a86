"""A build that comes to nothing ends soon, and nodes that can boot do not wait for it again."""

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from reconciler.errors import OperationFailed
from reconciler.host.disks.image_file import image_identity
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection
from reconciler.host.libvirt.template_machines import TemplateMachines
from reconciler.host.libvirt.template_xml import template_name
from reconciler.model.document import TemplateSpec
from reconciler.templates import cloning
from reconciler.templates.cloning import Templates

PANIC = b"[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs\n[    1.3] ---[ end ]---\n"
LONG_S = 3600.0


@dataclass
class Machines:
    """In place of libvirt: a machine that says something, and then runs on or has ended."""

    says: bytes = b""
    ended: bool = False
    begun: int = 0
    left: set[str] = field(default_factory=set)

    async def emulator(self) -> str:
        return "9000000 7002000"

    async def begin(self, key: str, xml: str) -> None:
        self.begun += 1
        self.left.add(key)
        log = ET.fromstring(xml).find("devices/serial/log")  # our own
        assert log is not None
        await asyncio.to_thread(Path(log.get("file", "")).write_bytes, self.says)

    async def runs(self, _key: str) -> bool:
        return not self.ended

    async def end(self, key: str) -> None:
        self.left.discard(key)


@pytest.fixture
def spec(tmp_path: Path) -> TemplateSpec:
    image = tmp_path / "base.raw"
    image.write_bytes(bytes(1 << 20))
    return TemplateSpec(
        image=image,
        image_format="raw",
        image_identity=image_identity(image),
        root_bytes=1 << 20,
        vcpus=1,
        memory_mb=512,
        virt_type="qemu",
        cpu="maximum",
        boot=None,
        boot_files="",
        rendering=2,
    )


def templates(tmp_path: Path, machines: Machines) -> Templates:
    """As a new process has them."""

    async def ask(_cluster: str) -> None:
        raise AssertionError("nobody builds beside the rounds here")

    return Templates(tmp_path / "templates", cast("TemplateMachines", machines), ask)


async def test_a_build_ends_with_its_machine_and_says_why_the_kernel_panicked(
    tmp_path: Path, spec: TemplateSpec
) -> None:
    machines = Machines(says=PANIC, ended=True)
    with pytest.raises(OperationFailed, match=r"has ended; its console says: .*Kernel panic - not syncing: VFS"):
        await templates(tmp_path, machines).ensure(spec)
    assert machines.left == set()


async def test_nodes_that_can_boot_do_not_wait_again_after_a_failure_and_others_try(
    tmp_path: Path, spec: TemplateSpec
) -> None:
    machines = Machines(says=PANIC, ended=True)
    for _ in range(2):
        with pytest.raises(OperationFailed, match="Kernel panic"):
            await templates(tmp_path, machines).try_to_ensure(spec, LONG_S)
    assert machines.begun == 1
    with pytest.raises(OperationFailed, match="Kernel panic"):
        await templates(tmp_path, machines).ensure(spec)
    assert machines.begun == 2


@pytest.mark.parametrize(("patience_s", "begun"), [(0.2, 1), (60.0, 2)])
async def test_a_build_for_nodes_that_can_boot_is_given_up_in_their_time_which_is_a_failure_if_it_was_long(
    tmp_path: Path, spec: TemplateSpec, monkeypatch: pytest.MonkeyPatch, patience_s: float, begun: int
) -> None:
    monkeypatch.setattr(cloning, "PATIENCE_S", patience_s)
    machines = Machines()
    for _ in range(2):
        with pytest.raises(OperationFailed, match="it takes longer than 0 s"):
            await templates(tmp_path, machines).try_to_ensure(spec, 0.2)
    assert machines.left == set()
    assert machines.begun == begun


async def test_a_machine_whose_cpus_stand_still_counts_as_ended() -> None:
    connection = LibvirtConnection("test:///default")
    machines, key = TemplateMachines(connection), "0123456789abcdef"
    xml = (
        f"<domain type='test'><name>{template_name(key)}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    )
    assert not await machines.runs(key)
    domain = await connection.ask(lambda handle: handle.createXML(xml))
    try:
        assert await machines.runs(key)
        domain.suspend()
        assert not await machines.runs(key)
    finally:
        await machines.end(key)
