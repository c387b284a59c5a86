"""Healing by marks alone: the links of this store's machines and no others', and a word on whose those are."""

import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator

import pytest

from reconciler.errors import Conflict
from reconciler.host.firewall.nftables_codec import table_name
from reconciler.model.names import tap_name
from tests.integration.bed import Bed, Session, host_libvirt
from tests.integration.clusters.test_links import CLUSTER, define, inject, start
from tests.integration.clusters.test_other_stores import other_bed
from tests.integration.clusters.test_recovery import damage_record, lose_store
from tests.integration.kills import run
from tests.integration.snapshots.films import small_nodes


@pytest.fixture
def cut(bed: Bed) -> Iterator[Bed]:
    """Two nodes that run, cut from each other, and one of them slowed."""
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, start, inject)
    assert "drop" in cuts()
    assert "4d4" in queues()
    yield bed
    subprocess.run(["nft", "delete", "table", "bridge", table_name(CLUSTER)], capture_output=True, check=False)


def cuts() -> str:
    return subprocess.run(["nft", "list", "ruleset", "bridge"], capture_output=True, text=True, check=True).stdout


def queues() -> str:
    """The queues of a node's tap, without what passed them: that goes on."""
    command = ["tc", "qdisc", "show", "dev", tap_name(CLUSTER, "n0")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.sub(r" direct_packets_stat \d+", "", shown)


async def heal(session: Session) -> None:
    assert await session.faults.heal_all(CLUSTER) == 2


def test_another_stores_links_are_left_alone_and_whose_they_are_is_said(cut: Bed) -> None:
    before = cuts(), queues()
    whose = rf"n0, the domain of node n1.*made by another store \({cut.settings.state_dir},.*cluster_adopt"

    async def refused(session: Session) -> None:
        with pytest.raises(Conflict, match=whose):
            await session.faults.heal_all(CLUSTER)

    run(other_bed(cut, "second"), refused)
    assert (cuts(), queues()) == before


@pytest.mark.parametrize("harm", [lose_store, damage_record])
def test_links_of_a_record_that_was_lost_or_damaged_here_are_healed(cut: Bed, harm: Callable[[Bed], None]) -> None:
    harm(cut)
    run(cut, heal)
    assert (cuts(), "4d4" in queues()) == ("", False)


def test_where_only_some_of_a_clusters_machines_are_ours_only_their_queues_are_healed(cut: Bed) -> None:
    """The cuts go by the cluster's name, which both have: the other store's stay."""
    damage_record(cut)
    give_away("n1")
    before = cuts()

    async def healed_in_part(session: Session) -> None:
        whose = r"1 links were healed, and faults on what others .*domain of node n1: made by another store \(/else"
        with pytest.raises(Conflict, match=whose) as caught:
            await session.faults.heal_all(CLUSTER)
        assert "node n0" not in str(caught.value)

    run(cut, healed_in_part)
    assert (cuts(), "4d4" in queues()) == (before, False)


def give_away(node: str) -> None:
    """Have the mark of a node's domain say that another store has made it."""
    with host_libvirt() as handle:
        domain = handle.lookupByName(f"{CLUSTER}.{node}")
        for flags in (0, 2):  # as it runs, as it is defined
            (mark,) = ET.fromstring(domain.XMLDesc(flags)).iterfind("metadata/*")
            mark.tag = mark.tag.rpartition("}")[2]
            mark.attrib |= {"store": "f" * 32, "state-dir": "/elsewhere"}
            text = ET.tostring(mark, encoding="unicode")
            domain.setMetadata(2, text, "vmcluster", "urn:vmcluster:1", flags or 1)
