"""What is read from documents, and said of their differences."""

import pytest

from reconciler.plan.document_queries import in_words


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (False, True, "false -> true"),
        (None, "host-passthrough", "null -> host-passthrough"),
        (("10.88.0.1",), ("10.88.0.1", "10.88.0.2"), "[10.88.0.1] -> [10.88.0.1, 10.88.0.2]"),
        (384, 512, "384 -> 512"),
    ],
)
def test_a_changed_value_is_spelled_as_a_topology_spells_it(old: object, new: object, said: str) -> None:
    assert in_words({"field": (old, new)}) == f"field {said}"
