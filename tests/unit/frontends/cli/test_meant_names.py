"""A name that is misspelt is answered with the one that was most likely meant."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.errors import closest_name, meant
from reconciler.model.record import ClusterRecord

from .conftest import Invoke


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["status", "labb"], "lab"),
        (["history", "la"], "lab"),
        (["screenshot", "lab", "alpa", "-o", "-"], "alpha"),
        (["fault", "partition", "lab", "zeta", "alph"], "alpha"),
        (["fault", "explain", "lab", "zetta", "alpha"], "zeta"),
        (["fault", "explain", "lab", "host", "alpha"], "@host"),
        (["wait", "lab", "--for", "Redy"], "Ready"),
        (["topology", "show", "lap"], "lab"),
        (["statsu", "lab"], "status"),
        (["snapshot", "revrt", "lab", "x"], "revert"),
        (["status", "lab", "--outputt", "json"], "--output"),
        (["image", "pull", "debain-12"], "debian-12"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(
    invoke: Invoke, lab: ClusterRecord, tmp_path: Path, words: Sequence[str], name: str
) -> None:
    (tmp_path / "lab.yaml").touch()
    ended = invoke(*words)
    assert ended.code == 1
    assert re.search(rf"(did you mean|Did you mean|Possible options:) '?{re.escape(name)}\b", ended.err)


def test_the_closest_name_is_found_whatever_its_case_and_none_if_none_is_similar() -> None:
    assert closest_name("READY", ["Ready", "Running"]) == "Ready"
    assert closest_name("xyz", ["Ready", "Running"]) is None
    assert closest_name("", []) is None


def test_a_hint_begins_with_what_was_meant() -> None:
    assert meant("wrker-0", ["worker-0"], "it has worker-0") == "did you mean 'worker-0'? it has worker-0"
    assert meant("wrker-0", ["worker-0"]) == "did you mean 'worker-0'?"
    assert meant("x", ["worker-0"], "it has worker-0") == "it has worker-0"
    assert meant("x", ["worker-0"]) is None
