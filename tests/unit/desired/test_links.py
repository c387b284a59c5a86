"""The links that a record wants: of its faults that are not over, for the taps that there are."""

from datetime import datetime, timedelta

from reconciler.desired.compile import compile_document
from reconciler.model.choices import CutMode
from reconciler.model.document import PULLED, ClusterDocument, NodeLinks, Power, PowerState, Unknown
from reconciler.model.faults import Groups, Halves, One, WantedFault
from reconciler.model.links import Link
from reconciler.model.record import ClusterRecord, Deletion, NodeIntent
from tests.simulation.worlds import EMULATED, NOTHING, NOW, as_wanted, running_record
from tests.unit.faults.samples import impair, partition

NODES = ("alpha", "beta")
SOON = NOW + timedelta(seconds=1)


def record(*faults: WantedFault, off: tuple[str, ...] = ()) -> ClusterRecord:
    running = running_record(*NODES)
    intents = {node: NodeIntent() if node in off else intent for node, intent in running.nodes.items()}
    return running.model_copy(update={"faults": {of.handle_id: of for of in faults}, "nodes": intents})


def links(
    wanted: ClusterRecord, observed: ClusterDocument = NOTHING, now: datetime = NOW
) -> dict[str, NodeLinks | Unknown]:
    return compile_document(wanted, EMULATED, observed, now=now).links


def test_a_fault_is_desired_until_its_time_and_not_a_moment_longer() -> None:
    cut = partition(Halves(), NODES, expires_at=NOW + timedelta(minutes=1))
    assert set(links(record(cut))) == {"alpha", "beta"}
    assert links(record(cut), now=NOW + timedelta(minutes=1)) == {}


def test_a_cut_that_ends_by_itself_about_now_is_no_drift_whether_it_is_there_or_not() -> None:
    cut = partition(Halves(), NODES, expires_at=SOON)
    there = NodeLinks(links={"beta": Link(cut=True, cut_expires_at=SOON)})
    observed = as_wanted(record()).model_copy(update={"links": {"alpha": there}})
    assert set(links(record(cut), observed)) == {"alpha"}


def test_what_remains_of_a_link_whose_cut_ends_about_now_is_its_impairment() -> None:
    both = record(partition(Halves(), NODES, expires_at=SOON), impair("beta", "alpha", nodes=NODES, delay_ms=8))
    found = links(both)["alpha"]
    assert isinstance(found, NodeLinks)
    assert (found.links["beta"].cut, found.needs_tap) == (False, True)


def test_a_node_that_is_and_stays_off_has_only_its_cuts() -> None:
    faults = (
        partition(Halves(), NODES),
        partition(One(node="alpha"), NODES, name="pull", mode=CutMode.LINK_DOWN),
        impair("beta", "alpha", nodes=NODES, delay_ms=8),
    )
    off = links(record(*faults, off=("alpha",)))["alpha"]
    assert isinstance(off, NodeLinks)
    assert (off.links, off.down) == ({"beta": Link(cut=True)}, False)
    shuts_down = as_wanted(record()).model_copy(update={"power": {"alpha": Power(state=PowerState.STOPPING)}})
    still_up = links(record(*faults, off=("alpha",)), shuts_down)["alpha"]
    assert isinstance(still_up, NodeLinks)
    assert (still_up.down, still_up.needs_tap) == (True, True)


def test_a_link_that_is_not_there_yet_knows_its_faults() -> None:
    pull = partition(One(node="alpha"), NODES, name="pull", mode=CutMode.LINK_DOWN)
    cut, again = (
        partition(Halves(), NODES, name="cut"),
        partition(Groups(groups=(("alpha",), ("beta",))), NODES, name="z"),
    )
    found = links(record(cut, again, pull))
    assert found["alpha"] == NodeLinks(
        links={"beta": Link(cut=True)}, down=True, causes={"beta": ("cut", "z"), PULLED: ("pull",)}
    )
    settled = as_wanted(record()).model_copy(update={"links": found})
    assert found["alpha"].model_copy(update={"causes": {}}) == links(record(cut, again, pull), settled)["alpha"]


def test_a_cluster_that_goes_wants_no_links() -> None:
    going = record(partition(Halves(), NODES)).model_copy(update={"deletion": Deletion(remove_overlays=False)})
    assert links(going) == {}
