"""Which nodes start as clones."""

from pathlib import Path

import pytest

from reconciler.desired.starts import may_be_cloned, why_booted
from reconciler.model.record import BootSpec, ExtraDiskSpec, NodeIntent
from reconciler.model.topology import DiskBus, Firmware, StartMode
from tests.simulation.worlds import node_spec

NODE = node_spec(0)
DISK = ExtraDiskSpec(path=Path("/d/data.qcow2"), size_bytes=1 << 30, bus=DiskBus.VIRTIO, existing=False)
CLONED = NODE.model_copy(update={"base_image": NODE.base_image.model_copy(update={"waits": True})})


def boot(cmdline: str) -> BootSpec:
    return BootSpec(kernel=Path("/k/bzImage"), cmdline=cmdline)


def test_a_kernel_that_speaks_on_the_serial_line_can_be_cloned() -> None:
    heard = CLONED.model_copy(update={"boot": boot("root=/dev/vda1 console=tty0 console=ttyS0,115200")})
    assert why_booted(heard, NodeIntent()) == ""


def test_nodes_start_as_clones_where_they_can_unless_they_must_boot() -> None:
    assert [mode for mode in StartMode if may_be_cloned(mode)] == [StartMode.AUTO, StartMode.CLONE]
    assert why_booted(CLONED, NodeIntent()) == ""


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"base_image": NODE.base_image}, "is not an image whose machines wait for an identity"),
        ({"firmware": Firmware.UEFI}, "its firmware keeps variables"),
        ({"video": True}, "it has a video card"),
        ({"boot": boot("root=/dev/vda1")}, "has no `console=ttyS0`"),
        ({"boot": boot("console=ttyS0 console=tty0")}, "has no `console=ttyS0`"),
        ({"extra_disks": {"vdb": DISK}}, "it has extra disks"),
    ],
)
def test_what_a_template_cannot_have_makes_a_node_boot(changed: dict[str, object], why: str) -> None:
    assert why in why_booted(CLONED.model_copy(update=changed), NodeIntent())


def test_a_node_that_goes_back_to_a_snapshot_boots() -> None:
    assert "snapshot before" in why_booted(CLONED, NodeIntent(based_on="before"))
