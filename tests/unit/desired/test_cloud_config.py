"""Two cloud-configs make one."""

from reconciler.desired.cloud_config import merge_cloud_config


def test_mappings_merge_lists_append_and_single_values_are_replaced() -> None:
    base = {"a": {"x": 1, "l": [1]}, "b": [1], "c": 1, "d": 1}
    over = {"a": {"l": [2], "y": 2}, "b": [2], "c": 2, "e": 2}
    assert merge_cloud_config(base, over) == {"a": {"x": 1, "l": [1, 2], "y": 2}, "b": [1, 2], "c": 2, "d": 1, "e": 2}


def test_values_of_different_kinds_are_replaced_whole() -> None:
    assert merge_cloud_config({"a": [1], "b": {"x": 1}, "c": 1}, {"a": {"x": 1}, "b": None, "c": [1]}) == {
        "a": {"x": 1},
        "b": None,
        "c": [1],
    }


def test_neither_side_is_changed() -> None:
    base, over = {"a": {"l": [1]}}, {"a": {"l": [2]}}
    merge_cloud_config(base, over)
    assert (base, over) == ({"a": {"l": [1]}}, {"a": {"l": [2]}})
