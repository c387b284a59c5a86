"""Whatever a host has and a record desires: what the record does not know is left alone, and so is everything else."""

from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.desired.compile import compile_document
from reconciler.model.document import ClusterDocument, Mark, Unknown, mark_key
from reconciler.model.origin import Lineage, Origin
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord, SnapshotIntent
from reconciler.plan.planner import plan
from tests.simulation.host import SimulatedHost
from tests.simulation.test_convergence import settle, worlds
from tests.simulation.worlds import CLUSTER_DIR, EMULATED, NOW, records

OURS = Origin(store="0a", generation=1, token="1b")
LATER = Origin(store="0a", generation=9, token="9c")
THEIRS = Origin(store="ff", generation=1, token="1b")
LINEAGE = Lineage("0a", frozenset({OURS}))
_MARKED = ("networks", "domains", "layers", "seeds", "snapshots")


def keys_of(found: ClusterDocument) -> list[str]:
    things = [(kind, name, of) for kind in _MARKED for name, of in getattr(found, kind).items()]
    known = [mark_key(kind, name) for kind, name, of in things if not isinstance(of, Unknown)]
    return [mark_key("directory", CLUSTER_DIR), *known]


def planned(record: ClusterRecord, found: ClusterDocument, marks: dict[str, Mark]) -> Plan:
    observed = found.model_copy(update={"marks": marks})
    return plan(compile_document(record, EMULATED, observed, lineage=LINEAGE, now=NOW), observed)


@given(worlds, st.data())
def test_one_mark_that_is_not_known_leaves_nothing_to_be_done(
    world: tuple[ClusterRecord, ClusterDocument], data: st.DataObject
) -> None:
    record, found = world
    record = record.model_copy(update={"generation": 1})
    keys = keys_of(found)
    marks = {key: Mark(origin=data.draw(st.sampled_from([OURS, None]))) for key in keys}
    stranger = data.draw(st.sampled_from(keys))
    marks[stranger] = Mark(origin=data.draw(st.sampled_from([THEIRS, LATER])))
    assert (end := planned(record, found, marks)).actions == ()
    assert (end.foreign, end.converged) == (True, False)


@given(records(), st.integers(0, 2**32), st.data())
def test_an_older_record_takes_nothing_away_that_a_newer_one_of_an_earlier_version_has_made(
    record: ClusterRecord, seed: int, data: st.DataObject
) -> None:
    """Marks without an origin say nothing: what is beyond the record is told by revisions and requests."""
    older = record.model_copy(update={"deletion": None, "generation": 1})
    host = SimulatedHost(ClusterDocument(), Random(seed))
    assume(settle(host, older).converged)
    revised = {node: of.model_copy(update={"disk_revision": of.disk_revision + 1}) for node, of in older.nodes.items()}
    request = older.snapshot_requests + 1
    snapshots = {**older.snapshots, "newest": SnapshotIntent(request=request)}
    newer = data.draw(
        st.sampled_from(
            [
                older.model_copy(update={"nodes": revised}),
                older.model_copy(update={"snapshots": snapshots, "snapshot_requests": request}),
            ]
        )
    )
    assume(settle(host, newer).converged)
    host.record = older
    found = host.observe()
    end = planned(older, found, {key: Mark() for key in keys_of(found)})
    assert (end.actions, end.foreign) == ((), True)
