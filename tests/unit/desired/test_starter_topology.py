"""A first topology is one that the house accepts, whatever was chosen."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.desired.load import parse_topology
from reconciler.desired.starter_topology import StarterTopology, proposed_name, render_starter
from reconciler.errors import InvalidArgument
from reconciler.model import names
from reconciler.model.topology import VirtType

NAMES = st.from_regex(names.LABEL_PATTERN, fullmatch=True).filter(
    lambda name: len(name) <= names.CLUSTER_NAME_MAX_LENGTH
)
PATHS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1).map(lambda text: f"/i/{text}")


@given(NAMES, st.integers(1, 300), st.integers(1, 512), st.integers(64, 4096), PATHS, st.sampled_from(VirtType))
def test_what_a_topology_can_have_is_read_back_as_it_was_chosen(
    name: str, nodes: int, vcpus: int, memory_mb: int, image: str, virt_type: VirtType
) -> None:
    chosen = StarterTopology(name=name, nodes=nodes, vcpus=vcpus, memory_mb=memory_mb, image=image, virt_type=virt_type)
    loaded = parse_topology(render_starter(chosen, []).encode(), Path("/"))
    assert loaded.problems() == ()
    topology = loaded.topology
    assert topology is not None
    assert (topology.cluster_name, len(topology.nodes), topology.virt_type) == (name, nodes, virt_type)
    assert {(node.vcpus, node.memory_mb) for node in topology.nodes} == {(vcpus, memory_mb)}
    assert topology.base_image == Path(image)


@given(st.text())
@example("yes")
@example("y")
@example("08")
@example("1e3")
def test_a_name_is_proposed_for_every_file(stem: str) -> None:
    chosen = StarterTopology(name=proposed_name(Path(f"{stem.replace('/', '')}.yaml")))
    assert parse_topology(render_starter(chosen, []).encode(), Path("/")).problems() == ()


def test_a_subnet_that_is_taken_is_not_proposed() -> None:
    first = subnet_of(render_starter(StarterTopology(name="a"), []))
    second = subnet_of(render_starter(StarterTopology(name="b"), [first]))
    assert not second.overlaps(first)
    assert subnet_of(render_starter(StarterTopology(name="c", nodes=400), [first])).prefixlen == 23


@pytest.mark.parametrize("nodes", [3, 10**6])
def test_nodes_that_no_free_subnet_has_room_for_are_refused(nodes: int) -> None:
    taken = [IPv4Network("192.168.0.0/16")] if nodes == 3 else []
    with pytest.raises(InvalidArgument, match=f"has room for {nodes} nodes"):
        render_starter(StarterTopology(name="a", nodes=nodes), taken)


def subnet_of(text: str) -> IPv4Network:
    topology = parse_topology(text.encode(), Path("/")).topology
    assert topology is not None
    return topology.network.subnet
