"""A template has a node's hardware and nothing that names one; a clone has the template's hardware and its own name."""

from pathlib import Path

from reconciler.host.libvirt.domain_xml import parse_domain, render_domain
from reconciler.host.libvirt.template_xml import render_clone, render_template, template_name
from reconciler.host.libvirt.xml import parse_element
from reconciler.model import names
from reconciler.model.document import TemplateSpec
from reconciler.model.plan import Epochs

from .samples import PLAIN, SAMPLE_CLUSTER

SPEC = TemplateSpec(
    image=Path("/images/base.qcow2"),
    image_format="qcow2",
    image_identity="1:2",
    root_bytes=8 << 30,
    vcpus=PLAIN.vcpus,
    memory_mb=PLAIN.memory_mb,
    virt_type=PLAIN.virt_type,
    cpu=PLAIN.cpu,
    boot=None,
    boot_files="",
    rendering=PLAIN.template,
)
TEMPLATE = render_template(SPEC, Path("/t/root.qcow2"), Path("/t/seed.iso"), Path("/t/console.log"))
NODE = render_domain(SAMPLE_CLUSTER, "node", PLAIN, Epochs(boot=3))


def test_a_template_has_the_hardware_of_its_nodes_in_the_same_order_but_no_mark_and_no_network() -> None:
    template, node = parse_element(TEMPLATE), parse_element(NODE)
    assert [of.tag for of in template.iterfind("devices/*")] == [of.tag for of in node.iterfind("devices/*")]
    for same in ("memory", "vcpu"):
        assert template.findtext(same) == node.findtext(same)
    assert parse_domain(TEMPLATE) is None, "it is no node"
    assert names.parse_domain_name(template.findtext("name", "")) is None, "and no node is named like it"
    assert template.findtext("name") == template_name(SPEC.key)
    card = template.find("devices/interface")
    assert card is not None
    assert card.find("target") is None
    assert card.find("link") is None, "a cable that is pulled in the memory stays pulled in every clone"


def test_a_clone_is_the_node_that_is_defined_on_the_hardware_that_was_saved() -> None:
    saved = TEMPLATE.replace('machine="q35"', 'machine="pc-q35-7.2"')
    clone = render_clone(saved, NODE)
    record = parse_domain(clone)
    assert record is not None
    assert record.domain == PLAIN
    assert record.carried_out == Epochs(boot=3)
    assert parse_element(clone).findtext("name") == names.domain_name(SAMPLE_CLUSTER, "node")
    assert 'machine="pc-q35-7.2"' in clone
    for of_template in ("/t/root.qcow2", "/t/seed.iso", "/t/console.log", template_name(SPEC.key)):
        assert of_template not in clone


def test_the_key_of_a_template_changes_with_everything_that_decides_its_state() -> None:
    others = [
        SPEC.model_copy(update={field: value})
        for field, value in {
            "image": Path("/images/other.qcow2"),
            "image_identity": "1:3",
            "root_bytes": 9 << 30,
            "vcpus": 2,
            "memory_mb": 1024,
            "virt_type": "kvm",
            "cpu": "Nehalem",
            "boot_files": "1:4",
            "rendering": PLAIN.template + 1,
        }.items()
    ]
    keys = {spec.key for spec in (SPEC, *others)}
    assert len(keys) == len(others) + 1
    assert SPEC.model_copy().key == SPEC.key
