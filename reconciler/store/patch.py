"""The difference of two JSON documents as an RFC 6902 patch of `add`, `remove` and `replace` only.

`jsonpatch.make_patch` is not used: it hides what happens behind `move`, and its order follows Python's string hashes,
which differ from process to process.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jsonpatch
import jsonpointer

Operation = dict[str, Any]
Patch = tuple[Operation, ...]


def difference(before: Any, after: Any) -> Patch:
    """The operations that turn `before` into `after`, in an order that depends only on the two.

    Both are JSON values (`model_dump(mode="json")`); a document that does not exist is None.
    Unlike in Python, `true`, `1` and `1.0` differ.
    """
    return tuple(_changes("", before, after))


def patched(document: Any, patch: Sequence[Operation]) -> Any:
    """A copy of `document` with the patch applied; raises `ValueError` if it does not fit."""
    try:
        return jsonpatch.apply_patch(document, list(patch))
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise ValueError(f"a patch does not fit: {error}") from error


def _changes(path: str, before: Any, after: Any) -> Iterator[Operation]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _mapping_changes(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _sequence_changes(path, before, after)
    elif not _same_scalar(before, after):
        yield {"op": "replace", "path": path, "value": after}


def _mapping_changes(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Operation]:
    for key in sorted(before.keys() | after.keys()):
        inner = f"{path}/{jsonpointer.escape(key)}"
        if key not in after:
            yield {"op": "remove", "path": inner}
        elif key not in before:
            yield {"op": "add", "path": inner, "value": after[key]}
        else:
            yield from _changes(inner, before[key], after[key])


def _sequence_changes(path: str, before: list[Any], after: list[Any]) -> Iterator[Operation]:
    """Elements shared at both ends are left alone, so that one insertion is one operation."""
    start = _shared_length(before, after)
    end = _shared_length(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    common = min(len(old), len(new))
    for index in range(common):
        yield from _changes(f"{path}/{start + index}", old[index], new[index])
    for index in reversed(range(common, len(old))):
        yield {"op": "remove", "path": f"{path}/{start + index}"}
    for index in range(common, len(new)):
        yield {"op": "add", "path": f"{path}/{start + index}", "value": new[index]}


def _shared_length(before: list[Any], after: list[Any]) -> int:
    """How many leading elements are equal."""
    length = 0
    for left, right in zip(before, after, strict=False):
        if any(True for _ in _changes("", left, right)):
            break
        length += 1
    return length


def _same_scalar(before: Any, after: Any) -> bool:
    both_nan = before != before and after != after  # noqa: PLR0124  (only NaN differs from itself)
    return type(before) is type(after) and (before == after or both_nan)
