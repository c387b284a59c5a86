"""Splits what `tc` prints about many taps at once.

Facts: iproute2 6.1. With `dev TAP` tc omits the name from its output; with `-force` a batch continues after a line that
fails, and stderr names that line.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from reconciler.host.netlink.dump_codec import RootQueue
from reconciler.host.tc.tap_codec import MARKS, TapTree, parse_tap

_FAILED_LINE = re.compile(r"Command failed -:(\d+)")
_HANDLES = frozenset(f"{mark:x}:" for mark in MARKS)
_SHOWS = ("qdisc show dev {}\n", "class show dev {}\n", "filter show dev {}\n")

Qdiscs = Mapping[str, list[dict[str, Any]]]
"""By tap."""


class ListingChanged(Exception):
    """Queues were added or removed while they were being listed."""


def parse_qdiscs(shown: str | bytes, taps: Collection[str]) -> Qdiscs:
    """The queues of those taps, from `tc -j qdisc show`; a tap without any has an empty list."""
    found: dict[str, list[dict[str, Any]]] = {tap: [] for tap in taps}
    for qdisc in json.loads(shown or b"[]"):
        if qdisc.get("dev") in found:
            found[qdisc["dev"]].append(qdisc)
    return found


def render_roots(roots: Mapping[str, RootQueue | None]) -> Qdiscs:
    """The root queues of taps, as the kernel reports them, in the form of `tc -j qdisc show`."""
    return {
        tap: [{"kind": root.kind, "handle": f"{root.major:x}:", "dev": tap, "root": True}] if root else []
        for tap, root in roots.items()
    }


def marked_taps(qdiscs: Qdiscs) -> tuple[str, ...]:
    """The taps whose classes and filters must be listed as well, sorted."""
    return tuple(sorted(tap for tap, shown in qdiscs.items() if any(map(_is_ours, shown))))


def render_show(taps: Sequence[str]) -> str:
    """The lines of `tc -force -batch -` that show the classes and filters of each tap, after its queues."""
    return "".join(show.format(tap) for tap in taps for show in _SHOWS)


def parse_trees(qdiscs: Qdiscs, shown: bytes = b"", complaints: bytes = b"") -> dict[str, TapTree]:
    """The tree of each tap, from tc's output for `render_show(marked(qdiscs))`; taps deleted meanwhile are left out.

    Raises `ListingChanged` if the two listings are not of the same queues.
    """
    failed = {(int(line) - 1) // len(_SHOWS) for line in _FAILED_LINE.findall(complaints.decode(errors="replace"))}
    shaped = marked_taps(qdiscs)
    there = [tap for place, tap in enumerate(shaped) if place not in failed]
    blocks = _blocks(shown.decode(errors="replace"))
    if len(blocks) != len(there):
        raise ListingChanged
    listings = dict(zip(there, blocks, strict=True))
    gone = set(shaped) - listings.keys()
    return {
        tap: parse_tap(json.dumps(found), *listings.get(tap, ("", "")))
        for tap, found in qdiscs.items()
        if tap not in gone
    }


def failed_line(complaints: str) -> int | None:
    """The number of the first line of a batch that failed, from 1."""
    found = _FAILED_LINE.search(complaints)
    return int(found[1]) if found else None


def _blocks(text: str) -> list[tuple[str, str]]:
    """Classes and filters of each tap: the text after its root queue."""
    blocks: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if line.startswith("qdisc "):
            if " root " in line:
                blocks.append(([], []))
        elif blocks:
            blocks[-1][0 if line.startswith("class ") else 1].append(line)
    return [("\n".join(classes), "\n".join(filters)) for classes, filters in blocks]


def _is_ours(qdisc: Mapping[str, Any]) -> bool:
    return bool(qdisc.get("root")) and qdisc["kind"] == "htb" and qdisc["handle"] in _HANDLES
