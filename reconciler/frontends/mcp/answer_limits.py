"""Bounds the length of answers: what is too long is cut, and what was omitted is counted. Pure.

An answer is data, ready for JSON. Text and lists keep their beginning and end; lists that a client can page through,
such as builds, keep their first items. Space is divided evenly: short parts stay whole, and long ones are cut to the
same length.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from reconciler.model.abridging import omission_note

DEFAULT_BYTES = 40_000
"""About 10,000 tokens: what clients pass to their model without cutting it themselves."""
FOLLOWING = "following"
"""The key in the last item's `omitted` that counts the items after it."""
EACH = "*"
"""Stands for the whole list or mapping instead of a page of it."""

_FRAME_BYTES = 500
"""Reserved for what the protocol puts around the two copies."""
_SHORT_BYTES = 240
"""Anything up to this length is never cut."""
_ITEM_BYTES = 400
"""The length that long items are cut to before items are omitted."""
_FROM_START = frozenset({"nodes", "results", "per_node", "actions"})
_MAPPINGS = frozenset(
    {
        *("results", "errors", "per_node", "kernel_versions", "metadata", "disks", "labels", "sizes"),
        *("losses_elsewhere", "restarts_elsewhere", "nodes_elsewhere"),
    }
)
"""Fields whose keys are arbitrary names; other mappings are records, whose fields are never omitted."""
_SHARES = (0.48, 0.44, 0.38, 0.3, 0.2)
"""The share of the structured copy: in the text copy quotes are escaped, so it is longer."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of an answer is requested: its length, a page of a list, and whether fields that say nothing are shown.

    `place` is the path of field names from the result to that list; None if there is no such list.
    """

    length_bytes: int = DEFAULT_BYTES
    offset: int = 0
    limit: int | None = None
    place: tuple[str, ...] | None = None
    full: bool = False

    @property
    def of_a_page(self) -> bool:
        """Whether a client asks for a part of the list."""
        return self.place is not None and (self.offset > 0 or self.limit is not None)


def abridged(envelope: dict[str, Any], extent: Extent) -> dict[str, Any]:
    """The envelope, cut to fit into an answer that holds it twice, as structure and as text."""
    from_start = _FROM_START
    if extent.of_a_page and extent.place is not None and envelope.get("result"):
        envelope = {**envelope, "result": _page(envelope["result"], extent.place, extent)}
        from_start = _FROM_START.union(extent.place)
    fitting = _Fitting(from_start)
    for share in _SHARES:
        envelope = fitting.fit(envelope, int(extent.length_bytes * share))
        if _size_bytes(envelope) + _size_bytes(to_json(envelope).decode()) <= extent.length_bytes - _FRAME_BYTES:
            break
    return envelope


def _page(value: Any, place: tuple[str, ...], extent: Extent) -> Any:
    """The value with the requested page of the list at `place`; the items after it are counted."""
    if not place:
        shown = _slice(value, extent)
        return _with_following(shown, len(value) - extent.offset - len(shown))
    first, *rest = place
    if first == EACH:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        paged = {key: _page(of, tuple(rest), extent) for key, of in pairs}
        return paged if isinstance(value, dict) else [*paged.values()]
    shown = _slice(value[first], extent)
    return _counted({**value, first: shown}, first, len(value[first]) - extent.offset - len(shown))


def _slice(items: Any, extent: Extent) -> Any:
    end = None if extent.limit is None else extent.offset + extent.limit
    return dict([*items.items()][extent.offset : end]) if isinstance(items, dict) else items[extent.offset : end]


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Cuts values to fit; fields in `from_start` lose their end first."""

    from_start: frozenset[str]

    def fit(self, value: Any, room: int, *, free: bool = False) -> Any:
        """The value in at most this many bytes of JSON, as far as it has parts that can be cut."""
        if _size_bytes(value) <= max(room, _SHORT_BYTES):
            return value
        if isinstance(value, str):
            return _cut_text(value, room)[0]
        if _is_of_results(value):
            items, behind = _without_following(value)
            kept, left_out = self._cut(items, room, from_start=True, first=_in_trouble(items), keep_one=True)
            return _with_following(kept, left_out + behind)
        if isinstance(value, dict):
            return self._fit_fields(value, room, free=free)
        share = max(_ITEM_BYTES, room // len(value)) if isinstance(value, list) else 0
        return [self.fit(of, share) for of in value] if isinstance(value, list) else value

    def _fit_fields(self, record: dict[str, Any], room: int, *, free: bool) -> dict[str, Any]:
        sizes = {key: _size_bytes(of) for key, of in record.items()}
        long = {key: size for key, size in sizes.items() if size > _SHORT_BYTES}
        room -= sum(len(key) + 4 + (0 if key in long else size) for key, size in sizes.items())
        for key, share in zip(long, _shares([*long.values()], room), strict=True):
            if long[key] > share:
                record = self._fit_field(record, key, share, free=free)
        return record

    def _fit_field(self, record: dict[str, Any], key: str, room: int, *, free: bool) -> dict[str, Any]:
        value = record[key]
        if isinstance(value, str):
            before = int(record.get(f"{key}_omitted_bytes", 0))
            text, left_out = _cut_text(value, room, before)
            return _counted({**record, key: text}, key, left_out - before)
        if _is_collection(value, key, free=free) and (free or "omitted" in record):
            kept, left_out = self._cut(
                value,
                room,
                from_start=key in self.from_start,
                first=_in_trouble(value).union(record.get("failed_nodes") or ()),
            )
            return _counted({**record, key: kept}, key, left_out, free=free)
        return {**record, key: self.fit(value, room, free=key == "parameters")}

    def _cut(
        self, items: Any, room: int, *, from_start: bool, first: frozenset[str] = frozenset(), keep_one: bool = False
    ) -> tuple[dict[str, Any] | list[Any], int]:
        """As many of the items as fit, and how many were omitted; those in `first` are preferred."""
        total = room
        pairs: list[tuple[Any, Any]] = [*items.items()] if isinstance(items, dict) else [*enumerate(items)]
        pairs.sort(key=lambda pair: bool(first) and pair[0] not in first)
        order = range(len(pairs)) if from_start else _outside_in(len(pairs))
        sizes: dict[int, int] = {}
        for at in order:  # stops when the space is used up: there may be many long items
            key, of = pairs[at]
            size = _size_bytes(of)
            room -= (len(key) + 4 if isinstance(items, dict) else 1) + self._least(of, size)
            if room < 0 and (sizes or not keep_one):
                break
            sizes[at] = size
        kept = sorted(sizes)
        shares = _shares([sizes[at] for at in kept], total)
        fitted = [(pairs[at][0], self.fit(pairs[at][1], share)) for at, share in zip(kept, shares, strict=True)]
        return (dict(fitted) if isinstance(items, dict) else [of for _, of in fitted]), len(pairs) - len(kept)

    def _least(self, value: Any, size: int) -> int:
        """The shortest length an item can be cut to."""
        return size if size <= _ITEM_BYTES else _size_bytes(self.fit(value, _ITEM_BYTES))


def _is_of_results(value: Any) -> bool:
    """Whether these are results whose last one can count those after it."""
    items = [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return bool(items) and all(isinstance(item, dict) and "omitted" in item for item in items)


def _in_trouble(items: Any) -> frozenset[str]:
    """The nodes on which something went wrong: a client needs to know those first."""
    pairs = items.items() if isinstance(items, dict) else ()
    return frozenset(key for key, of in pairs if isinstance(of, dict) and (of.get("error") or of.get("error_count")))


def _is_collection(value: Any, key: str, *, free: bool) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and (free or key in _MAPPINGS))


def _outside_in(count: int) -> Iterator[int]:
    """The first, the last, the second, the last but one, and so on."""
    for up in range((count + 1) // 2):
        yield up
        if up != count - 1 - up:
            yield count - 1 - up


def _shares(sizes: Sequence[int], room: int) -> list[int]:
    """How the space is divided among parts: what short ones do not need goes to the long ones."""
    shares = [0] * len(sizes)
    for done, at in enumerate(sorted(range(len(sizes)), key=lambda at: sizes[at])):
        shares[at] = max(0, min(sizes[at], room // (len(sizes) - done)))
        room -= shares[at]
    return shares


def _cut_text(text: str, room: int, omitted_bytes: int = 0) -> tuple[str, int]:
    """The beginning and end of a text in at most this many bytes of JSON, and how many bytes were omitted in total.

    If a line already says that `omitted_bytes` were, the cut is made there.
    """
    room = max(room, _SHORT_BYTES)
    head, note, tail = text.partition(omission_note(omitted_bytes))
    if not (omitted_bytes and note):
        head, tail, omitted_bytes = text[: len(text) // 2], text[len(text) // 2 :], 0
    whole = _length_bytes(head + tail)
    while True:
        left_out = omitted_bytes + whole - _length_bytes(head + tail)
        shorter = f"{head}{omission_note(left_out)}{tail}"
        if not head + tail or (left_out > omitted_bytes and _size_bytes(shorter) <= room):
            return shorter, left_out
        kept = min(0.95, (room - _SHORT_BYTES // 4) / _size_bytes(head + tail))
        head, tail = head[: int(len(head) * kept)], tail[len(tail) - int(len(tail) * kept) :]


def _counted(record: dict[str, Any], key: str, left_out: int, *, free: bool = False) -> dict[str, Any]:
    """The record, with the amount that was omitted of a field, if it has a field for that."""
    if left_out <= 0:
        return record
    if f"{key}_omitted_bytes" in record:
        counted = record[f"{key}_omitted_bytes"] + left_out
        return {**record, f"{key}_omitted_bytes": counted, f"{key}_truncated": True}
    if f"omitted_{key}" in record or free:
        return {**record, f"omitted_{key}": record.get(f"omitted_{key}", 0) + left_out}
    if "omitted" in record and not isinstance(record.get(key), str):
        before: Mapping[str, int] = record["omitted"]
        return {**record, "omitted": {**before, key: before.get(key, 0) + left_out}}
    return record


def _with_following(items: Any, left_out: int) -> Any:
    """The items; the last one says how many follow it."""
    if left_out <= 0 or not items:
        return items
    last = [*items][-1] if isinstance(items, dict) else len(items) - 1
    copied = items.copy()
    copied[last] = _counted(items[last], FOLLOWING, left_out)
    return copied


def _without_following(items: Any) -> tuple[Any, int]:
    """The items without the count of those after them, and that count: the item that holds it may be omitted itself."""
    pairs = [*items.items()] if isinstance(items, dict) else [*enumerate(items)]
    key, last = pairs[-1]
    if not (behind := last["omitted"].get(FOLLOWING, 0)):
        return items, 0
    copied = items.copy()
    copied[key] = {**last, "omitted": {of: count for of, count in last["omitted"].items() if of != FOLLOWING}}
    return copied, behind


def _length_bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _size_bytes(value: Any) -> int:
    return len(to_json(value))
