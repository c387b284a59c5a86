import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.store.patch import difference, patched

KEYS = st.text(alphabet="ab~/-01 é", max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1).map(abs) | st.text("ab", max_size=2)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True)


@given(DOCUMENTS, DOCUMENTS)
def test_the_difference_applied_to_the_old_document_gives_the_new_one(before: Any, after: Any) -> None:
    assert canonical(patched(before, difference(before, after))) == canonical(after)


@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_only_adds_removes_and_replaces(before: Any, after: Any) -> None:
    assert {operation["op"] for operation in difference(before, after)} <= {"add", "remove", "replace"}


@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_is_empty_exactly_when_the_documents_are_the_same_json(before: Any, after: Any) -> None:
    assert (difference(before, after) == ()) == (canonical(before) == canonical(after))


@given(st.dictionaries(KEYS, DOCUMENTS, max_size=5), st.randoms())
def test_the_order_of_keys_makes_no_difference(document: dict[str, Any], random: Any) -> None:
    items = list(document.items())
    random.shuffle(items)
    assert difference(document, dict(items)) == ()
    assert difference({}, dict(items)) == difference({}, document)


@given(DOCUMENTS, DOCUMENTS)
def test_documents_are_left_as_they_were(before: Any, after: Any) -> None:
    copies = canonical(before), canonical(after)
    patched(before, difference(before, after))
    assert (canonical(before), canonical(after)) == copies


def test_the_order_of_operations_does_not_depend_on_the_process() -> None:
    script = (
        "from reconciler.store.patch import difference\n"
        "print(difference({k: 1 for k in 'abcdefgh'}, {k: 2 for k in 'efghijkl'}))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "c": 1}, [("remove", "/a", None), ("add", "/c", 1)]),
        ({"a": [1, 2, 3]}, {"a": [1, 9, 2, 3]}, [("add", "/a/1", 9)]),
        ({"a": [1, 2, 3]}, {"a": [3]}, [("remove", "/a/1", None), ("remove", "/a/0", None)]),
        ({"a": 1}, {"a": True}, [("replace", "/a", True)]),
        ({"a": 1}, {"a": 1.0}, [("replace", "/a", 1.0)]),
        ({"a/b": {"c~": 1}}, {"a/b": {"c~": 2}}, [("replace", "/a~1b/c~0", 2)]),
        ({"a": None}, {}, [("remove", "/a", None)]),
        (None, {"a": 1}, [("replace", "", {"a": 1})]),
    ],
)
def test_a_change_is_told_in_the_fewest_plain_operations(
    before: Any, after: Any, patch: list[tuple[str, str, Any]]
) -> None:
    told = [(operation["op"], operation["path"], operation.get("value")) for operation in difference(before, after)]
    assert canonical(told) == canonical(patch)
