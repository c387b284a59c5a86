"""A message leads to the line that decided it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ClusterError
from reconciler.files.ownership import not_ours
from reconciler.files.roots import Roots, opened
from reconciler.host.capabilities import missing
from reconciler.host.features import NETEM
from reconciler.store.record_json import refuse_stale
from reconciler.usecases.snapshots import resolved_name
from tests.manual import ROOT
from tests.unit.store.samples import sample_record
from tests.where import main, places

pytestmark = pytest.mark.processes

ERRORS = sorted((ROOT / "specs" / "invalid").glob("*.error"))


def outside_of_roots() -> None:
    opened(Path("/etc/passwd"), Roots("host_read_roots", (Path("/nonexistent"),)))


def lacks_netem() -> None:
    raise missing(NETEM, "Error: Specified qdisc kind is unknown.", node="n0")


def foreign_file() -> None:
    raise not_ours(Path("/nonexistent/disk.qcow2"), "lab")


@pytest.mark.parametrize(
    ("fail", "place"),
    [
        (outside_of_roots, "reconciler/files/roots.py"),
        (lacks_netem, "reconciler/host/capabilities.py"),
        (foreign_file, "reconciler/files/ownership.py"),
        (lambda: refuse_stale("lab", 3, 2), "reconciler/store/record_json.py"),
        (lambda: resolved_name(sample_record("lab"), "a b"), "reconciler/usecases/snapshots.py"),
    ],
)
def test_an_error_leads_to_where_it_is_raised(fail: Callable[[], object], place: str) -> None:
    with pytest.raises(ClusterError) as raised:
        fail()
    assert place in [found.file for found in places(raised.value.message)[:3]]


@pytest.mark.parametrize("error", ERRORS, ids=lambda path: path.stem)
def test_every_refusal_of_a_topology_leads_somewhere(error: Path) -> None:
    *_, problem = error.read_text().splitlines()
    assert places(problem), problem


@pytest.mark.parametrize(
    ("piece", "place"),
    [
        ("disk vda can grow only while the node runs or is off, and the no…", "reconciler/plan/growth.py"),
        ("pulls a node's only cable", "reconciler/faults/validate.py"),
        ("HOST_LOST", "reconciler/controller/part_report.py"),
        ("FAULT_NOT_FOUND", "reconciler/usecases/network_faults.py"),
    ],
)
def test_a_piece_of_a_message_and_a_code_lead_there_too(piece: str, place: str) -> None:
    assert place in [found.file for found in places(piece)]


def test_places_are_printed_the_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no sign of life since its start 7 s ago: nothing on its console, no login (look at `x`)"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("reconciler/health/no_login.py:")
    assert main(["words that nobody wrote"]) == 1
