"""What a change costs on hosts that this one does not see."""

from reconciler.model.record import ClusterRecord
from reconciler.placement.place import Placement
from reconciler.records.elsewhere import elsewhere
from reconciler.records.record_changes import with_spec
from tests.unit.store.samples import sample_record


def on_hosts(record: ClusterRecord, **hosts: str) -> ClusterRecord:
    nodes = {name: record.spec.nodes[name].model_copy(update={"host": host}) for name, host in hosts.items()}
    return with_spec(record, record.cluster_name, record.spec.model_copy(update={"nodes": nodes}))


def test_a_node_that_is_placed_again_or_removed_loses_what_it_has_on_another_host() -> None:
    before = on_hosts(sample_record(), zeta="a", alpha="b")
    moved = on_hosts(before, zeta="a", alpha="c")
    assert moved.nodes["alpha"].disk_revision == before.nodes["alpha"].disk_revision + 1
    placements = {"alpha": Placement("c", "why")}
    there = elsewhere(before, moved, placements, "a", "a")
    assert there.losses == {"alpha": "its disks on host b are lost (host b -> c)"}
    assert there.consent == {"domain/alpha", "layer/alpha/*"}
    assert elsewhere(before, moved, placements, "b", "a").losses == {}, "this host sees its own losses"
    removed = elsewhere(before, on_hosts(before, zeta="a"), {}, "a", "a")
    assert removed.losses == {"alpha": "its machine and disks on host b are removed"}
    at_home = on_hosts(before, zeta="a", alpha="")
    without_home = elsewhere(at_home, on_hosts(at_home, zeta="a", alpha="c"), placements, "a", "")
    assert without_home.losses == {"alpha": "its disks on a forgotten host are lost (host unnamed -> c)"}


def test_nothing_is_lost_by_a_new_cluster_or_by_naming_where_its_nodes_are() -> None:
    record = on_hosts(sample_record(), zeta="a", alpha="b")
    assert elsewhere(None, record, {}, "x", "x").losses == {}
    assert elsewhere(record, record, {}, "x", "x").losses == {}


def test_an_image_of_the_same_content_is_the_same_image_whenever_it_was_written() -> None:
    record = sample_record()

    def with_image(**changes: str) -> ClusterRecord:
        nodes = {
            name: node.model_copy(update={"base_image": node.base_image.model_copy(update=changes)})
            for name, node in record.spec.nodes.items()
        }
        return record.model_copy(update={"spec": record.spec.model_copy(update={"nodes": nodes})})

    def recreated(before: ClusterRecord, after: ClusterRecord) -> bool:
        return with_spec(before, "lab", after.spec).nodes["alpha"].disk_revision > before.nodes["alpha"].disk_revision

    early, late = (with_image(digest="sha256:a", identity=of) for of in ("1:1", "1:2"))
    assert not recreated(early, late)
    assert not recreated(with_image(identity="1:1"), early), "a record from before images had a digest"
    assert recreated(early, with_image(digest="sha256:b", identity="1:1"))
    assert recreated(with_image(identity="1:1"), late)
