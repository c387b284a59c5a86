"""Names on the host: the same each time, different for different nodes, and readable back."""

import re
from itertools import combinations
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import names

labels = st.from_regex(rf"{names.LABEL_PATTERN}", fullmatch=True).filter(lambda label: len(label) <= 40)


@given(labels, labels)
def test_a_domain_name_leads_back_to_its_cluster_and_node(cluster: str, node: str) -> None:
    assert names.parse_domain_name(names.domain_name(cluster, node)) == (cluster, node)


def test_domain_names_that_are_not_made_of_two_labels_stand_for_no_node() -> None:
    for name in ("lab", "lab.", ".a", "lab.a.b", "lab.A", "lab.-a", "lab.a\n", "lab a", "Lab.a", "-lab.a"):
        assert names.parse_domain_name(name) is None


@given(labels, labels, st.sampled_from(["vda", "vdb", "vdz"]), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_layer_name_leads_back_to_what_it_was_made_from(
    cluster: str, node: str, disk: str, revision: int, depth: int
) -> None:
    path = names.layer_path(Path("/overlays"), cluster, node, disk, revision, depth)
    assert path.parent == names.cluster_dir(Path("/overlays"), cluster)
    assert names.parse_layer_name(path.name) == (node, disk, revision, depth)


def test_other_files_of_a_cluster_are_no_layers() -> None:
    directory = Path("/overlays")
    others = [
        names.seed_path(directory, "lab", "a"),
        names.host_key_path(directory, "lab", "a"),
        names.console_path(directory, "lab", "a"),
        Path("a.vda.r0.0.qcow2.tmp"),
        Path("a.vda.r-1.0.qcow2"),
        Path(".a.vda.r0.0.qcow2"),
    ]
    assert [names.parse_layer_name(path.name) for path in others] == [None] * len(others)


def test_a_thousand_nodes_have_a_thousand_addresses_taps_and_identities() -> None:
    pairs = [("lab", f"node-{index}") for index in range(500)] + [("web", f"node-{index}") for index in range(500)]
    for name in (names.mac_address, names.tap_name, names.domain_uuid):
        assert len({name(*pair) for pair in pairs}) == len(pairs)


@given(labels, labels)
def test_addresses_are_local_unicast_and_taps_fit_the_kernel(cluster: str, node: str) -> None:
    mac, tap = names.mac_address(cluster, node), names.tap_name(cluster, node)
    assert re.fullmatch(r"52(:[0-9a-f]{2}){5}", mac)
    assert int(mac[:2], 16) & 0b11 == 0b10
    assert len(tap) <= names.INTERFACE_NAME_MAX_LENGTH
    assert not tap.startswith("vnet")  # libvirt takes such a name for one of its own


def test_names_do_not_change_between_versions() -> None:
    assert names.mac_address("lab", "alpha") == "52:5b:64:ef:68:4f"
    assert names.tap_name("lab", "alpha") == "vmc-5b64ef684f9"
    assert names.domain_uuid("lab", "alpha") == "ea3fe891-4dd6-561f-a3b5-b4a661b04b01"
    assert names.network_uuid("golden", "nat") == "f2792858-ec57-5009-aa29-6da01f86a4dc"


def test_extra_disks_have_targets_of_their_own_up_to_the_last() -> None:
    targets = [names.extra_disk_target(index) for index in range(24)]
    assert targets[0] == "vdb"
    assert targets[-1] == "vdy"
    assert all(one != other for one, other in combinations([names.ROOT_DISK, *targets, "vdz"], 2))
