"""Which nodes start as clones."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired.compile import seed_inputs
from reconciler.desired.starts import may_be_cloned, template_of, why_booted
from reconciler.model.document import Domain, TemplateSpec
from reconciler.model.record import BootSpec, ExtraDiskSpec, NodeIntent
from reconciler.model.topology import DiskBus, Firmware, StartMode
from tests.simulation.worlds import compiled, node_spec, running_record

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


def template(*, node: dict[str, Any] | None = None, seed: dict[str, Any] | None = None) -> TemplateSpec:
    record = running_record("alpha")
    domain = compiled(record).domains["alpha"]
    assert isinstance(domain, Domain)
    inputs = replace(seed_inputs(record)["alpha"], **(seed or {}))
    return template_of(CLONED.model_copy(update=node or {}), domain, inputs)


def test_nodes_whose_seeds_differ_only_in_their_own_values_start_from_the_same_complete_boot() -> None:
    other = {"node": "beta", "mac": "52:54:00:aa:00:01", "ip": IPv4Address("10.0.0.9"), "hosts": "", "instance_id": "i"}
    assert template().seed is not None
    assert template(seed=other) == template()
    changes: list[dict[str, Any]] = [{"mtu": 1400}, {"grows": True}, {"ssh_user": "alice"}, {"ssh_public_key": "k"}]
    for changed in changes:
        assert template(seed=changed).key != template().key


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": {"user_data": {"runcmd": ["hostname"]}}},
        {"seed": {"node": "on"}},
        {"seed": {"mac": "52:54:00:00:00:01"}},
        {"node": {"boot": boot("root=/dev/vda1 console=ttyS0")}},
    ],
    ids=["user data", "a name that is no text in YAML", "an address that is none", "cards get other names"],
)
def test_other_nodes_start_from_a_machine_in_which_cloud_init_has_not_run(
    changed: dict[str, dict[str, Any]],
) -> None:
    assert template(**changed).seed is None


def test_a_kernel_that_leaves_cards_their_names_can_start_from_a_complete_boot() -> None:
    assert template(node={"boot": boot("root=/dev/vda1 console=ttyS0 net.ifnames=0")}).seed is not None
