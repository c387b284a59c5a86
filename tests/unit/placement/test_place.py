"""Where nodes are placed, and what is said of a host that cannot take one."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import PlacementRefused
from reconciler.model.host import HostImage, HostRecord, HostUse
from reconciler.model.names import IMAGE_DIR
from reconciler.model.placement import PlacementPolicy, PlacementStrategy
from reconciler.model.record import BYTES_PER_GB, NodeSpec
from reconciler.model.topology import VirtType
from reconciler.placement.place import Situation, place, uses_by_host
from tests.unit.store.samples import sample_record

NODE = sample_record().spec.nodes["alpha"]
SPREAD, PACK = PlacementPolicy(), PlacementPolicy(strategy=PlacementStrategy.PACK)
IMAGE = HostImage(path=IMAGE_DIR / "base.qcow2", digest="sha256:aaaa", size_bytes=1)


def host(name: str, **changes: Any) -> HostRecord:
    values: dict[str, Any] = {
        "name": name,
        "address": IPv4Address("10.0.0.1"),
        "version": "1",
        "vcpus": 4,
        "memory_mb": 8192,
        "disk_bytes": 100 * BYTES_PER_GB,
        "disk_free_bytes": 50 * BYTES_PER_GB,
        "kvm_usable": False,
        "alive": True,
        **changes,
    }
    return HostRecord(**values)


def hosts(*names: str) -> dict[str, HostRecord]:
    return {name: host(name) for name in names}


def nodes(count: int, **changes: Any) -> dict[str, NodeSpec]:
    return {f"n{number}": NODE.model_copy(update=changes) for number in range(count)}


def where(*args: Any) -> dict[str, str]:
    return {name: of.host for name, of in place(*args).items()}


def test_nodes_are_spread_or_packed_and_the_reason_says_so() -> None:
    situation = Situation(hosts("a", "b", "c"))
    spread = place(nodes(4), SPREAD, situation)
    assert [of.host for of in spread.values()] == ["a", "b", "c", "a"]
    assert spread["n0"].reason == "spread over the hosts; 3 of 3 hosts can take it"
    assert set(where(nodes(4), PACK, situation).values()) == {"a"}
    assert set(where(nodes(17, memory_mb=1024), PACK, situation).values()) == {"a", "b", "c"}, "a is full after eight"


def test_the_emptiest_host_is_taken_first_where_nodes_are_spread() -> None:
    used = {"a": HostUse(node_count=2, vcpus=2, memory_mb=4096), "b": HostUse(node_count=1, vcpus=1, memory_mb=1024)}
    assert where(nodes(3), SPREAD, Situation(hosts("a", "b", "c"), used=used)) == {"n0": "c", "n1": "b", "n2": "a"}


def test_a_named_host_is_taken_before_others_choose() -> None:
    wanted = {**nodes(2), "last": NODE.model_copy(update={"host": "a"})}
    assert where(wanted, SPREAD, Situation(hosts("a", "b"))) == {"n0": "b", "n1": "a", "last": "a"}


def test_labels_choose_hosts() -> None:
    policy = PlacementPolicy(labels={"rack": "r2"})
    there = {"a": host("a"), "b": host("b", labels={"rack": "r2"}), "c": host("c", labels={"rack": "r1"})}
    placed = place(nodes(2), policy, Situation(there))
    assert {of.host for of in placed.values()} == {"b"}
    assert placed["n0"].reason == "spread over the hosts with rack=r2; 1 of 3 hosts can take it"


def test_the_plan_says_why_hosts_with_the_labels_are_left_out() -> None:
    policy = PlacementPolicy(labels={"rack": "r1"})
    there = {name: host(name, labels={"rack": "r1"}, cordoned=name != "e") for name in "abcde"}
    placed = place(nodes(1), policy, Situation({**there, "f": host("f")}))
    assert placed["n0"].reason == (
        "spread over the hosts with rack=r1; 1 of 6 hosts can take it (a, b, c and 1 more: it is cordoned)"
    )


@pytest.mark.parametrize(
    ("changes", "node", "said"),
    [
        ({"cordoned": True}, {}, "a: it is cordoned"),
        (
            {"alive": False, "lost_since": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
            {},
            "a: it has not been seen since 2026-01-02 03:04:05Z",
        ),
        ({}, {"memory_mb": 9000}, "a: 9000 MiB of memory are needed and 8192 are left"),
        ({}, {"vcpus": 40}, "a: 40 vCPUs are needed and 32 are left"),
        ({}, {"disk_gb": 60}, "a: 61440 MiB of disk are needed and 51200 are free"),
        ({}, {"virt_type": VirtType.KVM}, "a: KVM does not work there"),
        ({}, {"host": "x"}, "there is no host x (there are: a)"),
    ],
)
def test_what_fits_nowhere_is_refused_with_the_reason_of_each_host(
    changes: dict[str, Any], node: dict[str, Any], said: str
) -> None:
    with pytest.raises(PlacementRefused) as refused:
        place(nodes(1, **node), SPREAD, Situation({"a": host("a", **changes)}))
    assert said in refused.value.message


def test_every_host_and_every_node_is_in_the_refusal() -> None:
    policy = PlacementPolicy(labels={"gpu": "yes"})
    there = {"a": host("a", cordoned=True), "b": host("b", labels={"gpu": "no"})}
    with pytest.raises(PlacementRefused) as refused:
        place(nodes(2), policy, Situation(there))
    assert refused.value.message.splitlines() == [
        f"node {name} fits on no host: a: it is cordoned, it has no label gpu; b: its label gpu is no"
        for name in ("n0", "n1")
    ]


def test_an_image_is_meant_by_its_content() -> None:
    image = NODE.base_image.model_copy(update={"path": IMAGE.path, "digest": "sha256:aaaa"})
    other = IMAGE.model_copy(update={"digest": "sha256:bbbb"})
    elsewhere = IMAGE.model_copy(update={"path": Path("/elsewhere.qcow2")})
    there = {"a": host("a", images=(other,)), "b": host("b", images=(elsewhere,)), "c": host("c", images=(IMAGE,))}
    assert set(where(nodes(2, base_image=image), SPREAD, Situation(there)).values()) == {"c"}
    del there["c"]
    with pytest.raises(PlacementRefused) as refused:
        place(nodes(1, base_image=image), SPREAD, Situation(there))
    assert f"a: its {image.path} has different content (sha256:bbbb, not sha256:aaaa)" in refused.value.message
    lacks = f"b: it has no image {image.path} (sha256:aaaa), and"
    assert f"{lacks} fetches none (its `host_address`" in refused.value.message
    there["b"] = host("b", images=(elsewhere,), image_key="ssh-ed25519 AAAA")
    with pytest.raises(PlacementRefused, match="and no host that is alive serves it"):
        place(nodes(1, base_image=image), SPREAD, Situation(there))
    apart = image.model_copy(update={"path": Path("/srv/base.qcow2")})
    with pytest.raises(PlacementRefused, match=f"b: .*and fetches only those directly in {IMAGE_DIR}"):
        place(nodes(1, base_image=apart), SPREAD, Situation(there, offered=frozenset({"sha256:aaaa"})))
    placed = place(nodes(1, base_image=image), SPREAD, Situation(there, offered=frozenset({"sha256:aaaa"})))
    assert placed["n0"].host == "b"
    assert placed["n0"].reason.endswith(f"; it fetches {image.path} first")


def test_a_cluster_over_several_hosts_needs_an_address_of_each() -> None:
    there = {"a": host("a"), "b": host("b", address=None)}
    assert set(where(nodes(4), SPREAD, Situation(there)).values()) == {"a"}
    assert set(where(nodes(2), SPREAD, Situation({"b": host("b", address=None)})).values()) == {"b"}
    with pytest.raises(PlacementRefused, match="and b has no `host_address`"):
        place({**nodes(1, host="a"), "last": NODE.model_copy(update={"host": "b"})}, SPREAD, Situation(there))


def test_a_placed_node_stays_whatever_has_become_of_its_host() -> None:
    there = {"a": host("a", cordoned=True, alive=False, memory_mb=0), "b": host("b")}
    placed = place(nodes(2), SPREAD, Situation(there, present={"n0": "a"}))
    assert (placed["n0"].host, placed["n0"].kept, placed["n1"].host) == ("a", True, "b")
    assert where(nodes(1), SPREAD, Situation(hosts("b"), present={"n0": "home"}, home="home")) == {"n0": "home"}


def test_a_node_leaves_its_host_when_that_is_forgotten_or_another_one_is_named_and_the_loss_is_told() -> None:
    placed = place(nodes(1), SPREAD, Situation(hosts("b"), present={"n0": "a"}))
    assert placed["n0"].host == "b"
    assert "it was on a: that host was forgotten with its disks, and it starts with new ones" in placed["n0"].reason
    moved = place(nodes(1, host="b"), SPREAD, Situation(hosts("a", "b"), present={"n0": "a"}))
    assert moved["n0"].reason == "the topology names it; it was on a: its disks stay there, and it starts with new ones"


def test_the_use_of_hosts_counts_the_nodes_of_all_clusters() -> None:
    record = sample_record()
    elsewhere = record.spec.model_copy(update={"nodes": nodes(2, host="b", disk_gb=3)})
    uses = uses_by_host([record, record.model_copy(update={"spec": elsewhere})], "home")
    assert uses["home"].node_count == 2
    assert uses["b"] == HostUse(node_count=2, vcpus=2, memory_mb=1024, disk_bytes=6 * BYTES_PER_GB)


@given(
    sizes=st.lists(st.integers(64, 4096), min_size=1, max_size=12),
    memories=st.lists(st.integers(0, 8192), min_size=1, max_size=4),
    policy=st.sampled_from([SPREAD, PACK]),
)
def test_no_host_is_overfilled_and_a_second_placement_changes_nothing(
    sizes: list[int], memories: list[int], policy: PlacementPolicy
) -> None:
    wanted = {f"n{index}": NODE.model_copy(update={"memory_mb": size}) for index, size in enumerate(sizes)}
    there = {f"h{index}": host(f"h{index}", memory_mb=size) for index, size in enumerate(memories)}
    situation = Situation(there)
    try:
        placed = where(wanted, policy, situation)
    except PlacementRefused:
        return
    for name, record in there.items():
        assert sum(wanted[node].memory_mb for node, of in placed.items() if of == name) <= record.memory_mb
    assert where(wanted, policy, replace(situation, present=placed)) == placed


def test_a_host_whose_record_cannot_be_read_gets_no_new_node_and_keeps_those_it_has() -> None:
    hosts = {"one": HostRecord.of_unreadable("one", "the record of host one cannot be read: it is empty")}
    with pytest.raises(PlacementRefused, match="one: the record of host one cannot be read"):
        place({"a": NODE}, SPREAD, Situation(hosts))
    assert place({"a": NODE}, SPREAD, Situation(hosts, present={"a": "one"}))["a"].kept
