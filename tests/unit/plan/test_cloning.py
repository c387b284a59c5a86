"""A node starts from a template once: while nothing was written to its root disk."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from reconciler.model.document import ClusterDocument, DomainDisk, Layer, PowerState, TemplateSpec
from reconciler.model.plan import Resume, Start
from reconciler.plan.power import plan_power

from .test_kind_planners import DOMAIN, LAYER, RUNNING, altered

PATH = Path("/o/a.vda.r0.0.qcow2")
IMAGE = Path("/i/base.qcow2")
TEMPLATE = TemplateSpec(
    image=IMAGE,
    image_format="qcow2",
    image_identity="1:1",
    root_bytes=1 << 30,
    vcpus=1,
    memory_mb=512,
    virt_type="qemu",
    cpu="maximum",
    boot=None,
    boot_files="",
    rendering=2,
)


def starts(layer: Layer | None, below: Mapping[str, Layer] = MappingProxyType({}), **wanted: object) -> list[object]:
    domain = altered(DOMAIN, disks={"vda": DomainDisk(path=PATH, format="qcow2")})
    there = {**below, **({} if layer is None else {str(PATH): layer})}
    wanted_layers = {str(PATH): layer or altered(LAYER, backing=IMAGE)}
    want = ClusterDocument(layers=wanted_layers, domains={"a": domain}, power={"a": altered(RUNNING, **wanted)})
    have = ClusterDocument(layers=there, domains={"a": domain}, power={"a": altered(RUNNING, state=PowerState.OFF)})
    return list(plan_power(want, have))


@pytest.mark.parametrize("layer", [None, altered(LAYER, backing=IMAGE)], ids=["to be created", "unused"])
def test_a_node_with_an_unused_disk_starts_from_its_template_paused_and_then_runs_on(layer: Layer | None) -> None:
    start, resume = starts(layer, template=TEMPLATE, must_clone=True)
    assert isinstance(start, Start)
    assert (start.template, start.paused, start.must_clone) == (TEMPLATE, True, True)
    assert start.reason == f"desired running; from template {TEMPLATE.key}"
    assert isinstance(resume, Resume)
    assert resume.resume_epoch == start.resume_epoch + 1, "if killed in between, it is still due"
    assert not resume.after_memory, "the guest sets its clock itself"


def test_the_plan_says_that_a_node_may_boot_where_there_is_no_template() -> None:
    start, _ = starts(None, template=TEMPLATE)
    assert isinstance(start, Start)
    assert (start.must_clone, start.reason) == (False, f"desired running; from template {TEMPLATE.key} if there is one")


def test_a_node_whose_disk_was_written_to_boots() -> None:
    (start,) = starts(altered(LAYER, backing=IMAGE, written=True), template=TEMPLATE, boots="it has extra disks")
    assert isinstance(start, Start)
    assert (start.template, start.paused, start.reason) == (None, False, "desired running")


def test_the_plan_says_why_a_first_start_is_a_boot() -> None:
    (start,) = starts(None, boots="it has extra disks")
    assert isinstance(start, Start)
    assert start.reason == "desired running; boots, as it has extra disks"


def test_a_node_boots_from_the_new_layer_that_a_snapshot_has_put_on_its_disk() -> None:
    frozen = Path("/o/a.vda.r0.9.qcow2")
    below = {str(frozen): altered(LAYER, backing=IMAGE, written=True)}
    (start,) = starts(altered(LAYER, backing=frozen), below, template=TEMPLATE, must_clone=True)
    assert isinstance(start, Start)
    assert start.template is None, "nothing was written to the layer itself, but there is a disk below it"
