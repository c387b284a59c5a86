import stat
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict
from reconciler.files.ownership import read_mark
from reconciler.host.cloud_init.iso import parse_iso
from reconciler.host.cloud_init.seed_codec import parse_host_key
from reconciler.host.cloud_init.seed_driver import (
    delete_seed,
    observe_seeds,
    public_key_path,
    read_host_key,
    write_seed,
)
from reconciler.model.document import Seed, Unknown
from reconciler.model.names import cluster_dir, host_key_path, seed_path
from tests.unit.host.cloud_init.test_seed_codec import ROOT_ON_NAT

CLUSTER, NODE = ROOT_ON_NAT.cluster_name, ROOT_ON_NAT.node


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    return tmp_path / "overlays"


def private_key(overlays: Path) -> Path:
    return host_key_path(overlays, CLUSTER, NODE)


def host_key_in_seed(overlays: Path) -> tuple[str, str]:
    return parse_host_key(parse_iso(seed_path(overlays, CLUSTER, NODE).read_bytes())["user-data"])


def files_of(overlays: Path) -> set[str]:
    return {path.name for path in cluster_dir(overlays, CLUSTER).iterdir()}


def test_a_written_seed_is_observed_by_its_digest(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    assert observe_seeds(overlays, CLUSTER) == {NODE: Seed(digest="digest")}


def test_the_guest_gets_the_key_that_clients_verify(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    private, public = host_key_in_seed(overlays)
    assert public == read_host_key(overlays, CLUSTER, NODE)
    assert private == private_key(overlays).read_text()
    assert asyncssh.import_private_key(private).export_public_key().decode().strip() == public


def test_a_changed_seed_keeps_its_host_key_and_leaves_nothing_beside(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "old")
    before, key = files_of(overlays), read_host_key(overlays, CLUSTER, NODE)
    write_seed(overlays, replace(ROOT_ON_NAT, hosts="192.168.100.99 other\n"), "new")
    assert observe_seeds(overlays, CLUSTER) == {NODE: Seed(digest="new")}
    assert parse_iso(seed_path(overlays, CLUSTER, NODE).read_bytes())["hosts"] == "192.168.100.99 other\n"
    assert host_key_in_seed(overlays)[1] == read_host_key(overlays, CLUSTER, NODE) == key
    assert files_of(overlays) == before


def test_a_key_that_was_lost_is_taken_from_the_seed_that_the_guest_booted_from(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    key = read_host_key(overlays, CLUSTER, NODE)
    private_key(overlays).unlink()
    public_key_path(private_key(overlays)).unlink()
    assert observe_seeds(overlays, CLUSTER) == {NODE: Seed(digest="")}
    write_seed(overlays, ROOT_ON_NAT, "digest")
    assert read_host_key(overlays, CLUSTER, NODE) == key
    assert observe_seeds(overlays, CLUSTER) == {NODE: Seed(digest="digest")}


@pytest.mark.parametrize("left", ["n1.host_ed25519", "n1.host_ed25519 n1.host_ed25519.pub"])
def test_a_seed_half_written_when_killed_is_finished_with_the_same_key(overlays: Path, left: str) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    private = private_key(overlays).read_text()
    for name in files_of(overlays) - set(left.split()):
        (cluster_dir(overlays, CLUSTER) / name).unlink()
    write_seed(overlays, ROOT_ON_NAT, "digest")
    assert private_key(overlays).read_text() == host_key_in_seed(overlays)[0] == private


def test_each_node_has_a_key_of_its_own(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "1")
    write_seed(overlays, replace(ROOT_ON_NAT, node="n2"), "2")
    assert observe_seeds(overlays, CLUSTER) == {"n1": Seed(digest="1"), "n2": Seed(digest="2")}
    assert read_host_key(overlays, CLUSTER, "n1") != read_host_key(overlays, CLUSTER, "n2")


def test_what_holds_a_private_key_is_private_and_all_of_it_is_marked(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in cluster_dir(overlays, CLUSTER).iterdir()}
    assert modes == {"n1.seed.iso": 0o600, "n1.host_ed25519": 0o600, "n1.host_ed25519.pub": 0o644}
    assert stat.S_IMODE(cluster_dir(overlays, CLUSTER).stat().st_mode) == 0o711
    for path in cluster_dir(overlays, CLUSTER).iterdir():
        mark = read_mark(path)
        assert mark is not None
        assert (mark.cluster, mark.node) == (CLUSTER, NODE)


def test_deleting_takes_seed_and_keys_and_may_be_repeated(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    delete_seed(overlays, CLUSTER, NODE)
    delete_seed(overlays, CLUSTER, NODE)
    assert files_of(overlays) == set()
    assert read_host_key(overlays, CLUSTER, NODE) is None
    assert observe_seeds(overlays, CLUSTER) == {}


@pytest.mark.parametrize("name", ["n1.seed.iso", "n1.host_ed25519", "n1.host_ed25519.pub"])
def test_a_foreign_file_in_our_place_is_never_touched(overlays: Path, name: str) -> None:
    foreign = cluster_dir(overlays, CLUSTER) / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("the user's")
    with pytest.raises(Conflict, match="was left alone"):
        write_seed(overlays, ROOT_ON_NAT, "digest")
    with pytest.raises(Conflict, match="was left alone"):
        delete_seed(overlays, CLUSTER, NODE)
    assert foreign.read_text() == "the user's"


def test_a_foreign_seed_is_unknown(overlays: Path) -> None:
    seed = seed_path(overlays, CLUSTER, NODE)
    seed.parent.mkdir(parents=True)
    seed.write_bytes(b"")
    found = observe_seeds(overlays, CLUSTER)[NODE]
    assert isinstance(found, Unknown)
    assert (found.code, found.terminal) == (ErrorCode.CONFLICT, True)


def test_a_seed_moved_to_another_node_is_not_that_nodes(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    seed_path(overlays, CLUSTER, NODE).rename(seed_path(overlays, CLUSTER, "n2"))
    assert isinstance(observe_seeds(overlays, CLUSTER)["n2"], Unknown)


def test_a_fork_answers_with_the_key_of_its_origin_and_never_with_a_new_one(overlays: Path) -> None:
    write_seed(overlays, ROOT_ON_NAT, "digest")
    fork = replace(ROOT_ON_NAT, cluster_name="try")
    write_seed(overlays, fork, "digest", lender=CLUSTER)
    assert read_host_key(overlays, "try", NODE) == read_host_key(overlays, CLUSTER, NODE)
    private_key(overlays).unlink()
    write_seed(overlays, fork, "other", lender=CLUSTER)
    with pytest.raises(Conflict, match="is gone, by which the fork's node is known"):
        write_seed(overlays, replace(ROOT_ON_NAT, cluster_name="late"), "digest", lender=CLUSTER)
